/**
 * How far a program is from its model: the clear interpreter, which a secured run equals bit for bit, against the float model on
 * some of the calibrated texts.
 */
import type { Encoding } from '../data/tokenizer.ts';
import type { Engine } from '../engine/engine.ts';
import type { ModelConfig } from '../model/config.ts';
import { programCost } from '../protocol/cost.ts';
import { bucketOf } from '../protocol/gates/padding.ts';
import type { Measured } from './bundle/format.ts';
import { fixedPredict, integersOf } from './clear.ts';
import type { Lowered } from './lower.ts';
import { floatLogits, type FloatTensors } from './random-model.ts';

/** Most texts, and ring multiply-adds the interpreter may spend on them: about two seconds. */
const TEXTS = 32;
const MULTIPLY_ADDS = 2e10;

export interface FidelityOptions {
  readonly engine: Engine;
  readonly config: ModelConfig;
  readonly tensors: FloatTensors;
  readonly lowered: Lowered;
  readonly texts: readonly Encoding[];
  readonly most?: number;
}

/** Texts spread evenly over the lengths, from the shortest to the longest, as many as the time allows. */
function spread({ lowered: { program }, texts, most = TEXTS }: FidelityOptions): Encoding[] {
  const ordered = texts.toSorted((a, b) => a.ids.length - b.ids.length);
  const middle = ordered[Math.floor(ordered.length / 2)]!.ids.length;
  const { total } = programCost(program, { lengths: [bucketOf(middle, program.buckets)], heads: program.heads });
  const affordable = Math.max(2, Math.floor(MULTIPLY_ADDS / total.multiplyAdds.assistant));
  const count = Math.min(most, affordable, ordered.length);
  const step = count === 1 ? 0 : (ordered.length - 1) / (count - 1);
  return Array.from({ length: count }, (_, i) => ordered[Math.round(i * step)]!);
}

const largest = (logits: Float64Array): number => logits.indexOf(Math.max(...logits));

/** Errors over a sample of `texts`, which must not be empty. */
export async function fidelity(options: FidelityOptions): Promise<Measured> {
  const { engine, config, tensors, lowered } = options;
  const chosen = spread(options);
  const float = await floatLogits(engine, config, tensors, chosen);
  const fixed = fixedPredict(lowered.program, integersOf(lowered.program, lowered.tensors), chosen);
  const errors: number[] = [];
  let [refused, equal] = [0, 0];
  fixed.forEach((logits, i) => {
    if (logits instanceof Error) {
      refused++;
      return;
    }
    logits.forEach((v, j) => errors.push(Math.abs(v - float[i]![j]!)));
    if (largest(logits) === largest(float[i]!)) equal++;
  });
  return {
    texts: chosen.length,
    refused,
    maxError: Math.max(0, ...errors),
    meanError: errors.reduce((a, b) => a + b, 0) / Math.max(1, errors.length),
    ...(config.num_labels > 1 ? { labelsEqual: equal } : {}),
  };
}
