import { describe, expect, it } from 'vitest';
import { createEngine } from '../../engine/onnxruntime.ts';
import { evaluationOf, measureRanges } from '../../train/report/measure.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

describe('answers on dev data', () => {
  const logits = (...rows: number[][]): Float32Array[] => rows.map((row) => Float32Array.from(row));

  it('are counted by actual and predicted class', () => {
    const z = logits([1, 0, 0], [0, 2, 0], [0, 2, 1], [0, 0, 3]);
    expect(evaluationOf(z, [0, 0, 1, 1], ['a', 'b', 'c'])).toEqual({
      kind: 'classes',
      labels: ['a', 'b', 'c'],
      confusion: [
        [1, 1, 0],
        [0, 1, 1],
        [0, 0, 0],
      ],
    });
  });

  it('are pairs for a regression, an even sample of many', () => {
    expect(evaluationOf(logits([1.5], [2]), [1, 3], ['score'])).toEqual({
      kind: 'scores',
      pairs: [
        [1, 1.5],
        [3, 2],
      ],
    });
    const many = Array.from({ length: 5000 }, (_, i) => i);
    const evaluation = evaluationOf(logits(...many.map((i) => [i + 0.5])), many, ['score']);
    if (evaluation.kind !== 'scores') throw new Error('not scores');
    expect(evaluation.pairs.length).toBe(2000);
    expect(evaluation.pairs.slice(0, 3)).toEqual([
      [0, 0.5],
      [2, 2.5],
      [5, 5.5],
    ]);
    expect(evaluation.pairs.at(-1)).toEqual([4997, 4997.5]);
  });
});

describe('activation ranges', () => {
  it('are of real tokens only, over all batches', async () => {
    const config = tinyConfig({ softmax_act: '2quad_centred', softmax_c: 2 });
    const tensors = tinyTensors(config);
    // Without weights the input of the activation is its bias, and all scores are those of the query and key biases.
    for (const [name, { data }] of tensors) if (/(intermediate\.dense|query|key)\.weight$/.test(name)) data.fill(0);
    for (const [name, { data }] of tensors) if (name.endsWith('query.bias')) data.fill(2);
    for (const [name, { data }] of tensors) if (name.endsWith('key.bias')) data.fill(3);
    const encodings = [3, 9, 4, 12, 5].map((n) => ({
      ids: Array.from({ length: n }, (_, i) => 2 + i),
      types: Array<number>(n).fill(0),
    }));
    const engine = createEngine({ threads: 1 });
    const ranges = await measureRanges({ config, tensors }, encodings, engine, { padId: 0 });
    expect(ranges.length).toBe(5 * config.num_hidden_layers);
    const size = config.hidden_size / config.num_attention_heads;
    for (const { wire, layer, min, max, interval } of ranges) {
      if (wire === 'input of the activation') {
        const bias = tensors.get(`bert.encoder.layer.${layer}.intermediate.dense.bias`)!.data;
        expect([min, max]).toEqual([Math.min(...bias), Math.max(...bias)]);
        expect(interval).toEqual([-5, 4]);
      } else if (wire === 'attention scores') {
        // size · 2 · 3 / √size, in float32.
        expect(min).toBeCloseTo(6 * Math.sqrt(size), 4);
        expect(max).toBeCloseTo(6 * Math.sqrt(size), 4);
      } else if (wire.startsWith('log₂ of the 2Quad')) {
        // Equal scores less their mean are 0: D/n = c², which is 25 where c is 5.
        expect(min).toBeCloseTo(Math.log2(25), 4);
        expect(max).toBeCloseTo(Math.log2(25), 4);
      }
    }
  });

  it('give the variances that both LayerNorms divide by', async () => {
    const config = tinyConfig();
    const tensors = tinyTensors(config);
    // Neither part adds anything to the residual stream: each LayerNorm sees what the one before gave, of variance γ².
    for (const [name, { data }] of tensors) if (/\.output\.dense\./.test(name)) data.fill(0);
    const norms = ['bert.embeddings.LayerNorm'];
    for (let layer = 0; layer < config.num_hidden_layers; layer++)
      for (const part of ['attention.output', 'output']) norms.push(`bert.encoder.layer.${layer}.${part}.LayerNorm`);
    norms.forEach((name, i) => {
      tensors.get(`${name}.weight`)!.data.fill(3 * 2 ** i);
      tensors.get(`${name}.bias`)!.data.fill(0.5 - i);
    });
    const encodings = [3, 9, 4].map((n) => ({
      ids: Array.from({ length: n }, (_, i) => 2 + i),
      types: Array<number>(n).fill(0),
    }));
    const ranges = await measureRanges({ config, tensors }, encodings, createEngine({ threads: 1 }), { padId: 0 });
    const variances = ranges.filter(({ wire }) => wire.includes('variance'));
    expect(variances.map(({ wire, layer }) => [wire.split(' ').at(-1), layer])).toEqual(
      Array.from({ length: config.num_hidden_layers }, (_, layer) => [
        ['attention', layer],
        ['part', layer],
      ]).flat(),
    );
    variances.forEach(({ min, max, interval }, i) => {
      expect(interval).toEqual([null, 4]);
      // A variance of γ² but for the first LayerNorm's ε, over its own variance, and float32's rounding.
      expect(min).toBeCloseTo(2 * Math.log2(3 * 2 ** i), 4);
      expect(max).toBeCloseTo(2 * Math.log2(3 * 2 ** i), 4);
    });
  });

  it('look at no more texts than told', async () => {
    const config = tinyConfig();
    const tensors = tinyTensors(config);
    const encodings = Array.from({ length: 40 }, (_, i) => ({ ids: [2, 5 + (i % 12), 3], types: [0, 0, 0] }));
    const engine = createEngine({ threads: 1 });
    const few = await measureRanges({ config, tensors }, encodings, engine, { padId: 0, texts: 1 });
    const one = await measureRanges({ config, tensors }, encodings.slice(0, 1), engine, { padId: 0 });
    const all = await measureRanges({ config, tensors }, encodings, engine, { padId: 0 });
    expect(few).toEqual(one);
    expect(few.every((range, i) => range.min >= all[i]!.min && range.max <= all[i]!.max)).toBe(true);
    expect(few).not.toEqual(all);
  });
});
