/** What a run records of its result beyond the metrics, for its report. */
import type { RunRecord } from '../../checkpoints/run-record.ts';
import { makeBatches } from '../../data/batch.ts';
import type { Encoding } from '../../data/tokenizer.ts';
import { bertFeeds, bertGraph } from '../../engine/bert.ts';
import type { Engine } from '../../engine/engine.ts';
import { Graph, greater, max, min, mul, reshape, where, type Node } from '../../engine/graph/index.ts';
import { softmaxShift, type ModelConfig } from '../../model/config.ts';
import { parameterShapes } from '../../model/names.ts';
import { ACTIVATION_INTERVAL, DENOMINATOR_INTERVAL, denominators, logVariance, VARIANCE_LIMIT } from '../loss/range-penalty.ts'; // prettier-ignore
import { argmax, type PredictOptions, type Tensors } from '../predict.ts';

export type Evaluation = NonNullable<RunRecord['evaluation']>;
export type WireRange = NonNullable<RunRecord['ranges']>[number];

/** Pairs a record holds at most: a picture shows no more. */
const MAX_PAIRS = 2000;

/** Confusion matrix of a classifier, or targets with predictions of a regression model (an even sample of 2000). */
export function evaluationOf(
  logits: readonly Float32Array[],
  targets: readonly number[],
  labels: readonly string[],
): Evaluation {
  if (labels.length === 1) {
    const all = targets.map((target, i): [number, number] => [target, logits[i]![0]!]);
    const stride = Math.max(1, all.length / MAX_PAIRS);
    const pairs = Array.from({ length: Math.min(all.length, MAX_PAIRS) }, (_, i) => all[Math.floor(i * stride)]!);
    return { kind: 'scores', pairs };
  }
  const confusion = labels.map(() => labels.map(() => 0));
  targets.forEach((target, i) => confusion[target]![argmax(logits[i]!)]!++);
  return { kind: 'classes', labels: [...labels], confusion };
}

interface Wire {
  readonly wire: string;
  readonly layer: number;
  readonly interval?: readonly [number | null, number];
  readonly min: Node;
  readonly max: Node;
}

/** Beyond every float32 activation that is finite and not yet absurd. */
const LARGE = 1e38;

/** Values where `mask` (of a shape that broadcasts to x's) is 0 do not count. */
function bounds(x: Node, mask: Node): Pick<Wire, 'min' | 'max'> {
  const seen = (otherwise: number): Node => where(greater(mask, 0), x, otherwise);
  return { min: min(seen(LARGE)), max: max(seen(-LARGE)) };
}

function wires(config: ModelConfig, graph: Graph): Wire[] {
  const shapes = parameterShapes(config);
  const { ops } = bertGraph(config, { graph, parameter: (name) => graph.parameter(name, shapes.get(name)!) });
  const { mask } = ops;
  const [b, l] = mask.shape as [Node['shape'][0], Node['shape'][0]];
  const keys = reshape(mask, [b!, 1, 1, l!]);
  const queries = reshape(mask, [b!, 1, l!, 1]);
  const tokens = reshape(mask, [b!, l!, 1]);
  return Array.from({ length: config.num_hidden_layers }, (_, layer): Wire[] => {
    const s = ops.probes.get(`scores.${layer}`)!;
    const u = ops.probes.get(`ffn.${layer}`)!;
    const found: Wire[] = [
      { wire: 'attention scores', layer, ...bounds(s, mul(keys, queries)) },
      {
        wire: 'input of the activation',
        layer,
        interval: ACTIVATION_INTERVAL,
        ...bounds(u, tokens),
      },
    ];
    const c = softmaxShift(config, layer);
    if (c.length > 0) {
      const d = denominators(s, mask, c, config.softmax_act === '2quad_centred');
      found.push({
        wire: 'log₂ of the 2Quad denominator per key, scaled to c = 5',
        layer,
        interval: DENOMINATOR_INTERVAL,
        ...bounds(d, queries),
      });
    }
    for (const [after, input] of [
      ['attention', `attention.pre.${layer}`],
      ['the feed-forward part', `hidden.pre.${layer + 1}`],
    ] as const) {
      found.push({
        wire: `log₂ of the variance of the LayerNorm after ${after}`,
        layer,
        interval: [null, VARIANCE_LIMIT],
        ...bounds(logVariance(ops.probes.get(input)!, config.layer_norm_eps), tokens),
      });
    }
    return found;
  }).flat();
}

/**
 * Least and greatest values over real tokens of the activations on which the secured path depends, per layer: attention
 * scores, activation inputs, for 2Quad log₂(D/n) of its denominators D with n real keys, at the scale at which c is 5, and
 * log₂(variance + ε) of the inputs of both LayerNorms.
 */
export async function measureRanges(
  model: { readonly config: ModelConfig; readonly tensors: Tensors },
  encodings: readonly Encoding[],
  engine: Engine,
  {
    padId,
    texts = 256,
    onProgress,
  }: Pick<PredictOptions, 'onProgress'> & { readonly padId: number; readonly texts?: number },
): Promise<WireRange[]> {
  const graph = new Graph();
  const measured = wires(model.config, graph);
  const outputs = Object.fromEntries(
    measured.flatMap((wire, i) => [
      [`min.${i}`, wire.min],
      [`max.${i}`, wire.max],
    ]),
  ) as Record<string, Node>;
  const state = engine.createState(model.tensors);
  const executable = await engine.compile(graph, outputs, state);
  const low = measured.map(() => Infinity);
  const high = measured.map(() => -Infinity);
  try {
    const looked = encodings.slice(0, texts);
    let done = 0;
    for (const batch of makeBatches(looked, { batchSize: 32, seed: 0, shuffle: false, padId })) {
      const results = await executable.run(bertFeeds(batch));
      for (let i = 0; i < measured.length; i++) {
        low[i] = Math.min(low[i]!, Number(results[`min.${i}`]!.data[0]));
        high[i] = Math.max(high[i]!, Number(results[`max.${i}`]!.data[0]));
      }
      done += batch.batch;
      onProgress?.(done, looked.length);
    }
  } finally {
    await executable.release();
    state.release();
  }
  return measured.map(({ wire, layer, interval }, i) => ({
    wire,
    layer,
    min: low[i]!,
    max: high[i]!,
    ...(interval === undefined ? {} : { interval: [...interval] as [number | null, number] }),
  }));
}
