/**
 * Planning: ranges → Fourier fits, rings and scales (specification plan.py, `make`; masked-suite design, section 5, plan P2).
 *
 * Ring of a bounded wire: bits(margin · calibrated maximum · 2^f) + 2, bits(x) = ⌊log2 x⌋ + 1, so that |v| < 2^(n−2) holds.
 * Scores and PV get two more bits: EXT does not notice a value out of range. Wires that are only read modulo their ring get
 * what the modulus needs.
 */
import { RefusedError } from '../common/errors.ts';
import { gelu, geluNew } from './fit/erf.ts';
import { fitActivation, fitReciprocal, fitTanh } from './fit/functions.ts';
import { trigTable } from './fit/gate.ts';
import type { LengthFactor } from '../protocol/program.ts';
import { centreBits, checkPlan, LENGTH_BITS, lengthFactor, lengthScaleOf, type Plan, type PlanGroup, type PlanLayer, type PlanNorm, type PlanReciprocal, type PlanTrig, type Scales } from './plan.ts'; // prettier-ignore
import type { Range, Ranges } from './ranges.ts';
import type { RealModel } from './real-model.ts';

export interface PlanOptions extends Scales {
  /** Fraction bits of Y and Z above fx. */
  readonly fzx: number;
  /** log2 of a period of U above fx: the precision of W1. */
  readonly rawx: number;
  /** Fit tolerances: GeLU and tanh absolute, reciprocal roots and denominators relative. */
  readonly tolg: number;
  readonly tolr: number;
  readonly tolD: number;
  readonly tolt: number;
  /** Margins on calibrated ranges; marD on the upper end of denominators. */
  readonly mar: number;
  readonly marD: number;
  /** Every head's denominators end here. */
  readonly D0: number;
  /** Significant bits of a reciprocal at its small end. */
  readonly relb: number;
  /** Hidden units by interval width: ends of the groups, as fractions. */
  readonly cuts: readonly number[];
  readonly b_tanh: number;
  readonly gy1: number;
  readonly gy2: number;
  /** Least ratio of a reciprocal's period to the end of its interval (1.02 in the specification). */
  readonly gap: number;
  /** Spare ring bits of scores and PV. */
  readonly head: number;
  /** Scores scaled by the length, so that the range of D does not grow with it (not in the specification). */
  readonly perLength: boolean;
  /** The last layer for the first token alone (not in the specification). */
  readonly clsOnly: boolean;
}

/** P2 of the design, the smallest plan that runs on 32-bit kernels, with roomier periods (fewer harmonics to deal). */
export const BALANCED: PlanOptions = {
  fx: 10, fw: 12, fq: 8, fk: 8, fv: 8, fs: 8, fp: 3, fpv: 6, fo: 10, ft: 9, fy: 9, bc: 14, fe: 15, ft_e: 14, V2: 4, fl: 14,
  fzx: 11, rawx: 18, tolg: 3e-3, tolr: 3e-4, tolD: 1e-3, tolt: 4e-4, mar: 1.3, marD: 2, D0: 4096, relb: 12,
  cuts: [0, 0.5, 0.8, 0.95, 0.99, 0.999, 1], b_tanh: 15, gy1: 10, gy2: 12, head: 2, gap: 1.08,
  perLength: true, clsOnly: true,
}; // prettier-ignore

export const PLANS: Readonly<Record<string, PlanOptions>> = { balanced: BALANCED };

/**
 * A fit this far above its tolerance is refused: its error would show in the answers. Measured: a denominator fitted to
 * 19 times its tolerance moved logits by 0.07 at most; only the few rows at its lower end meet the error.
 */
const HOPELESS = 50;

/** Harmonics that reach the tolerances, measured over the ratios of real models. */
const ROOT_K = (ratio: number): number => 4.5 * ratio ** 0.55;
const RECIPROCAL_K = (ratio: number): number => 0.7 * ratio ** 0.9;

const bits = (x: number): number => Math.floor(Math.log2(Math.max(x, 1e-9))) + 1;

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
};

class Planner {
  private readonly m: PlannedModel;
  private readonly st: Ranges;
  private readonly c: PlanOptions;
  private readonly fz: number;
  private readonly factor: LengthFactor | undefined;
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
    // texts of one length need no factor, unless centring multiplies the queries anyway
    const scaled = options.perLength && (normaliser === '2quad_centred' || ranges.shortest < ranges.longest);
    this.factor = scaled ? lengthFactor({ per_length: LENGTH_BITS, longest: ranges.longest, normaliser }) : undefined;
    this.progress = progress;
  }

  run(): Plan {
    const { m, c, st, fz } = this;
    const norm: Record<string, PlanNorm> = {};
    const layers = m.layers.map((_, l) => {
      norm[`${l}.ln1`] = this.norm(`${l}.ln1`, c.ft);
      norm[`${l}.ln2`] = this.norm(`${l}.ln2`, c.ft);
      return this.layer(l);
    });
    // E_n of centred scores is wide: the embedding keeps as many fraction bits as its 64-bit product with 1/σ allows
    const emb = this.norm('emb', c.ft_e);
    const ft_e = Math.min(c.ft_e, 64 - layers[0]!.nEx + c.fx - emb.gate.f_out);
    norm['emb'] = ft_e === c.ft_e ? emb : this.norm('emb', ft_e);
    const R = Math.max(4, this.big('pool.u') * 1.5);
    this.step('tanh');
    const scales = { b: c.b_tanh, g1: 16, g2: 16, f_out: 12 };
    const { gate: tanh, ...tanh_fit } = fitTanh(R, { tolerance: c.tolt, ...scales });
    const raw = c.fx + c.rawx;
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
      ne: bits(this.big('emb.xc') * c.mar * 2 ** fe) + 2,
      rawP: raw,
      nPool: raw,
      nC: 24 + bits(Math.max(32, 2 * this.big('logits'))) + 1,
      n_mu: 0,
      normaliser: m.normaliser,
      length: 'public',
      guard: false,
      shortest: st.shortest,
      longest: st.longest,
      ...(this.factor === undefined ? {} : { per_length: this.factor.bits }),
      ...(c.clsOnly ? { cls_only: true } : {}),
      calibration_sha256: st.sha256,
      norm,
      tanh,
      tanh_fit,
      layers,
      trig_tables,
    }; // prettier-ignore
    checkPlan(plan);
    return plan;
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
    this.progress?.(what, ++this.done, 4 * this.m.layers.length + 2);
  }

  /** √H (Σy² + H ε)^(−1/2): LayerNorm of H centred values, ε inside the fitted function. */
  private norm(key: string, ft: number): PlanNorm {
    const { c, m } = this;
    this.step(key);
    const { min, max } = this.range(`${key}.var`);
    const [lo, hi] = [(min[0]! / c.mar) * m.H, max[0]! * c.mar * m.H];
    if (!(lo > 0))
      throw new RefusedError(`plan: ${key}: a calibrated row has variance 0`, 'calibrate without degenerate texts');
    const scale = 2 ** (2 * ft);
    const drop = Math.max(0, Math.floor(Math.log2(lo * scale)) - 13);
    const f = (x: number): number => Math.sqrt(m.H) * (x + m.H * m.eps) ** -0.5;
    const r = this.once(`root ${lo} ${hi} ${ft}`, () =>
      fitReciprocal(key, f, lo, hi, {
        scale: scale / 2 ** drop,
        tolerance: c.tolr,
        bits: c.relb,
        gap: c.gap,
        harmonics: ROOT_K,
      }),
    );
    reached(`${key} variance`, r, c.tolr);
    return { ...r, drop, N: Math.max(bits(hi * scale) + 1, r.gate.b + drop) };
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
    const nS = bits(tmax * 2 ** (c.fq + c.fk)) + 2 + c.head;
    const drop = 2 * c.fs - c.fp;
    const NP = Math.max(
      bits(pv * 2 ** (c.fp + c.fv)) + 2 + c.head + drop,
      bits(c.D0 * 2 ** (2 * c.fs)) + 1,
      D.gate.b + D.drop,
    );
    const nP = NP - drop;
    const nO = bits(this.big(`${k}ln1.xc`) * c.mar * 2 ** fz) + 2;
    const centre = centreBits({ normaliser: this.m.normaliser, shortest: this.st.shortest, longest: this.st.longest });
    const wide = (n: number, f: number): number => n + c.fx + c.fw - f;
    const queries = factor?.bits ?? centre.queries;
    const nEx = Math.max(wide(nP, c.fv), wide(nS, c.fk) + centre.keys, wide(nS, c.fq) + queries, nO + 8);
    const { perm, groups } = this.hidden(l);
    const nU = c.fx + c.rawx;
    const nZ = bits(this.big(`${k}ln2.xc`) * c.mar * 2 ** fz) + 2;
    return {
      nS, nP, NP,
      nPVo: bits(pv * 2 ** c.fpv) + 2 + c.head,
      nO, nU,
      nE1: Math.max(nU, nZ),
      nZ, nEx,
      rawU: nU,
      lambda, perm, D, groups,
    }; // prettier-ignore
  }

  /** λ_h makes every head's denominators end at D0; D the reciprocal on what is left of their ranges. */
  private attention(l: number): { lambda: number[]; D: PlanReciprocal; smax: number; pv: number } {
    const { c, m, factor } = this;
    this.step(`${l}.D`);
    const F = factor === undefined ? '' : 'F';
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
    const perm = Array.from(lo, (_, j) => j).toSorted((a, b) => hi[a]! - lo[a]! - (hi[b]! - lo[b]!) || a - b);
    const ends = c.cuts.map((z) => halfEven(z * perm.length));
    const groups: PlanGroup[] = [];
    for (let i = 0; i + 1 < ends.length; i++) {
      const [from, to] = [ends[i]!, ends[i + 1]!];
      if (from === to) continue;
      const units = perm.slice(from, to);
      const [a, b] = [Math.min(...units.map((j) => lo[j]!)), Math.max(...units.map((j) => hi[j]!))];
      const f = m.act === 'gelu' ? gelu : geluNew;
      const scales = { b: c.bc, g1: c.gy1, g2: c.gy2, f_out: c.fy };
      const found = this.once(`activation ${a} ${b}`, () => fitActivation(f, a, b, { tolerance: c.tolg, ...scales }));
      reached(`${l}.gelu${groups.length}`, { interval: [a, b], fit_error: found.err }, c.tolg);
      groups.push({ from, to, ...found });
    }
    return { perm, groups };
  }
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
