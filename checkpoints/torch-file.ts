/** Reading `pytorch_model.bin`: a zip of a restricted pickle and one file per storage (torch.save since PyTorch 1.6). */
import { type FileHandle, open } from 'node:fs/promises';
import { InputError } from '../common/errors.ts';
import { DTYPE_BITS, isWeightDtype, WEIGHT_DTYPES, widen } from './dtype.ts';
import { readRange } from './files.ts';
import { readPickle } from './pickle.ts';
import { checkFinite, type Tensor } from './safetensors.ts';
import { isTensor, PickleError, type PickleValue, type TorchTensor } from './torch-objects.ts';
import { readZip, type ZipEntry } from './zip.ts';

const CONVERT =
  'Convert it in Python: model.save_pretrained(folder, safe_serialization=True) writes model.safetensors.';
const DAMAGED =
  'The file is damaged or was not written by torch.save: download it again, or convert it to safetensors.';
const UNSAFE =
  'Do not open this file with pickle or torch.load: a weight file has no reason to do this. Get it elsewhere.';

/** What a pre-1.6 file begins with: protocol 2, and the number 0x1950a86a20f9469cfc6c (torch/serialization.py). */
const LEGACY = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');

/** Tensors may share storages (tied weights); beyond this many uses of each element the file would inflate. */
const MAX_SHARING = 4;

/** About 10,000 tensors. A pickle builds objects of many times its size, so that this bounds the memory. */
const MAX_PICKLE = 2 ** 20;

/** A `torch.save` archive of tensors, open: its tensors by name, their data read on demand. */
export class TorchFile {
  readonly file: string;
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  readonly #handle: FileHandle;
  readonly #storages: ReadonlyMap<string, ZipEntry>;

  private constructor(
    file: string,
    tensors: ReadonlyMap<string, TorchTensor>,
    handle: FileHandle,
    storages: ReadonlyMap<string, ZipEntry>,
  ) {
    this.file = file;
    this.tensors = tensors;
    this.#handle = handle;
    this.#storages = storages;
  }

  /** @throws InputError naming the file and what is wrong; nothing of the file is executed */
  static async open(file: string): Promise<TorchFile> {
    const handle = await open(file).catch((error: Error) => {
      throw new InputError(`${file}: cannot be opened (${error.message})`, 'Give the path of a readable file.');
    });
    try {
      const { size } = await handle.stat();
      const start = Buffer.from(await readRange(handle, 0, Math.min(size, LEGACY.length), file));
      if (start.equals(LEGACY)) {
        throw new InputError(`${file}: the torch.save format before PyTorch 1.6 is not read`, CONVERT);
      }
      if (start.toString('latin1', 0, 4) !== 'PK\x03\x04') {
        throw new InputError(`${file}: neither safetensors nor a zip written by torch.save`, UNSAFE);
      }
      const entries = await readZip(handle, size, file);
      const { storages, pickle } = await findParts(handle, entries, file);
      const tensors = readStateDict(await readRange(handle, pickle.offset, pickle.bytes, file), file);
      for (const [name, tensor] of tensors) checkView(name, tensor, storages, file);
      checkSharing(tensors, file);
      return new TorchFile(file, tensors, handle, storages);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** One tensor, row-major, as float32. @throws InputError unless its dtype is F32, F16 or BF16 and its values finite */
  async readWeight(name: string): Promise<Tensor> {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw new Error(`${this.file} holds no tensor ${name}`);
    const { storage, offset, shape, stride } = tensor;
    const { dtype } = storage;
    if (!isWeightDtype(dtype)) {
      const wanted = WEIGHT_DTYPES.join(', ');
      throw new InputError(`${this.file}: tensor ${name} has dtype ${dtype}, expected ${wanted}`, CONVERT);
    }
    const width = DTYPE_BITS[dtype]! / 8;
    const span = extent(tensor);
    const from = this.#storages.get(storage.key)!.offset + width * offset;
    const elements = widen(await readRange(this.#handle, from, width * span, this.file), dtype);
    const data = gather(elements, shape, stride);
    checkFinite(data, this.file, name);
    return { shape, data };
  }
}

/** The pickle and the storages of the archive, whose top folder may have any name. */
async function findParts(
  handle: FileHandle,
  entries: ReadonlyMap<string, ZipEntry>,
  file: string,
): Promise<{ pickle: ZipEntry; storages: Map<string, ZipEntry> }> {
  const pickles = [...entries.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  const pickle = pickles[0];
  if (pickle === undefined || pickles.length > 1) {
    throw new InputError(`${file}: a zip with ${pickles.length} files data.pkl, expected 1`, DAMAGED);
  }
  if (pickle.bytes > MAX_PICKLE) {
    throw new InputError(`${file}: a data.pkl of ${pickle.bytes} bytes, more than ${MAX_PICKLE}`, CONVERT);
  }
  const root = pickle.name.slice(0, -'data.pkl'.length);
  const order = entries.get(`${root}byteorder`);
  if (order !== undefined) {
    const text = new TextDecoder().decode(await readRange(handle, order.offset, Math.min(order.bytes, 16), file));
    if (text !== 'little') {
      throw new InputError(`${file}: its byte order is ${JSON.stringify(text)}; only little is read`, CONVERT);
    }
  }
  const folder = `${root}data/`;
  const storages = new Map<string, ZipEntry>();
  for (const [name, entry] of entries) if (name.startsWith(folder)) storages.set(name.slice(folder.length), entry);
  return { pickle, storages };
}

function readStateDict(pickle: Uint8Array, file: string): Map<string, TorchTensor> {
  let root: PickleValue;
  try {
    root = readPickle(pickle);
  } catch (error) {
    if (!(error instanceof PickleError)) throw error;
    throw new InputError(`${file}: its pickle is refused: ${error.message}`, UNSAFE);
  }
  const hint = 'Save model.state_dict(), or convert it with save_pretrained(folder, safe_serialization=True).';
  if (!(root instanceof Map)) throw new InputError(`${file}: holds no state dict`, hint);
  const tensors = new Map<string, TorchTensor>();
  for (const [name, value] of root) {
    if (!isTensor(value)) throw new InputError(`${file}: the entry ${name} is no tensor`, hint);
    tensors.set(name, value);
  }
  return tensors;
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Elements from the first to the last one a view uses. */
function extent({ shape, stride }: TorchTensor): number {
  return product(shape) === 0 ? 0 : shape.reduce((last, n, axis) => last + (n - 1) * stride[axis]!, 1);
}

function checkView(name: string, tensor: TorchTensor, storages: ReadonlyMap<string, ZipEntry>, file: string): void {
  const { dtype, key, length } = tensor.storage;
  const refuse = (what: string): never => {
    throw new InputError(`${file}: tensor ${name}: ${what}`, DAMAGED);
  };
  const entry = storages.get(key) ?? refuse(`its storage ${key} is absent`);
  const bytes = (length * DTYPE_BITS[dtype]!) / 8;
  if (entry.bytes !== bytes)
    refuse(`its storage ${key} has ${entry.bytes} bytes, expected ${bytes} (${length} of ${dtype})`);
  // Products beyond 2^53 lose precision here, yet never come out as small as a storage that is in the file.
  const end = tensor.offset + extent(tensor);
  if (end > length) refuse(`reaches element ${end} of a storage of ${length}`);
  if (product(tensor.shape) > length) refuse(`shape [${tensor.shape.join(', ')}] repeats the elements of its storage`);
}

function checkSharing(tensors: ReadonlyMap<string, TorchTensor>, file: string): void {
  const lengths = new Map<string, number>();
  let used = 0;
  for (const { storage, shape } of tensors.values()) {
    lengths.set(storage.key, storage.length);
    used += product(shape);
  }
  const held = [...lengths.values()].reduce((a, b) => a + b, 0);
  if (used > MAX_SHARING * held) {
    throw new InputError(`${file}: ${used} elements of tensors share ${held} stored ones`, CONVERT);
  }
}

/** Copies a strided view, whose first element is elements[0], into row-major order. */
function gather(elements: Float32Array, shape: readonly number[], stride: readonly number[]): Float32Array {
  const out = new Float32Array(product(shape));
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < out.length; to++) {
    out[to] = elements[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += stride[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= shape[axis]! * stride[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}
