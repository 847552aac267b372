/** The part of a Hugging Face `config.json` that decides what a BERT-family classifier computes. */

export const HIDDEN_ACTS = ['gelu', 'gelu_new', 'relu', 'quad'] as const;
export type HiddenAct = (typeof HIDDEN_ACTS)[number];

/**
 * softmax; 2quad: m(s+c)²/Σ (MPCFormer, SecFormer); 2quad_centred: the same on s − mean over real keys; 2relu:
 * m(relu(s)+ε/L)/(Σ m relu(s)+ε), ε = 1e-12 (MPCFormer).
 */
export const SOFTMAX_ACTS = ['softmax', '2quad', '2quad_centred', '2relu'] as const;
export type SoftmaxAct = (typeof SOFTMAX_ACTS)[number];

/** One shift for the whole model, or one per layer (outer) and head (inner). */
export type SoftmaxC = number | readonly (readonly number[])[];

/** Field names are those of the file. */
export interface ModelConfig {
  readonly model_type: 'bert';
  readonly hidden_size: number;
  readonly num_attention_heads: number;
  readonly num_hidden_layers: number;
  readonly intermediate_size: number;
  readonly vocab_size: number;
  readonly max_position_embeddings: number;
  readonly type_vocab_size: number;
  readonly layer_norm_eps: number;
  readonly hidden_act: HiddenAct;
  readonly softmax_act: SoftmaxAct;
  readonly softmax_c: SoftmaxC;
  readonly hidden_dropout_prob: number;
  readonly attention_probs_dropout_prob: number;
  /** Number of labels C; 1 means regression. */
  readonly num_labels: number;
  /** C names, index = class. */
  readonly labels: readonly string[];
}

/** The shift of layer `l`, one number per head; empty where the normaliser has none. */
export function softmaxShift(config: ModelConfig, l: number): readonly number[] {
  if (config.softmax_act !== '2quad' && config.softmax_act !== '2quad_centred') return [];
  const c = config.softmax_c;
  return typeof c === 'number' ? new Array<number>(config.num_attention_heads).fill(c) : c[l]!;
}
