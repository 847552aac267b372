import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as ring from '../../ring/index.ts';
import { availableKernels } from '../../ring/kernels/node.ts';
import * as node from '../../ring/prg-node.ts';
import * as web from '../../ring/prg-web.ts';
import { caseFolders } from '../support/golden.ts';

const json = <T>(folder: string, file: string): T => JSON.parse(readFileSync(join(folder, file), 'utf8')) as T;
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const asBytes = (w: ring.Words): Buffer => Buffer.from(Uint8Array.from(w.data));
const double = (bits: string): number => Buffer.from(bits, 'hex').readDoubleBE();
const word = (v: string): ring.Words => ring.fromBigInts([BigInt(v)], 64);
const text = (w: ring.Words): string => String(ring.toBigInts(w)[0]);

interface Aes {
  nist_ctr: { key: string; counter: string; plaintext: string; ciphertext: string };
  nist_blocks: { key: string; block: string; output: string }[];
  streams: { key: string; counter: string; length: number; keystream: string; first_words_le: string[] }[];
  long: { key: string; counter: string; length: number; sha256: string; last_16: string };
}

async function aes(folder: string): Promise<void> {
  const v = json<Aes>(folder, 'vectors.json');
  for (const { expand } of [node, web]) {
    const stream = async (key: string, counter: string, length: number, from = 0): Promise<Buffer> =>
      asBytes(await expand(bytesOf(key + counter), 8, length, from));
    const nist = await stream(v.nist_ctr.key, v.nist_ctr.counter, v.nist_ctr.plaintext.length / 2);
    expect(Buffer.from(bytesOf(v.nist_ctr.plaintext).map((b, i) => b ^ nist[i]!)).toString('hex')).toBe(
      v.nist_ctr.ciphertext,
    );
    for (const b of v.nist_blocks) expect((await stream(b.key, b.block, 16)).toString('hex')).toBe(b.output);
    for (const s of v.streams) {
      expect((await stream(s.key, s.counter, s.length)).toString('hex')).toBe(s.keystream);
      const words = await expand(bytesOf(s.key + s.counter), 64, s.first_words_le.length);
      expect(ring.toBigInts(words).map(String)).toEqual(s.first_words_le);
      const middle = s.length >> 1;
      expect((await stream(s.key, s.counter, s.length - middle, middle)).toString('hex')).toBe(
        s.keystream.slice(2 * middle),
      );
    }
    for (const l of [v.long].flat()) {
      const all = await stream(l.key, l.counter, l.length);
      expect(createHash('sha256').update(all).digest('hex')).toBe(l.sha256);
      expect((await stream(l.key, l.counter, 16, l.length - 16)).toString('hex')).toBe(l.last_16);
    }
  }
}

function encode(folder: string): void {
  const rows = json<{ bits: string; scale: number; expected?: string; refuse?: string; note: string }[]>(
    folder,
    'vectors.json',
  );
  expect(rows.length).toBeGreaterThan(0);
  for (const row of rows) {
    const call = (): ring.Words => ring.encode([double(row.bits)], row.scale, 64);
    if (row.refuse !== undefined) expect(call, `${row.note} ${row.bits}`).toThrow('does not fit');
    else expect(text(call()), `${row.note} ${row.bits}`).toBe(row.expected);
  }
}

function decode(folder: string): void {
  const rows = json<{ word: string; scale: number; bits: string }[]>(folder, 'vectors.json');
  expect(rows.length).toBeGreaterThan(0);
  for (const row of rows) expect(ring.decode(word(row.word), row.scale)[0]).toBe(double(row.bits));
}

function shift(folder: string): void {
  const rows = json<{ word: string; shift: number; arithmetic: string; logical: string; toward_zero: string }[]>(
    folder,
    'vectors.json',
  );
  expect(rows.length).toBeGreaterThan(0);
  for (const row of rows) {
    const w = word(row.word);
    expect(text(ring.shiftRight(w, row.shift))).toBe(row.logical);
    expect(text(ring.shiftRightSigned(w, row.shift))).toBe(row.arithmetic);
    // Toward zero: the truncation rule of party 1, on the magnitude of a negative word.
    const negative = BigInt(row.word) >> 63n === 1n;
    const magnitude = ring.shiftRight(negative ? ring.neg(w) : w, row.shift);
    const zeroward = ring.resize(magnitude, 64);
    expect(text(negative ? ring.neg(zeroward) : zeroward)).toBe(row.toward_zero);
    if (negative) expect(text(ring.resize(ring.truncateReduce(1, w, row.shift), 64 - row.shift))).toBe(String(BigInt.asUintN(64 - row.shift, BigInt(row.toward_zero)))); // prettier-ignore
  }
}

function matmul(folder: string): void {
  const { files } = json<{ files: Record<string, { shape: [number, number] }> }>(folder, 'case.json');
  const read = (name: string): ring.Words => {
    const { shape } = files[name]!;
    return ring.unpack(new Uint8Array(readFileSync(join(folder, name))), 64, shape[0] * shape[1]);
  };
  const [m, k] = files['a.u64le']!.shape;
  const n = files['b.u64le']!.shape[1];
  const [a, b, c] = [read('a.u64le'), read('b.u64le'), read('c.u64le')];
  expect(files['c.u64le']!.shape).toEqual([m, n]);
  // Modulo 2^w for every narrower ring too: reduction commutes with the product.
  for (const w of [64, 63, 52, 43, 33, 32, 31, 16, 1]) {
    const product = ring.matmul(ring.resize(a, w), ring.resize(b, w), m, k, n);
    expect(ring.equal(product, ring.resize(c, w)), `ring ${w}`).toBe(true);
  }
}

const KINDS: [RegExp, (folder: string) => void | Promise<void>][] = [
  [/^aes128-ctr/, aes],
  [/^encode/, encode],
  [/^decode/, decode],
  [/^shift/, shift],
  [/^matmul-/, matmul],
];

const folders = caseFolders('07_fixed_point');
const sets = await availableKernels();

describe.runIf(folders.length > 0).each(sets)('golden fixed point on $name kernels', (set) => {
  const before = ring.kernels();
  beforeAll(() => ring.setKernels(set));
  afterAll(() => ring.setKernels(before));

  it.each(folders.map((folder) => [basename(folder), folder]))('%s', async (name, folder) => {
    const kind = KINDS.find(([pattern]) => pattern.test(name));
    if (kind === undefined) throw new Error(`${folder}: a kind of case this test does not know`);
    await kind[1](folder);
  });
});
