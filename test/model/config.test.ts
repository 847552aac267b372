import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
import { configJson, HIDDEN_ACTS, parseConfig, SOFTMAX_ACTS, softmaxShift } from '../../model/config.ts';
import { parameterCount, parameterShapes } from '../../model/names.ts';

/** bert-base-uncased's config.json. */
const BASE = {
  architectures: ['BertForMaskedLM'],
  attention_probs_dropout_prob: 0.1,
  gradient_checkpointing: false,
  hidden_act: 'gelu',
  hidden_dropout_prob: 0.1,
  hidden_size: 768,
  initializer_range: 0.02,
  intermediate_size: 3072,
  layer_norm_eps: 1e-12,
  max_position_embeddings: 512,
  model_type: 'bert',
  num_attention_heads: 12,
  num_hidden_layers: 12,
  pad_token_id: 0,
  position_embedding_type: 'absolute',
  type_vocab_size: 2,
  use_cache: true,
  vocab_size: 30522,
};
const parse = (change: object = {}): ReturnType<typeof parseConfig> =>
  parseConfig({ ...BASE, ...change }, 'DIR/config.json');

describe('parseConfig', () => {
  it("reads bert-base-uncased, with Hugging Face's two labels", () => {
    expect(parse()).toEqual({
      model_type: 'bert',
      hidden_size: 768,
      num_attention_heads: 12,
      num_hidden_layers: 12,
      intermediate_size: 3072,
      vocab_size: 30522,
      max_position_embeddings: 512,
      type_vocab_size: 2,
      layer_norm_eps: 1e-12,
      hidden_act: 'gelu',
      softmax_act: 'softmax',
      softmax_c: 5,
      hidden_dropout_prob: 0.1,
      attention_probs_dropout_prob: 0.1,
      num_labels: 2,
      labels: ['LABEL_0', 'LABEL_1'],
    });
  });

  it('takes classes from id2label in numeric order, whatever the order of the file', () => {
    const names = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [String(11 - i), `class ${11 - i}`]));
    const { labels, num_labels } = parse({ id2label: names });
    expect(num_labels).toBe(12);
    expect(labels).toEqual(Array.from({ length: 12 }, (_, i) => `class ${i}`));
  });

  it('takes num_labels, label2id, and a default label2id beside a given id2label', () => {
    expect(parse({ num_labels: 1, problem_type: 'regression' }).labels).toEqual(['LABEL_0']);
    expect(parse({ label2id: { bad: 0, good: 1 } }).labels).toEqual(['bad', 'good']);
    expect(parse({ id2label: { 0: 'a', 1: 'b' }, label2id: { LABEL_0: 0, LABEL_1: 1 } }).labels).toEqual(['a', 'b']);
  });

  it('gives the published shift where none is given, and one per layer and head where given', () => {
    expect(softmaxShift(parse({ softmax_act: '2quad' }), 3)).toEqual(Array.from({ length: 12 }, () => 5));
    const c = Array.from({ length: 12 }, (_, l) => Array.from({ length: 12 }, (__, a) => l + a / 16));
    expect(softmaxShift(parse({ softmax_act: '2quad_centred', softmax_c: c }), 3)).toEqual(c[3]);
    expect(softmaxShift(parse({ softmax_act: '2relu' }), 3)).toEqual([]);
  });

  it.each([
    ['model_type', { model_type: 'roberta' }, 'BERT-family'],
    ['model_type', { model_type: undefined }, '"model_type": "bert"'],
    ['position_embedding_type', { position_embedding_type: 'relative_key_query' }, 'absolute'],
    ['is_decoder', { is_decoder: true }, 'encoder'],
    ['add_cross_attention', { add_cross_attention: true }, 'encoder'],
    ['pruned_heads', { pruned_heads: { 0: [1] } }, 'pruning'],
    ['hidden_act', { hidden_act: 'gelu_fast' }, 'hidden_act'],
    ['softmax_act', { softmax_act: '2QUAD' }, 'softmax_act'],
    ['softmax_c', { softmax_c: [[1, 2]] }, 'one number'],
    ['softmax_c', { softmax_act: 'softmax', softmax_c: Array.from({ length: 12 }, () => [1]) }, 'one number'],
    ['softmax_c', { softmax_c: 'five' }, 'softmax_c'],
    ['hidden_size', { hidden_size: 0 }, 'hidden_size'],
    ['hidden_size', { hidden_size: 767.5 }, 'hidden_size'],
    ['hidden_size', { hidden_size: undefined }, 'hidden_size'],
    ['num_hidden_layers', { num_hidden_layers: 1e9 }, 'num_hidden_layers'],
    ['num_labels', { num_labels: 1e15 }, 'num_labels'],
    ['vocab_size', { vocab_size: '30522' }, 'vocab_size'],
    ['layer_norm_eps', { layer_norm_eps: 0 }, 'layer_norm_eps'],
    ['hidden_dropout_prob', { hidden_dropout_prob: 1 }, 'hidden_dropout_prob'],
    ['num_attention_heads', { num_attention_heads: 7 }, 'hidden_size'],
    ['num_labels', { num_labels: 3, id2label: { 0: 'a', 1: 'b' } }, 'agree'],
    ['id2label', { id2label: { 0: 'a', 2: 'b' } }, 'each once'],
    ['id2label', { id2label: { 0: 'a', 1: 'a' } }, 'each once'],
    ['id2label', { id2label: {} }, 'each once'],
    ['label2id', { id2label: { 0: 'a', 1: 'b' }, label2id: { a: 1, b: 0 } }, 'agree'],
    ['label2id', { label2id: { a: 0, b: 5 } }, 'agree'],
    ['problem_type', { problem_type: 'multi_label_classification' }, 'problem_type'],
    ['problem_type', { problem_type: 'regression' }, 'id2label'],
    ['problem_type', { problem_type: 'single_label_classification', num_labels: 1 }, 'id2label'],
  ])('refuses a wrong %s: %j', (field, change, hint) => {
    let error: unknown;
    try {
      parse(change);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(InputError);
    const { message, hint: remedy } = error as InputError;
    expect(message.startsWith(`DIR/config.json: ${field}`), message).toBe(true);
    expect(remedy).toContain(hint);
  });

  it.each([HIDDEN_ACTS, SOFTMAX_ACTS])('names every legal value: %s …', (...values) => {
    const field = values.includes('gelu' as never) ? 'hidden_act' : 'softmax_act';
    for (const value of values) {
      expect(() => parse({ [field]: 'other' })).toThrow(value);
      expect(parse({ [field]: value })).toMatchObject({ [field]: value });
    }
  });

  it.each([null, [], 'bert', 3])('refuses %j, which is no object', (json) => {
    expect(() => parseConfig(json, 'f')).toThrow(InputError);
  });
});

describe('configJson', () => {
  it('comes back from parseConfig as it was', () => {
    const labels = fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 5 });
    const heads = fc.integer({ min: 1, max: 4 });
    fc.assert(
      fc.property(
        labels,
        heads,
        fc.constantFrom(...SOFTMAX_ACTS),
        fc.constantFrom(...HIDDEN_ACTS),
        (names, a, softmax_act, hidden_act) => {
          const config = parse({
            id2label: Object.fromEntries(names.map((name, i) => [i, name])),
            num_attention_heads: a,
            num_hidden_layers: 2,
            softmax_act,
            hidden_act,
            softmax_c: [0, 1].map((l) => Array.from({ length: a }, (_, head) => l - head / 3)),
            classifier_dropout: 0.25,
          });
          expect(parseConfig(JSON.parse(JSON.stringify(configJson(config))), 'f')).toEqual(config);
        },
      ),
    );
  });

  it('is complete for transformers, keeps unknown fields, and drops what no longer holds', () => {
    const json = configJson(parse({ id2label: { 0: 'no', 1: 'yes' } }), {
      ...BASE,
      finetuning_task: 'polarity',
      torch_dtype: 'float64',
      num_labels: 7,
      softmax_c: 3,
    });
    expect(json).toMatchObject({
      architectures: ['BertForSequenceClassification'],
      model_type: 'bert',
      id2label: { 0: 'no', 1: 'yes' },
      label2id: { no: 0, yes: 1 },
      problem_type: 'single_label_classification',
      softmax_act: 'softmax',
      finetuning_task: 'polarity',
      pad_token_id: 0,
    });
    for (const field of ['torch_dtype', 'num_labels', 'softmax_c', 'labels']) expect(json).not.toHaveProperty(field);
  });
});

describe('parameterShapes', () => {
  it('counts the 109,483,778 parameters of BERT-base with a two-class head', () => {
    // 109,482,240 of BertModel (transformers: model.num_parameters()), and 768·2 + 2.
    expect(parameterCount(parse())).toBe(109_482_240 + 1_538);
    expect(parameterShapes(parse()).size).toBe(5 + 12 * 16 + 4);
  });

  it('gives weights as (out, in)', () => {
    const shapes = parameterShapes(parse({ num_labels: 3 }));
    expect(shapes.get('bert.encoder.layer.11.intermediate.dense.weight')).toEqual([3072, 768]);
    expect(shapes.get('bert.encoder.layer.0.output.dense.weight')).toEqual([768, 3072]);
    expect(shapes.get('classifier.weight')).toEqual([3, 768]);
    expect(shapes.get('bert.embeddings.position_embeddings.weight')).toEqual([512, 768]);
  });
});
