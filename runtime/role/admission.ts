/** The client's hello at a party: what it asks for, and whether this party serves it. */
import { RefusedError } from '../../common/errors.ts';
import { tableRows } from '../../protocol/gates/embedding.ts';
import type { EmbeddingGate, Resolved } from '../../protocol/program.ts';
import { resolve } from '../../protocol/resolve.ts';
import { rowCount, type Dims } from '../../protocol/shape.ts';
import type { Channel } from '../channel.ts';
import { encodeSession, equalBytes, hex, type SessionFields } from '../encoding.ts';
import { decodeHello, encodeHello, HANDSHAKE_LIMIT, type Hello } from '../wire.ts';
import type { ServedModel } from './party-options.ts';

/** Most texts, and tokens of them all, of one session. */
export const MAX_TEXTS = 64;
export const MAX_TOKENS = 4096;

/** What the client asks for, as this party sees it. */
export interface Question {
  readonly own: SessionFields;
  readonly hello: Hello;
  readonly dims: Dims;
  readonly embedding: Resolved<EmbeddingGate>;
  readonly gate: number;
  /** Of all texts. */
  readonly tokens: number;
  /** Words of E1 and E2. */
  readonly sizes: readonly [number, number];
  /** The gate of the padding factor, where lengths are hidden, and its bits. */
  readonly padding: { readonly gate: number; readonly rows: number } | undefined;
}

/** @throws RefusedError naming `who` unless `theirs` is a session of the export that `ours` is of */
export function sameExport(ours: Omit<SessionFields, 'lengths'>, theirs: SessionFields, who: string): void {
  if (equalBytes(encodeSession({ ...ours, lengths: theirs.lengths }), encodeSession(theirs))) return;
  const short = (digest: Uint8Array): string => `${hex(digest).slice(0, 16)}…`;
  throw new RefusedError(
    `${who} has another export (theirs ${short(theirs.exportDigest)}, ours ${short(ours.exportDigest)})`,
    'give all roles the bundles of one export',
  );
}

/**
 * Takes the client's hello.
 * @throws RefusedError if it is of another export, or too large for one session
 */
export async function admit({ program, session: ours }: ServedModel, client: Channel): Promise<Question> {
  const hello = decodeHello((await client.receive(['hello'], HANDSHAKE_LIMIT)).payload, client.peer);
  const own = { ...ours, lengths: hello.session.lengths };
  if (!equalBytes(encodeSession(own), encodeSession(hello.session))) {
    // What this party serves is public: the client can say which bundle is the wrong one.
    await client.send('hello', encodeHello({ ...hello, session: own }));
  }
  sameExport(ours, hello.session, client.peer);
  const dims = { lengths: own.lengths, heads: program.heads };
  const tokens = rowCount('token', dims);
  const tooMany = (what: string, most: number): RefusedError =>
    new RefusedError(`${what} in one session, at most ${most}`, 'ask in several sessions');
  if (own.lengths.length > MAX_TEXTS) throw tooMany(`${own.lengths.length} texts`, MAX_TEXTS);
  if (tokens > MAX_TOKENS) throw tooMany(`${tokens} tokens`, MAX_TOKENS);
  const gates = resolve(program, dims);
  const gate = gates.findIndex(({ op }) => op === 'embedding');
  if (gate < 0) throw new Error('a program has an embedding');
  const embedding = gates[gate] as Resolved<EmbeddingGate>;
  const sizes = [tokens * tableRows(embedding), tokens * embedding.split] as const;
  const hidden = gates.findIndex(({ op }) => op === 'padding');
  const padding = hidden < 0 ? undefined : { gate: hidden, rows: tokens };
  return { own, hello, dims, tokens, embedding, gate, sizes, padding };
}
