/** Writing a Hugging Face model folder. */
import { copyFile, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InputError } from '../common/errors.ts';
import { packageRoot } from '../common/package-root.ts';
import { configJson, type ModelConfig, needsOwnCode, OWN_CODE_FILE } from '../model/config.ts';
import { parameterShapes } from '../model/names.ts';
import type { WeightDtype } from './dtype.ts';
import { exists, writeDurably, writeFolder } from './files.ts';
import { type Tensor, writeSafetensors } from './safetensors.ts';

export interface SaveOptions {
  readonly config: ModelConfig;
  /** The config.json the model came from; fields we do not compute with are kept. */
  readonly rawConfig?: Readonly<Record<string, unknown>>;
  /** Exactly the parameters of `model/names.ts`. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Its tokeniser files are copied. */
  readonly tokenizerDir: string;
  readonly dtype: WeightDtype;
  /** More files, name → content: a model card README.md, a run record. */
  readonly extra?: Readonly<Record<string, string>>;
  /** Replace the folder if it exists (default: refuse). */
  readonly overwrite?: boolean;
}

const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'vocab.txt'] as const;
const TORCH_DTYPE = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;

/**
 * Writes config.json, model.safetensors, the tokeniser files, `extra` and, for a model that Hugging Face's BERT would compute
 * wrongly, the code with which transformers loads it. The folder appears whole or not at all.
 * @throws RefusedError if the folder exists and may not be overwritten, or a value has no finite form in `dtype`
 * @throws InputError if no tokeniser file is found
 */
export async function saveModel(dir: string, options: SaveOptions): Promise<void> {
  const { config, tensors, tokenizerDir, dtype, extra = {} } = options;
  const shapes = parameterShapes(config);
  for (const [name, shape] of shapes) {
    const found = tensors.get(name)?.shape.join();
    if (found !== shape.join()) throw new Error(`parameter ${name}: shape [${found}], expected [${shape.join()}]`);
  }
  for (const name of tensors.keys()) if (!shapes.has(name)) throw new Error(`${name} is no parameter of the model`);
  const written = ['config.json', 'model.safetensors', OWN_CODE_FILE, ...TOKENIZER_FILES] as readonly string[];
  for (const name of Object.keys(extra)) {
    if (name !== basename(name) || written.includes(name)) throw new Error(`extra file name ${name}`);
  }

  await writeFolder(dir, options.overwrite ?? false, async (folder) => {
    const json = { ...configJson(config, options.rawConfig), torch_dtype: TORCH_DTYPE[dtype] };
    await writeDurably(join(folder, 'config.json'), `${JSON.stringify(json, null, 2)}\n`);
    await writeSafetensors(join(folder, 'model.safetensors'), tensors, { dtype });
    const copy = async (from: string, name: string): Promise<void> => {
      await copyFile(join(from, name), join(folder, name));
      const handle = await open(join(folder, name), 'r+');
      await handle.sync().finally(() => handle.close());
    };
    if (needsOwnCode(config)) await copy(join(packageRoot(), 'checkpoints', 'hugging-face'), OWN_CODE_FILE);
    let copied = 0;
    for (const name of TOKENIZER_FILES) {
      if (!(await exists(join(tokenizerDir, name)))) continue;
      await copy(tokenizerDir, name);
      copied++;
    }
    if (copied === 0) {
      const hint = `Give a folder that holds ${TOKENIZER_FILES.join(', ')}.`;
      throw new InputError(`${tokenizerDir}: no tokenizer files`, hint);
    }
    for (const [name, content] of Object.entries(extra)) await writeDurably(join(folder, name), content);
  });
}
