/**
 * Calibration: ranges of every bounded wire over many texts, in float32 on the engine. Texts are batched by exact length, so
 * there is no padding; the extremes are taken inside the graph, so that only a few numbers per wire leave it.
 */
import { createHash } from 'node:crypto';
import { RefusedError } from '../common/errors.ts';
import { CounterRandom } from '../common/random.ts';
import { GraphOps } from '../engine/bert.ts';
import { int64, type Engine } from '../engine/engine.ts';
import { abs, add, div, Graph, max, mean, min, reshape, square, sub, sum, transpose, type Node } from '../engine/graph/index.ts'; // prettier-ignore
import type { HiddenAct, ModelConfig } from '../model/config.ts';
import { forward } from '../model/forward.ts';
import type { Normaliser, Ops } from '../model/ops.ts';
import type { Encoding } from '../data/tokenizer.ts';
import { LENGTH_BITS, lengthFactor, lengthScaleOf } from './lengths.ts';
import { RangeCollector, type Ranges } from './ranges.ts';
import { structure } from './trace.ts';

/** How many cut texts of each short length join the calibration, and up to which length. */
const SHORT = { each: 16, upTo: 8 };
/** [CLS] x [SEP]. */
const SHORTEST = 3;
/** Texts of one length that run together, by their number of tokens. */
const TOKENS = 2048;

export interface Sample {
  readonly encodings: Encoding[];
  readonly shortest: number;
  readonly longest: number;
}

/**
 * Chooses calibration texts: half of `size` are the longest, the rest a seeded sample; then cut copies of some texts,
 * `SHORT.each` of every length from [CLS] x [SEP] to `SHORT.upTo`, so that the ranges hold for short texts (at 2Quad the
 * smallest denominators are theirs). Texts above `maxLength` must have been cut already.
 * @throws RefusedError without texts, or if none reaches a given maximal length
 */
export function sample(all: readonly Encoding[], size: number, seed: number, maxLength?: number): Sample {
  if (all.length === 0)
    throw new RefusedError('calibration: no texts', 'give a file with texts like those to be served');
  const ordered = all.map((_, i) => i).toSorted((a, b) => all[b]!.ids.length - all[a]!.ids.length || a - b);
  const random = new CounterRandom(seed, 'calibration');
  const longest = ordered.slice(0, Math.ceil(size / 2));
  const rest = random.shuffle(ordered.slice(longest.length)).slice(0, size - longest.length);
  const chosen = [...longest, ...rest].map((i) => all[i]!);
  const top = chosen[0]!.ids.length;
  if (maxLength !== undefined && top < maxLength)
    throw new RefusedError(
      `calibration: the longest text has ${top} tokens, --max-length asks for ${maxLength}`,
      `give longer texts, or --max-length ${top}: nothing is known of ranges beyond them`,
    );
  if (top < SHORTEST) throw new RefusedError('calibration: every text is empty', 'give a file with texts');
  const cut = random.shuffle([...chosen]).slice(0, SHORT.each);
  const short: Encoding[] = [];
  for (let length = SHORTEST; length <= Math.min(SHORT.upTo, top); length++)
    for (const e of cut) if (e.ids.length > length) short.push(truncated(e, length));
  const encodings = [...chosen, ...short];
  const lengths = encodings.map((e) => e.ids.length);
  return { encodings, shortest: Math.min(...lengths), longest: top };
}

/** The first tokens and the closing [SEP]. */
const truncated = ({ ids, types }: Encoding, length: number): Encoding => ({
  ids: [...ids.slice(0, length - 1), ids.at(-1)!],
  types: [...types.slice(0, length - 1), types[length - 2]!],
});

/** GraphOps with the extremes of every bounded wire as further outputs. */
class CalibrationOps implements Ops<Node> {
  readonly outputs: Record<string, Node> = {};
  readonly #base: GraphOps;
  readonly #norms = new Map<string, string>();
  readonly #denominators = new Map<Node, Node>();
  readonly #constantKeys: readonly (readonly number[])[];
  #layer = 0;

  constructor(base: GraphOps, config: ModelConfig, constantKeys: readonly (readonly number[])[]) {
    this.#base = base;
    this.#constantKeys = constantKeys;
    const s = structure(config);
    this.#norms.set(s.embeddingNorm, 'emb');
    s.layers.forEach((l, i) => this.#norms.set(l.norm1, `${i}.ln1`).set(l.norm2, `${i}.ln2`));
  }

  #range(name: string, x: Node, axes?: readonly number[]): void {
    this.outputs[`${name}:min`] = min(x, axes);
    this.outputs[`${name}:max`] = max(x, axes);
  }

  embed(prefix: string): Node {
    return this.#base.embed(prefix);
  }
  layerNorm(x: Node, name: string, eps: number): Node {
    const key = this.#norms.get(name)!;
    const centred = sub(x, mean(x, [-1], true));
    this.#range(`${key}.xc`, centred);
    this.#range(`${key}.var`, mean(square(centred), [-1]));
    return this.#base.layerNorm(x, name, eps);
  }
  linear(x: Node, name: string): Node {
    return this.#base.linear(x, name);
  }
  scores(q: Node, k: Node, heads: number): Node {
    const constant = this.#constantKeys[this.#layer];
    const keys = constant === undefined ? k : sub(k, k.graph.constant(constant, [constant.length]));
    this.#range(`${this.#layer}.key`, abs(keys));
    if (constant !== undefined) this.#range(`${this.#layer}.ksum`, abs(sum(keys, [1])));
    return this.#base.scores(q, k, heads);
  }
  /** The squares, not yet divided: `context` divides their product with the values. */
  normalise(scores: Node, { act, c }: Normaliser): Node {
    const s = act === '2quad_centred' ? sub(scores, mean(scores, [-1], true)) : scores;
    const squares = square(add(s, scores.graph.constant(c, [c.length, 1, 1])));
    const D = sum(squares, [-1], true);
    this.#range(`${this.#layer}.s`, abs(s), [0, 2, 3]);
    this.#range(`${this.#layer}.D`, D, [0, 2, 3]);
    this.#denominators.set(squares, D);
    return squares;
  }
  context(squares: Node, v: Node, heads: number): Node {
    const product = this.#base.context(squares, v, heads);
    const [b, l, h] = product.shape;
    const split = reshape(product, [b!, l!, heads, (h as number) / heads]);
    this.#range(`${this.#layer}.PV`, abs(split), [0, 1, 3]);
    const D = transpose(this.#denominators.get(squares)!, [0, 2, 1, 3]);
    return reshape(div(split, D), product.shape);
  }
  activation(x: Node, act: HiddenAct): Node {
    this.#range(`${this.#layer++}.u`, x, [0, 1]);
    return this.#base.activation(x, act);
  }
  add(x: Node, y: Node): Node {
    return this.#base.add(x, y);
  }
  firstToken(x: Node): Node {
    return this.#base.firstToken(x);
  }
  tanh(x: Node): Node {
    this.#range('pool.u', x);
    return this.#base.tanh(x);
  }
  dropout(x: Node): Node {
    return x;
  }
  probe(name: string, x: Node): void {
    if (name === 'logits') this.#range('logits', x);
  }
}

/** Of every layer the part of its keys that is no product with the normalised row: b + β W. Centring cancels it. */
function constantPart(config: ModelConfig, tensors: CalibrateOptions['tensors']): number[][] {
  const get = (name: string): Float32Array => tensors.get(name)!.data;
  const { layers, embeddingNorm } = structure(config);
  return layers.map(({ key }, l) => {
    const beta = get(`${l === 0 ? embeddingNorm : layers[l - 1]!.norm2}.bias`);
    const W = get(`${key}.weight`);
    return Array.from(get(`${key}.bias`), (b, j) =>
      beta.reduce((total, v, i) => total + v * W[j * beta.length + i]!, b),
    );
  });
}

/** Wires that follow the scale of the scores, by name without the layer. */
const SCALED: ReadonlyMap<string, (F: number) => number> = new Map([
  ['s', (F: number) => F],
  ['D', (F: number) => F * F],
  ['PV', (F: number) => F * F],
]);

export interface CalibrateOptions {
  readonly engine: Engine;
  readonly config: ModelConfig;
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  readonly progress?: (done: number, total: number) => void;
}

/** Runs the sample through the model. @throws RefusedError if a value is not finite */
export async function calibrate({ encodings, shortest, longest }: Sample, options: CalibrateOptions): Promise<Ranges> {
  const { engine, config, tensors, progress } = options;
  const graph = new Graph();
  const base = new GraphOps({ graph, parameter: (name) => graph.parameter(name, tensors.get(name)!.shape) });
  const ops = new CalibrationOps(
    base,
    config,
    config.softmax_act === '2quad_centred' ? constantPart(config, tensors) : [],
  );
  forward(ops, config);
  const names = Object.keys(ops.outputs)
    .filter((n) => n.endsWith(':min'))
    .map((n) => n.slice(0, -4));
  const state = engine.createState(tensors);
  const executable = await engine.compile(graph, ops.outputs, state);
  const collector = new RangeCollector();
  const normaliser = config.softmax_act === '2quad_centred' ? '2quad_centred' : '2quad';
  // public and hidden lengths round their factor differently
  const factors = (['public', 'secret'] as const).map(
    (length) =>
      [
        length === 'public' ? 'F' : 'H',
        lengthFactor({ per_length: LENGTH_BITS, longest, length, normaliser }),
      ] as const,
  );
  try {
    let done = 0;
    for (const batch of byLength(encodings)) {
      const shape = [batch.length, batch[0]!.ids.length];
      const flat = (pick: (e: Encoding) => readonly number[]): Int32Array => Int32Array.from(batch.flatMap(pick));
      const out = await executable.run({
        ids: int64(
          shape,
          flat((e) => e.ids),
        ),
        types: int64(
          shape,
          flat((e) => e.types),
        ),
        mask: int64(shape, new Int32Array(shape[0]! * shape[1]!).fill(1)),
      });
      for (const name of names) {
        const [least, most] = [floats(out[`${name}:min`]!.data, name), floats(out[`${name}:max`]!.data, name)];
        collector.add(name, least, most);
        const scale = SCALED.get(name.slice(name.indexOf('.') + 1));
        if (scale === undefined) continue;
        for (const [suffix, factor] of factors) {
          const by = scale(lengthScaleOf(shape[1]!, factor));
          collector.add(`${name}${suffix}`, Float64Array.from(least, (v) => v * by), Float64Array.from(most, (v) => v * by)); // prettier-ignore
        }
      }
      done += batch.length;
      progress?.(done, encodings.length);
    }
  } finally {
    await executable.release();
    state.release();
  }
  const sha256 = createHash('sha256').update(JSON.stringify(encodings.map(({ ids, types }) => ({ ids, types })))).digest('hex'); // prettier-ignore
  return { shortest, longest, texts: encodings.length, sha256, wires: collector.wires };
}

function floats(data: ArrayLike<number | bigint>, name: string): Float32Array {
  if (!(data instanceof Float32Array) || !data.every(Number.isFinite))
    throw new RefusedError(`calibration: wire ${name} is not finite`, 'the checkpoint is damaged or overflows float32');
  return data;
}

/** Batches of one exact length each. */
function byLength(encodings: readonly Encoding[]): Encoding[][] {
  const groups = new Map<number, Encoding[]>();
  for (const e of encodings) {
    const group = groups.get(e.ids.length);
    if (group === undefined) groups.set(e.ids.length, [e]);
    else group.push(e);
  }
  return [...groups]
    .toSorted(([a], [b]) => a - b)
    .flatMap(([length, group]) => {
      const size = Math.max(1, Math.floor(TOKENS / length));
      return Array.from({ length: Math.ceil(group.length / size) }, (_, i) => group.slice(i * size, (i + 1) * size));
    });
}
