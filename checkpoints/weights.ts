/**
 * The weight files of a Hugging Face folder behind one interface: names, shapes and dtypes at once, values one tensor at
 * a time.
 */
import { basename, join } from 'node:path';
import { InputError } from '../common/errors.ts';
import { exists, readText, sha256, sha256File } from './files.ts';
import { SafetensorsFile, type Tensor } from './safetensors.ts';
import { TorchFile } from './torch-file.ts';
import { type Json, JsonError, parseStrictJson } from './strict-json.ts';

export interface WeightSource {
  /** The file that holds the tensor, its shape, and a reader of its values as float32. */
  readonly tensors: ReadonlyMap<string, WeightEntry>;
  /** The files read. */
  readonly files: readonly string[];
  /** sha256 of the weight file; of several, of the lines `NAME SHA256\n` in name order. */
  sha256(): Promise<string>;
  close(): Promise<void>;
}

export interface WeightEntry {
  readonly file: string;
  readonly shape: readonly number[];
  read(): Promise<Tensor>;
}

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const TORCH = 'pytorch_model.bin';
const TORCH_INDEX = 'pytorch_model.bin.index.json';

/** @throws InputError if the folder has no weight file we read */
export async function openWeights(dir: string): Promise<WeightSource> {
  if (await exists(join(dir, SINGLE))) return openShards([join(dir, SINGLE)]);
  if (await exists(join(dir, INDEX))) return openIndexed(dir);
  if (await exists(join(dir, TORCH))) return openTorch(join(dir, TORCH));
  if (await exists(join(dir, TORCH_INDEX))) {
    const hint =
      'Convert it in Python: model.save_pretrained(folder, safe_serialization=True) writes model.safetensors.';
    throw new InputError(`${join(dir, TORCH_INDEX)}: a PyTorch checkpoint in several shards is not read`, hint);
  }
  throw new InputError(
    `${dir}: no weight file`,
    `Give a folder with ${SINGLE}, ${INDEX} or ${TORCH}, as save_pretrained writes them.`,
  );
}

async function openTorch(file: string): Promise<WeightSource> {
  const torch = await TorchFile.open(file);
  const tensors = new Map<string, WeightEntry>();
  for (const [name, { shape }] of torch.tensors) {
    tensors.set(name, { file, shape, read: () => torch.readWeight(name) });
  }
  return { tensors, files: [file], sha256: () => sha256File(file), close: () => torch.close() };
}

async function openShards(files: readonly string[]): Promise<WeightSource> {
  const open: SafetensorsFile[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(open.map((shard) => shard.close()));
  };
  const tensors = new Map<string, WeightEntry>();
  try {
    for (const file of files) {
      const shard = await SafetensorsFile.open(file);
      open.push(shard);
      for (const [name, { shape }] of shard.header.entries) {
        const other = tensors.get(name);
        if (other !== undefined) {
          const hint = 'Save the model again; every tensor belongs into one shard.';
          throw new InputError(`${file}: tensor ${name} is in ${basename(other.file)} too`, hint);
        }
        tensors.set(name, { file, shape, read: () => shard.readWeight(name) });
      }
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { tensors, files, sha256: () => hashFiles(files), close };
}

async function hashFiles(files: readonly string[]): Promise<string> {
  if (files.length === 1) return sha256File(files[0]!);
  let lines = '';
  for (const file of files.toSorted()) lines += `${basename(file)} ${await sha256File(file)}\n`;
  return sha256(lines);
}

/** A model in several files; `weight_map` says which tensor lies where, and must agree with the shards. */
async function openIndexed(dir: string): Promise<WeightSource> {
  const index = join(dir, INDEX);
  const map = await readWeightMap(index);
  const names = [...new Set(map.values())].toSorted();
  for (const name of names) {
    // The index is data from elsewhere: never follow it out of the folder.
    if (name !== basename(name) || name.includes('\\') || !name.endsWith('.safetensors')) {
      const hint = 'Shards lie beside the index and are named by it without a path.';
      throw new InputError(`${index}: names the file ${JSON.stringify(name)}, which is no shard of this folder`, hint);
    }
    if (!(await exists(join(dir, name)))) {
      throw new InputError(`${join(dir, name)}: absent, but ${INDEX} names it`, 'Download or copy the missing shard.');
    }
  }
  const source = await openShards(names.map((name) => join(dir, name)));
  try {
    const hint = 'Index and shards do not belong together: save or download the model again.';
    for (const [name, shard] of map) {
      const entry = source.tensors.get(name);
      if (entry === undefined || basename(entry.file) !== shard) {
        throw new InputError(`${index}: places tensor ${name} in ${shard}, which does not hold it`, hint);
      }
    }
    for (const [name, { file }] of source.tensors) {
      if (!map.has(name)) throw new InputError(`${index}: does not list tensor ${name} of ${basename(file)}`, hint);
    }
    return source;
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function readWeightMap(index: string): Promise<Map<string, string>> {
  const hint = 'The index is damaged: save or download the model again.';
  const text = await readText(index, hint);
  let root: Json;
  try {
    root = parseStrictJson(text);
  } catch (error) {
    if (error instanceof JsonError) throw new InputError(`${index}: not valid JSON: ${error.message}`, hint);
    throw error;
  }
  const map = root instanceof Map ? root.get('weight_map') : undefined;
  if (!(map instanceof Map)) throw new InputError(`${index}: no weight_map object`, hint);
  const shards = new Map<string, string>();
  for (const [name, shard] of map) {
    if (typeof shard !== 'string') throw new InputError(`${index}: weight_map.${name} is no file name`, hint);
    shards.set(name, shard);
  }
  return shards;
}
