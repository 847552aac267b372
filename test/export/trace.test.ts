/** What can be exported, and what calibration sees. */
import { describe, expect, it } from 'vitest';
import { RefusedError } from '../../common/errors.ts';
import { sample } from '../../export/calibrate.ts';
import { recognise, structure, trace, type Traced } from '../../export/trace.ts';
import { HIDDEN_ACTS, SOFTMAX_ACTS, type ModelConfig } from '../../model/config.ts';

const config = (fields: Partial<ModelConfig> = {}): ModelConfig => ({
  model_type: 'bert',
  hidden_size: 8,
  num_attention_heads: 2,
  num_hidden_layers: 2,
  intermediate_size: 16,
  vocab_size: 30,
  max_position_embeddings: 12,
  type_vocab_size: 2,
  layer_norm_eps: 1e-12,
  hidden_act: 'gelu',
  softmax_act: '2quad_centred',
  softmax_c: 3,
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
  num_labels: 2,
  labels: ['n', 'p'],
  ...fields,
});

describe('structure', () => {
  it('names every parameter of a layer', () => {
    const s = structure(config());
    expect(s.layers).toHaveLength(2);
    expect(s.layers[1]).toEqual({
      query: 'bert.encoder.layer.1.attention.self.query',
      key: 'bert.encoder.layer.1.attention.self.key',
      value: 'bert.encoder.layer.1.attention.self.value',
      normaliser: { act: '2quad_centred', c: [3, 3] },
      output: 'bert.encoder.layer.1.attention.output.dense',
      norm1: 'bert.encoder.layer.1.attention.output.LayerNorm',
      inner: 'bert.encoder.layer.1.intermediate.dense',
      act: 'gelu',
      outer: 'bert.encoder.layer.1.output.dense',
      norm2: 'bert.encoder.layer.1.output.LayerNorm',
    });
    expect([s.embeddings, s.embeddingNorm, s.pooler, s.classifier]).toEqual(['bert.embeddings', 'bert.embeddings.LayerNorm', 'bert.pooler.dense', 'classifier']); // prettier-ignore
  });

  it.each(SOFTMAX_ACTS.filter((act) => !act.startsWith('2quad')))('refuses %s, with the remedy', (softmax_act) => {
    expect(() => structure(config({ softmax_act }))).toThrow(RefusedError);
    expect(() => structure(config({ softmax_act }))).toThrow(softmax_act);
  });

  it.each(HIDDEN_ACTS.filter((act) => !act.startsWith('gelu')))('refuses %s', (hidden_act) => {
    expect(() => structure(config({ hidden_act }))).toThrow(RefusedError);
  });

  it('refuses a graph that is not the one it folds', () => {
    const swap = (node: Traced, from: (n: Traced) => boolean, to: (n: Traced) => Traced): Traced =>
      from(node) ? to(node) : { ...node, in: node.in.map((n) => swap(n, from, to)) };
    const logits = trace(config());
    const first = (n: Traced): Traced => n.in[0]!;
    const without = (kind: Traced['kind']): Traced => swap(logits, (n) => n.kind === kind, first);
    for (const kind of ['tanh', 'normalise', 'activation', 'add', 'firstToken'] as const)
      expect(() => recognise(without(kind)), kind).toThrow(RefusedError);
  });
});

describe('calibration sample', () => {
  const text = (length: number): { ids: number[]; types: number[] } => ({
    ids: [101, ...Array.from({ length: length - 2 }, (_, i) => 1000 + i), 102],
    types: Array.from({ length }, () => 0),
  });
  const texts = Array.from({ length: 100 }, (_, i) => text(10 + (i % 40)));

  it('half are the longest, the rest a seeded choice, and short texts are added', () => {
    const s = sample(texts, 20, 1);
    const lengths = s.encodings.map((e) => e.ids.length);
    expect(lengths.slice(0, 10)).toEqual([...texts].map((t) => t.ids.length).toSorted((a, b) => b - a).slice(0, 10)); // prettier-ignore
    expect([s.shortest, s.longest]).toEqual([3, 49]);
    for (let length = 3; length <= 8; length++) expect(lengths.filter((n) => n === length)).toHaveLength(16);
    for (const e of s.encodings) expect([e.ids[0], e.ids.at(-1), e.types.length]).toEqual([101, 102, e.ids.length]);
    expect(sample(texts, 20, 1)).toEqual(s);
    expect(sample(texts, 20, 2).encodings).not.toEqual(s.encodings);
  });

  it('refuses no texts, and a maximal length nothing is known about', () => {
    expect(() => sample([], 20, 1)).toThrow(RefusedError);
    expect(() => sample(texts, 20, 1, 64)).toThrow('--max-length asks for 64');
    expect(sample(texts, 20, 1, 49).longest).toBe(49);
  });
});
