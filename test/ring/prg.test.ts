import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addToCounter,
  equal,
  fromBigInts,
  leafInfo,
  type LeafLabel,
  Secret,
  slice,
  staticInfo,
  toBigInts,
} from '../../ring/index.ts';
import * as node from '../../ring/prg-node.ts';
import * as web from '../../ring/prg-web.ts';

interface Stream {
  leaf: string;
  n: number;
  offset: number;
  length: number;
  words: string[];
}
/** Known answers; provenance in prg.py beside the file. */
const vectors = JSON.parse(readFileSync(join(import.meta.dirname, '../vectors/ring/prg.json'), 'utf8')) as {
  extract: { salt: string; ikm: string; K: string };
  leaves: (Stream & { label: LeafLabel; K: string })[];
  statics: (Stream & { tensor: string; rows: number; cols: number; K: string })[];
  streams: Stream[];
  hkdf: { ikm: string; salt: string; info: string; prk: string; okm: string }[];
  nist_ctr: { key: string; counter: string; plaintext: string; ciphertext: string };
};
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');

describe.each([
  ['node:crypto', node],
  ['WebCrypto', web],
] as const)('key stream on %s', (_name, prg) => {
  it('is HKDF-SHA256 as RFC 5869 publishes it', async () => {
    expect(vectors.hkdf).toHaveLength(3);
    for (const v of vectors.hkdf) {
      const prk = await prg.extract(bytes(v.salt), new Secret(bytes(v.ikm)));
      expect(hex(prk.bytes)).toBe(v.prk);
      expect(hex(await prg.expand32(prk, bytes(v.info)))).toBe(v.okm);
    }
  });

  it('is AES-128-CTR as SP 800-38A publishes it', async () => {
    const { key, counter, plaintext, ciphertext } = vectors.nist_ctr;
    const stream = toBigInts(await prg.expand(bytes(key + counter), 8, plaintext.length / 2));
    expect(hex(bytes(plaintext).map((b, i) => b ^ Number(stream[i])))).toBe(ciphertext);
  });

  it('derives leaves and words as the independent program does', async () => {
    const K = await prg.extract(bytes(vectors.extract.salt), bytes(vectors.extract.ikm));
    expect(hex(K.bytes)).toBe(vectors.extract.K);
    for (const v of vectors.leaves) {
      expect(hex(await prg.leaf(K, v.label))).toBe(v.leaf);
      expect(toBigInts(await prg.expand(bytes(v.leaf), v.n, v.length, v.offset)).map(String)).toEqual(v.words);
    }
    for (const v of vectors.statics) {
      expect(hex(await prg.staticLeaf(K, v.tensor, v.n, v.rows, v.cols))).toBe(v.leaf);
      expect(toBigInts(await prg.expand(bytes(v.leaf), v.n, v.length, v.offset)).map(String)).toEqual(v.words);
    }
  });

  it('wraps the counter at 32, 64 and 128 bits', async () => {
    for (const v of vectors.streams)
      expect(toBigInts(await prg.expand(bytes(v.leaf), v.n, v.length, v.offset)).map(String)).toEqual(v.words);
  });

  it('gives an element the same word from wherever one starts', async () => {
    const leaf = bytes(vectors.leaves[0]!.leaf);
    const at = fc.tuple(fc.integer({ min: 1, max: 128 }), fc.nat(60), fc.nat(40));
    await fc.assert(
      fc.asyncProperty(at, async ([n, from, length]) => {
        const whole = await prg.expand(leaf, n, 100);
        expect(equal(await prg.expand(leaf, n, length, from), slice(whole, from, from + length))).toBe(true);
      }),
    );
  });

  it('refuses to run past the 2^32 blocks of a leaf', async () => {
    const leaf = new Uint8Array(32);
    const elements = 2 ** 32 * 2; // two 64-bit slots a block
    expect((await prg.expand(leaf, 64, 1, elements - 1)).length).toBe(1);
    await expect(async () => prg.expand(leaf, 64, 1, elements)).rejects.toThrow('2^32 blocks');
    await expect(async () => prg.expand(leaf, 64, 2, elements - 1)).rejects.toThrow('2^32 blocks');
    await expect(async () => prg.expand(new Uint8Array(31), 64, 1)).rejects.toThrow('31 bytes');
    await expect(async () => prg.expand(leaf, 64, 1, -1)).rejects.toThrow('from -1');
  });
});

describe('key stream', () => {
  it('is the same over buffers as over single words', () => {
    const leaf = bytes(vectors.leaves[0]!.leaf);
    const length = 600_000; // above one 4 MiB buffer in 64-bit slots
    const whole = node.expand(leaf, 43, length);
    for (const at of [0, 524_287, 524_288, length - 1])
      expect(equal(node.expand(leaf, 43, 1, at), slice(whole, at, at + 1))).toBe(true);
  });

  it('has uniform words: every bit of a ring is set about half the time, none above it', () => {
    const length = 20_000;
    for (const n of [1, 14, 33, 100]) {
      const words = toBigInts(node.expand(new Uint8Array(32).fill(n), n, length));
      for (let bit = 0; bit < n; bit++) {
        const ones = words.filter((w) => (w >> BigInt(bit)) & 1n).length;
        // 6 standard deviations of a fair coin.
        expect(Math.abs(ones - length / 2)).toBeLessThan(6 * Math.sqrt(length / 4));
      }
    }
  });

  it('adds to the counter as to a 128-bit integer', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, (1n << 128n) - 1n), fc.integer({ min: 0, max: 2 ** 32 }), (counter, by) => {
        const limbs = bytes(counter.toString(16).padStart(32, '0'));
        const sum = (counter + BigInt(by)) % (1n << 128n);
        expect(hex(addToCounter(limbs, by))).toBe(sum.toString(16).padStart(32, '0'));
      }),
    );
  });

  it('separates labels: no two different ones share their bytes', () => {
    const number = fc.oneof(fc.nat(3), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
    const label = fc.record({
      gate: number,
      kind: fc.nat(255),
      wire: number,
      n: fc.integer({ min: 1, max: 128 }),
      rows: number,
      cols: number,
    });
    fc.assert(
      fc.property(label, label, (a, b) => {
        expect(hex(leafInfo(a)) === hex(leafInfo(b))).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
    const tensor = fc.tuple(fc.string({ maxLength: 3 }), fc.integer({ min: 1, max: 128 }), number, number);
    fc.assert(
      fc.property(tensor, tensor, (a, b) => {
        expect(hex(staticInfo(...a)) === hex(staticInfo(...b))).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });

  it('refuses label fields that do not fit', () => {
    const good = { gate: 0, kind: 0, wire: 0, n: 1, rows: 0, cols: 0 };
    expect(() => leafInfo({ ...good, kind: 256 })).toThrow('kind = 256');
    expect(() => leafInfo({ ...good, gate: 2 ** 32 })).toThrow('gate');
    expect(() => leafInfo({ ...good, rows: -1 })).toThrow('rows = -1');
    expect(() => leafInfo({ ...good, cols: 1.5 })).toThrow('cols = 1.5');
    expect(() => leafInfo({ ...good, n: 129 })).toThrow('129');
  });
});

describe('Secret', () => {
  it('shows nothing of its bytes however it is printed', () => {
    const s = new Secret(Uint8Array.of(0xde, 0xad, 0xbe, 0xef));
    const wrapped = { key: s, list: [s] };
    const printed = [
      String(s),
      `${s}`,
      JSON.stringify(wrapped),
      inspect(wrapped, { showHidden: true, depth: 9 }),
      ...Object.keys(s),
    ];
    for (const text of printed) expect(text).not.toMatch(/222|173|de.?ad/i);
    expect(JSON.stringify(wrapped)).toContain('[secret]');
  });

  it('overwrites its bytes and is unusable once erased', () => {
    const held = Uint8Array.of(1, 2, 3);
    const s = new Secret(held);
    expect(s.bytes).toBe(held);
    s.erase();
    expect(held).toEqual(new Uint8Array(3));
    expect(s.erased).toBe(true);
    expect(() => s.bytes).toThrow('erased');
    expect(() => node.leaf(s, { gate: 0, kind: 0, wire: 0, n: 1, rows: 1, cols: 1 })).toThrow('erased');
  });
});

it('words of the largest ring come through both implementations alike', async () => {
  const leaf = bytes(vectors.leaves.at(-1)!.leaf);
  for (const n of [1, 8, 9, 16, 17, 32, 33, 64, 65, 128]) {
    const a = node.expand(leaf, n, 33, 5);
    expect(equal(a, await web.expand(leaf, n, 33, 5))).toBe(true);
    expect(equal(a, fromBigInts(toBigInts(a), n))).toBe(true);
  }
});
