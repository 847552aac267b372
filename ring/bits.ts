/** Words as strings of bits: sharing by XOR, x = x_0 ⊕ x_1. */
import { kernels } from './kernels/kernels.ts';
import { blank, type Words } from './words.ts';

const XOR = 4;
const SAME = 0;

/** Bitwise sum: shares of bits, or a masked word. */
export function xor(a: Words, b: Words): Words {
  if (a.n !== b.n || a.length !== b.length)
    throw new Error(`xor of ${a.length} words of ring ${a.n} and ${b.length} of ${b.n}`);
  const out = blank(a.n, a.length);
  kernels().zip(XOR, SAME, a.data, b.data, out.data, 1, a.length, a.n);
  return out;
}
