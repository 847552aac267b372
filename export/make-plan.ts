/**
 * Planning: ranges → Fourier fits, rings and scales (specification plan.py, `make`; masked-suite design, section 5, plan P2).
 *
 * Ring of a bounded wire: bits(margin · calibrated maximum · 2^f) + 2, bits(x) = ⌊log2 x⌋ + 1, so that |v| < 2^(n−2) holds.
 * Scores and PV get two more bits: EXT does not notice a value out of range. Wires that are only read modulo their ring get
 * what the modulus needs.
 */
import { RefusedError } from '../common/errors.ts';
import type { Bounds } from './bounds.ts';
import { gelu, geluNew } from './fit/erf.ts';
import { fitActivation, fitReciprocal, fitTanh } from './fit/functions.ts';
import { trigTable } from './fit/gate.ts';
import { PERIOD_BITS } from './guard-levels.ts';
import type { LengthFactor } from '../protocol/program.ts';
import { centreBits, hidesMean, LENGTH_BITS, lengthFactor, lengthScaleOf } from './lengths.ts';
import { checkPlan, muRing, type Plan, type PlanGroup, type PlanLayer, type PlanNorm, type PlanReciprocal, type PlanTrig } from './plan.ts'; // prettier-ignore
import { bits, extRing, fitInterval, fitRatios, layerReach, squareSum, tanhReach, wholeRing } from './plan-guard.ts';
import { BALANCED, type PlanOptions } from './plans.ts';
import type { Range, Ranges } from './ranges.ts';
import type { RealModel } from './real-model.ts';

export { BALANCED, PLANS, type PlanOptions } from './plans.ts';

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

/**
 * @throws RefusedError if a bound does not fit, naming wire, bound and remedy
 */
export function makePlan(
  model: PlannedModel,
  ranges: Ranges,
  options: PlanOptions = BALANCED,
  progress?: PlanProgress,
): Plan {
  return new Planner(model, ranges, options, progress).run();
}

/** What a plan depends on besides the ranges: no weights. */
export type PlannedModel = Pick<RealModel, 'H' | 'A' | 'V' | 'eps' | 'act' | 'normaliser'> & {
  readonly layers: readonly Pick<RealModel['layers'][number], 'c'>[];
  /** What the weights allow: guarded plans need it. */
  readonly bounds?: Bounds;
};

class Planner {
  private readonly m: PlannedModel;
  private readonly st: Ranges;
  private readonly c: PlanOptions;
  private readonly fz: number;
  private readonly factor: LengthFactor | undefined;
  /** Scores are centred, over a number of tokens that stays hidden. */
  private readonly hidesMean: boolean;
  private readonly bounds: Bounds | undefined;
  private readonly progress: PlanProgress | undefined;
  private done = 0;
  /** By their parameters: layers of equal ranges share them. */
  private readonly fits = new Map<string, unknown>();

  constructor(model: PlannedModel, ranges: Ranges, options: PlanOptions, progress: PlanProgress | undefined) {
    this.m = model;
    this.st = ranges;
    this.c = options;
    this.fz = options.fx + options.fzx;
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

  run(): Plan {
    const { m, c, st, fz } = this;
    const norm: Record<string, PlanNorm> = {};
    const layers = m.layers.map((_, l) => this.layer(l));
    const nPool = c.fx + c.rawx + this.periods;
    layers.forEach((q, l) => {
      norm[`${l}.ln1`] = this.norm(`${l}.ln1`, c.ft, q.nO - (fz - c.ft), q.nE1);
      norm[`${l}.ln2`] = this.norm(`${l}.ln2`, c.ft, q.nZ - (fz - c.ft), layers[l + 1]?.nEx ?? nPool);
    });
    // E_n of centred scores is wide: the embedding keeps as many fraction bits as its 64-bit product with 1/σ allows
    const ne = this.ring(this.big('emb.xc') * c.mar * 2 ** c.fe, (this.bounds?.embedding ?? 0) * 2 ** c.fe);
    const emb = this.norm('emb', c.ft_e, ne - (c.fe - c.ft_e));
    const ft_e = Math.min(c.ft_e, 64 - layers[0]!.nEx + c.fx - emb.gate.f_out);
    norm['emb'] = ft_e === c.ft_e ? emb : this.norm('emb', ft_e, ne - (c.fe - ft_e));
    const pooler = this.bounds?.pooler ?? 0;
    const R = Math.max(4, this.big('pool.u') * 1.5, tanhReach(pooler));
    this.step('tanh');
    const scales = { b: c.b_tanh, g1: 16, g2: 16, f_out: 12 };
    const { gate: tanh, ...tanh_fit } = fitTanh(R, { tolerance: c.tolt, ...scales, ...this.ratios(c.b_tanh) });
    const raw = c.fx + c.rawx;
    const seen = [-this.big('pool.u'), this.big('pool.u')] as const;
    const gates = [tanh, ...Object.values(norm).map((r) => r.gate), ...layers.flatMap((q) => [q.D.gate, ...q.groups.map((u) => u.gate)])]; // prettier-ignore
    const trig_tables: Record<string, PlanTrig> = {};
    for (const b of [...new Set(gates.map((g) => g.b))].toSorted((x, y) => x - y)) trig_tables[b] = trigTable(b);
    const { fx, fw, fq, fk, fv, fs, fp, fpv, fo, ft, fy, bc, fe, V2, fl } = c;
    const plan: Plan = {
      fx, fw, fq, fk, fv, fs, fp, fpv, fo, ft, fy, bc, fe, ft_e, V2, fl,
      A: m.A,
      H: m.H,
      V: m.V,
      fz,
      ne,
      rawP: raw,
      nPool,
      nC: 24 + bits(Math.max(32, 2 * this.big('logits'), this.bounds?.logits ?? 0)) + 1,
      n_mu: 0,
      normaliser: m.normaliser,
      length: this.length,
      guard: c.guard,
      ...(this.bounds && { reach: { embedding: this.bounds.embedding, logits: this.bounds.logits }, eps: m.eps }),
      shortest: st.shortest,
      longest: this.longest,
      ...(c.buckets && { buckets: c.buckets }),
      ...(this.hidesMean && { keyMean: this.keyMean(layers) }),
      ...(this.factor === undefined ? {} : { per_length: this.factor.bits }),
      ...(this.scalesHidden && { keyScale: this.keyScale(layers) }),
      ...(c.clsOnly ? { cls_only: true } : {}),
      calibration_sha256: st.sha256,
      norm,
      tanh,
      tanh_fit: { ...tanh_fit, ...(this.bounds && { seen, reach: pooler }) },
      layers,
      trig_tables,
    }; // prettier-ignore
    const complete = c.buckets === undefined ? plan : { ...plan, n_mu: muRing(plan) };
    checkPlan(complete);
    return complete;
  }

  /**
   * As many fraction bits of 1/n as the largest sum of keys has: half a unit of it then moves no key by more than half a unit.
   */
  private keyMean(layers: readonly PlanLayer[]): { f: number; n: number } {
    const f = bits(Math.max(2, ...layers.map((_, l) => this.keySum(l))));
    return { f, n: Math.max(...layers.map(({ nS }) => nS)) + f };
  }

  private keyScale(layers: readonly PlanLayer[]): { longest: number; n: number } {
    return { longest: this.st.longest, n: Math.max(...layers.map(({ nS }) => nS)) + LENGTH_BITS };
  }

  private get length(): Plan['length'] {
    return this.c.buckets === undefined ? 'public' : 'secret';
  }

  /** Scores are scaled by a length that stays hidden: by their keys. */
  private get scalesHidden(): boolean {
    return this.factor !== undefined && this.length === 'secret';
  }

  /** Suffix of the ranges of scaled scores: of a public length's factor, or a hidden one's. */
  private get scaling(): '' | 'F' | 'H' {
    return this.factor === undefined ? '' : this.length === 'public' ? 'F' : 'H';
  }

  /** Largest sum of keys to be expected, in units of a key. */
  private keySum(l: number): number {
    return this.big(`${l}.ksum`) * this.c.mar * 2 ** this.c.fk;
  }

  /** Rows of the longest text, its padding included. */
  private get longest(): number {
    return this.c.buckets?.at(-1) ?? this.st.longest;
  }

  private range(name: string): Range {
    const found = this.st.wires.get(name);
    if (found === undefined) throw new Error(`no range of ${name}`);
    return found;
  }

  private big(name: string): number {
    const { min, max } = this.range(name);
    return Math.max(...Array.from(min, Math.abs), ...Array.from(max, Math.abs));
  }

  private once<T>(key: string, fit: () => T): T {
    if (!this.fits.has(key)) this.fits.set(key, fit());
    return this.fits.get(key) as T;
  }

  private step(what: string): void {
    const total = 4 * this.m.layers.length + 2; // the embedding's norm may be fitted twice
    this.progress?.(what, Math.min(++this.done, total), total);
  }

  /** √H (Σy² + H ε)^(−1/2): LayerNorm of H centred values, ε inside the fitted function. */
  private norm(key: string, ft: number, nIn: number, nOut?: number): PlanNorm {
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

  private layer(l: number): PlanLayer {
    const { c, fz } = this;
    const k = `${l}.`;
    const { lambda, D, smax, pv } = this.attention(l);
    const { factor } = this;
    const scale = factor === undefined ? 1 : Math.max(...this.lengths().map((L) => lengthScaleOf(L, factor)));
    const shift = Math.max(...this.m.layers[l]!.c.map((v, h) => Math.abs(v * lambda[h]!))) * scale;
    // no term of D exceeds it: |t| ≤ √D0
    const tmax = factor === undefined ? smax + shift : Math.min(smax + shift, 0.999 * Math.sqrt(c.D0));
    const { perm, groups } = this.hidden(l);
    const reach =
      this.bounds &&
      layerReach(this.bounds, l, {
        lambda,
        c: this.m.layers[l]!.c,
        scale,
        D0: c.D0,
        activation: largestActivation(groups, perm),
        ...(this.hidesMean && { tokens: this.longest }),
        ...(this.scalesHidden && { scaled: true }),
      });
    const nS = this.ring(tmax * 2 ** (c.fq + c.fk), (reach?.score ?? 0) * 2 ** (c.fq + c.fk), c.head);
    const nPVo = this.ring(pv * 2 ** c.fpv, (reach?.context ?? 0) * 2 ** c.fpv, c.head);
    const drop = 2 * c.fs - c.fp;
    const NP = Math.max(
      nPVo + c.fp + c.fv - c.fpv + drop,
      bits(c.D0 * 2 ** (2 * c.fs)) + 1,
      D.gate.b + D.drop,
      this.bounds === undefined ? 0 : squareSum(nS - (c.fq + c.fk - c.fs), this.longest),
    );
    const nP = NP - drop;
    const nO = this.ring(this.big(`${k}ln1.xc`) * c.mar * 2 ** fz, (reach?.norm1 ?? 0) * 2 ** fz);
    const nKs = this.hidesMean ? this.ring(this.keySum(l), (reach?.keySum ?? 0) * 2 ** c.fk) : undefined;
    const { shortest, longest } = this.st;
    // a ring that holds whatever the weights allow; without their bounds what was seen, with a margin
    const seenKey = this.scalesHidden ? this.big(`${k}key`) * c.mar : 0;
    const nK = this.scalesHidden ? wholeRing((reach?.key ?? seenKey) * 2 ** c.fk) : undefined;
    const centre = centreBits({ normaliser: this.m.normaliser, length: this.length, shortest, longest });
    const wide = (n: number, f: number): number => n + c.fx + c.fw - f;
    const queries = this.scalesHidden ? 0 : (factor?.bits ?? centre.queries);
    const nEx = Math.max(
      wide(nP, c.fv),
      wide(Math.max(nS, nKs ?? 0, nK ?? 0), c.fk) + centre.keys,
      wide(nS, c.fq) + queries,
      nO + 8,
    );
    const rawU = c.fx + c.rawx;
    const nU = rawU + this.periods;
    const nZ = this.ring(this.big(`${k}ln2.xc`) * c.mar * 2 ** fz, (reach?.norm2 ?? 0) * 2 ** fz);
    return {
      nS, nP, NP, nPVo, nO, nU,
      nE1: Math.max(nU, nZ),
      nZ, nEx, rawU, ...(nKs !== undefined && { nKs }), ...(nK !== undefined && { nK }), lambda, perm, D, groups,
      ...(reach && { reach }),
    }; // prettier-ignore
  }

  /** λ_h makes every head's denominators end at D0; D the reciprocal on what is left of their ranges. */
  private attention(l: number): { lambda: number[]; D: PlanReciprocal; smax: number; pv: number } {
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

  /** Ring of an ext wire from units seen, with their margin, and what the weights allow; spare bits where no guard notices. */
  private ring(seen: number, reach: number, head = 0): number {
    return this.bounds === undefined ? bits(seen) + 2 + head : extRing(seen, reach);
  }

  /** Bits a wire read by period has above its period. */
  private get periods(): number {
    return this.bounds === undefined ? 0 : PERIOD_BITS;
  }

  private ratios(b: number): { ratios: readonly number[] } | undefined {
    return this.bounds && { ratios: fitRatios(b) };
  }

  private lengths(): number[] {
    const { shortest, longest } = this.st;
    return Array.from({ length: longest - shortest + 1 }, (_, i) => shortest + i);
  }

  /** Hidden units sorted by the width of their interval, one fit per group of similar ones. */
  private hidden(l: number): { perm: number[]; groups: PlanGroup[] } {
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

/** (F) largest |gelu| of every unit that passes its guard: gelu(x) ≥ −0.17, and its fit is off by `err` at most. */
function largestActivation(groups: readonly PlanGroup[], perm: readonly number[]): Float64Array {
  const out = new Float64Array(perm.length);
  for (const { from, to, hi, err } of groups)
    for (let place = from; place < to; place++) out[perm[place]!] = Math.max(hi, 0.17) + err;
  return out;
}

/** Fits that missed their tolerance without being refused, worst first. */
export function missedFits(
  plan: Plan,
  options: PlanOptions = BALANCED,
): { wire: string; error: number; tolerance: number }[] {
  const fits = [
    ...Object.entries(plan.norm).map(([key, r]) => ({
      wire: `${key}.inv`,
      error: r.fit_error,
      tolerance: options.tolr,
    })),
    ...plan.layers.flatMap((q, l) => [
      { wire: `${l}.D.inv`, error: q.D.fit_error, tolerance: options.tolD },
      ...q.groups.map((u, j) => ({ wire: `${l}.gelu${j}`, error: u.err, tolerance: options.tolg })),
    ]),
    { wire: 'tanh', error: plan.tanh_fit.err, tolerance: options.tolt },
  ];
  return fits.filter((f) => f.error > f.tolerance).toSorted((a, b) => b.error / b.tolerance - a.error / a.tolerance);
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
