/** Words as strings of bits: sharing by XOR, x = x_0 ⊕ x_1. */
import { zeros, type Words } from './words.ts';

/** Bitwise sum: shares of bits, or a masked word. */
export function xor(a: Words, b: Words): Words {
  if (a.n !== b.n || a.length !== b.length)
    throw new Error(`xor of ${a.length} words of ring ${a.n} and ${b.length} of ${b.n}`);
  const out = zeros(a.n, a.length);
  for (let i = 0; i < out.data.length; i++) out.data[i] = a.data[i]! ^ b.data[i]!;
  return out;
}
