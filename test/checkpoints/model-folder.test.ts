import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  loadModel,
  loadWeights,
  requireHead,
  saveModel,
  type SaveOptions,
  type Tensor,
  writeSafetensors,
} from '../../checkpoints/index.ts';
import { InputError, RefusedError } from '../../common/errors.ts';
import { configJson, type ModelConfig, parseConfig } from '../../model/config.ts';
import { parameterShapes } from '../../model/names.ts';

const config: ModelConfig = parseConfig(
  {
    model_type: 'bert',
    hidden_size: 6,
    num_attention_heads: 3,
    num_hidden_layers: 2,
    intermediate_size: 5,
    vocab_size: 11,
    max_position_embeddings: 7,
    hidden_act: 'quad',
    softmax_act: '2quad_centred',
    softmax_c: [
      [1, 2, 3],
      [4, 5, 6.5],
    ],
    id2label: { 0: 'no', 1: 'yes', 2: 'perhaps' },
  },
  'here',
);

let serial = 0;
/** Values exact in F16, different everywhere. */
const weights = (): Map<string, Tensor> =>
  new Map(
    [...parameterShapes(config)].map(([name, shape]) => {
      const length = shape.reduce((a, b) => a * b, 1);
      return [name, { shape, data: Float32Array.from({ length }, () => (serial++ % 2048) / 64 - 16) }];
    }),
  );

let dir: string;
let tokenizerDir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'model-'));
  tokenizerDir = join(dir, 'tokenizer');
  mkdirSync(tokenizerDir);
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'vocab.txt'])
    writeFileSync(join(tokenizerDir, name), `{"${name}":1}`);
});
afterEach(() => rmSync(dir, { recursive: true }));
const options = (change: Partial<SaveOptions> = {}): SaveOptions => ({
  config,
  tensors: weights(),
  tokenizerDir,
  dtype: 'F16',
  ...change,
});

const write = async (tensors: ReadonlyMap<string, Tensor>): Promise<string> => {
  const folder = join(dir, 'model');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configJson(config)));
  await writeSafetensors(join(folder, 'model.safetensors'), tensors, { dtype: 'F32' });
  return folder;
};

const without = (...prefixes: string[]): Map<string, Tensor> =>
  new Map([...weights()].filter(([name]) => !prefixes.some((prefix) => name.startsWith(prefix))));

describe('saveModel and loadModel', () => {
  it.each(['F32', 'F16', 'BF16'] as const)('give back config, values and tokenizer files in %s', async (dtype) => {
    const save = options({ dtype, extra: { 'README.md': '# card' }, rawConfig: { finetuning_task: 'polarity' } });
    // 11 significant bits do not fit BF16: take values of 8.
    if (dtype === 'BF16')
      for (const { data } of save.tensors.values()) data.forEach((x, i) => (data[i] = Math.trunc(x)));
    const folder = join(dir, 'new', 'model');
    await saveModel(folder, save);
    const loaded = await loadModel(folder);
    expect(loaded.config).toEqual(config);
    expect(loaded.rawConfig).toMatchObject({
      finetuning_task: 'polarity',
      model_type: 'secformer_bert',
      architectures: ['SecformerBertForSequenceClassification'],
    });
    expect(loaded.missing).toEqual([]);
    expect(loaded.warnings).toEqual([]);
    expect(loaded.tensors).toEqual(save.tensors);
    expect(loaded.tokenizerDir).toBe(folder);
    expect(loaded.sha256).toBe(
      createHash('sha256')
        .update(readFileSync(join(folder, 'model.safetensors')))
        .digest('hex'),
    );
    expect(readdirSync(folder).toSorted()).toEqual(
      [
        'README.md',
        'config.json',
        'model.safetensors',
        'modeling_secformer_bert.py',
        'tokenizer.json',
        'tokenizer_config.json',
        'vocab.txt',
      ].toSorted(),
    );
    expect(readFileSync(join(folder, 'vocab.txt'))).toEqual(readFileSync(join(tokenizerDir, 'vocab.txt')));
    expect(() => requireHead(loaded, folder)).not.toThrow();
  });

  it('refuses an existing folder and leaves it, or replaces it whole', async () => {
    const folder = join(dir, 'model');
    await saveModel(folder, options({ extra: { 'old.txt': 'x' } }));
    const before = readFileSync(join(folder, 'model.safetensors'));
    await expect(saveModel(folder, options())).rejects.toThrow(RefusedError);
    expect(readFileSync(join(folder, 'model.safetensors'))).toEqual(before);
    await saveModel(folder, options({ overwrite: true }));
    expect(readFileSync(join(folder, 'model.safetensors'))).not.toEqual(before);
    expect(existsSync(join(folder, 'old.txt'))).toBe(false);
    expect(readdirSync(dir).toSorted()).toEqual(['model', 'tokenizer']);
  });

  it('leaves nothing behind, and the old folder as it was, when writing fails', async () => {
    const folder = join(dir, 'model');
    await saveModel(folder, options());
    const before = readFileSync(join(folder, 'model.safetensors'));
    const bad = weights();
    bad.get('classifier.bias')!.data[2] = Number.NaN;
    await expect(saveModel(folder, options({ tensors: bad, overwrite: true }))).rejects.toThrow(
      /classifier\.bias: NaN at element 2/,
    );
    await expect(saveModel(join(dir, 'other'), options({ tensors: bad }))).rejects.toThrow(RefusedError);
    await expect(saveModel(join(dir, 'other'), options({ tokenizerDir: join(dir, 'absent') }))).rejects.toThrow(
      /no tokenizer files/,
    );
    expect(readFileSync(join(folder, 'model.safetensors'))).toEqual(before);
    expect(readdirSync(dir).toSorted()).toEqual(['model', 'tokenizer']);
  });
});

describe('loadModel', () => {
  it('refuses a folder without tokenizer files, naming them; another folder supplies them', async () => {
    const folder = await write(weights());
    await expect(loadModel(folder)).rejects.toThrow(/tokenizer\.json and tokenizer_config\.json, or vocab\.txt/);
    await expect(loadModel(folder)).rejects.toMatchObject({
      name: 'InputError',
      hint: expect.stringContaining('--tokenizer') as string,
    });
    expect((await loadModel(folder, { tokenizer: tokenizerDir })).tokenizerDir).toBe(tokenizerDir);
    rmSync(join(tokenizerDir, 'tokenizer_config.json'));
    expect((await loadModel(folder, { tokenizer: tokenizerDir })).tokenizerDir).toBe(tokenizerDir);
    rmSync(join(tokenizerDir, 'vocab.txt'));
    await expect(loadModel(folder, { tokenizer: tokenizerDir })).rejects.toThrow(InputError);
  });

  it('refuses a path that is no folder as that, not for what is not in it', async () => {
    const absent = join(dir, 'nope');
    for (const load of [loadModel, loadWeights]) {
      await expect(load(absent)).rejects.toThrow(`${absent}: no such folder`);
    }
    const folder = await write(weights());
    await expect(loadModel(folder, { tokenizer: absent })).rejects.toThrow(`${absent}: no such folder`);
    await expect(loadModel(join(folder, 'config.json'))).rejects.toThrow('config.json: a file, no folder');
  });

  it('reports an absent head, which evaluation and export refuse', async () => {
    const base = await loadWeights(await write(without('classifier', 'bert.pooler')));
    expect(base.missing).toEqual([
      'bert.pooler.dense.weight',
      'bert.pooler.dense.bias',
      'classifier.weight',
      'classifier.bias',
    ]);
    expect(() => requireHead(base, 'x')).toThrow(/classifier\.weight/);
    expect((await loadWeights(await write(without('classifier')))).missing).toEqual([
      'classifier.weight',
      'classifier.bias',
    ]);
  });

  it.each([
    [
      'a classifier without its pooler',
      ['bert.pooler'],
      /bert\.pooler\.dense\.weight, bert\.pooler\.dense\.bias absent/,
    ],
    ['half a pooler', ['bert.pooler.dense.bias', 'classifier'], /bert\.pooler\.dense\.bias absent/],
    ['no embedding', ['bert.embeddings.word', 'classifier'], /tensor bert\.embeddings\.word_embeddings\.weight absent/],
  ])('refuses %s', async (_, prefixes, message) => {
    await expect(loadWeights(await write(without(...prefixes)))).rejects.toThrow(message);
  });

  it('refuses a config.json that is not UTF-8, not JSON, or a folder', async () => {
    const folder = await write(weights());
    const file = join(folder, 'config.json');
    writeFileSync(file, Uint8Array.of(0x22, 0xff, 0x22));
    await expect(loadWeights(folder)).rejects.toThrow(`${file}: is not UTF-8`);
    writeFileSync(file, '{');
    await expect(loadWeights(folder)).rejects.toThrow(`${file}: not valid JSON`);
    rmSync(file);
    mkdirSync(file);
    await expect(loadWeights(folder)).rejects.toThrow(InputError);
  });

  it('refuses two tensors that mean the same parameter', async () => {
    const tensors = weights();
    tensors.set('embeddings.LayerNorm.gamma', tensors.get('bert.embeddings.LayerNorm.weight')!);
    await expect(loadWeights(await write(tensors))).rejects.toThrow(
      /LayerNorm\.weight and embeddings\.LayerNorm\.gamma are both/,
    );
  });
});
