/** New parameters: a classifier for a pretrained encoder, a student that is not a copy of its teacher. */
import { CounterRandom } from '../common/random.ts';
import type { ModelConfig } from '../model/config.ts';
import { HEADS, parameterShapes } from '../model/names.ts';
import type { Model } from './stage.ts';
import type { Tensors } from './predict.ts';

type Parameter = NonNullable<ReturnType<Tensors['get']>>;

/** Standard deviation of new weights (Devlin et al. 2018; `initializer_range` of Hugging Face). */
const DEVIATION = 0.02;

/** A new parameter, named by seed: weights are normal, biases 0, LayerNorm the identity. */
export function newParameter(name: string, shape: readonly number[], seed: number): Parameter {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  if (name.endsWith('LayerNorm.weight')) data.fill(1);
  else if (!name.endsWith('bias')) new CounterRandom(seed, 'initial', name).fillNormal(data, 0, DEVIATION);
  return { shape, data };
}

/**
 * What the student is before training. Where it is as wide as its teacher it begins as a copy, layer m of the teacher's layer
 * map[m] (from 1), and only parameters of another shape are new; a student of another width, or with `random`, is new whole.
 */
export function beginStudent(
  teacher: Model,
  config: ModelConfig,
  { map, seed, random }: { readonly map: readonly number[]; readonly seed: number; readonly random: boolean },
): Model {
  const copies = !random && config.hidden_size === teacher.config.hidden_size;
  const tensors = [...parameterShapes(config)].map(([name, shape]) => {
    const from = name.replace(/^(bert\.encoder\.layer\.)(\d+)/, (_, layer, m) => `${layer}${map[Number(m)]! - 1}`);
    const held = copies ? teacher.tensors.get(from) : undefined;
    return [name, held?.shape.join() === shape.join() ? held : newParameter(name, shape, seed)] as const;
  });
  return { config, tensors: new Map(tensors) };
}

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
      tensors.set(name, newParameter(name, shapes.get(name)!, seed));
    }
  }
  return { config, tensors, made };
}
