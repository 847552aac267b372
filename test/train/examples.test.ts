import { describe, expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
import type { Dataset } from '../../data/read.ts';
import { Tokenizer, tokenizerJsonFromVocab } from '../../data/tokenizer.ts';
import { measure } from '../../train/evaluate.ts';
import { prepare } from '../../train/examples.ts';
import { withHead } from '../../train/head.ts';
import { argmax, predict, probabilities } from '../../train/predict.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { TINY_VOCAB, tinyConfig, tinyTensors } from '../support/tiny-model.ts';

const tokenizer = new Tokenizer(tokenizerJsonFromVocab([...TINY_VOCAB], {}, 'vocab'), {}, 'vocab');
const data = (...labels: (string | undefined)[]): Dataset => ({
  examples: labels.map((label, i) => ({
    text: `a ${'very '.repeat(i)}good film`,
    ...(label === undefined ? {} : { label }),
  })),
  hash: '0'.repeat(64),
  source: 'made up',
});

describe('preparing data', () => {
  const how = { labels: ['negative', 'positive'], regression: false, maxLength: 16, needLabels: true };
  it('reads classes by name and by number', () => {
    expect(prepare(data('positive', '0', '1'), tokenizer, how).targets).toEqual([1, 0, 1]);
    expect(() => prepare(data('neutral'), tokenizer, how)).toThrow("label 'neutral' is none of the classes");
    expect(() => prepare(data('2'), tokenizer, how)).toThrow(InputError);
  });
  it('reads scores', () => {
    expect(prepare(data('1.5', '-2'), tokenizer, { ...how, regression: true }).targets).toEqual([1.5, -2]);
    expect(() => prepare(data('good'), tokenizer, { ...how, regression: true })).toThrow('is no score');
  });
  it('cuts long texts and counts them', () => {
    const { encodings, truncated } = prepare(data('0', '0', '1'), tokenizer, { ...how, maxLength: 6 });
    // [CLS] a good film [SEP]; with "very" once 6 tokens; twice 7, cut.
    expect(encodings.map(({ ids }) => ids.length)).toEqual([5, 6, 6]);
    expect(truncated).toBe(1);
  });
  it('takes texts without labels where none are needed', () => {
    expect(prepare(data(undefined, undefined), tokenizer, { ...how, needLabels: false }).targets).toBeUndefined();
    expect(() => prepare(data(undefined), tokenizer, how)).toThrow(InputError);
  });
});

describe('a new head', () => {
  const config = tinyConfig();
  const base = { config, tensors: tinyTensors(config), missing: [] as string[] };
  it('is made where labels differ, by seed', () => {
    const three = withHead(base, ['a', 'b', 'c'], 3);
    expect(three.made).toEqual(['classifier']);
    expect(three.tensors.get('classifier.weight')!.shape).toEqual([3, 12]);
    expect([...three.tensors.get('classifier.bias')!.data]).toEqual([0, 0, 0]);
    const weight = (seed: number) => withHead(base, ['a', 'b', 'c'], seed).tensors.get('classifier.weight')!.data;
    expect(weight(3)).toEqual(weight(3));
    expect(weight(3)).not.toEqual(weight(4));
  });
  it('is not made where the labels are those of the model', () => {
    expect(withHead(base, ['negative', 'positive'], 1).made).toEqual([]);
    expect(withHead(base, ['positive', 'negative'], 1).made).toEqual(['classifier']);
  });
  it('replaces what a base model lacks', () => {
    const missing = ['bert.pooler.dense.weight', 'bert.pooler.dense.bias', 'classifier.weight', 'classifier.bias'];
    expect(withHead({ ...base, missing }, ['a', 'b'], 1).made).toEqual(['bert.pooler.dense', 'classifier']);
  });
});

describe('predictions', () => {
  it('come in the order of the texts, whatever their batch', async () => {
    const config = tinyConfig();
    const model = { config, tensors: tinyTensors(config) };
    const lengths = [9, 3, 12, 5, 4, 12, 7];
    const encodings = lengths.map((n, i) => ({
      ids: Array.from({ length: n }, (_, k) => 5 + ((i + k * k) % 12)),
      types: Array<number>(n).fill(0),
    }));
    const engine = createEngine({ threads: 1 });
    const together = await predict(model, encodings, engine);
    for (const [i, encoding] of encodings.entries()) {
      const [alone] = await predict(model, [encoding], engine);
      together[i]!.forEach((z, k) => expect(z).toBeCloseTo(alone![k]!, 4));
    }
    expect(new Set(together.map((z) => z[0]!.toFixed(4))).size).toBe(lengths.length);
  });

  it('are turned into classes and probabilities', () => {
    expect(argmax([1, 3, 3])).toBe(1);
    expect(probabilities([1000, 1000])).toEqual([0.5, 0.5]);
    expect(probabilities([0, Math.log(3)]).map((p) => Math.round(p * 1e9) / 1e9)).toEqual([0.25, 0.75]);
  });

  it('are measured by every metric that fits', () => {
    const two = measure([Float32Array.of(0, Math.log(3)), Float32Array.of(0, 0)], [1, 1]);
    expect(Object.keys(two).toSorted()).toEqual(['accuracy', 'f1', 'loss', 'matthews']);
    expect(two['accuracy']!.value).toBe(0.5);
    // −(ln 3/4 + ln 1/2)/2
    expect(two['loss']!.value).toBeCloseTo((Math.log(4 / 3) + Math.log(2)) / 2, 6);
    const one = measure([Float32Array.of(1), Float32Array.of(2)], [3, 5]);
    expect(one['pearson']!.value).toBeCloseTo(1, 12);
    expect(one['loss']!.value).toBe((4 + 9) / 2);
    expect(() => measure([Float32Array.of(Number.NaN)], [1])).toThrow(InputError);
    expect(() => measure([Float32Array.of(0, Number.NaN)], [1])).toThrow(InputError);
  });
});
