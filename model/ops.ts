/**
 * The abstract operations of a BERT-family classifier. `forward.ts` is written once over them; the training graph,
 * the float reference and the exporter's compiler each implement them.
 *
 * Legend of shapes, used everywhere: B batch, L length, H hidden, A heads, D head size (H = A·D), F feed-forward,
 * V vocabulary, P positions, C labels. Row vectors multiply from the left: y = x·Wᵀ + b with W (out, in) as stored by
 * Hugging Face.
 */
import type { HiddenAct, SoftmaxAct } from './config.ts';

/** How the attention weights are made from scores. `c` is one value per head (2Quad family), already resolved for the layer. */
export interface Normaliser {
  readonly act: SoftmaxAct;
  /** (A) shift inside the square; empty for softmax and 2relu. */
  readonly c: readonly number[];
}

/**
 * `T` is one tensor (a graph node, an array, a traced value). Parameters are named as in Hugging Face checkpoints with
 * the `bert.` prefix; a layer is passed by the name without `.weight` / `.bias`.
 */
export interface Ops<T> {
  /** word + position + token-type embedding of the model's inputs: (B, L, H). Positions are 0..L-1 whatever the mask. */
  embed(prefix: string): T;
  /** γ·(x − mean)/√(var + ε) + β over the last axis, biased variance, ε inside the root. */
  layerNorm(x: T, name: string, eps: number): T;
  /** x·Wᵀ + b. */
  linear(x: T, name: string): T;
  /** Q·Kᵀ/√D per head from (B, L, H): (B, A, L, L), before any mask. One query for each text, q (B, H): (B, A, 1, L). */
  scores(q: T, k: T, heads: number): T;
  /** Attention weights over keys; masked keys get exactly 0. */
  normalise(scores: T, normaliser: Normaliser): T;
  /** weights·V with heads merged: (B, L, H); (B, H) for the weights (B, A, 1, L) of one query. */
  context(weights: T, v: T, heads: number): T;
  activation(x: T, act: HiddenAct): T;
  add(x: T, y: T): T;
  /** Row 0 of every text: (B, H). */
  firstToken(x: T): T;
  tanh(x: T): T;
  /** Identity except while training with dropout; `site` is a stable name keyed into the counter-based generator. */
  dropout(x: T, rate: number, site: string): T;
  /** Announces an intermediate by its public name (`hidden.0`, `scores.0`, `probs.0`, `ffn.0`, `pooled`, …). */
  probe(name: string, x: T): void;
}
