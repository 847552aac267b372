import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
import * as ring from '../../ring/index.ts';
import { availableKernels } from '../../ring/kernels/node.ts';
import { expand } from '../../ring/prg-node.ts';
import { runs, width, words } from '../support/ring-arbitrary.ts';
import * as twin from '../support/ring-twin.ts';

const { fromBigInts, toBigInts } = ring;
const { mod } = twin;
const sets = await availableKernels();

/** Reproducible words. */
const draw = (n: number, count: number, salt: number): ring.Words => expand(new Uint8Array(32).fill(salt), n, count);
/** Lengths within a block, at its edges and over several. */
const lengths = [0, 1, 7, 255, 256, 257, 700];
/** [n, lift, N]: every combination of slots, and the edges of each. */
const rings = [
  [3, 5, 5],
  [18, 44, 44],
  [17, 45, 30],
  [31, 64, 33],
  [32, 64, 64],
  [34, 43, 40],
  [20, 57, 48],
  [63, 70, 66],
  [64, 100, 80],
  [64, 128, 128],
] as const;

const extOf = (n: number, lift: number, length: number): ring.ExtShares => ({
  c: draw(n, length, 1),
  r: draw(n, length, 2),
  q: draw(lift - n, length, 3),
  qm: draw(lift - n, length, 4),
  lift,
});
/** C, ρ_i and b of every word, over the integers. */
const plain = (v: ring.ExtShares): { C: bigint; rho: bigint; b: bigint }[] => {
  const n = BigInt(v.c.n);
  const [c, r, q, qm] = [v.c, v.r, v.q, v.qm].map(toBigInts) as [bigint[], bigint[], bigint[], bigint[]];
  return c.map((word, i) => {
    const b = 1n - (word >> (n - 1n));
    return { C: word - (1n << (n - 2n)), rho: r[i]! - ((b === 1n ? qm[i]! : q[i]!) << n), b };
  });
};

describe.each(sets)('fused steps on $name kernels', (set) => {
  const before = ring.kernels();
  beforeAll(() => ring.setKernels(set));
  afterAll(() => ring.setKernels(before));

  it('packs and unpacks long runs of every width', () => {
    for (let n = 1; n <= 128; n++) {
      const length = 203;
      const w = draw(n, length, n);
      const bytes = ring.pack(w);
      expect(bytes, `ring ${n}`).toEqual(twin.pack(toBigInts(w), n));
      expect(ring.equal(ring.unpack(bytes, n, length), w), `ring ${n}`).toBe(true);
    }
  });

  it('masks and packs', () => {
    fc.assert(
      fc.property(
        fc
          .tuple(width, width, fc.constantFrom(...lengths), fc.constantFrom('add' as const, 'sub' as const))
          .chain(([n, m, len, op]) =>
            fc.tuple(
              fc.constant([Math.min(n, m), Math.max(n, m), op] as const),
              words(Math.max(n, m), Math.min(len, 40)),
              words(Math.min(n, m), Math.min(len, 40)),
              fc.bigInt(0n, (1n << BigInt(Math.min(n, m))) - 1n),
            ),
          ),
        ([[n, wide, op], x, a, k]) => {
          const bytes = new Uint8Array(ring.packedBytes(n, x.length));
          ring.packMasked(op, fromBigInts(x, wide), fromBigInts(a, n), bytes, k);
          expect(bytes).toEqual(
            twin.pack(
              x.map((v, i) => mod(twin.OPS[op](v, a[i]!) + k, n)),
              n,
            ),
          );
        },
      ),
      runs,
    );
    for (const length of lengths) {
      const [x, a] = [draw(45, length, 5), draw(32, length, 6)];
      const bytes = new Uint8Array(ring.packedBytes(32, length));
      ring.packMasked('sub', x, a, bytes);
      expect(bytes).toEqual(ring.pack(ring.sub(ring.resize(x, 32), a)));
    }
  });

  it('unpacks and adds, and refuses what unpack refuses', () => {
    for (const n of [1, 7, 8, 14, 19, 25, 32, 43, 57, 58, 64, 65, 98, 128])
      for (const length of lengths) {
        const [x, own] = [draw(n, length, 7), draw(n, length, 8)];
        const bytes = ring.pack(x);
        expect(ring.equal(ring.unpackAdd(bytes, own), ring.add(x, own)), `${length} of ring ${n}`).toBe(true);
        expect(() => ring.unpackAdd(new Uint8Array(bytes.length + 1), own)).toThrow(InputError);
        if ((n * length) % 8 === 0) continue;
        bytes[bytes.length - 1]! |= 0x80;
        expect(() => ring.unpackAdd(bytes, own)).toThrow('padding');
      }
  });

  it.each(rings)('shares of an ext wire of ring %i, lift %i, in ring %i', (n, lift, N) => {
    for (const length of lengths) {
      const v = extOf(n, lift, length);
      const all = plain(v);
      for (const party of [0, 1] as const) {
        const first = BigInt(1 - party);
        expect(toBigInts(ring.extShare(party, v, N))).toEqual(all.map(({ C, rho }) => mod(first * C - rho, N)));
        if (N < n + 2) continue;
        const delta = draw(N - n - 1, length, 9);
        const d = toBigInts(delta);
        expect(toBigInts(ring.squareShare(party, v, delta, N))).toEqual(
          all.map(({ C, rho, b }, i) => mod(C * (first * C - 2n * rho) + ((b * d[i]!) << BigInt(n + 1)), N)),
        );
      }
    }
  });

  it.each(rings)('products of an ext wire of ring %i, lift %i, in ring %i', (n, lift, N) => {
    for (const [length, cols, nw] of [
      [0, 1, N],
      [257, 1, N],
      [700, 1, Math.min(128, N + 20)],
      [600, 300, N],
      [602, 7, 128],
    ] as const) {
      const v = extOf(n, lift, length);
      const w = { E: draw(nw, length / cols, 10), A: draw(nw, length / cols, 11) };
      const [mA, rA] = [draw(N - n, length, 12), draw(N, length, 13)];
      const [E, A, m, s] = [w.E, w.A, mA, rA].map(toBigInts) as [bigint[], bigint[], bigint[], bigint[]];
      for (const party of [0, 1] as const) {
        const expected = plain(v).map(({ C, rho, b }, i) => {
          const [e, a] = [E[Math.floor(i / cols)]!, A[Math.floor(i / cols)]!];
          return mod(C * (a + BigInt(1 - party) * e) - rho * e - s[i]! + ((b * m[i]!) << BigInt(n)), N);
        });
        expect(toBigInts(ring.productShare(party, v, w, mA, rA, cols))).toEqual(expected);
      }
    }
  });

  it('rotates and reads tables of cells', () => {
    const [length, from] = [517, 13];
    for (const [n, nl] of [[18, 18], [32, 29], [34, 18], [64, 64], [90, 70]] as const)
      for (const [m, offset] of [[2, 0], [4, -12345], [5, 77], [6, 2 ** 50 + 3]] as const) {
        if (m > 4 && nl < 20) continue;
        const M = 2 ** m;
        const flags = mod(0x9e3779b97f4a7c15n, M);
        const [r, c] = [draw(n, length, 14), draw(n, length, 15)];
        const tables = ring.cellTables(r, nl, m, flags);
        const rotated = toBigInts(r).map((word) => {
          const by = mod(word, nl) >> BigInt(nl - m);
          return mod((flags << by) | (flags >> (BigInt(M) - by)), M);
        });
        expect(toBigInts(tables)).toEqual(rotated);
        const bits = new Uint32Array(32);
        const [first, end, table] = [3, 403, 101];
        ring.cellFlags(c, tables, { n: nl, offset }, m, { first, end, table, bits, from });
        const expected = new Uint32Array(32);
        toBigInts(c)
          .slice(first, end)
          .forEach((word, i) => {
            const cell = mod(word - BigInt(offset), nl) >> BigInt(nl - m);
            if ((rotated[table + i]! >> cell) & 1n) expected[(from + i) >> 5]! |= 1 << ((from + i) & 31);
          });
        expect(bits).toEqual(expected);
      } // prettier-ignore
  });

  it('refuses operands of other rings and lengths', () => {
    const v = extOf(18, 44, 4);
    expect(() => ring.extShare(0, v, 45)).toThrow('lift 44');
    expect(() => ring.squareShare(0, v, draw(24, 4, 1), 44)).toThrow('ring 25 expected');
    expect(() => ring.productShare(0, v, { E: draw(40, 4, 1), A: draw(40, 4, 1) }, draw(26, 4, 1), draw(44, 4, 1))).toThrow('operand'); // prettier-ignore
    expect(() => ring.packMasked('add', draw(18, 4, 1), draw(19, 4, 1), new Uint8Array(10))).toThrow('masked');
    const range = { first: 0, end: 5, table: 0, bits: new Uint32Array(1), from: 0 };
    expect(() => ring.cellFlags(draw(18, 4, 1), draw(16, 4, 1), { n: 18, offset: 0 }, 4, range)).toThrow('cells 0..5');
  });
});
