import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
import { structure } from '../../export/trace.ts';
import { beginStudent } from '../../train/head.ts';
import { builtInPresets, DEFAULT_PRESET, findPreset, layerMap, studentConfig } from '../../train/preset.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

const dir = mkdtempSync(join(tmpdir(), 'preset-'));
afterAll(() => rmSync(dir, { recursive: true }));

describe('presets', () => {
  // What each replaces, and whether the secure path runs it: SecFormer, section 3; MPCFormer, sections 3.2 and 4.
  it.each([
    ['secformer', { softmax_act: '2quad', hidden_act: 'gelu', softmax_c: 5 }, true],
    ['secformer-kl', { softmax_act: '2quad', hidden_act: 'gelu' }, true],
    ['secformer-centred', { softmax_act: '2quad_centred', hidden_act: 'gelu' }, true],
    ['mpcformer-2quad', { softmax_act: '2quad', hidden_act: 'quad', softmax_c: 5 }, false],
    ['mpcformer-2relu', { softmax_act: '2relu_real_n', hidden_act: 'quad' }, false],
    ['exact', { softmax_act: 'softmax', hidden_act: 'gelu' }, false],
  ])('%s', async (name, expected, secured) => {
    const preset = await findPreset(name);
    expect(preset.name).toBe(name);
    const config = studentConfig(tinyConfig(), preset, typeof preset.softmax_c === 'number' ? preset.softmax_c : 3);
    expect(config).toMatchObject(expected);
    if (secured) expect(structure(config).layers).toHaveLength(2);
    else expect(() => structure(config)).toThrow(/softmax_act|hidden_act/);
    // Who reads the list of presets learns so.
    expect(preset.description.includes('not for the secure path')).toBe(!secured);
  });

  it('are all in the list, the default among them', () => {
    const names = builtInPresets().map(({ name }) => name);
    expect(names).toContain(DEFAULT_PRESET);
    expect(names).toHaveLength(6);
  });

  it('are read from files, and say which field is wrong', async () => {
    const file = join(dir, 'p.json');
    const write = (preset: unknown): void => writeFileSync(file, JSON.stringify(preset));
    write({ name: 'mine', softmax_act: '2quad', softmax_c: 2, num_hidden_layers: 1 });
    expect(studentConfig(tinyConfig(), await findPreset(file), 2)).toMatchObject({
      softmax_c: 2,
      num_hidden_layers: 1,
    });
    for (const [preset, message] of [
      [{ name: 'mine', softmax_act: '2quad' }, 'softmax_c'],
      [{ name: 'mine', softmax_c: 5 }, 'softmax_c'],
      [{ name: 'mine', softmax_act: 'softmax', softmax_c: 5 }, 'softmax_c'],
      [{ name: 'mine', hidden_act: 'swish' }, 'hidden_act'],
      [{ name: 'mine', layers: 3 }, 'layers'],
      [{ name: 'mine', hidden_size: 0 }, 'hidden_size'],
    ] as const) {
      write(preset);
      await expect(findPreset(file), JSON.stringify(preset)).rejects.toThrow(message);
    }
    await expect(findPreset('secformed')).rejects.toThrow(InputError);
  });
});

describe('a student of other size', () => {
  it('learns from evenly spread teacher layers, the last from the last', () => {
    // TinyBERT: g(m) = 3m for 4 layers of 12.
    expect(layerMap(12, 4)).toEqual([3, 6, 9, 12]);
    expect(layerMap(6, 6)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(layerMap(12, 5)).toEqual([2, 5, 7, 10, 12]);
    expect(layerMap(6, 2, [1, 4])).toEqual([1, 4]);
    for (const [teacher, layers, given] of [
      [2, 3, undefined],
      [6, 2, [2]],
      [6, 2, [4, 2]],
      [6, 2, [0, 2]],
      [6, 2, [2, 7]],
    ] as const)
      expect(() => layerMap(teacher, layers, given)).toThrow(InputError);
  });

  it('has a feed-forward size in proportion, unless it is given', async () => {
    const preset = await findPreset('secformer');
    expect(studentConfig(tinyConfig(), { ...preset, hidden_size: 6 }, 5)).toMatchObject({
      hidden_size: 6,
      intermediate_size: 10,
      num_attention_heads: 3,
    });
    expect(studentConfig(tinyConfig(), { ...preset, intermediate_size: 8 }, 5).intermediate_size).toBe(8);
    expect(() => studentConfig(tinyConfig(), { ...preset, hidden_size: 8 }, 5)).toThrow('3 heads do not divide');
  });

  const teacher = {
    config: tinyConfig({ num_hidden_layers: 4 }),
    tensors: tinyTensors(tinyConfig({ num_hidden_layers: 4 })),
  };
  const begin = (change: Record<string, unknown>, random = false, seed = 1) => {
    const config = tinyConfig({ num_hidden_layers: 2, ...change });
    return beginStudent(teacher, config, { map: [2, 4], seed, random }).tensors;
  };

  it('as wide as its teacher, begins as a copy of the layers it learns from', () => {
    const tensors = begin({});
    expect(tensors.size).toBe(3 + 2 + 2 * 16 + 4);
    for (const [name, { data }] of tensors) {
      const from = name.replace('layer.1.', 'layer.3.').replace('layer.0.', 'layer.1.');
      expect(data, name).toEqual(teacher.tensors.get(from)!.data);
    }
    const inner = begin({ intermediate_size: 8 });
    const layer = 'bert.encoder.layer.1';
    expect(inner.get(`${layer}.intermediate.dense.weight`)!.shape).toEqual([8, 12]);
    expect(inner.get(`${layer}.attention.self.query.weight`)).toBe(teacher.tensors.get('bert.encoder.layer.3.attention.self.query.weight')); // prettier-ignore
  });

  it('narrower, or asked to, begins random by the seed', () => {
    for (const tensors of [begin({ hidden_size: 6 }), begin({}, true)]) {
      const layer = 'bert.encoder.layer.1';
      expect(new Set(tensors.get(`${layer}.output.LayerNorm.weight`)!.data)).toEqual(new Set([1]));
      for (const name of [`${layer}.output.LayerNorm.bias`, `${layer}.output.dense.bias`, 'classifier.bias'])
        expect(new Set(tensors.get(name)!.data), name).toEqual(new Set([0]));
      const table = [...tensors.get('bert.embeddings.word_embeddings.weight')!.data];
      const mean = table.reduce((a, b) => a + b) / table.length;
      const deviation = Math.sqrt(table.reduce((a, v) => a + (v - mean) ** 2, 0) / table.length);
      // 0.02 as in BERT's release; the deviation of 102 normal numbers is within four of its own, 7 % each.
      expect(Math.abs(deviation / 0.02 - 1)).toBeLessThan(0.28);
    }
    const first = begin({}, true).get('classifier.weight')!.data;
    expect(begin({}, true).get('classifier.weight')!.data).toEqual(first);
    expect(begin({}, true, 2).get('classifier.weight')!.data).not.toEqual(first);
  });
});
