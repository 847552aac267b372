/** The owner's plaintext integers on disk: safetensors with I32 and I64 tensors. */
import { readFile, writeFile } from 'node:fs/promises';
import { RefusedError } from '../common/errors.ts';
import type { Folded, IntegerTensor } from './plan.ts';

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

const width = (t: IntegerTensor): 4 | 8 => (t.data instanceof Int32Array ? 4 : 8);

/** Writes the plaintext integers as safetensors (I32 and I64). */
export async function writeIntegers(file: string, folded: Folded): Promise<void> {
  const header: Record<string, Entry> = {};
  let at = 0;
  for (const [name, t] of folded) {
    const bytes = width(t) * t.data.length;
    header[name] = { dtype: width(t) === 4 ? 'I32' : 'I64', shape: t.shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const json = JSON.stringify(header);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const out = Buffer.alloc(8 + text.length + at);
  out.writeBigUInt64LE(BigInt(text.length));
  text.copy(out, 8);
  for (const [name, t] of folded) {
    let place = 8 + text.length + header[name]!.data_offsets[0];
    for (const v of t.data) {
      if (width(t) === 4) out.writeInt32LE(v, place);
      else out.writeBigInt64LE(BigInt(v), place);
      place += width(t);
    }
  }
  await writeFile(file, out, { mode: 0o600 });
}

/** @throws RefusedError if the file is not one of ours, whole */
export async function readIntegers(file: string): Promise<Folded> {
  const bytes = await readFile(file);
  const damaged = (): RefusedError =>
    new RefusedError(`${file}: not the integers of an export, or damaged`, 'Copy the folder of the same export again.');
  let header: Record<string, Entry>;
  let start: number;
  try {
    start = 8 + Number(bytes.readBigUInt64LE());
    header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<string, Entry>;
  } catch {
    throw damaged();
  }
  const out = new Map<string, IntegerTensor>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    const count = shape.reduce((a, d) => a * d, 1);
    const size = dtype === 'I32' ? 4 : 8;
    const [from, to] = [start + data_offsets[0], start + data_offsets[1]];
    if (!['I32', 'I64'].includes(dtype) || to - from !== size * count || to > bytes.length) throw damaged();
    const data = dtype === 'I32' ? new Int32Array(count) : new Float64Array(count);
    for (let i = 0; i < count; i++)
      data[i] = size === 4 ? bytes.readInt32LE(from + 4 * i) : Number(bytes.readBigInt64LE(from + 8 * i));
    out.set(name, { shape, data });
  }
  return out;
}
