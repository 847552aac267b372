/** Chains of elementwise steps in one pass over the words. Each equals what its comment says, bit for bit. */
import { kernels } from './kernels/kernels.ts';
import { checkUnpack, packedBytes, paddingSet } from './pack.ts';
import { blank, fromBigInts, slots, type Words } from './words.ts';

function same(what: string, length: number, ...operands: readonly (readonly [Words, number])[]): void {
  for (const [w, n] of operands)
    if (w.n !== n || w.length !== length)
      throw new Error(`${what}: ${w.length} words of ring ${w.n}, ${length} of ring ${n} expected`);
}

/** `pack` of x + a + k, or x − a + k, in the ring of a, which is at most that of x; into exactly the bytes given. */
export function packMasked(op: 'add' | 'sub', x: Words, a: Words, bytes: Uint8Array, k = 0n): void {
  if (x.n < a.n || x.length !== a.length)
    throw new Error(`${x.length} words of ring ${x.n} masked by ${a.length} of ring ${a.n}`);
  const size = packedBytes(a.n, a.length);
  if (bytes.length !== size) throw new Error(`${bytes.length} bytes for ${size} of packed words`);
  kernels().packMasked(x.data, a.data, fromBigInts([k], a.n).data, bytes, a.length, x.n, a.n, op === 'sub' ? 1 : 0);
}

/**
 * `own` plus the words packed in `bytes`.
 * @throws InputError on a wrong number of bytes or a set padding bit
 */
export function unpackAdd(bytes: Uint8Array, own: Words): Words {
  const { n, length } = own;
  checkUnpack(bytes, n, length);
  const out = blank(n, length);
  if (kernels().unpackAdd(bytes, own.data, out.data, length, n) !== 0) throw paddingSet(n, length);
  return out;
}

/** What a party holds of an ext wire (`protocol/gates/ext.ts`): c, r in ring n, q and q + m in ring lift − n. */
export interface ExtShares {
  readonly c: Words;
  readonly r: Words;
  readonly q: Words;
  readonly qm: Words;
  readonly lift: number;
}

function checkExt({ c, r, q, qm, lift }: ExtShares, N: number): void {
  if (!(c.n < N && N <= lift)) throw new Error(`an ext wire of ring ${c.n} and lift ${lift} in ring ${N}`);
  same('ext wire', c.length, [c, c.n], [r, c.n], [q, lift - c.n], [qm, lift - c.n]);
}

/** A party's share of v in ring N: [i = 0] C − ρ_i. */
export function extShare(party: 0 | 1, v: ExtShares, N: number): Words {
  checkExt(v, N);
  const out = blank(N, v.c.length);
  kernels().extShare(v.c.data, v.r.data, v.q.data, v.qm.data, out.data, v.c.length, v.c.n, v.lift, N, party);
  return out;
}

/** A party's share of v² − [r²] in ring N: C ([i = 0] C − 2 ρ_i) + 2^(n+1) b δ_i, δ in ring N − n − 1. */
export function squareShare(party: 0 | 1, v: ExtShares, delta: Words, N: number): Words {
  checkExt(v, N);
  const { n, length } = v.c;
  same('square', length, [delta, N - n - 1]);
  const out = blank(N, length);
  kernels().squareShare(v.c.data, v.r.data, v.q.data, v.qm.data, delta.data, out.data, length, n, v.lift, N, party);
  return out;
}

/**
 * A party's share of v (E + A) in ring N: C (A_i + [i = 0] E) − ρ_i E − [r A]_i + 2^n b [m A]_i. E and A have a word for `cols`
 * words of v, in a ring ≥ N; mA is in ring N − n, rA in ring N.
 */
export function productShare(
  party: 0 | 1,
  v: ExtShares,
  { E, A }: { readonly E: Words; readonly A: Words },
  mA: Words,
  rA: Words,
  cols = 1,
): Words {
  const N = rA.n;
  const { n, length } = v.c;
  checkExt(v, N);
  if (E.n < N) throw new Error(`operand of ring ${E.n} in ring ${N}`);
  same('product', length, [mA, N - n], [rA, N]);
  same('operand', length / cols, [E, E.n], [A, E.n]);
  const out = blank(N, length);
  kernels().productShare(v.c.data, v.r.data, v.q.data, v.qm.data, E.data, A.data, mA.data, rA.data, out.data, length, n, v.lift, N, E.n, cols, party); // prettier-ignore
  return out;
}

/** For every r the word of ring 2^m that `flags` (of ring 2^m) becomes when rotated up by bits [nl − m, nl) of r. m ≤ 6. */
export function cellTables(r: Words, nl: number, m: number, flags: bigint): Words {
  if (nl > r.n || nl < m || m > 6) throw new Error(`2^${m} cells of ring ${nl} in ring ${r.n}`);
  const out = blank(2 ** m, r.length);
  const [low, high] = [Number(flags & 0xffffffffn), Number(flags >> 32n)];
  kernels().cellTables(r.data, out.data, r.length, r.n, nl, m, low, high);
  return out;
}

/**
 * Of every table the bit whose number is bits [nl − m, nl) of c − offset, set in `bits` (zero before) from bit `from` on. Words
 * from..to of c, and of `tables` as many from `table` on.
 */
export function cellFlags(
  c: Words,
  tables: Words,
  { n: nl, offset }: { readonly n: number; readonly offset: number },
  m: number,
  { first, end, table, bits, from }: { readonly first: number; readonly end: number; readonly table: number; readonly bits: Uint32Array; readonly from: number }, // prettier-ignore
): void {
  const length = end - first;
  if (nl > c.n || nl < m || m > 6 || tables.n !== 2 ** m) throw new Error(`2^${m} cells of ring ${nl} in ring ${c.n}, tables of ring ${tables.n}`); // prettier-ignore
  if (first < 0 || end > c.length || length < 0 || table < 0 || table + length > tables.length || from + length > 32 * bits.length) throw new Error(`cells ${first}..${end} of ${c.length}, tables from ${table} of ${tables.length}, bits from ${from}`); // prettier-ignore
  const [cs, ts] = [slots(c.n), slots(tables.n)];
  const shift = BigInt.asUintN(64, BigInt(offset));
  kernels().cellFlags(
    c.data.subarray(first * cs, end * cs),
    tables.data.subarray(table * ts, (table + length) * ts),
    bits, length, c.n, nl, m, Number(shift & 0xffffffffn), Number(shift >> 32n), from,
  ); // prettier-ignore
}
