/** Parameter names and shapes of a BERT-family sequence classifier, as Hugging Face stores it. */
import type { ModelConfig } from './config.ts';

/**
 * Canonical name (with `bert.`) → shape, in the order of the forward pass. Legend in `ops.ts`: H hidden, F feed-forward,
 * V vocabulary, P positions, C labels; linear weights are (out, in).
 */
export function parameterShapes(config: ModelConfig): Map<string, number[]> {
  const h = config.hidden_size;
  const f = config.intermediate_size;
  const shapes = new Map<string, number[]>();
  const linear = (name: string, out: number, inn: number): void => {
    shapes.set(`${name}.weight`, [out, inn]);
    shapes.set(`${name}.bias`, [out]);
  };
  const layerNorm = (name: string): void => {
    shapes.set(`${name}.weight`, [h]);
    shapes.set(`${name}.bias`, [h]);
  };
  shapes.set('bert.embeddings.word_embeddings.weight', [config.vocab_size, h]);
  shapes.set('bert.embeddings.position_embeddings.weight', [config.max_position_embeddings, h]);
  shapes.set('bert.embeddings.token_type_embeddings.weight', [config.type_vocab_size, h]);
  layerNorm('bert.embeddings.LayerNorm');
  for (let l = 0; l < config.num_hidden_layers; l++) {
    const p = `bert.encoder.layer.${l}`;
    linear(`${p}.attention.self.query`, h, h);
    linear(`${p}.attention.self.key`, h, h);
    linear(`${p}.attention.self.value`, h, h);
    linear(`${p}.attention.output.dense`, h, h);
    layerNorm(`${p}.attention.output.LayerNorm`);
    linear(`${p}.intermediate.dense`, f, h);
    linear(`${p}.output.dense`, h, f);
    layerNorm(`${p}.output.LayerNorm`);
  }
  linear('bert.pooler.dense', h, h);
  linear('classifier', config.num_labels, h);
  return shapes;
}

/** The modules a base model may lack; they are trained anew. Each is absent whole or not at all. */
export const HEADS = ['bert.pooler.dense', 'classifier'] as const;

/** Number of parameters. */
export function parameterCount(config: ModelConfig): number {
  let sum = 0;
  for (const shape of parameterShapes(config).values()) sum += shape.reduce((a, b) => a * b, 1);
  return sum;
}
