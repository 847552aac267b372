/**
 * The coin that two parties toss after their last opening (protocol/disclosure.ts): 32 bytes from each, travelling with the
 * transcript hashes. K = HKDF-Extract-SHA256(salt = sid, ikm = coin_0 ‖ coin_1); words of K by the labels of the key stream.
 */
import { KINDS, type Kind } from '../protocol/gate.ts';
import { fingerprints, seal, type CoinWords, type Sealed } from '../protocol/disclosure.ts';
import type { Program } from '../protocol/program.ts';
import type { Dims } from '../protocol/shape.ts';
import { pack, type Words } from '../ring/index.ts';
import { expand, extract, leaf } from '../ring/prg-node.ts';
import type { Secret } from '../ring/secret.ts';

/** Bytes each party throws in. */
export const COIN_BYTES = 32;

function draw(key: Secret, kind: Kind, index: number, n: number, length: number): Words {
  return expand(leaf(key, { gate: index, kind: KINDS[kind], wire: index, n, rows: 1, cols: length }), n, length);
}

/** The words of a coin. Pads and tags are pseudorandom functions of a 64-bit key, which becomes the salt of a key of their own. */
export function coinWords(K: Secret): CoinWords {
  const keyed = (kind: Kind, text: number, key: Words, n: number, length: number): Words => {
    const own = extract(pack(key), K);
    const words = draw(own, kind, text, n, length);
    own.erase();
    return words;
  };
  return {
    alpha: (gate, length) => draw(K, 'alpha', gate, 64, length),
    rho: (texts) => draw(K, 'rho', 0, 64, texts),
    sigma: (texts) => draw(K, 'sigma', 0, 64, texts),
    pad: (text, key, n, length) => keyed('seal', text, key, n, length),
    tag: (text, key) => keyed('tag', text, key, 128, 1),
  };
}

/** Party i's part of the answers, sealed under the flags of each text. Takes the same time whatever they are. */
export function sealOutput(
  party: 0 | 1,
  program: Program,
  dims: Dims,
  K: Secret,
  output: Words,
  flags: readonly Words[],
): Sealed {
  const coin = coinWords(K);
  return seal(party, output, fingerprints(program, flags, dims, coin), coin);
}
