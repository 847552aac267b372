/**
 * The client's side of a session: it masks its tokens with masks that the two parties give it the leaves of, sends the same
 * message to both, and adds the two shares it gets back. Runs in a browser: no `node:` module; `crypto` is WebCrypto.
 */
import type { Failure } from '../../common/errors.ts';
import { PeerError, RefusedError } from '../../common/errors.ts';
import type { ClientProgram, Manifest } from '../../export/bundle/format.ts';
import { clientEmbedding } from '../../protocol/gates/embedding.ts';
import { clientPadding, padText } from '../../protocol/gates/padding.ts';
import { unseal, type Sealed, TAG_BITS } from '../../protocol/disclosure.ts';
import { add, decode, pack, packedBytes, slice, unpack, xor, type Words } from '../../ring/index.ts';
import { expand } from '../../ring/prg-web.ts';
import { expect, type Channel } from '../channel.ts';
import { contextBytes, encodeSession, equalBytes, fields, fromHex, hex, sidBytes, type Certificates, type SessionFields } from '../encoding.ts'; // prettier-ignore
import { COUNTED_BYTES, decodeHello, decodeLeaves, decodeOut, encodeHello, HANDSHAKE_LIMIT, HASH_BYTES, HIDDEN_LEAVES_BYTES, LEAVES_BYTES, REFERENCE_BYTES, type Leaves } from '../wire.ts'; // prettier-ignore
import { decodeAnswer, type Decoded } from './answer.ts';

/** What a client knows of the model: its bundle's manifest and program. */
export interface ClientModel {
  readonly session: Omit<SessionFields, 'lengths'>;
  readonly program: ClientProgram;
  readonly labels: readonly string[];
  readonly task: 'classification' | 'regression';
}

export const clientModel = (manifest: Manifest, program: ClientProgram): ClientModel => ({
  session: {
    suite: manifest.suite,
    modelId: fromHex(manifest.modelId),
    exportDigest: fromHex(manifest.exportDigest),
    programDigest: fromHex(manifest.programDigest),
  },
  program,
  labels: manifest.labels,
  task: manifest.task,
});

/** One text, tokenised. */
export interface Question {
  readonly ids: readonly number[];
  readonly types: readonly number[];
}

/** What a session took, as the parties counted it. */
export interface Exchanged {
  /** Messages each party sent the other while the program ran, counted at the socket. */
  readonly rounds: number;
  /** Bytes of all frames a party sent the other in this session; of the party that sent more. */
  readonly sentBytes: number;
}

export type Answer = Decoded & Exchanged;

/** Answers to several questions of one session, which share its rounds. */
export interface Answers extends Exchanged {
  /** Or why one is withheld: a guard flagged its text, the others are answered all the same. */
  readonly answers: readonly (Decoded | WithheldError)[];
}

/** @throws WithheldError if the answer is withheld */
export function disclosed(answer: Decoded | WithheldError): Decoded {
  if (answer instanceof WithheldError) throw answer;
  return answer;
}

/** All a client can know of a flagged text: not which value it was, nor how far out. */
export class WithheldError extends RefusedError {
  constructor() {
    super(
      'the answer was withheld: an intermediate value left the range this model was calibrated for',
      'ask the provider to calibrate with texts like this one and to export again (export-shares --calibrate)',
    );
  }
}

const sha256 = async (bytes: Uint8Array): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));

/** A fresh name for a session, until it has a sid. */
export const newReference = (): Uint8Array => crypto.getRandomValues(new Uint8Array(REFERENCE_BYTES));

/** Asks one question in one session, see `askBatch`. @throws WithheldError if its answer is withheld */
export async function ask(
  model: ClientModel,
  question: Question,
  channels: readonly [Channel, Channel],
  certificates: Certificates,
  reference: Uint8Array = newReference(),
): Promise<Answer> {
  const { answers, rounds, sentBytes } = await askBatch(model, [question], channels, certificates, reference);
  return { ...disclosed(answers[0]!), rounds, sentBytes };
}

/**
 * Asks questions in one session over fresh channels to party 0 and party 1, and closes them. `typed` is awaited before the client's
 * message is made: the session can be prepared while somebody still types.
 * @throws RefusedError if a party serves another export or the text is too long; PeerError if the session failed (no reason is
 * given to a client: see what the parties reported)
 */
export async function askBatch(
  model: ClientModel,
  questions: readonly Question[],
  channels: readonly [Channel, Channel],
  certificates: Certificates,
  reference: Uint8Array = newReference(),
  typed: () => Promise<void> = async () => {},
): Promise<Answers> {
  try {
    const gone = channels.map((channel) => channel.closed.then((reason) => Promise.reject(reason)));
    for (const g of gone) g.catch(() => {});
    return await Promise.race([converse(model, questions, channels, certificates, reference, typed), ...gone]);
  } catch (error) {
    if (error instanceof RefusedError || !(error instanceof PeerError)) throw error;
    throw new PeerError(
      `the session failed (${(error as Failure).message})`,
      'see what the parties reported, then ask again',
    );
  } finally {
    for (const channel of channels) channel.close();
  }
}

async function converse(
  model: ClientModel,
  asked: readonly Question[],
  channels: readonly [Channel, Channel],
  certificates: Certificates,
  reference: Uint8Array,
  typed: () => Promise<void>,
): Promise<Answers> {
  const own = asked.map(({ ids }) => ids.length);
  const { shortest, longest, embedding, rows: tableRows, output, guarded } = model.program;
  for (const length of own) {
    if (length >= shortest && length <= longest) continue;
    throw new RefusedError(
      `a text of ${length} tokens; the model was calibrated for ${shortest} to ${longest}`,
      length < shortest ? 'give a longer text' : 'shorten the text, or cut it',
    );
  }
  // the parties see the bucket, never the length
  const questions = asked.map((question) => padText(question, model.program.padding?.buckets));
  const lengths = questions.map(({ ids }) => ids.length);
  const session: SessionFields = { ...model.session, lengths };
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const hello = encodeHello({ session, reference, client: new Uint8Array(HASH_BYTES) });
  await both(channels, async (channel) => {
    await channel.send('hello', hello);
    sameExport(
      session,
      decodeHello((await channel.receive(['hello'], HANDSHAKE_LIMIT)).payload, channel.peer).session,
      channel,
    );
  });

  const hidden = model.program.padding !== undefined;
  const nonce = crypto.getRandomValues(new Uint8Array(HASH_BYTES));
  const leaves = await both(channels, async (channel) => {
    await channel.send('nonce', nonce);
    return decodeLeaves(await expect(channel, 'leaves', hidden ? HIDDEN_LEAVES_BYTES : LEAVES_BYTES));
  });
  await checkSid(leaves, session, certificates, nonce);

  const n = embedding.n;
  const mask = async (name: 'A1' | 'A2', words: number): Promise<Words> => {
    const [a, b] = await Promise.all(leaves.map((l) => expand(l[name], n, words)));
    return add(a!, b!);
  };
  const [A1, A2] = await Promise.all([mask('A1', tokens * tableRows), mask('A2', tokens * embedding.split)]);
  const bits = hidden ? await Promise.all(leaves.map((l) => expand(l.beta!, 1, tokens))) : undefined;
  await typed();
  const ids = questions.flatMap((q) => q.ids);
  const types = questions.flatMap((q) => q.types);
  const { E1, E2 } = clientEmbedding(embedding, ids, types, A1, A2);
  const beta = bits && clientPadding(questions.map((q) => q.valid!), xor(bits[0]!, bits[1]!)); // prettier-ignore
  const message = fields(pack(E1), pack(E2), ...(beta === undefined ? [] : [pack(beta)]));

  const words = questions.length * output.labels;
  const bytes = packedBytes(output.n, words);
  const tags = guarded === true ? packedBytes(TAG_BITS, questions.length) : 0;
  const answers = await both(channels, async (channel) => {
    await channel.send('input', message);
    return decodeOut(await expect(channel, 'out', COUNTED_BYTES + bytes + tags));
  });
  const sealed = answers.map(({ share }) => ({
    y: readWords(share.subarray(0, bytes), output.n, words),
    tags: readWords(share.subarray(bytes), TAG_BITS, tags === 0 ? 0 : questions.length),
  })) as [Sealed, Sealed];
  const counted = answers.map((a) => a.counted);
  if (counted[0]!.rounds !== counted[1]!.rounds)
    throw new PeerError('the parties counted different rounds', 'see what they reported');
  const rows = guarded === true ? unseal(sealed, output.labels) : plainRows(sealed, questions.length, output.labels);
  return {
    answers: rows.map((row) =>
      row === undefined ? new WithheldError() : decodeAnswer([...decode(row, output.f)], model.labels, model.task),
    ),
    rounds: counted[0]!.rounds,
    sentBytes: Math.max(...counted.map((c) => c.sentBytes)),
  };
}

const both = async <T>(channels: readonly [Channel, Channel], act: (channel: Channel) => Promise<T>): Promise<[T, T]> =>
  Promise.all([act(channels[0]), act(channels[1])]);

/** The answers of a program without guards. */
function plainRows([a, b]: readonly [Sealed, Sealed], texts: number, labels: number): Words[] {
  const y = add(a.y, b.y);
  return Array.from({ length: texts }, (_, text) => slice(y, text * labels, (text + 1) * labels));
}

function readWords(bytes: Uint8Array, n: number, words: number): Words {
  try {
    return unpack(bytes, n, words);
  } catch {
    throw new PeerError(
      'an answer is not of the ring of the program',
      'run the same version of secure-infer everywhere',
    );
  }
}

function sameExport(ours: SessionFields, theirs: SessionFields, channel: Channel): void {
  if (equalBytes(encodeSession(ours), encodeSession(theirs))) return;
  const short = (digest: Uint8Array): string => `${hex(digest).slice(0, 16)}…`;
  throw new RefusedError(
    `${channel.peer} serves another export (theirs ${short(theirs.exportDigest)}, ours ${short(ours.exportDigest)})`,
    'use the client bundle of the export that is served',
  );
}

/** Both parties bound the session that this client means: same context, its own nonce, one pair of theirs. */
async function checkSid(
  leaves: readonly [Leaves, Leaves],
  session: SessionFields,
  certificates: Certificates,
  nonce: Uint8Array,
): Promise<void> {
  const { nonces } = leaves[0];
  const ctx = await sha256(contextBytes(session, certificates));
  const sid = await sha256(sidBytes(ctx, { client: nonce, ...nonces }));
  const agreed = leaves.every(
    (l) =>
      equalBytes(l.sid, sid) &&
      equalBytes(l.nonces.party0, nonces.party0) &&
      equalBytes(l.nonces.party1, nonces.party1),
  );
  if (!agreed)
    throw new PeerError(
      'the parties bound another session than the one asked for',
      'give all roles the same deployment file',
    );
}
