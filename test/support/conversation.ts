/** A whole session of client, two parties and assistant over channels in memory, on the code of the servers. */
import { Failure } from '../../common/errors.ts';
import { readBundle, type AssistantBundle, type ClientBundle, type PartyBundle } from '../../export/bundle.ts';
import { channelPair, FAITHFUL, type Channel, type Fault } from '../../runtime/channel.ts';
import { ask, clientModel, type Answer, type Question } from '../../runtime/client/ask.ts';
import { staticData, type StaticData } from '../../runtime/context.ts';
import { fromHex, type Certificates } from '../../runtime/encoding.ts';
import { seededEntropy, type Entropy } from '../../runtime/keys.ts';
import { assistantModel } from '../../runtime/role/assistant.ts';
import { Assistant } from '../../runtime/role/assistant-session.ts';
import { servedModel } from '../../runtime/role/party.ts';
import type { StockUse } from '../../runtime/role/agreement.ts';
import { keeperKey } from '../../runtime/role/deal-ahead.ts';
import type { Stock } from '../../runtime/role/stock.ts';
import type { Links, ServedModel } from '../../runtime/role/party-options.ts';
import { serveSession } from '../../runtime/role/party-session.ts';
import type { Words } from '../../ring/index.ts';
import { BurntSids } from '../../runtime/burnt-sids.ts';
import { decodeHello, encodeHello, HANDSHAKE_LIMIT, type Counted } from '../../runtime/wire.ts';

export interface Bundles {
  readonly parties: readonly [PartyBundle, PartyBundle];
  readonly assistant: AssistantBundle;
  readonly client: ClientBundle;
}

export const readBundles = async (dir: string): Promise<Bundles> => ({
  parties: [await readBundle(`${dir}/party0`, 'party0'), await readBundle(`${dir}/party1`, 'party1')],
  assistant: await readBundle(`${dir}/assistant`, 'assistant'),
  client: await readBundle(`${dir}/client`, 'client'),
});

/** Every direction in which messages go, sender first. */
export const DIRECTIONS = [
  'client > party 0', 'client > party 1', 'party 0 > client', 'party 1 > client', 'party 0 > party 1', 'party 1 > party 0',
  'party 0 > assistant', 'party 1 > assistant', 'assistant > party 0', 'assistant > party 1',
] as const; // prettier-ignore
export type Direction = (typeof DIRECTIONS)[number];

/** What `view` makes of every message of a session, by direction: pass `faults` to the session. */
export function recorder<T>(view: (message: Uint8Array) => T): {
  readonly seen: ReadonlyMap<Direction, T[]>;
  readonly faults: Partial<Record<Direction, Fault>>;
} {
  const seen = new Map<Direction, T[]>(DIRECTIONS.map((direction) => [direction, []]));
  const record =
    (direction: Direction): Fault =>
    (message) => (seen.get(direction)!.push(view(message)), [{ message }]);
  return { seen, faults: Object.fromEntries(DIRECTIONS.map((direction) => [direction, record(direction)])) };
}

export interface ConversationOptions {
  readonly entropy?: Entropy;
  /** Milliseconds any message may take. */
  readonly timeout?: number;
  readonly faults?: Partial<Record<Direction, Fault>>;
  readonly question?: Question;
  /** Milliseconds; none if absent. */
  readonly failureFloor?: number;
  /** Deals made ahead, of party 0, party 1 and the assistant. */
  readonly stocks?: {
    readonly parties: readonly [StockUse | undefined, StockUse | undefined];
    readonly assistant?: Stock;
  };
  /** Gets party 1's rounding words by gate. */
  readonly rounding?: Map<string, Words>;
  /** What servers keep from session to session; made for this one if absent. */
  readonly kept?: Kept;
}

/** What the parties and the assistant keep from session to session. */
export interface Kept {
  readonly models: readonly [ServedModel, ServedModel];
  readonly data: readonly [StaticData, StaticData];
  readonly burnt: readonly [BurntSids, BurntSids];
  readonly assistant: Assistant;
}

export function keep(
  bundles: Bundles,
  {
    entropy,
    timeout,
    stocks,
  }: Pick<ConversationOptions, 'stocks'> & { readonly entropy: Entropy; readonly timeout: number },
): Kept {
  const models = bundles.parties.map(servedModel) as [ServedModel, ServedModel];
  return {
    models,
    data: [staticData(models[0]), staticData(models[1])],
    burnt: [new BurntSids(), new BurntSids()],
    assistant: new Assistant(assistantModel(bundles.assistant), {
      certificates: CERTIFICATES,
      patience: timeout,
      entropy,
      ...(stocks?.assistant && {
        ahead: {
          stock: stocks.assistant,
          keeper: keeperKey(fromHex(bundles.assistant.manifest.modelId), bundles.assistant.seeds),
        },
      }),
    }),
  };
}

export interface Outcome {
  readonly answer: Answer | Failure;
  readonly parties: readonly [Counted | Failure, Counted | Failure];
}

const hash = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
export const CERTIFICATES: Certificates = { party0: hash(1), party1: hash(2), assistant: hash(3), client: hash(4) };
export const REFERENCE = new Uint8Array(16).fill(5);
export const QUESTION: Question = { ids: [2, 6, 7, 8, 3], types: [0, 0, 0, 0, 0] };

const settled = <T>(work: Promise<T>): Promise<T | Failure> =>
  work.catch((error: unknown) => {
    if (error instanceof Failure) return error;
    throw error;
  });

/** One session, to its end at every role. A role that fails with anything but a Failure makes this throw. */
export async function converse(bundles: Bundles, options: ConversationOptions = {}): Promise<Outcome> {
  const { entropy = seededEntropy('conversation'), timeout = 2_000, faults = {}, question = QUESTION } = options;
  const link = (a: 'client' | 'party 0' | 'party 1', b: 'party 0' | 'party 1' | 'assistant'): [Channel, Channel] =>
    channelPair(a, b, timeout, [
      faults[`${a} > ${b}` as Direction] ?? FAITHFUL,
      faults[`${b} > ${a}` as Direction] ?? FAITHFUL,
    ]);
  const clients = [link('client', 'party 0'), link('client', 'party 1')] as const;
  const [peer1, peer0] = link('party 1', 'party 0');
  const dealing = [link('party 0', 'assistant'), link('party 1', 'assistant')] as const;

  const kept = options.kept ?? keep(bundles, { ...options, entropy, timeout });
  const dealt = dealing.map(([, end], i) => settled(kept.assistant.serve(i as 0 | 1, end)));
  const parties = kept.models.map((model, i) => {
    const links: Links = {
      client: clients[i]![1],
      clientCertificate: CERTIFICATES.client,
      peer: async (hello) => {
        const channel = i === 0 ? peer0 : peer1;
        if (i === 1) await channel.send('hello', encodeHello(hello));
        const { payload } = await channel.receive(['hello'], HANDSHAKE_LIMIT);
        if (i === 0) await channel.send('hello', encodeHello(hello));
        return { channel, hello: decodeHello(payload, channel.peer) };
      },
      assistant: () => Promise.resolve(dealing[i]![0]),
    };
    return settled(
      serveSession(model, kept.data[i]!, links, {
        certificates: CERTIFICATES,
        entropy,
        burnt: kept.burnt[i]!,
        failureFloor: options.failureFloor ?? 0,
        ...(options.stocks?.parties[i] && { stock: options.stocks.parties[i] }),
        ...(i === 1 &&
          options.rounding && { watch: () => ({ rounding: (gate, u) => void options.rounding!.set(gate.name, u) }) }),
      }),
    );
  });
  const client = clientModel(bundles.client.manifest, bundles.client.client);
  const answer = await settled(ask(client, question, [clients[0][0], clients[1][0]], CERTIFICATES, REFERENCE));
  const [p0, p1] = await Promise.all(parties);
  for (const [end] of dealing) end.close();
  await Promise.all(dealt);
  return { answer, parties: [p0!, p1!] };
}
