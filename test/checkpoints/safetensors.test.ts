import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, type Tensor, writeSafetensors } from '../../checkpoints/index.ts';
import { InputError, RefusedError } from '../../common/errors.ts';
import { buildSafetensors } from '../support/checkpoint-files.ts';

let dir: string;
beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), 'safetensors-'))));
afterAll(() => rmSync(dir, { recursive: true }));

const f32 = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
const put = (bytes: Uint8Array): string => {
  const file = join(dir, 'file.safetensors');
  writeFileSync(file, bytes);
  return file;
};

const VALID = buildSafetensors([
  ['a', { dtype: 'F32', shape: [2, 2], bytes: f32(1, -2, 0.5, 3) }],
  ['empty', { dtype: 'F16', shape: [0, 7], bytes: new Uint8Array(0) }],
  ['b.ß"\\', { dtype: 'BF16', shape: [3], bytes: Uint8Array.of(0x80, 0x3f, 0, 0xc0, 0, 0) }],
  ['scalar', { dtype: 'I64', shape: [], bytes: new Uint8Array(BigInt64Array.of(-7n).buffer) }],
]);

/** Over a header text of our own and `data` bytes of zeros. */
const withHeader = (header: string, data = 0): string => {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return put(Buffer.concat([length, json, Buffer.alloc(data)]));
};

describe('reading', () => {
  it('gives values, shapes and formats', async () => {
    const { tensors } = await readSafetensors(put(VALID));
    expect([...tensors].map(([name, { dtype, shape, data }]) => [name, dtype, shape, [...data]])).toEqual([
      ['a', 'F32', [2, 2], [1, -2, 0.5, 3]],
      ['empty', 'F16', [0, 7], []],
      ['b.ß"\\', 'BF16', [3], [1, -2, 0]],
      ['scalar', 'I64', [], [-7n]],
    ]);
  });

  it('refuses the file cut at every byte, and with one byte more', async () => {
    for (let length = 0; length < VALID.length; length++) {
      await expect(readSafetensors(put(VALID.subarray(0, length))), `${length} bytes`).rejects.toThrow(InputError);
    }
    await expect(readSafetensors(put(Buffer.concat([VALID, Buffer.of(0)])))).rejects.toThrow(/1 bytes after the last/);
  });

  it('reads or refuses, and never fails otherwise, with any byte changed to any other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(VALID.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const bytes = Buffer.from(VALID);
        bytes[at] = bytes[at]! ^ change;
        await readSafetensors(put(bytes)).catch((error: unknown) => expect(error).toBeInstanceOf(InputError));
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    [
      'a name twice',
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      /twice/,
    ],
    [
      'a name twice, once escaped',
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0061":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}',
      /twice/,
    ],
    ['a field twice', '{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', /twice/],
    ['an unknown field', '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}', /tensor a.*"x"/],
    ['a shape written as 1.0', '{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}', /tensor a.*1\.0/],
    ['a shape written as 1e0', '{"a":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}}', /tensor a.*1e0/],
    ['a size beyond 2^53', '{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]}}', /tensor a/],
    [
      'an inherited dtype',
      '{"a":{"dtype":"constructor","shape":[1],"data_offsets":[0,1]}}',
      /unknown dtype "constructor"/,
    ],
    ['three offsets', '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}', /data_offsets/],
    ['half a byte', '{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}', /F4/],
    ['a lone surrogate', '{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', /surrogate/],
    [
      'metadata that is no text',
      '{"__metadata__":{"n":1},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      /__metadata__\.n/,
    ],
    ['a byte-order mark', '\ufeff{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', /JSON/],
    ['nesting without end', `{"a":${'['.repeat(100_000)}`, /deeper/],
  ])('refuses %s', async (_, header, message) => {
    const file = withHeader(header, 1);
    await expect(readSafetensors(file)).rejects.toThrow(message);
    await expect(readSafetensors(file)).rejects.toThrow(file);
  });

  it('refuses a header beyond 4 MiB before parsing it', async () => {
    await expect(readSafetensors(withHeader(`{${' '.repeat(2 ** 22)}}`))).rejects.toThrow(/header of 4194306 bytes/);
  });

  it('takes __proto__ as a name', async () => {
    const { tensors } = await readSafetensors(
      withHeader('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
    );
    expect(tensors.get('__proto__')?.shape).toEqual([1]);
    expect(({} as { shape?: unknown }).shape).toBeUndefined();
  });
});

const shape = fc.array(fc.nat(4), { maxLength: 3 });
const tensor: fc.Arbitrary<Tensor> = shape.chain((s) => {
  const length = s.reduce((a, b) => a * b, 1);
  const value = fc.float({ noNaN: true, noDefaultInfinity: true });
  return fc
    .array(value, { minLength: length, maxLength: length })
    .map((v) => ({ shape: s, data: Float32Array.from(v) }));
});
const tensorMap = fc
  .array(fc.tuple(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('__proto__', 'constructor', '')), tensor), {
    maxLength: 5,
  })
  .filter((list) => list.every(([name]) => name !== '__metadata__' && !/\p{Surrogate}/u.test(name)))
  .map((list) => new Map(list));

describe('writing', () => {
  it('and reading F32 gives the same bits, names and shapes', async () => {
    await fc.assert(
      fc.asyncProperty(tensorMap, async (tensors) => {
        const file = join(dir, 'round.safetensors');
        await writeSafetensors(file, tensors, { dtype: 'F32', metadata: { note: 'ü' } });
        const read = await readSafetensors(file);
        expect(read.metadata).toEqual(new Map([['note', 'ü']]));
        expect([...read.tensors.keys()].toSorted()).toEqual([...tensors.keys()].toSorted());
        for (const [name, { shape: s, data }] of tensors) {
          const back = read.tensors.get(name)!;
          expect(back.shape).toEqual(s);
          expect(new Uint8Array(back.data.buffer)).toEqual(new Uint8Array(data.buffer));
        }
      }),
      { numRuns: 100 },
    );
  });

  it('aligns the data to 8 bytes and marks the file as transformers wants it', async () => {
    const file = join(dir, 'aligned.safetensors');
    await writeSafetensors(file, new Map([['abc', { shape: [1], data: Float32Array.of(1) }]]), { dtype: 'F16' });
    const bytes = readFileSync(file);
    const length = Number(bytes.readBigUInt64LE(0));
    expect(length % 8).toBe(0);
    expect(JSON.parse(bytes.toString('utf8', 8, 8 + length))).toEqual({
      __metadata__: { format: 'pt' },
      abc: { dtype: 'F16', shape: [1], data_offsets: [0, 2] },
    });
    expect([...bytes.subarray(8 + length)]).toEqual([0x00, 0x3c]);
  });

  it('refuses what overflows, names it, and leaves the old file and nothing else', async () => {
    const file = join(dir, 'kept.safetensors');
    await writeSafetensors(file, new Map([['a', { shape: [1], data: Float32Array.of(1) }]]), { dtype: 'F16' });
    const before = readFileSync(file);
    const names = readdirSync(dir);
    const bad = new Map([['weights.big', { shape: [2], data: Float32Array.of(1, 1e6) }]]);
    await expect(writeSafetensors(file, bad, { dtype: 'F16' })).rejects.toThrow(RefusedError);
    await expect(writeSafetensors(file, bad, { dtype: 'F16' })).rejects.toThrow(/weights\.big: 1000000 at element 1/);
    expect(readFileSync(file)).toEqual(before);
    expect(readdirSync(dir)).toEqual(names);
  });
});
