/**
 * Named model shapes without weights: what a model of this size costs, before one is trained. Rings and Fourier tables depend on
 * the ranges of a model's wires; here those are `typicalRanges`, measured on a distilled MiniLM, so that the plan of a shape is
 * the plan of an ordinary trained model of that size, not of one whose ranges happen to be narrow.
 */
import { createHash } from 'node:crypto';
import { InputError } from '../common/errors.ts';
import type { ModelConfig } from '../model/config.ts';
import { parameterShapes } from '../model/names.ts';
import { softmaxShift } from '../model/config.ts';
import { checkProgram } from '../protocol/resolve.ts';
import type { Program } from '../protocol/program.ts';
import type { Bounds } from './bounds.ts';
import { lower } from './lower.ts';
import { BALANCED, makePlan, type PlanOptions } from './make-plan.ts';
import type { Folded, IntegerTensor, Plan } from './plan.ts';
import type { Range, Ranges } from './ranges.ts';

interface Size {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
}

/** Sizes of the published checkpoints; F = 4 H, 30,522 tokens, 512 positions, two token types in all of them. */
const SIZES: Readonly<Record<string, Size>> = {
  'bert-tiny': { layers: 2, hidden: 128, heads: 2 },
  minilm: { layers: 6, hidden: 384, heads: 12 },
  'bert-base': { layers: 12, hidden: 768, heads: 12 },
  'bert-large': { layers: 24, hidden: 1024, heads: 16 },
};

export const SHAPES: readonly string[] = Object.keys(SIZES);

/** Attention that the masked suite runs. */
export const ATTENTIONS = ['2quad', '2quad_centred'] as const;
export type Attention = (typeof ATTENTIONS)[number];

/** The shift c: published for 2Quad (MPCFormer); the median that calibration chose for a centred MiniLM distilled on SST-2. */
const SHIFT: Readonly<Record<Attention, number>> = { '2quad': 5, '2quad_centred': 1.5 };

/** A classifier of two labels. @throws InputError for an unknown name */
export function shapeConfig(name: string, softmaxAct: Attention = '2quad'): ModelConfig {
  const size = Object.hasOwn(SIZES, name) ? SIZES[name] : undefined;
  if (size === undefined) throw new InputError(`no shape ${name}`, `choose one of ${SHAPES.join(', ')}`);
  return {
    model_type: 'bert',
    hidden_size: size.hidden,
    num_attention_heads: size.heads,
    num_hidden_layers: size.layers,
    intermediate_size: 4 * size.hidden,
    vocab_size: 30_522,
    max_position_embeddings: 512,
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
    hidden_act: 'gelu',
    softmax_act: softmaxAct,
    softmax_c: SHIFT[softmaxAct],
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    num_labels: 2,
    labels: ['0', '1'],
  };
}

/**
 * Ranges of an ordinary trained model, before the plan's margins: those of a 2Quad MiniLM distilled on SST-2, its median layer
 * where layers differ. The denominators grow with the length, everything else does not.
 */
export const TYPICAL = {
  /** |embedding less its mean|, and its variance. */
  embedding: { centred: 2, variance: [0.0035, 0.028] },
  /** The two LayerNorms of a layer; ratios 12 and 140 after margins. */
  norm1: { centred: 9, variance: [0.15, 1.1] },
  norm2: { centred: 120, variance: [0.37, 30] },
  /** |q·k/√d|. */
  score: 24,
  /** |k_j|: no plan with guards asks, the weights bound it. */
  key: 12,
  /** |Σ_j k_j| over the tokens, per token: the median layer of a centred MiniLM distilled on SST-2, at its longest texts. */
  keySumPerToken: 2.5,
  /** Σ (s + c)² over the keys, per key; ratio 150 after margins, 27 of centred scores (the MiniLM of `keySumPerToken`). */
  denominatorPerKey: { '2quad': [1.1, 64], '2quad_centred': [2.2, 30] },
  /** |Σ (s + c)² v| over the largest denominator. */
  context: 1.5,
  /** Hidden units before the activation: [lo, hi] of the unit at and above each fraction of them, by width. */
  hidden: [
    [0, -5, 3.2],
    [0.5, -6.4, 4],
    [0.8, -7.6, 5.2],
    [0.95, -9.5, 6.6],
    [0.99, -11, 8],
    [0.999, -12, 16],
  ],
  pooler: 2,
  logits: 8,
} as const;

/**
 * What the weights of an ordinary trained model allow (`bounds`), of the same MiniLM with H = 384: its median layer. Norms of wider
 * models grow with √H, products of two with H; centred scores may be twice as large.
 */
const TYPICAL_BOUNDS = {
  hidden: 384,
  embedding: 3,
  score: 250,
  key: 29,
  value: 20,
  norm1: 160,
  unit: 30,
  norm2: 170,
  pooler: 3,
  logits: 8,
};

const isCentred = ({ softmax_act }: ModelConfig): boolean => softmax_act === '2quad_centred';

/** `Bounds` of an ordinary trained model of this size, see `TYPICAL_BOUNDS`. */
export function typicalBounds(config: ModelConfig): Bounds {
  const t = TYPICAL_BOUNDS;
  const { num_attention_heads: heads, intermediate_size: units, num_hidden_layers: layers } = config;
  const wider = Math.sqrt(config.hidden_size / t.hidden);
  const layer = {
    score: new Array<number>(heads).fill((isCentred(config) ? 2 : 1) * t.score * wider ** 2),
    key: t.key * wider,
    value: new Array<number>(heads).fill(t.value * wider),
    norm1: t.norm1 * wider,
    units: new Float64Array(units).fill(t.unit * wider),
    norm2: (limit: Float64Array) => t.norm2 * wider * (limit.reduce((a, b) => a + b, 0) / limit.length),
  };
  return {
    embedding: t.embedding,
    layers: Array.from({ length: layers }, () => layer),
    pooler: t.pooler * wider,
    logits: t.logits * wider,
  };
}

/** [lo, hi] of hidden unit `j` of `count`, units in the order of their widths. */
export function hiddenInterval(j: number, count: number): readonly [number, number] {
  const [, lo, hi] = TYPICAL.hidden.findLast(([from]) => j >= from * count)!;
  return [lo, hi];
}

/** `TYPICAL` as calibration would report it for texts of `tokens` tokens, or of `tokens` to `longest`. */
export function typicalRanges(config: ModelConfig, tokens: number, longest = tokens): Ranges {
  const { num_attention_heads: heads, intermediate_size: units } = config;
  const wires = new Map<string, Range>();
  const set = (name: string, lo: number, hi: number, length = 1): void =>
    void wires.set(name, { min: new Float64Array(length).fill(lo), max: new Float64Array(length).fill(hi) });
  const norm = (
    name: string,
    { centred, variance }: { readonly centred: number; readonly variance: readonly [number, number] },
  ): void => {
    set(`${name}.xc`, -centred, centred);
    set(`${name}.var`, ...variance);
  };
  norm('emb', TYPICAL.embedding);
  const [least, most] = TYPICAL.denominatorPerKey[isCentred(config) ? '2quad_centred' : '2quad'];
  const hidden = Array.from({ length: units }, (_, j) => hiddenInterval(j, units));
  const u: Range = { min: Float64Array.from(hidden, ([lo]) => lo), max: Float64Array.from(hidden, ([, hi]) => hi) };
  for (let l = 0; l < config.num_hidden_layers; l++) {
    norm(`${l}.ln1`, TYPICAL.norm1);
    norm(`${l}.ln2`, TYPICAL.norm2);
    // scaled scores: of the shortest texts the largest; denominators as of the longest
    for (const scaled of ['', 'F', 'H']) {
      set(`${l}.s${scaled}`, 0, TYPICAL.score * (scaled === '' ? 1 : Math.sqrt(longest / tokens)), heads);
      set(`${l}.D${scaled}`, least * (scaled === '' ? tokens : longest), most * longest, heads);
      set(`${l}.PV${scaled}`, 0, TYPICAL.context * most * longest, heads);
    }
    set(`${l}.key`, 0, TYPICAL.key);
    if (isCentred(config)) set(`${l}.ksum`, 0, TYPICAL.keySumPerToken * longest);
    wires.set(`${l}.u`, u);
  }
  set('pool.u', -TYPICAL.pooler, TYPICAL.pooler);
  set('logits', -TYPICAL.logits, TYPICAL.logits);
  return { shortest: tokens, longest, texts: 0, sha256: '', wires };
}

/**
 * The plan of a shape for texts of exactly `tokens` tokens; where lengths are hidden, of the smallest bucket's to
 * the largest's.
 */
export function shapePlan(config: ModelConfig, tokens: number, options: PlanOptions = BALANCED): Plan {
  const most = config.max_position_embeddings;
  if (!Number.isInteger(tokens) || tokens < 1 || tokens > most)
    throw new InputError(`texts of ${tokens} tokens`, `give 1 to ${most}`);
  const longest = options.buckets?.at(-1) ?? tokens;
  if (longest > most || longest < tokens)
    throw new InputError(
      `a largest bucket of ${longest} tokens`,
      `give ${tokens}, the length of the texts, to ${most}`,
    );
  const model = {
    H: config.hidden_size,
    A: config.num_attention_heads,
    V: config.vocab_size,
    eps: config.layer_norm_eps,
    act: 'gelu',
    normaliser: isCentred(config) ? '2quad_centred' : '2quad',
    layers: Array.from({ length: config.num_hidden_layers }, (_, l) => ({ c: softmaxShift(config, l) })),
    bounds: typicalBounds(config),
  } as const;
  return makePlan(model, typicalRanges(config, options.buckets?.[0] ?? tokens, longest), options);
}

/** The program of a shape: no weights are made for it. */
export function shapeProgram(config: ModelConfig, plan: Plan): Program {
  const { program } = lower(plan, emptyTensors(config));
  checkProgram(program, (bytes) => createHash('sha256').update(bytes).digest('hex'));
  return program;
}

/** Zeros of the folded shapes; layers share them. */
function emptyTensors(config: ModelConfig): Folded {
  const { hidden_size: H, intermediate_size: F, num_attention_heads: A, num_labels } = config;
  const tensor = (...shape: number[]): IntegerTensor => ({
    shape,
    data: new Int32Array(shape.reduce((a, d) => a * d, 1)),
  });
  const table = (name: string): number[] => parameterShapes(config).get(`bert.embeddings.${name}_embeddings.weight`)!;
  const layer = Object.entries({
    Wq: [H + 1, H], Wk: [isCentred(config) ? H : H + 1, H], Wv: [H + 1, H], Wo: [H, H], bo: [H], gamma: [H], gc: [H, 1], c: [A],
    W1: [H, F], b1: [F], W2: [F, H], M2: [H, H], b2: [H],
  }).map(([name, shape]) => [name, tensor(...shape)] as const); // prettier-ignore
  const layers = Array.from({ length: config.num_hidden_layers }, (_, l) =>
    layer.map(([name, t]) => [`layer.${l}.${name}`, t] as const),
  );
  return new Map<string, IntegerTensor>([
    ['emb_word', tensor(...table('word'))],
    ['emb_pos', tensor(...table('position'))],
    ['emb_type', tensor(H)],
    ...layers.flat(),
    ['poolW', tensor(H, H)],
    ['poolb', tensor(H)],
    ['clsW', tensor(H, num_labels)],
    ['clsb', tensor(num_labels)],
  ]);
}
