import { kernels } from './kernels/kernels.ts';
import { type Words, blank } from './words.ts';

function product(a: Words, b: Words, m: number, k: number, n: number, transposed: 0 | 1): Words {
  if (a.n !== b.n) throw new Error(`matrix product of rings ${a.n} and ${b.n}`);
  if (a.length !== m * k || b.length !== k * n)
    throw new Error(`matrix product: ${a.length} and ${b.length} words for ${m}x${k} times ${k}x${n}`);
  const out = blank(a.n, m * n);
  kernels().matmul(a.data, b.data, out.data, m, k, n, 0, n, transposed, a.n);
  return out;
}

/** a (m × k) · b (k × n), row-major, in one ring; an empty inner axis gives zeros. */
export const matmul = (a: Words, b: Words, m: number, k: number, n: number): Words => product(a, b, m, k, n, 0);

/** a (m × k) · bTᵀ with bT given as n × k. */
export const matmulTransposed = (a: Words, bT: Words, m: number, k: number, n: number): Words =>
  product(a, bT, m, k, n, 1);
