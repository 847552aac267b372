import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { readSafetensors, type Safetensors, type Tensor } from '../../checkpoints/index.ts';
import { HIDDEN_ACTS, SOFTMAX_ACTS, type HiddenAct, type ModelConfig, type SoftmaxAct } from '../../model/config.ts';

export interface CaseJson {
  readonly config: Pick<
    ModelConfig,
    | 'hidden_size'
    | 'num_attention_heads'
    | 'intermediate_size'
    | 'vocab_size'
    | 'max_position_embeddings'
    | 'type_vocab_size'
    | 'num_hidden_layers'
    | 'layer_norm_eps'
  > & { readonly num_labels?: number };
  readonly normaliser: string;
  readonly activation: string;
  readonly c_quad?: number;
  readonly tolerance: Readonly<Record<string, { readonly float32: number }>>;
}

/** A golden case folder: `case.json` and its tensors. */
export class GoldenCase<J> {
  readonly json: J;
  readonly #tensors: Safetensors;

  private constructor(json: J, tensors: Safetensors) {
    this.json = json;
    this.#tensors = tensors;
  }

  static async read<J>(folder: string): Promise<GoldenCase<J>> {
    const json = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as J;
    return new GoldenCase(json, await readSafetensors(join(folder, 'tensors.safetensors')));
  }

  get names(): string[] {
    return [...this.#tensors.tensors.keys()];
  }

  /** Any numeric tensor, as float64. */
  get(name: string): { shape: readonly number[]; data: Float64Array } {
    const tensor = this.#tensors.tensors.get(name);
    if (tensor === undefined) throw new Error(`no tensor ${name}`);
    return { shape: tensor.shape, data: Float64Array.from(tensor.data as Iterable<number | bigint>, Number) };
  }

  /** Float32 tensors whose names begin with a prefix, by the rest of the name. */
  weights(prefix: string): Map<string, Tensor> {
    const found = new Map<string, Tensor>();
    for (const [name, { shape, data }] of this.#tensors.tensors) {
      if (!name.startsWith(prefix)) continue;
      if (!(data instanceof Float32Array)) throw new Error(`${name} is not float32`);
      found.set(name.slice(prefix.length), { shape, data });
    }
    if (found.size === 0) throw new Error(`no tensor ${prefix}*`);
    return found;
  }

  /** The model's inputs, (batch, length). */
  batch(prefix = 'input.'): { batch: number; length: number; ids: Int32Array; types: Int32Array; mask: Int32Array } {
    const read = (name: string): Int32Array => Int32Array.from(this.get(prefix + name).data);
    const [batch, length] = this.get(`${prefix}input_ids`).shape as [number, number];
    return { batch, length, ids: read('input_ids'), types: read('token_type_ids'), mask: read('attention_mask') };
  }
}

/** The configuration a case describes. Throws on a normaliser or activation the model does not have. */
export function caseConfig(json: CaseJson): ModelConfig {
  if (!SOFTMAX_ACTS.includes(json.normaliser as SoftmaxAct)) throw new Error(`unknown normaliser ${json.normaliser}`);
  if (!HIDDEN_ACTS.includes(json.activation as HiddenAct)) throw new Error(`unknown activation ${json.activation}`);
  const labels = json.config.num_labels ?? 2;
  return {
    ...json.config,
    num_labels: labels,
    model_type: 'bert',
    hidden_act: json.activation as HiddenAct,
    softmax_act: json.normaliser as SoftmaxAct,
    softmax_c: json.c_quad ?? 5,
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    labels: Array.from({ length: labels }, (_, i) => `LABEL_${i}`),
  };
}

/** Largest |actual − expected| against an absolute tolerance; lengths must agree and nothing may be NaN. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number | undefined,
  what: string,
): void {
  if (tolerance === undefined) throw new Error(`${what}: no tolerance given`);
  expect(actual.length, `${what}: number of values`).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = difference;
  }
  expect(worst, `${what}: largest difference`).toBeLessThanOrEqual(tolerance);
}
