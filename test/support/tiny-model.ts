import { CounterRandom } from '../../common/random.ts';
import { parseConfig, type ModelConfig } from '../../model/config.ts';
import { parameterShapes } from '../../model/names.ts';

/** A configuration whose axes all have different lengths. */
export const tinyConfig = (change: Record<string, unknown> = {}): ModelConfig =>
  parseConfig(
    {
      model_type: 'bert',
      hidden_size: 12,
      num_attention_heads: 3,
      num_hidden_layers: 2,
      intermediate_size: 20,
      vocab_size: 17,
      max_position_embeddings: 16,
      id2label: { 0: 'negative', 1: 'positive' },
      ...change,
    },
    'tiny model',
  );

/** Random weights at which gradients neither vanish nor explode. */
export function tinyTensors(config: ModelConfig, seed = 1): Map<string, { shape: number[]; data: Float32Array }> {
  return new Map(
    [...parameterShapes(config)].map(([name, shape]) => {
      const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
      const norm = name.includes('LayerNorm') && name.endsWith('weight');
      new CounterRandom(seed, name).fillNormal(data, norm ? 1 : 0, norm ? 0.1 : 0.3);
      return [name, { shape, data }];
    }),
  );
}

/** WordPiece vocabulary of the tiny model. */
export const TINY_VOCAB = [
  ...['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'],
  ...['good', 'bad', 'a', 'film', 'very', 'dull', 'fine', 'plot', 'the', 'and', 'with', '.'],
];
