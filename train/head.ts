/** A classifier for a pretrained encoder. */
import { CounterRandom } from '../common/random.ts';
import type { ModelConfig } from '../model/config.ts';
import { HEADS, parameterShapes } from '../model/names.ts';
import type { Model } from './stage.ts';
import type { Tensors } from './predict.ts';

/** Standard deviation of new weights; biases begin at 0 (Devlin et al. 2018; `initializer_range` of Hugging Face). */
const DEVIATION = 0.02;

/**
 * The model with a classifier for `labels` (one label: regression). A classifier the model has for just these labels, or for as
 * many unnamed ones, is kept; otherwise it is made anew, as is an absent pooler, by `seed`.
 */
export function withHead(
  base: { readonly config: ModelConfig; readonly tensors: Tensors; readonly missing: readonly string[] },
  labels: readonly string[],
  seed: number,
): Model & { readonly made: readonly string[] } {
  const config: ModelConfig = { ...base.config, num_labels: labels.length, labels };
  const old = base.config.labels;
  const unnamed = old.every((name, i) => name === `LABEL_${i}`);
  const fits = old.length === labels.length && (unnamed || old.every((name, i) => name === labels[i]));
  const tensors = new Map(base.tensors);
  const made: string[] = [];
  const shapes = parameterShapes(config);
  for (const head of HEADS) {
    const absent = base.missing.some((name) => name.startsWith(`${head}.`));
    if (!absent && (head !== 'classifier' || fits)) continue;
    made.push(head);
    for (const name of [`${head}.weight`, `${head}.bias`]) {
      const shape = shapes.get(name)!;
      const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
      if (name.endsWith('weight')) new CounterRandom(seed, 'initial', name).fillNormal(data, 0, DEVIATION);
      tensors.set(name, { shape, data });
    }
  }
  return { config, tensors, made };
}
