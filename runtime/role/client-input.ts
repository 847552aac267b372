/** The client's masked input at a party: the leaves of its masks go out, its one message comes in, the same at both parties. */
import { PeerError } from '../../common/errors.ts';
import type { ClientName } from '../../protocol/gate.ts';
import { packedBytes, unpack, type Words } from '../../ring/index.ts';
import { expect, type Channel } from '../channel.ts';
import { parseFields, type Nonces } from '../encoding.ts';
import type { PartySession } from '../session.ts';
import { encodeLeaves, HASH_BYTES } from '../wire.ts';
import type { Question } from './admission.ts';

/** The client's message, by name. */
export type ClientWords = Readonly<Partial<Record<ClientName, Words>>>;

/**
 * Gives the client the leaves of its own masks and takes its message.
 * @throws PeerError unless the other party has the same message, of words of the embedding's ring
 */
export async function receiveInput(
  session: PartySession,
  { gate, sizes, padding, embedding: { n } }: Question,
  nonces: Nonces,
  client: Channel,
  peer: Channel,
): Promise<ClientWords> {
  const [A1, A2] = (['A1', 'A2'] as const).map((kind, i) => session.clientLeaf(gate, kind, n, sizes[i]!));
  const beta = padding && { beta: session.clientLeaf(padding.gate, 'beta', 1, padding.rows) };
  await client.send('leaves', encodeLeaves({ nonces, sid: session.sid, A1: A1!, A2: A2!, ...beta }));
  const bytes = [...sizes.map((words) => packedBytes(n, words)), ...(padding ? [packedBytes(1, padding.rows)] : [])];
  const message = await expect(client, 'input', bytes.reduce((sum, part) => sum + part + 4, 0)); // prettier-ignore
  await peer.send('input', session.input(message));
  session.inputAgreed(await expect(peer, 'input', HASH_BYTES));
  const [E1, E2, bits] = parseFields(message, bytes.length, client.peer);
  try {
    const words = { E1: unpack(E1!, n, sizes[0]), E2: unpack(E2!, n, sizes[1]) };
    return padding === undefined ? words : { ...words, beta: unpack(bits!, 1, padding.rows) };
  } catch {
    throw new PeerError(
      'the client’s words are not of the embedding’s ring',
      'run the same version of secure-infer everywhere',
    );
  }
}
