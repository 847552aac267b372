/**
 * Conditional disclosure: the client gets the answer to a text if no flag of it is set, and else learns only that one is.
 *
 * Flags are XOR shares f = f_0 ⊕ f_1 (`guard`), which nobody opens. With a random coefficient α_j ∈ GF(2^64) for every block f_j
 * of 64 flags, h_i = Σ_j α_j f_ij is party i's XOR share of Σ α_j f_j: all flags zero ⇒ h_0 = h_1, any flag set ⇒ h_0 ≠ h_1 but
 * with probability 2^−64, provided α is drawn independently of the flags. It is: from a coin that the parties toss together
 * after the last opening, when masks, input and with them every flag are fixed; neither client nor assistant ever has it.
 *
 * From the same coin come ρ, σ ∈ GF(2^64), one pair a text. The key k_i = ρ h_i + σ is one uniform word where h_0 = h_1 and two
 * independent ones where not (but for ρ = 0, probability 2^−64). Party 0 sends y_0 + Ext(k_0), party 1 sends y_1 − Ext(k_1), each
 * with a tag of 128 bits, Ext and tag pseudorandom functions of the key under the coin. Equal tags: the pads cancel and the sum
 * is y. Different tags: both messages are uniform to the client, the same as if the answer had been anything else. A party sees
 * h_i alone and behaves the same in both cases, so it learns nothing; the client learns one bit, never which or how many flags
 * (a count would be an oracle on the model).
 * Cost: no round; the coins travel with the transcript hashes; 16 bytes a text beside the answer.
 * Source: protocols design, section 7; conditional disclosure of secrets, Gertner, Ishai, Kushilevitz, Malkin 2000.
 */
import { add, concatWords, equal, slice, sub, xor, zeros, type Words } from '../ring/index.ts';
import { gfDots, gfMultiply } from './gf64.ts';
import type { GuardGate, Program } from './program.ts';
import type { Dims } from './shape.ts';
import { flagWords } from './gates/guard-cells.ts';

/** Bits of a tag. */
export const TAG_BITS = 128;

/** What both parties draw from their common coin; the same words at both, unknown to client and assistant. */
export interface CoinWords {
  /** α of one guard gate: ring 64, uniform. */
  alpha(gate: number, length: number): Words;
  /** ρ and σ: ring 64, uniform, one word a text. */
  rho(texts: number): Words;
  sigma(texts: number): Words;
  /** Pseudorandom functions of one 64-bit key: `length` words of ring n, and a tag (one word of ring 128). */
  pad(text: number, key: Words, n: number, length: number): Words;
  tag(text: number, key: Words): Words;
}

/** A party's part of an answer: its output share under a pad, text by text, and one tag a text. */
export interface Sealed {
  readonly y: Words;
  readonly tags: Words;
}

/** h_i, one word a text; `flags` are the wires of `program.guard`, in its order. */
export function fingerprints(program: Program, flags: readonly Words[], dims: Dims, coin: CoinWords): Words {
  let h = zeros(64, dims.lengths.length);
  (program.guard ?? []).forEach((wire, i) => {
    const gate = program.gates[wire] as GuardGate;
    const f = flags[i]!;
    h = xor(h, gfDots(coin.alpha(wire, f.length), f, flagWords(gate.levels.length, gate.shape, dims)));
  });
  return h;
}

/** Seals party i's output share y, (texts × labels). */
export function seal(party: 0 | 1, y: Words, h: Words, coin: CoinWords): Sealed {
  const texts = h.length;
  const labels = y.length / texts;
  const keys = xor(gfMultiply(coin.rho(texts), h), coin.sigma(texts));
  const parts = Array.from({ length: texts }, (_, text) => {
    const key = slice(keys, text, text + 1);
    return { pad: coin.pad(text, key, y.n, labels), tag: coin.tag(text, key) };
  });
  const pads = concatWords(parts.map(({ pad }) => pad));
  return { y: party === 0 ? add(y, pads) : sub(y, pads), tags: concatWords(parts.map(({ tag }) => tag)) };
}

/** The client's side: the answer to every text, or undefined where it is withheld. */
export function unseal([a, b]: readonly [Sealed, Sealed], labels: number): (Words | undefined)[] {
  const y = add(a.y, b.y);
  return Array.from({ length: a.tags.length }, (_, text) =>
    equal(slice(a.tags, text, text + 1), slice(b.tags, text, text + 1))
      ? slice(y, text * labels, (text + 1) * labels)
      : undefined,
  );
}
