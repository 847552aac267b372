/** Reading a Hugging Face model folder: config.json, weights, tokeniser files. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../common/errors.ts';
import { type ModelConfig, parseConfig } from '../model/config.ts';
import { HEADS, parameterShapes } from '../model/names.ts';
import { exists, readText } from './files.ts';
import type { Tensor } from './safetensors.ts';
import { canonicalName, withoutModulePrefix } from './tensor-names.ts';
import { openWeights, type WeightEntry, type WeightSource } from './weights.ts';

export interface LoadedWeights {
  readonly config: ModelConfig;
  /** config.json as it is, for fields we pass on unread. */
  readonly rawConfig: Readonly<Record<string, unknown>>;
  /** Canonical name (`model/names.ts`) → float32 values. */
  readonly tensors: Map<string, Tensor>;
  /** Parameters of pooler and classifier that a base model lacks; each module is absent whole. */
  readonly missing: readonly string[];
  /** One sentence each: what was left out, what is absent. */
  readonly warnings: readonly string[];
  /** sha256 of the weight file (of shards: of the lines `NAME SHA256\n`). */
  readonly sha256: string;
}

export interface LoadedModel extends LoadedWeights {
  /** The folder with the tokeniser files. */
  readonly tokenizerDir: string;
}

export interface LoadOptions {
  /** A folder with tokeniser files, where the model's own has none. */
  readonly tokenizer?: string;
}

/**
 * A model folder with its tokeniser.
 * @throws InputError naming file, tensor or field, and the remedy
 */
export async function loadModel(dir: string, options: LoadOptions = {}): Promise<LoadedModel> {
  await requireFolder(dir);
  // Then the cheap check: a person should not wait for the weights to learn that a file is absent.
  const tokenizerDir = await findTokenizer(dir, options.tokenizer);
  return { ...(await loadWeights(dir)), tokenizerDir };
}

const FOLDER_HINT = 'Give a Hugging Face model folder: config.json, model.safetensors, tokenizer files.';

/** @throws InputError if there is no such folder */
async function requireFolder(dir: string): Promise<void> {
  const found = await stat(dir).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  throw new InputError(`${dir}: ${found === undefined ? 'no such folder' : 'a file, no folder'}`, FOLDER_HINT);
}

/** The sets of files a tokeniser can be read from; the first that is there is used. */
const TOKENIZER_FILES = [['tokenizer.json', 'tokenizer_config.json'], ['vocab.txt']] as const;

async function findTokenizer(dir: string, given: string | undefined): Promise<string> {
  const folder = given ?? dir;
  if (given !== undefined) await requireFolder(given);
  for (const set of TOKENIZER_FILES) {
    const found = await Promise.all(set.map((name) => exists(join(folder, name))));
    if (found.every(Boolean)) return folder;
  }
  const wanted = TOKENIZER_FILES.map((set) => set.join(' and ')).join(', or ');
  throw new InputError(
    `${folder}: no tokenizer files (${wanted})`,
    'Copy the tokenizer files of the model into the folder, or name a folder that has them with --tokenizer DIR.',
  );
}

/** config.json and weights only. @throws InputError naming file, tensor or field, and the remedy */
export async function loadWeights(dir: string): Promise<LoadedWeights> {
  const { config, rawConfig } = await loadConfig(dir);
  const source = await openWeights(dir);
  try {
    const { wanted, missing, warnings } = match(config, source, dir);
    const tensors = new Map<string, Tensor>();
    for (const [name, entry] of wanted) tensors.set(name, await entry.read());
    return { config, rawConfig, tensors, missing, warnings, sha256: await source.sha256() };
  } finally {
    await source.close();
  }
}

/** @throws InputError if config.json is absent, no JSON, or describes a model we cannot compute */
export async function loadConfig(
  dir: string,
): Promise<{ config: ModelConfig; rawConfig: Readonly<Record<string, unknown>> }> {
  const file = join(dir, 'config.json');
  await requireFolder(dir);
  const text = await readText(file, FOLDER_HINT);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${file}: not valid JSON (${(error as Error).message})`, 'Repair or replace config.json.');
  }
  return { config: parseConfig(json, file), rawConfig: json as Record<string, unknown> };
}

/** Finds every parameter's entry and checks its shape, without reading values. */
function match(
  config: ModelConfig,
  source: WeightSource,
  dir: string,
): { wanted: Map<string, WeightEntry>; missing: string[]; warnings: string[] } {
  const shapes = parameterShapes(config);
  const wanted = new Map<string, WeightEntry>();
  const origin = new Map<string, string>();
  const heads: string[] = [];
  const unexpected: string[] = [];
  const unwrap = withoutModulePrefix(source.tensors.keys());
  for (const [stored, entry] of source.tensors) {
    const name = canonicalName(unwrap(stored));
    if (name === undefined) continue;
    const shape = shapes.get(name);
    if (shape === undefined) {
      (name.startsWith('cls.') ? heads : unexpected).push(stored);
      continue;
    }
    if (origin.has(name)) {
      const hint = 'Remove one of the two, or save the model again.';
      throw new InputError(`${entry.file}: tensors ${origin.get(name)} and ${stored} are both ${name}`, hint);
    }
    if (entry.shape.join() !== shape.join()) {
      const what = `tensor ${stored} has shape [${entry.shape.join(', ')}], expected [${shape.join(', ')}]`;
      throw new InputError(`${entry.file}: ${what} by config.json`, shapeHint(name, entry.shape, shape));
    }
    origin.set(name, stored);
    wanted.set(name, entry);
  }

  const missing = [...shapes.keys()].filter((name) => !wanted.has(name));
  const where = source.files.length === 1 ? source.files[0]! : dir;
  const whole = HEADS.filter((head) => missing.includes(`${head}.weight`) && missing.includes(`${head}.bias`));
  const allowed = whole.includes('classifier') ? whole : [];
  const lost = missing.filter((name) => !allowed.some((head) => name.startsWith(`${head}.`)));
  if (lost.length > 0) {
    const names = lost.length > 4 ? `${lost.slice(0, 3).join(', ')} and ${lost.length - 3} more` : lost.join(', ');
    const hint = 'Use a complete checkpoint, and check num_hidden_layers in config.json against it.';
    throw new InputError(`${where}: tensor${lost.length === 1 ? '' : 's'} ${names} absent`, hint);
  }

  const warnings: string[] = [];
  if (missing.length > 0)
    warnings.push(`${where}: no ${missing.join(', ')}: a base model, to be fine-tuned before use`);
  if (heads.length > 0) warnings.push(`${where}: pre-training heads are left out: ${heads.join(', ')}`);
  if (unexpected.length > 0) warnings.push(`${where}: unknown tensors are left out: ${unexpected.join(', ')}`);
  return { wanted, missing, warnings };
}

function shapeHint(name: string, found: readonly number[], expected: readonly number[]): string {
  if (found.length === 2 && found[0] !== found[1] && found.toReversed().join() === expected.join()) {
    return 'The tensor is transposed (TensorFlow stores in × out): convert the checkpoint with transformers.';
  }
  const field = Object.entries({
    word_embeddings: 'vocab_size',
    position_embeddings: 'max_position_embeddings',
    token_type_embeddings: 'type_vocab_size',
    'intermediate.dense': 'intermediate_size',
    classifier: 'id2label (the number of labels)',
  }).find(([part]) => name.includes(part))?.[1];
  return `Make ${field ?? 'hidden_size'} in config.json and the weights agree: one of the two comes from another model.`;
}

/**
 * For evaluation and export, which need a whole model.
 * @throws InputError if the head of a base model is absent
 */
export function requireHead(model: LoadedWeights, dir: string): void {
  if (model.missing.length === 0) return;
  throw new InputError(
    `${dir}: ${model.missing.join(', ')} absent: a base model without a trained head`,
    'Fine-tune it first (train-distill teacher), or give a sequence classifier.',
  );
}
