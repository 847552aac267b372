/**
 * The fits of a plan: intervals from calibrated ranges and margins, Fourier series on them. A plan (`make-plan`) takes its rings from
 * what is found here (specification plan.py; masked-suite design, sections 5, 7 and 8).
 */
import { RefusedError } from '../common/errors.ts';
import type { LengthFactor } from '../protocol/program.ts';
import type { Bounds } from './bounds.ts';
import { gelu, geluNew } from './fit/erf.ts';
import { fitActivation, fitReciprocal } from './fit/functions.ts';
import { hidesMean, LENGTH_BITS, lengthFactor, lengthScaleOf } from './lengths.ts';
import type { Plan, PlanGroup, PlanNorm, PlanReciprocal } from './plan.ts';
import { bits, fitInterval, fitRatios, squareSum } from './plan-guard.ts';
import type { PlanOptions } from './plans.ts';
import type { Range, Ranges } from './ranges.ts';
import type { RealModel } from './real-model.ts';

/**
 * A fit this far above its tolerance is refused: its error would show in the answers. Measured: a denominator fitted to
 * 19 times its tolerance moved logits by 0.07 at most; only the few rows at its lower end meet the error.
 */
const HOPELESS = 50;

/** Harmonics that reach the tolerances, measured over the ratios of real models. */
const ROOT_K = (ratio: number): number => 4.5 * ratio ** 0.55;
const RECIPROCAL_K = (ratio: number): number => 0.7 * ratio ** 0.9;

const WORD = 64;
/** Significant bits of 1/σ below which its rounding would show: then the plan is refused. */
const LEAST_BITS = 9;

export interface PlanProgress {
  (what: string, done: number, total: number): void;
}

/** What a plan depends on besides the ranges: no weights. */
export type PlannedModel = Pick<RealModel, 'H' | 'A' | 'V' | 'eps' | 'act' | 'normaliser'> & {
  readonly layers: readonly Pick<RealModel['layers'][number], 'c'>[];
  /** What the weights allow: guarded plans need it. */
  readonly bounds?: Bounds;
};

/** Fits the nonlinear functions of one model, each once; subclasses plan with them. */
export class Fitter {
  protected readonly m: PlannedModel;
  protected readonly st: Ranges;
  protected readonly c: PlanOptions;
  protected readonly factor: LengthFactor | undefined;
  /** Scores are centred, over a number of tokens that stays hidden. */
  protected readonly hidesMean: boolean;
  protected readonly bounds: Bounds | undefined;
  private readonly progress: PlanProgress | undefined;
  private done = 0;
  /** By their parameters: layers of equal ranges share them. */
  private readonly fits = new Map<string, unknown>();

  constructor(model: PlannedModel, ranges: Ranges, options: PlanOptions, progress: PlanProgress | undefined) {
    this.m = model;
    this.st = ranges;
    this.c = options;
    const { normaliser } = model;
    const length = this.length;
    this.hidesMean = hidesMean({ normaliser, length });
    // texts of one length need no factor, unless centring multiplies the queries anyway
    const multiplied = normaliser === '2quad_centred' && length === 'public';
    const scaled = options.perLength && (multiplied || ranges.shortest < ranges.longest);
    this.factor = scaled
      ? lengthFactor({ per_length: LENGTH_BITS, longest: ranges.longest, length, normaliser })
      : undefined;
    this.progress = progress;
    if (options.guard && model.bounds === undefined) throw new Error('a guarded plan needs the bounds of its weights');
    this.bounds = options.guard ? model.bounds : undefined;
  }

  protected get length(): Plan['length'] {
    return this.c.buckets === undefined ? 'public' : 'secret';
  }

  /** Scores are scaled by a length that stays hidden: by their keys. */
  protected get scalesHidden(): boolean {
    return this.factor !== undefined && this.length === 'secret';
  }

  /** Suffix of the ranges of scaled scores: of a public length's factor, or a hidden one's. */
  private get scaling(): '' | 'F' | 'H' {
    return this.factor === undefined ? '' : this.length === 'public' ? 'F' : 'H';
  }

  private range(name: string): Range {
    const found = this.st.wires.get(name);
    if (found === undefined) throw new Error(`no range of ${name}`);
    return found;
  }

  protected big(name: string): number {
    const { min, max } = this.range(name);
    return Math.max(...Array.from(min, Math.abs), ...Array.from(max, Math.abs));
  }

  private once<T>(key: string, fit: () => T): T {
    if (!this.fits.has(key)) this.fits.set(key, fit());
    return this.fits.get(key) as T;
  }

  protected step(what: string): void {
    const total = 4 * this.m.layers.length + 2; // the embedding's norm may be fitted twice
    this.progress?.(what, Math.min(++this.done, total), total);
  }

  /** √H (Σy² + H ε)^(−1/2): LayerNorm of H centred values, ε inside the fitted function. */
  protected norm(key: string, ft: number, nIn: number, nOut?: number): PlanNorm {
    const { c, m } = this;
    this.step(key);
    const { min, max } = this.range(`${key}.var`);
    const [lo, hi] = [(min[0]! / c.mar) * m.H, max[0]! * c.mar * m.H];
    if (!(lo > 0))
      throw new RefusedError(`plan: ${key}: a calibrated row has variance 0`, 'calibrate without degenerate texts');
    const scale = 2 ** (2 * ft);
    const drop = Math.max(0, Math.floor(Math.log2(lo * scale)) - 13);
    const f = (x: number): number => Math.sqrt(m.H) * (x + m.H * m.eps) ** -0.5;
    // x/σ in ring nOut is made in a product of 64 bits: the inverse keeps as many significant bits as that allows
    const above = Math.max(0, Math.ceil(-Math.log2(f(hi))));
    const room = nOut === undefined ? c.relb : WORD - nOut - ft + c.fx - above;
    const kept = Math.max(LEAST_BITS, Math.min(c.relb, room));
    const r = this.once(`root ${lo} ${hi} ${ft} ${kept}`, () =>
      fitReciprocal(key, f, lo, hi, {
        scale: scale / 2 ** drop,
        tolerance: c.tolr,
        bits: kept,
        gap: c.gap,
        harmonics: ROOT_K,
        square: true,
      }),
    );
    reached(`${key} variance`, r, c.tolr);
    // guarded: the sum is right whatever its terms, if none of them is flagged
    const whole = this.bounds === undefined ? 0 : squareSum(nIn, m.H);
    return { ...r, drop, N: Math.max(bits(hi * scale) + 1, r.gate.b + drop, whole) };
  }

  /** λ_h makes every head's denominators end at D0; D the reciprocal on what is left of their ranges. */
  protected attention(l: number): { lambda: number[]; D: PlanReciprocal; smax: number; pv: number } {
    const { c, m, factor } = this;
    this.step(`${l}.D`);
    const F = this.scaling;
    const s = this.range(`${l}.s${F}`).max;
    const { min, max } = this.range(`${l}.D${F}`);
    const PV = this.range(`${l}.PV${F}`).max;
    const lambda = Array.from(max, (hi) => Math.sqrt(c.D0 / (hi * c.marD)));
    const shift = m.layers[l]!.c;
    const perHead = (f: (h: number) => number): number[] => lambda.map((_, h) => f(h));
    // centred scores sum to 0 over the keys, so D = Σ(s − s̄)² + L c² ≥ L c² whatever the text: no margin needed below that
    const perShift = Math.min(...this.lengths().map((L) => L * lengthScaleOf(L, factor) ** 2));
    const proven = (h: number): number => (m.normaliser === '2quad_centred' ? 0.98 * perShift * shift[h]! ** 2 : 0);
    const lo = Math.min(...perHead((h) => Math.max(min[h]! / c.mar, proven(h)) * lambda[h]! ** 2));
    if (!(lo > 0))
      throw new RefusedError(`plan: ${l}.D: a calibrated denominator is 0`, 'train with a larger softmax_c or centred scores'); // prettier-ignore
    const scale = 2 ** (2 * c.fs);
    const drop = Math.max(0, Math.floor(Math.log2(lo * scale)) - 13);
    const r = this.once(`reciprocal ${lo}`, () =>
      fitReciprocal(`${l}.D`, (x) => 1 / x, lo, c.D0, {
        scale: scale / 2 ** drop,
        tolerance: c.tolD,
        bits: c.relb,
        gap: c.gap,
        harmonics: RECIPROCAL_K,
        square: false,
      }),
    );
    reached(`${l}.D`, r, c.tolD);
    return {
      lambda,
      D: { ...r, drop },
      smax: Math.max(...perHead((h) => s[h]! * lambda[h]!)) * Math.sqrt(c.marD) * 1.05,
      pv: Math.max(...perHead((h) => PV[h]! * lambda[h]! ** 2)) * Math.max(c.mar, c.marD),
    };
  }

  protected ratios(b: number): { ratios: readonly number[] } | undefined {
    return this.bounds && { ratios: fitRatios(b) };
  }

  protected lengths(): number[] {
    const { shortest, longest } = this.st;
    return Array.from({ length: longest - shortest + 1 }, (_, i) => shortest + i);
  }

  /** Hidden units sorted by the width of their interval, one fit per group of similar ones. */
  protected hidden(l: number): { perm: number[]; groups: PlanGroup[] } {
    const { c, m } = this;
    this.step(`${l}.gelu`);
    const { min, max } = this.range(`${l}.u`);
    const widen = (c.mar - 1) / 2;
    const lo = min.map((v, j) => v - widen * (max[j]! - v));
    const hi = max.map((v, j) => v + widen * (v - min[j]!));
    // a guarded period is an eighth of what the weights allow: units that may go far belong with those that do
    const reach = this.bounds?.layers[l]!.units;
    const width = lo.map((v, j) => Math.max(hi[j]! - v, (reach?.[j] ?? 0) / 8));
    const perm = Array.from(lo, (_, j) => j).toSorted((a, b) => width[a]! - width[b]! || a - b);
    const ends = c.cuts.map((z) => halfEven(z * perm.length));
    const groups: PlanGroup[] = [];
    for (let i = 0; i + 1 < ends.length; i++) {
      const [from, to] = [ends[i]!, ends[i + 1]!];
      if (from === to) continue;
      const units = perm.slice(from, to);
      const hull = (low: Float64Array, high: Float64Array): [number, number] => [
        Math.min(...units.map((j) => low[j]!)),
        Math.max(...units.map((j) => high[j]!)),
      ];
      // half of the margin stays clear of the guard: without it 4 of 872 unseen texts of one task were refused, with it none
      const seen = hull(
        min.map((v, j) => v - (widen / 2) * (max[j]! - v)),
        max.map((v, j) => v + (widen / 2) * (v - min[j]!)),
      );
      const most = reach && Math.max(...units.map((j) => reach[j]!));
      const [a, b] = most === undefined ? hull(lo, hi) : fitInterval(hull(lo, hi), seen, most);
      const f = m.act === 'gelu' ? gelu : geluNew;
      const scales = { b: c.bc, g1: c.gy1, g2: c.gy2, f_out: c.fy };
      const found = this.once(`activation ${a} ${b}`, () =>
        fitActivation(f, a, b, { tolerance: c.tolg, ...scales, ...this.ratios(c.bc) }),
      );
      reached(`${l}.gelu${groups.length}`, { interval: [a, b], fit_error: found.err }, c.tolg);
      groups.push({ from, to, ...found, ...(most !== undefined && { seen, reach: most }) });
    }
    return { perm, groups };
  }
}

function reached(
  wire: string,
  r: { readonly interval: readonly [number, number]; readonly fit_error: number },
  tolerance: number,
): void {
  if (r.fit_error <= HOPELESS * tolerance) return;
  const [lo, hi] = r.interval;
  throw new RefusedError(
    `plan: ${wire}: no series fits [${lo.toPrecision(3)}, ${hi.toPrecision(3)}] (error ${r.fit_error.toPrecision(2)}, wanted ${tolerance})`,
    'narrow its range: train with a range penalty, lower --max-length, or calibrate without extreme texts',
  );
}

/** Python's round. */
const halfEven = (v: number): number => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));
