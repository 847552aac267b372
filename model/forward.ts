/** The forward pass of a BERT-family sequence classifier (Devlin et al. 2018), written once over abstract operations. */
import type { ModelConfig } from './config.ts';
import { softmaxShift } from './config.ts';
import type { Ops } from './ops.ts';

export interface ForwardOptions {
  /**
   * Compute of the last layer, from its queries on, only the row of each text's first token, which is all that the logits
   * read: the same logits for less work. Its tensors lose their axis of tokens, in probes and dropout
   * sites too. Off by default: the probes are of all tokens.
   */
  readonly firstTokenOnly?: boolean;
}

/**
 * Logits (B, C). Probes, in order: `hidden.0` (embedding output), then per layer l `scores.l` (B, A, L, L), `probs.l`,
 * `context.l`, `attention.pre.l` and `attention.l` (before and after its LayerNorm), `ffn.l` (before the activation,
 * B, L, F), `hidden.pre.{l+1}` and `hidden.{l+1}` (before and after the LayerNorm of the output); `pooled.pre`, `pooled`,
 * `logits`.
 */
export function forward<T>(ops: Ops<T>, config: ModelConfig, { firstTokenOnly = false }: ForwardOptions = {}): T {
  const heads = config.num_attention_heads;
  const eps = config.layer_norm_eps;
  const hiddenDropout = config.hidden_dropout_prob;
  const attentionDropout = config.attention_probs_dropout_prob;
  const seen = (name: string, x: T): T => (ops.probe(name, x), x);

  let h = ops.layerNorm(ops.embed('bert.embeddings'), 'bert.embeddings.LayerNorm', eps);
  h = seen('hidden.0', ops.dropout(h, hiddenDropout, 'embeddings'));

  for (let l = 0; l < config.num_hidden_layers; l++) {
    const p = `bert.encoder.layer.${l}`;
    // The tokens whose states the layer computes; keys and values are always those of all tokens.
    const rows = firstTokenOnly && l === config.num_hidden_layers - 1 ? ops.firstToken(h) : h;
    const q = ops.linear(rows, `${p}.attention.self.query`);
    const k = ops.linear(h, `${p}.attention.self.key`);
    const v = ops.linear(h, `${p}.attention.self.value`);
    const s = seen(`scores.${l}`, ops.scores(q, k, heads));
    const w = seen(`probs.${l}`, ops.normalise(s, { act: config.softmax_act, c: softmaxShift(config, l) }));
    const context = seen(`context.${l}`, ops.context(ops.dropout(w, attentionDropout, `probs.${l}`), v, heads));
    const o = ops.dropout(ops.linear(context, `${p}.attention.output.dense`), hiddenDropout, `attention.${l}`);
    const a = seen(`attention.pre.${l}`, ops.add(o, rows));
    h = seen(`attention.${l}`, ops.layerNorm(a, `${p}.attention.output.LayerNorm`, eps));

    const u = seen(`ffn.${l}`, ops.linear(h, `${p}.intermediate.dense`));
    const z = ops.linear(ops.activation(u, config.hidden_act), `${p}.output.dense`);
    const y = seen(`hidden.pre.${l + 1}`, ops.add(ops.dropout(z, hiddenDropout, `output.${l}`), h));
    h = seen(`hidden.${l + 1}`, ops.layerNorm(y, `${p}.output.LayerNorm`, eps));
  }

  const first = firstTokenOnly && config.num_hidden_layers > 0 ? h : ops.firstToken(h);
  const pre = seen('pooled.pre', ops.linear(first, 'bert.pooler.dense'));
  const pooled = seen('pooled', ops.tanh(pre));
  return seen(
    'logits',
    ops.linear(ops.dropout(pooled, config.classifier_dropout ?? hiddenDropout, 'pooled'), 'classifier'),
  );
}
