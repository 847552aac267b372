/**
 * Random weights of a shape, for measurements: their wires keep within `TYPICAL` and their logits vary over inputs, so that a
 * secured run of them can be checked and costs what a trained model of the shape costs. They classify nothing.
 */
import { CounterRandom } from '../common/random.ts';
import { bertFeeds, bertGraph } from '../engine/bert.ts';
import type { Engine } from '../engine/engine.ts';
import { Graph } from '../engine/graph/index.ts';
import type { Encoding } from '../data/tokenizer.ts';
import type { ModelConfig } from '../model/config.ts';
import { parameterShapes } from '../model/names.ts';
import { hiddenInterval } from './shapes.ts';

export type FloatTensors = Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/** Standard deviation of every logit over random texts. */
export const LOGIT_SD = 1.25;
/** Texts the logits are scaled on, and their tokens together. */
const SCALING = { texts: 24, tokens: 1024 };

/**
 * Standard deviation of what a matrix makes of a normalised row (times √inputs of its weights): scores of about 2 beside the shift
 * of 5, attention that moves a row by about half its size in spite of averaging over the keys, a feed-forward block of about the
 * residual's size.
 */
const GAINS: readonly (readonly [suffix: string, gain: number])[] = [
  ['attention.self.query.weight', 1.4],
  ['attention.self.key.weight', 1.4],
  ['attention.self.value.weight', 0.7],
  ['attention.output.dense.weight', 1.6],
  ['intermediate.dense.weight', 1],
  ['output.dense.weight', 4],
  ['pooler.dense.weight', 0.5],
  ['classifier.weight', 1],
];
/** A hidden unit's standard deviation, as a fraction of the nearer end of its interval: 6 of them reach it. */
const HIDDEN_SPREAD = 1 / 6;
const WORD_SD = 0.09;
const POSITION_SD = 0.04;
/** γ of the LayerNorm behind the feed-forward block: keeps the next residual within the range of `norm1`. */
const GAMMA2 = 0.6;

/** Normal deviates by the hundred million: drawn from a table, signs and places by a linear congruence. Not secret. */
function filler(seed: number): (size: number, sd: number) => Float32Array {
  const random = new CounterRandom(seed, 'random-model');
  const table = Float32Array.from({ length: 1 << 14 }, () => random.normal());
  let state = random.int(2 ** 31) >>> 0;
  return (size, sd) => {
    const out = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const v = table[state >>> 18]! * sd;
      out[i] = (state & 0x10000) === 0 ? v : -v;
    }
    return out;
  };
}

/** [CLS], random words, [SEP]: ids of the uncased vocabulary. */
export function randomTexts(config: ModelConfig, lengths: readonly number[], seed: number): Encoding[] {
  const random = new CounterRandom(seed, 'random-texts');
  const words = config.vocab_size - 1000;
  return lengths.map((length) => ({
    ids: Array.from({ length }, (_, i) =>
      i === 0 ? 101 : i === length - 1 && length > 1 ? 102 : 1000 + random.int(words),
    ),
    types: new Array<number>(length).fill(0),
  }));
}

/** Float32 logits of texts on the engine, (texts, labels); texts of one length that follow each other run together. */
export async function floatLogits(
  engine: Engine,
  config: ModelConfig,
  tensors: FloatTensors,
  texts: readonly Encoding[],
): Promise<Float64Array[]> {
  const graph = new Graph();
  const parameter = (name: string) => graph.parameter(name, tensors.get(name)!.shape);
  const state = engine.createState(tensors);
  const executable = await engine.compile(graph, { logits: bertGraph(config, { graph, parameter }).logits }, state);
  const out: Float64Array[] = [];
  try {
    for (let from = 0; from < texts.length;) {
      const length = texts[from]!.ids.length;
      let to = from + 1;
      while (texts[to]?.ids.length === length && (to - from + 1) * length <= SCALING.tokens) to++;
      const part = texts.slice(from, to);
      from = to;
      const { logits } = await executable.run(
        bertFeeds({
          batch: part.length,
          length,
          ids: Int32Array.from(part.flatMap((t) => t.ids)),
          types: Int32Array.from(part.flatMap((t) => t.types)),
          mask: new Int32Array(part.length * length).fill(1),
        }),
      );
      const values = Float64Array.from(logits!.data as Float32Array);
      for (let i = 0; i < part.length; i++) out.push(values.slice(i * config.num_labels, (i + 1) * config.num_labels));
    }
  } finally {
    await executable.release();
    state.release();
  }
  return out;
}

/** Mean and standard deviation of every column. */
export function spread(rows: readonly Float64Array[]): { readonly mean: number[]; readonly sd: number[] } {
  const columns = Array.from(rows[0]!, (_, j) => rows.map((row) => row[j]!));
  const mean = columns.map((c) => c.reduce((a, v) => a + v, 0) / c.length);
  const sd = columns.map((c, j) => Math.sqrt(c.reduce((a, v) => a + (v - mean[j]!) ** 2, 0) / c.length));
  return { mean, sd };
}

/** Weights of a shape; the classifier is scaled so that every logit has mean 0 and deviation `LOGIT_SD` over random texts. */
export async function randomModel(
  config: ModelConfig,
  engine: Engine,
  tokens: number,
  seed = 1,
): Promise<FloatTensors> {
  const fill = filler(seed);
  const tensors: FloatTensors = new Map();
  for (const [name, shape] of parameterShapes(config)) {
    const size = shape.reduce((a, d) => a * d, 1);
    const gain = GAINS.find(([suffix]) => name.endsWith(suffix))?.[1];
    let data: Float32Array;
    if (name.endsWith('LayerNorm.weight')) {
      const second = name.endsWith('output.LayerNorm.weight') && !name.includes('attention');
      data = new Float32Array(size).fill(second || name.includes('embeddings') ? GAMMA2 : 1);
    } else if (name.endsWith('word_embeddings.weight')) data = fill(size, WORD_SD);
    else if (name.includes('_embeddings.weight')) data = fill(size, POSITION_SD);
    else if (gain === undefined) data = new Float32Array(size);
    else data = fill(size, gain / Math.sqrt(shape[1]!));
    if (name.endsWith('intermediate.dense.weight')) scaleUnits(data, shape[0]!);
    tensors.set(name, { shape, data });
  }
  const texts = randomTexts(config, new Array<number>(SCALING.texts).fill(tokens), seed + 1);
  const { mean, sd } = spread(await floatLogits(engine, config, tensors, texts));
  const classifier = tensors.get('classifier.weight')!.data;
  const bias = tensors.get('classifier.bias')!.data;
  const width = config.hidden_size;
  for (let j = 0; j < config.num_labels; j++) {
    const factor = LOGIT_SD / sd[j]!;
    for (let i = 0; i < width; i++) classifier[j * width + i]! *= factor;
    bias[j] = -mean[j]! * factor;
  }
  return tensors;
}

/** Row j of W1 (out, in) fills the interval of hidden unit j. */
function scaleUnits(W: Float32Array, units: number): void {
  const cols = W.length / units;
  for (let j = 0; j < units; j++) {
    const [lo, hi] = hiddenInterval(j, units);
    const factor = Math.min(-lo, hi) * HIDDEN_SPREAD;
    for (let i = 0; i < cols; i++) W[j * cols + i]! *= factor;
  }
}
