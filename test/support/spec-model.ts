/** The specification's tiny float model under Hugging Face names: W transposed to (out, in). */
import { join } from 'node:path';
import type { ModelConfig } from '../../model/config.ts';
import { readJson, readTensors } from './spec-program.ts';

interface TinyConfig {
  readonly H: number;
  readonly A: number;
  readonly F: number;
  readonly V: number;
  readonly layers: number;
  readonly labels: number;
  readonly positions: number;
  readonly L: number;
  readonly shortest: number;
  readonly eps: number;
  readonly plan_defaults: Readonly<Record<string, unknown>>;
  readonly plan_overrides: Readonly<Record<string, unknown>>;
}

export interface SpecModel {
  readonly config: ModelConfig;
  readonly tensors: Map<string, { shape: readonly number[]; data: Float32Array }>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly lengths: readonly [number, number];
  readonly calibration: { ids: number[]; types: number[] }[];
}

export function specModel(dir: string): SpecModel {
  const c = readJson<TinyConfig>(join(dir, 'config.json'));
  const given = readTensors(join(dir, 'weights.safetensors'));
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const put = (to: string, from: string, transpose = false): void => {
    const { shape, data } = given.get(from)!;
    if (!transpose) {
      tensors.set(to, { shape, data: Float32Array.from(data) });
      return;
    }
    const [r, k] = shape as [number, number];
    const out = new Float32Array(r * k);
    for (let i = 0; i < r; i++) for (let j = 0; j < k; j++) out[j * r + i] = data[i * k + j]!;
    tensors.set(to, { shape: [k, r], data: out });
  };
  const dense = (to: string, W: string, b: string): void => {
    put(`${to}.weight`, W, true);
    put(`${to}.bias`, b);
  };
  const e = 'bert.embeddings';
  put(`${e}.word_embeddings.weight`, 'embeddings.word');
  put(`${e}.position_embeddings.weight`, 'embeddings.position');
  put(`${e}.token_type_embeddings.weight`, 'embeddings.token_type');
  put(`${e}.LayerNorm.weight`, 'embeddings.ln.gamma');
  put(`${e}.LayerNorm.bias`, 'embeddings.ln.beta');
  const shift: number[][] = [];
  for (let l = 0; l < c.layers; l++) {
    const to = `bert.encoder.layer.${l}`;
    const from = (name: string): string => `layer.${l}.${name}`;
    for (const [name, t] of [
      ['query', 'q'],
      ['key', 'k'],
      ['value', 'v'],
    ] as const)
      // prettier-ignore
      dense(`${to}.attention.self.${name}`, from(`W${t}`), from(`b${t}`));
    dense(`${to}.attention.output.dense`, from('Wo'), from('bo'));
    dense(`${to}.intermediate.dense`, from('Wi'), from('bi'));
    dense(`${to}.output.dense`, from('Wd'), from('bd'));
    for (const [name, key] of [
      ['attention.output', 'ln1'],
      ['output', 'ln2'],
    ] as const) {
      // prettier-ignore
      put(`${to}.${name}.LayerNorm.weight`, from(`${key}g`));
      put(`${to}.${name}.LayerNorm.bias`, from(`${key}b`));
    }
    shift.push([...given.get(from('c'))!.data]);
  }
  dense('bert.pooler.dense', 'pooler.W', 'pooler.b');
  dense('classifier', 'classifier.W', 'classifier.b');
  const config: ModelConfig = {
    model_type: 'bert',
    hidden_size: c.H,
    num_attention_heads: c.A,
    num_hidden_layers: c.layers,
    intermediate_size: c.F,
    vocab_size: c.V,
    max_position_embeddings: c.positions,
    type_vocab_size: 2,
    layer_norm_eps: c.eps,
    hidden_act: 'gelu',
    softmax_act: c.plan_overrides['normaliser'] as '2quad' | '2quad_centred',
    softmax_c: shift,
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    num_labels: c.labels,
    labels: Array.from({ length: c.labels }, (_, i) => `LABEL_${i}`),
  };
  const inputs = readJson<{ ids: number[]; types: number[]; mask: number[] }[]>(join(dir, 'calibration.json'));
  const calibration = inputs.map(({ ids, types, mask }) => {
    const n = mask.reduce((a, b) => a + b, 0);
    return { ids: ids.slice(0, n), types: types.slice(0, n) };
  });
  return {
    config,
    tensors,
    options: { ...c.plan_defaults, ...c.plan_overrides },
    lengths: [c.shortest, c.L],
    calibration,
  };
}
