/**
 * Planning: ranges → Fourier fits, rings and scales (specification plan.py, `make`; masked-suite design, section 5, plan P2).
 *
 * Ring of a bounded wire: bits(margin · calibrated maximum · 2^f) + 2, bits(x) = ⌊log2 x⌋ + 1, so that |v| < 2^(n−2) holds.
 * Scores and PV get two more bits: EXT does not notice a value out of range. Wires that are only read modulo their ring get
 * what the modulus needs.
 */
import { fitTanh } from './fit/functions.ts';
import { trigTable } from './fit/gate.ts';
import { PERIOD_BITS } from './guard-levels.ts';
import { centreBits, LENGTH_BITS, lengthScaleOf } from './lengths.ts';
import { checkPlan, muRing, type Plan, type PlanGroup, type PlanLayer, type PlanNorm, type PlanTrig } from './plan.ts'; // prettier-ignore
import { Fitter, type PlannedModel, type PlanProgress } from './plan-fits.ts';
import { bits, extRing, layerReach, squareSum, tanhReach, wholeRing } from './plan-guard.ts';
import { BALANCED, type PlanOptions } from './plans.ts';
import type { Ranges } from './ranges.ts';

export { BALANCED, PLANS, type PlanOptions } from './plans.ts';
export type { PlannedModel, PlanProgress } from './plan-fits.ts';

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

class Planner extends Fitter {
  private readonly fz: number;

  constructor(model: PlannedModel, ranges: Ranges, options: PlanOptions, progress: PlanProgress | undefined) {
    super(model, ranges, options, progress);
    this.fz = options.fx + options.fzx;
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

  /** Largest sum of keys to be expected, in units of a key. */
  private keySum(l: number): number {
    return this.big(`${l}.ksum`) * this.c.mar * 2 ** this.c.fk;
  }

  /** Rows of the longest text, its padding included. */
  private get longest(): number {
    return this.c.buckets?.at(-1) ?? this.st.longest;
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

  /** Ring of an ext wire from units seen, with their margin, and what the weights allow; spare bits where no guard notices. */
  private ring(seen: number, reach: number, head = 0): number {
    return this.bounds === undefined ? bits(seen) + 2 + head : extRing(seen, reach);
  }

  /** Bits a wire read by period has above its period. */
  private get periods(): number {
    return this.bounds === undefined ? 0 : PERIOD_BITS;
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
