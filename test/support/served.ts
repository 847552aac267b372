/** A deployment of three servers on real sockets in this process, and clients that may do as they like. */
import { randomBytes } from 'node:crypto';
import { createServer, type AddressInfo } from 'node:net';
import { readBundle } from '../../export/bundle.ts';
import { askBatch, clientModel, type Answers, type Question } from '../../runtime/client/ask.ts';
import type { Channel } from '../../runtime/channel.ts';
import { hex } from '../../runtime/encoding.ts';
import { startAssistant } from '../../runtime/role/assistant.ts';
import { startParty } from '../../runtime/role/party.ts';
import type { RoleOptions, Running } from '../../runtime/role/server.ts';
import { clientCertificates, connectParties } from '../../runtime/transport/client.ts';
import type { Deployment } from '../../runtime/transport/deployment.ts';
import { createIdentity, type Identity } from '../../runtime/transport/identity.ts';
import { encodeHello, HANDSHAKE_LIMIT, HASH_BYTES, LEAVES_BYTES, REFERENCE_BYTES } from '../../runtime/wire.ts';

export interface ServedOptions {
  /** Milliseconds, as of the servers. */
  readonly timeout?: number;
  readonly patience?: number;
  /** Number of clients that the deployment file has. */
  readonly clients?: number;
  readonly maxTokens?: number;
}

/** Three servers of one export. */
export class Served {
  readonly deployment: Deployment;
  readonly clients: readonly Identity[];
  /** What the servers reported. */
  readonly lines: string[] = [];
  readonly #dir: string;
  readonly #timeout: number;
  #running: Running[] = [];

  private constructor(dir: string, deployment: Deployment, clients: readonly Identity[], timeout: number) {
    this.#dir = dir;
    this.deployment = deployment;
    this.clients = clients;
    this.#timeout = timeout;
  }

  /** `dir` has the bundles. */
  static async start(
    dir: string,
    { timeout = 20_000, patience = 20_000, clients = 1, maxTokens }: ServedOptions = {},
  ): Promise<Served> {
    const names = ['party0', 'party1', 'assistant', ...Array.from({ length: clients }, (_, i) => `client ${i}`)];
    const [party0, party1, assistant, ...rest] = (await Promise.all(names.map(createIdentity))) as [Identity, Identity, Identity, ...Identity[]]; // prettier-ignore
    const at = (port: number): string => `127.0.0.1:${port}`;
    const [a, b, c, d] = (await freePorts(4)) as [number, number, number, number];
    const deployment: Deployment = {
      version: 1,
      party0: { clients: at(a), peers: at(c), fingerprint: hex(party0.fingerprint) },
      party1: { clients: at(b), fingerprint: hex(party1.fingerprint) },
      assistant: { peers: at(d), fingerprint: hex(assistant.fingerprint) },
      clients: rest.map(({ fingerprint }) => hex(fingerprint)),
    };
    const served = new Served(dir, deployment, rest, timeout);
    const role = (identity: Identity): RoleOptions => ({
      identity,
      deployment,
      timeout,
      patience,
      log: (line) => void served.lines.push(line),
    });
    const party = { failureFloor: 0, ...(maxTokens !== undefined && { maxTokens }) };
    served.#running = [
      await startAssistant(await readBundle(`${dir}/assistant`, 'assistant'), role(assistant)),
      await startParty(await readBundle(`${dir}/party0`, 'party0'), { ...role(party0), ...party }),
      await startParty(await readBundle(`${dir}/party1`, 'party1'), { ...role(party1), ...party }),
    ];
    return served;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#running.map((running) => running.close(0)));
  }

  /** Channels of one client to both parties. */
  connect(client = 0): Promise<[Channel, Channel]> {
    return connectParties(this.#options(client));
  }

  #options(client: number) {
    return { deployment: this.deployment, identity: this.clients[client]!, timeout: this.#timeout, patience: 2_000 };
  }

  /** A session of an honest client over these channels. */
  async ask(channels: readonly [Channel, Channel], questions: readonly Question[], client = 0): Promise<Answers> {
    const bundle = await readBundle(`${this.#dir}/client`, 'client');
    const model = clientModel(bundle.manifest, bundle.client);
    return askBatch(model, questions, channels, clientCertificates(this.#options(client)));
  }

  /** Takes a session up to where the client's message is due. */
  async untilInput(
    channels: readonly Channel[],
    length: number,
    reference: Uint8Array = randomBytes(REFERENCE_BYTES),
  ): Promise<void> {
    const bundle = await readBundle(`${this.#dir}/client`, 'client');
    const { session } = clientModel(bundle.manifest, bundle.client);
    await untilInput(channels, {
      session: { ...session, lengths: [length] },
      reference,
      client: new Uint8Array(HASH_BYTES),
    });
  }
}

/** What a client says and hears before its own message is due, on channels to both parties. */
export async function untilInput(
  channels: readonly Channel[],
  hello: Parameters<typeof encodeHello>[0],
): Promise<void> {
  await Promise.all(
    channels.map(async (channel) => {
      await channel.send('hello', encodeHello(hello));
      await channel.receive(['hello'], HANDSHAKE_LIMIT);
      await channel.send('nonce', new Uint8Array(HASH_BYTES));
      await channel.receive(['leaves'], LEAVES_BYTES);
    }),
  );
}

/** Ports nobody listens on now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}
