/** A party as a server: clients by WebSocket over TLS; party 0 awaits party 1, both go to the assistant. */
import { PeerError, RefusedError } from '../../common/errors.ts';
import type { PartyBundle } from '../../export/bundle.ts';
import { tableRows } from '../../protocol/gates/embedding.ts';
import { packedBytes } from '../../ring/index.ts';
import { BurntSids } from '../burnt-sids.ts';
import type { Channel } from '../channel.ts';
import { makeReady, staticData } from '../context.ts';
import { equalBytes, fromHex, hex } from '../encoding.ts';
import { masterCheck, SYSTEM_ENTROPY } from '../keys.ts';
import { parseAddress, servingCertificates } from '../transport/deployment.ts';
import type { StockUse } from './agreement.ts';
import { Capacity } from './capacity.ts';
import { Stock } from './stock.ts';
import { connectRole, serveClients, serveRoles } from '../transport/tls.ts';
import { decodeHello, encodeHello, HANDSHAKE_LIMIT, type Hello } from '../wire.ts';
import { MAX_TEXTS, MAX_TOKENS } from './admission.ts';
import type { Links, Observer, ServedModel, Watch } from './party-options.ts';
import { serveSession } from './party-session.ts';
import {
  MAX_SESSIONS,
  MAX_SESSIONS_OF_ONE,
  sessionFields,
  Sessions,
  type RoleOptions,
  type Running,
} from './server.ts';

/** Party 1's connections that wait for their client at party 0, and sessions of party 0 that wait for party 1. */
class Meeting {
  readonly #patience: number;
  readonly #arrived = new Map<string, { channel: Channel; hello: Hello }>();
  readonly #waiting = new Map<string, (met: { channel: Channel; hello: Hello }) => void>();

  constructor(patience: number) {
    this.#patience = patience;
  }

  arrive(channel: Channel, hello: Hello): void {
    const key = hex(hello.reference);
    const waiting = this.#waiting.get(key);
    if (waiting) {
      this.#waiting.delete(key);
      waiting({ channel, hello });
      return;
    }
    if (this.#arrived.has(key)) {
      channel.close();
      return;
    }
    this.#arrived.set(key, { channel, hello });
    const forget = (): void => {
      if (this.#arrived.get(key)?.channel === channel) this.#arrived.delete(key);
    };
    const timer = setTimeout(() => {
      if (this.#arrived.get(key)?.channel === channel) channel.close();
    }, this.#patience);
    void channel.closed.then(() => {
      clearTimeout(timer);
      forget();
    });
  }

  meet(reference: Uint8Array): Promise<{ channel: Channel; hello: Hello }> {
    const key = hex(reference);
    const arrived = this.#arrived.get(key);
    if (arrived) {
      this.#arrived.delete(key);
      return Promise.resolve(arrived);
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(key);
        reject(
          new PeerError(
            `party 1 did not come within ${this.#patience / 1000} s`,
            'see whether party 1 runs and what it reported',
          ),
        );
      }, this.#patience);
      this.#waiting.set(key, (met) => {
        clearTimeout(timer);
        resolve(met);
      });
    });
  }
}

/** What a party serves, from its bundle. */
export const servedModel = (bundle: PartyBundle): ServedModel => {
  const session = sessionFields(bundle.manifest, bundle.program);
  return {
    party: bundle.party,
    program: bundle.program,
    weight: bundle.weight,
    share: bundle.share,
    session,
    check: masterCheck(session.modelId, bundle.seed),
  };
};

/** Largest message of a client: its two operands for the longest batch. */
function clientLimit({ program }: ServedModel): number {
  let limit = HANDSHAKE_LIMIT;
  for (const gate of program.gates) {
    if (gate.op !== 'embedding' || typeof gate.n !== 'number') continue;
    const words = Math.min(MAX_TOKENS, MAX_TEXTS * program.longest) * (tableRows(gate) + gate.split);
    limit = Math.max(limit, packedBytes(gate.n, words) + HANDSHAKE_LIMIT);
  }
  return limit;
}

export interface PartyServerOptions extends RoleOptions {
  readonly watch?: (reference: Uint8Array) => Watch;
  readonly observer?: Observer;
  readonly budget?: number;
  /** Milliseconds, see `FAILURE_FLOOR`. */
  readonly failureFloor?: number;
  /** Tokens of all sessions at once; `MAX_TOKENS_AT_ONCE` if absent. */
  readonly maxTokens?: number;
  /** Folder of deals made ahead; `live` lets the assistant deal where it has none that fits. */
  readonly stock?: { readonly dir: string; readonly live: boolean };
}

/** Opens the stock of a party and says what it has. */
async function openStock(model: ServedModel, options: PartyServerOptions): Promise<StockUse | undefined> {
  const { stock: given, deployment, log } = options;
  if (given === undefined) return undefined;
  const who = `party ${model.party}`;
  const stock = await Stock.open(given.dir, {
    holder: `party${model.party}`,
    session: model.session,
    certificates: servingCertificates(deployment),
    refused: ({ message, hint }) => log(`${who}: ${message} (${hint})`),
  });
  const counts = [...(await stock.count())].map(([lengths, deals]) => `${deals} of ${lengths} tokens`);
  log(`${who}: dealt ahead: ${counts.length === 0 ? 'nothing' : counts.join(', ')}`);
  const fellBack = (lengths: readonly number[]): void =>
    log(`${who}: nothing dealt ahead for ${lengths.join(', ')} tokens: dealt live`);
  return given.live ? { stock, live: { fellBack } } : { stock };
}

/**
 * Starts serving.
 * @throws InputError if a port cannot be had, RefusedError if the identity is not the one of the deployment file
 */
export async function startParty(bundle: PartyBundle, options: PartyServerOptions): Promise<Running> {
  const { deployment, identity, timeout, patience } = options;
  const who = `party ${bundle.party}`;
  const pins = [deployment.party0.fingerprint, deployment.party1.fingerprint] as const;
  const own = pins[bundle.party];
  if (!equalBytes(fromHex(own), identity.fingerprint)) {
    throw new RefusedError(
      `the key is not that of ${who}: its certificate is ${hex(identity.fingerprint)}, the deployment file has ${own}`,
      `give the key folder of ${who}`,
    );
  }
  const model = servedModel(bundle);
  const data = staticData(model);
  makeReady(model.program, data.weight);
  const stock = await openStock(model, options);
  const sessions = new Sessions(who, options);
  const meeting = new Meeting(patience);
  const reach = { identity, patience, timeout };
  const assistant = (): Promise<Channel> =>
    connectRole({
      ...reach,
      peer: 'the assistant',
      pin: deployment.assistant.fingerprint,
      address: parseAddress(deployment.assistant.peers),
    });
  const peer: Links['peer'] = async (hello) => {
    if (bundle.party === 0) {
      const met = await meeting.meet(hello.reference);
      await met.channel.send('hello', encodeHello(hello));
      return met;
    }
    const address = parseAddress(deployment.party0.peers);
    const channel = await connectRole({ ...reach, peer: 'party 0', pin: deployment.party0.fingerprint, address });
    try {
      await channel.send('hello', encodeHello(hello));
      return { channel, hello: decodeHello((await channel.receive(['hello'], HANDSHAKE_LIMIT)).payload, 'party 0') };
    } catch (error) {
      channel.close();
      throw error;
    }
  };
  const burnt = new BurntSids();
  const capacity = new Capacity(options.maxTokens);
  const entropy = options.entropy ?? SYSTEM_ENTROPY;
  const certificates = servingCertificates(deployment);
  const serving = { identity, timeout, refused: (reason: unknown) => sessions.report(reason) };

  const listeners = [];
  if (bundle.party === 0) {
    const allowed = new Map([[deployment.party1.fingerprint, 'party 1']]);
    const address = parseAddress(deployment.party0.peers);
    listeners.push(
      await serveRoles({ ...serving, address, allowed }, (name, channel) => {
        channel
          .receive(['hello'], HANDSHAKE_LIMIT)
          .then(
            ({ payload }) => meeting.arrive(channel, decodeHello(payload, name)),
            () => channel.close(),
          )
          .catch((error: unknown) => {
            sessions.report(error);
            channel.close();
          });
      }),
    );
  }
  const address = parseAddress(bundle.party === 0 ? deployment.party0.clients : deployment.party1.clients);
  const allowed = new Map(deployment.clients.map((pin) => [pin, 'the client']));
  const mostOfOne = allowed.size > 1 ? MAX_SESSIONS_OF_ONE : MAX_SESSIONS;
  try {
    listeners.push(
      await serveClients({ ...serving, address, allowed, limit: clientLimit(model) }, (clientCertificate, client) => {
        const pin = hex(clientCertificate);
        const begun = sessions.of(pin);
        if (sessions.full || begun >= mostOfOne) {
          client.close();
          const turned = `a client with ${begun} of them was turned away (${pin})`;
          sessions.report(new RefusedError(`too many sessions at once: ${turned}`, 'let it ask again later'));
          return;
        }
        const links: Links = { client, clientCertificate, peer, assistant };
        const { watch, observer, budget, failureFloor } = options;
        const extra = {
          ...(stock === undefined ? {} : { stock }),
          ...(failureFloor === undefined ? {} : { failureFloor }),
          ...(watch === undefined ? {} : { watch }),
          ...(observer === undefined ? {} : { observer }),
          ...(budget === undefined ? {} : { budget }),
        };
        sessions.start(pin, () =>
          serveSession(model, data, links, { certificates, entropy, burnt, capacity, ...extra }),
        );
      }),
    );
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close()));
    throw error;
  }
  return sessions.running(listeners);
}
