import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TorchFile } from '../../checkpoints/torch-file.ts';
import { InputError } from '../../common/errors.ts';
import {
  buildTorch,
  buildZip,
  global,
  metadataState,
  pickledDict,
  pickledTensor,
  type RawView,
} from '../support/checkpoint-files.ts';

let dir: string;
beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), 'torch-'))));
afterAll(() => rmSync(dir, { recursive: true }));

const STORAGE = Float32Array.from({ length: 12 }, (_, i) => i + 1);
const storage = new Uint8Array(STORAGE.buffer);
const view = (change: Partial<RawView> = {}): RawView => ({
  storage: 'FloatStorage',
  key: 0,
  length: 12,
  offset: 0,
  shape: [3, 4],
  stride: [4, 1],
  ...change,
});

/** Opens the file and reads every tensor: both may refuse. */
async function readAll(bytes: Uint8Array): Promise<Map<string, { shape: readonly number[]; values: number[] }>> {
  const path = join(dir, 'pytorch_model.bin');
  writeFileSync(path, bytes);
  const file = await TorchFile.open(path);
  try {
    const out = new Map<string, { shape: readonly number[]; values: number[] }>();
    for (const name of file.tensors.keys()) {
      const { shape, data } = await file.readWeight(name);
      out.set(name, { shape, values: [...data] });
    }
    return out;
  } finally {
    await file.close();
  }
}

const single = (change: Partial<RawView>): Buffer =>
  buildTorch(pickledDict([['w', pickledTensor(view(change))]]), [storage]);
const op = (code: string): Buffer => Buffer.from(code, 'latin1');

describe('views', () => {
  it('are read by stride, as their definition says', async () => {
    const shapes = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 });
    const views = shapes.chain((shape) =>
      fc.record({
        offset: fc.nat(12),
        shape: fc.constant(shape),
        stride: fc.array(fc.nat(5), { minLength: shape.length, maxLength: shape.length }),
      }),
    );
    let read = 0;
    await fc.assert(
      fc.asyncProperty(views, async ({ offset, shape, stride }) => {
        // Every index tuple in row-major order, and where it lies.
        let places = [offset];
        shape.forEach((n, axis) => {
          places = places.flatMap((p) => Array.from({ length: n }, (_, i) => p + i * stride[axis]!));
        });
        const bytes = single({ offset, shape, stride });
        if (places.length > 12 || places.some((p) => p >= 12)) {
          await expect(readAll(bytes)).rejects.toThrow(/tensor w: (reaches|shape)/);
        } else {
          expect((await readAll(bytes)).get('w')).toEqual({ shape, values: places.map((p) => STORAGE[p]) });
          read++;
        }
      }),
      { numRuns: 300 },
    );
    expect(read).toBeGreaterThan(30);
  });

  it('may share a storage, as tied weights do', async () => {
    const tied = pickledDict([
      ['a', pickledTensor(view())],
      ['b', pickledTensor(view({ shape: [4, 3], stride: [1, 4] }))],
    ]);
    expect((await readAll(buildTorch(tied, [storage]))).get('b')!.values).toEqual([
      1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12,
    ]);
  });

  it('may not inflate the file', async () => {
    const many = pickledDict(Array.from({ length: 5 }, (_, i) => [`w${i}`, pickledTensor(view())] as const));
    await expect(readAll(buildTorch(many, [storage]))).rejects.toThrow(/60 elements of tensors share 12/);
    await expect(readAll(single({ shape: [2 ** 20, 2 ** 20], stride: [0, 0] }))).rejects.toThrow(InputError);
  });
});

describe('the pickle', () => {
  it('may hang _metadata on the dictionary, as state_dict() does', async () => {
    const pickle = pickledDict([['w', pickledTensor(view())]], metadataState);
    expect((await readAll(buildTorch(pickle, [storage]))).get('w')!.values).toEqual([...STORAGE]);
  });

  const tensor = pickledTensor(view());
  it.each([
    ['another global', pickledDict([['w', global('os', 'system')]]), /os\.system/],
    [
      'a module that looks right',
      pickledDict([['w', global('torch', '_utils._rebuild_tensor_v2.__globals__')]]),
      /not allowed/,
    ],
    [
      'a call of a storage type',
      pickledDict([['w', Buffer.concat([global('torch', 'FloatStorage'), op(')R')])]]),
      /calls torch\.FloatStorage/,
    ],
    ['a call of a tensor', pickledDict([['w', Buffer.concat([tensor, op(')R')])]]), /no function/],
    ['OBJ', pickledDict([['w', op('(o')]]), /opcode 0x6f/],
    ['INST', pickledDict([['w', op('(ios\nsystem\n')]]), /opcode 0x69/],
    ['an extension code', pickledDict([['w', op('\x82\x01')]]), /opcode 0x82/],
    [
      'a name twice',
      pickledDict([
        ['w', tensor],
        ['w', tensor],
      ]),
      /"w" is given twice/,
    ],
    ['a value that is no tensor', pickledDict([['epoch', op('K\x03')]]), /entry epoch is no tensor/],
    ['a nested dictionary', pickledDict([['model', op('}')]]), /entry model is no tensor/],
    ['no dictionary', op('\x80\x02K\x01.'), /no state dict/],
    ['protocol 0', op('(dp0\n.'), /opcode|MARK|left over/],
    ['a memo never filled', op('\x80\x02h\x07.'), /memo/],
    ['a stack that is empty', op('\x80\x020.'), /opcode 0x30/],
    ['an integer beyond 2^53', op('\x80\x02\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f.'), /2\^53/],
    ['values left over', op('\x80\x02}K\x01.'), /left over/],
    ['a negative offset', pickledDict([['w', pickledTensor(view({ offset: -1 }))]]), /offset/],
    ['a negative stride', pickledDict([['w', pickledTensor(view({ stride: [-4, 1] }))]]), /stride/],
    ['an axis without stride', pickledDict([['w', pickledTensor(view({ stride: [1] }))]]), /2 axes with 1 strides/],
    [
      'integers as weights',
      pickledDict([['w', pickledTensor(view({ storage: 'IntStorage' }))]]),
      /tensor w has dtype I32/,
    ],
    [
      'a storage of another size',
      pickledDict([['w', pickledTensor(view({ length: 11, shape: [11], stride: [1] }))]]),
      /storage 0 has 48 bytes/,
    ],
    ['a storage that is absent', pickledDict([['w', pickledTensor(view({ key: 3 }))]]), /storage 3 is absent/],
  ])('is refused with %s', async (_, pickle, message) => {
    const reading = readAll(buildTorch(pickle, [storage]));
    await expect(reading).rejects.toThrow(InputError);
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toThrow(join(dir, 'pytorch_model.bin'));
  });
});

describe('the archive', () => {
  const pickle = pickledDict([['w', pickledTensor(view())]]);
  const valid = buildTorch(pickle, [storage]);

  it('is refused cut at every byte', async () => {
    for (let length = 0; length < valid.length; length++) {
      await expect(readAll(valid.subarray(0, length)), `${length} bytes`).rejects.toThrow(InputError);
    }
  });

  it('is read or refused, and never fails otherwise, with any byte changed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const bytes = Buffer.from(valid);
        bytes[at] = bytes[at]! ^ change;
        await readAll(bytes).catch((error: unknown) => expect(error).toBeInstanceOf(InputError));
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    [
      'an entry twice',
      [
        ['a/data.pkl', pickle],
        ['a/data/0', storage],
        ['a/data/0', storage],
      ],
      /twice/,
    ],
    ['a huge pickle', [['a/data.pkl', Buffer.alloc(2 ** 20 + 1, '}')]], /data\.pkl of 1048577 bytes/],
    [
      'two pickles',
      [
        ['a/data.pkl', pickle],
        ['b/data.pkl', pickle],
      ],
      /2 files data\.pkl/,
    ],
    [
      'an unknown byte order',
      [
        ['a/data.pkl', pickle],
        ['a/byteorder', Buffer.from('middle')],
        ['a/data/0', storage],
      ],
      /middle/,
    ],
  ] as [string, [string, Uint8Array][], RegExp][])('is refused with %s', async (_, entries, message) => {
    await expect(readAll(buildZip(entries))).rejects.toThrow(message);
  });
});
