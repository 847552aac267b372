/** Reading and writing safetensors files. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError, RefusedError } from '../common/errors.ts';
import { firstNonFinite, isWeightDtype, narrow, type WeightDtype, WEIGHT_DTYPES, widen } from './dtype.ts';
import { syncFolder } from '../common/sync-folder.ts';
import { readRange, writeAll } from './files.ts';
import { headerLength, parseHeader, type SafetensorsHeader } from './safetensors-header.ts';

/** A float32 tensor, row-major. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A tensor as some file holds it: F32, F16 and BF16 are widened to float32 (exactly). */
export interface StoredTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | BigInt64Array | BigUint64Array | Int32Array | Uint8Array;
}

export interface Safetensors {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** An open file: the header is read and checked, tensors are read one at a time. */
export class SafetensorsFile {
  readonly file: string;
  readonly header: SafetensorsHeader;
  readonly #handle: FileHandle;

  private constructor(file: string, header: SafetensorsHeader, handle: FileHandle) {
    this.file = file;
    this.header = header;
    this.#handle = handle;
  }

  /** @throws InputError naming the file and what is wrong in its header */
  static async open(file: string): Promise<SafetensorsFile> {
    const handle = await open(file).catch((error: Error) => {
      throw new InputError(
        `${file}: cannot be opened (${error.message})`,
        'Give the path of a readable safetensors file.',
      );
    });
    try {
      const { size } = await handle.stat();
      const length = headerLength(await readRange(handle, 0, Math.min(8, size), file), size, file);
      const header = parseHeader(await readRange(handle, 8, length, file), size - 8 - length, file);
      return new SafetensorsFile(file, header, handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  /**
   * The values of one tensor.
   * @throws InputError for NaN and infinity, and for element formats that have no typed array
   */
  async read(name: string): Promise<StoredTensor> {
    const entry = this.header.entries.get(name);
    if (entry === undefined) throw new Error(`${this.file} holds no tensor ${name}`);
    const { dtype, shape } = entry;
    const bytes = await readRange(this.#handle, entry.offset, entry.bytes, this.file);
    const data = decode(bytes, dtype);
    if (data === undefined) {
      const hint = `Store the tensor as ${WEIGHT_DTYPES.join(', ')}, F64 or an integer type.`;
      throw new InputError(`${this.file}: tensor ${name} has dtype ${dtype}, which is not read`, hint);
    }
    if (data instanceof Float32Array || data instanceof Float64Array) checkFinite(data, this.file, name);
    return { dtype, shape, data };
  }

  /** One weight tensor as float32. @throws InputError unless its dtype is F32, F16 or BF16 and its values are finite */
  async readWeight(name: string): Promise<Tensor> {
    const dtype = this.header.entries.get(name)?.dtype ?? '';
    if (!isWeightDtype(dtype)) {
      const hint = `Convert the weights to ${WEIGHT_DTYPES.join(', ')} (model.float() before save_pretrained).`;
      throw new InputError(
        `${this.file}: tensor ${name} has dtype ${dtype}, expected ${WEIGHT_DTYPES.join(', ')}`,
        hint,
      );
    }
    const { shape, data } = await this.read(name);
    return { shape, data: data as Float32Array };
  }
}

/** @throws InputError naming file, tensor and element */
export function checkFinite(data: Float32Array | Float64Array, file: string, name: string): void {
  const bad = firstNonFinite(data);
  if (bad < 0) return;
  const hint =
    'The checkpoint comes from a run that diverged or overflowed (in F16 above 65504): use an earlier or wider one.';
  throw new InputError(`${file}: tensor ${name} holds ${data[bad]} at element ${bad}`, hint);
}

function decode(bytes: Uint8Array, dtype: string): StoredTensor['data'] | undefined {
  if (isWeightDtype(dtype)) return widen(bytes, dtype);
  // readRange returns a buffer of its own, so the offset is 0.
  const { buffer } = bytes;
  switch (dtype) {
    case 'F64':
      return new Float64Array(buffer);
    case 'I64':
      return new BigInt64Array(buffer);
    case 'U64':
      return new BigUint64Array(buffer);
    case 'I32':
      return new Int32Array(buffer);
    case 'U8':
    case 'BOOL':
      return bytes;
    default:
      return undefined;
  }
}

/** All tensors of a file. @throws InputError as SafetensorsFile.open and read */
export async function readSafetensors(file: string): Promise<Safetensors> {
  const reader = await SafetensorsFile.open(file);
  try {
    const tensors = new Map<string, StoredTensor>();
    for (const name of reader.header.entries.keys()) tensors.set(name, await reader.read(name));
    return { metadata: reader.header.metadata, tensors };
  } finally {
    await reader.close();
  }
}

export interface WriteOptions {
  readonly dtype: WeightDtype;
  /** Default {format: 'pt'}, without which transformers refuses the file. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes float32 tensors, rounded to `dtype` (nearest, ties to even), names in code-unit order, the data aligned to 8
 * bytes. The file appears whole or not at all.
 * @throws RefusedError naming a tensor that is not finite or overflows in `dtype`
 */
export async function writeSafetensors(
  file: string,
  tensors: ReadonlyMap<string, Tensor>,
  options: WriteOptions,
): Promise<void> {
  const names = [...tensors.keys()].toSorted();
  const width = options.dtype === 'F32' ? 4 : 2;
  const header: [string, unknown][] = [['__metadata__', options.metadata ?? { format: 'pt' }]];
  let offset = 0;
  for (const name of names) {
    const { shape, data } = tensors.get(name)!;
    if (name === '__metadata__' || shape.reduce((a, b) => a * b, 1) !== data.length) {
      throw new Error(`tensor ${name}: shape [${shape.join(', ')}] for ${data.length} values`);
    }
    const end = offset + width * data.length;
    header.push([name, { dtype: options.dtype, shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  // Object.fromEntries defines own properties, so that a tensor called __proto__ is an entry like any other.
  const json = Buffer.from(JSON.stringify(Object.fromEntries(header)));
  const length = Math.ceil(json.length / 8) * 8;
  const start = Buffer.alloc(8 + length, ' ');
  start.writeBigUInt64LE(BigInt(length), 0);
  json.copy(start, 8);

  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  const handle = await open(temporary, 'wx');
  try {
    try {
      await writeAll(handle, start);
      for (const name of names) {
        const { data } = tensors.get(name)!;
        const bytes = narrow(data, options.dtype);
        if (typeof bytes === 'number') {
          const what = `tensor ${name}: ${data[bytes]} at element ${bytes} has no finite ${options.dtype} value`;
          throw new RefusedError(`${file}: ${what}`, 'Write F32, or train with a smaller learning rate.');
        }
        await writeAll(handle, bytes);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    await syncFolder(dirname(file));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
