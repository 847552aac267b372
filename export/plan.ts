/**
 * The plan: every scale, ring and Fourier table of an exported model, as plain JSON. With the folded integers it determines
 * the program. Field names are the specification's (`plan.json`): fx, fw, fq, … are fraction bits, nS, nP, … rings, a `drop`
 * is a number of bits cut before a Fourier opening. It belongs to the model owner: lambda, perm, intervals and fit errors
 * never reach a party.
 */
import { RefusedError } from '../common/errors.ts';
import { checkGuard } from './check-guard.ts';
import { newtonStep, type InverseSite } from './newton.ts';
import { centreBits, hidesMean, keysRing, lengthFactor, scaleTable, tableRing, weightTable } from './lengths.ts';
import { normSites } from './norm-sites.ts';
import { bits } from './plan-guard.ts';
import { denominatorSite, normSite } from './residual.ts';
import { MAX_TABLE_BITS } from '../protocol/gates/lookup.ts';
import type { FourierTable, TrigTable } from '../protocol/program.ts';

export type Normaliser = '2quad' | '2quad_centred';

/** Integers of one Fourier gate; 64-bit integers as decimal strings. See `FourierTable` for the meaning. */
export interface PlanGate {
  readonly b: number;
  readonly a0: string;
  readonly a: readonly string[];
  readonly b_k: readonly string[];
  readonly g1: number;
  readonly g2: number;
  readonly f_out: number;
  readonly digest: string;
}

/** Cells of the specification's guard; this exporter's are made from intervals when a plan is lowered (`lower-guard`). */
export type Guard = readonly [number, number, number];

/** A reciprocal or inverse square root: its input is multiplied by mul / 8 and cut by `drop` bits before the opening. */
export interface PlanReciprocal {
  readonly gate: PlanGate;
  readonly mul: number;
  readonly drop: number;
  readonly guard?: Guard;
  readonly interval: readonly [number, number];
  readonly period: number;
  /** Relative error of the inverse. */
  readonly fit_error: number;
  /** A Newton step follows the gate (`newton.ts`): relative error of the gate alone. */
  readonly newton?: number;
}

/** LayerNorm: N is the ring of the sum of squares, less 3. */
export interface PlanNorm extends PlanReciprocal {
  readonly N: number;
}

/** Hidden units [from, to) after `perm`, sharing one Fourier gate: gelu(x) ≈ slope·x + fourier(x) on [lo, hi]. */
export interface PlanGroup {
  readonly from: number;
  readonly to: number;
  readonly gate: PlanGate;
  readonly guard?: Guard;
  readonly lo: number;
  readonly hi: number;
  readonly period: number;
  readonly slope: number;
  readonly err: number;
  /** Guarded plans: calibrated values, and the largest |value| the weights allow, both real. */
  readonly seen?: readonly [number, number];
  readonly reach?: number;
}

/**
 * Largest |value| that the weights allow on the ext wires of a layer, real (`bounds`): λ (s + c), sums of keys over a text, PV, and
 * both LayerNorm inputs.
 */
export interface LayerReach {
  readonly score: number;
  /** Centred scores of hidden lengths. */
  readonly keySum?: number;
  /** Scores scaled by a hidden length: a key; its opening holds it without a guard. */
  readonly key?: number;
  readonly context: number;
  readonly norm1: number;
  readonly norm2: number;
}

export interface PlanLayer {
  readonly nS: number;
  readonly nP: number;
  readonly NP: number;
  readonly nPVo: number;
  readonly nO: number;
  readonly nU: number;
  readonly nE1: number;
  readonly nZ: number;
  readonly nEx: number;
  readonly rawU: number;
  /** Centred scores of hidden lengths: ring in which the sum of a text's keys is opened. */
  readonly nKs?: number;
  /** Scores scaled by a hidden length: ring in which the keys are opened. */
  readonly nK?: number;
  /** (A) factor folded into the query weights of a head. */
  readonly lambda: readonly number[];
  /** (F) hidden unit at each place after sorting by interval width. */
  readonly perm: readonly number[];
  readonly D: PlanReciprocal;
  readonly groups: readonly PlanGroup[];
  /** Guarded plans. */
  readonly reach?: LayerReach;
}

export interface PlanTrig {
  readonly l: number;
  readonly hi_cos: readonly number[];
  readonly hi_sin: readonly number[];
  readonly lo_cos: readonly number[];
  readonly lo_sin: readonly number[];
}

export interface Scales {
  readonly fx: number;
  readonly fw: number;
  readonly fq: number;
  readonly fk: number;
  readonly fv: number;
  readonly fs: number;
  readonly fp: number;
  readonly fpv: number;
  readonly fo: number;
  readonly ft: number;
  readonly fy: number;
  readonly bc: number;
  readonly fe: number;
  readonly ft_e: number;
  readonly V2: number;
  readonly fl: number;
}

export interface Plan extends Scales {
  readonly A: number;
  readonly H: number;
  readonly V: number;
  readonly fz: number;
  readonly ne: number;
  readonly rawP: number;
  readonly nPool: number;
  readonly nC: number;
  readonly n_mu: number;
  readonly normaliser: Normaliser;
  /** secret: texts are padded to a bucket, the client's factor μ of ring n_mu tells real tokens. */
  readonly length: 'public' | 'secret';
  /** Every interpreted wire is guarded: an answer is disclosed only if none left its interval. */
  readonly guard: boolean;
  /** Guarded plans: what the weights allow, and the ε of the LayerNorms. */
  readonly reach?: { readonly embedding: number; readonly logits: number };
  readonly eps?: number;
  readonly shortest: number;
  readonly longest: number;
  /** Secret lengths: what texts are padded to. Absent: to `longest`. */
  readonly buckets?: readonly number[];
  /** Centred scores of secret lengths: fraction bits of a token's weight μ / Σ μ in the mean of the keys, and its ring. */
  readonly keyMean?: { readonly f: number; readonly n: number };
  /** Scores scaled by a secret length: the length whose factor is 1, and the ring of the factor, by which the keys are multiplied. */
  readonly keyScale?: { readonly longest: number; readonly n: number };
  /** Scores are scaled by F ≈ √(longest / L), a factor of so many fraction bits (`lengthScale`, `keyScale`): D keeps one range. Absent: not. */
  readonly per_length?: number;
  /** The last layer computes the first token's row alone, all the classifier reads. Absent: every row. */
  readonly cls_only?: boolean;
  readonly calibration_sha256: string;
  /** `emb`, `<l>.ln1`, `<l>.ln2`. */
  readonly norm: Readonly<Record<string, PlanNorm>>;
  readonly tanh: PlanGate & { readonly guard?: Guard };
  readonly tanh_fit: {
    readonly lo: number;
    readonly hi: number;
    readonly period: number;
    readonly err: number;
    readonly seen?: readonly [number, number];
    readonly reach?: number;
  };
  readonly layers: readonly PlanLayer[];
  readonly trig_tables: Readonly<Record<string, PlanTrig>>;
}

/** An integer matrix or vector of the model owner, row-major; |v| ≤ 2^53. */
export interface IntegerTensor {
  readonly shape: readonly number[];
  readonly data: Int32Array | Float64Array;
}

/**
 * Plaintext integers of a plan (`folded.safetensors`): emb_word (V, H), emb_pos (positions, H), emb_type (H), poolW, poolb,
 * clsW, clsb and, per layer l, `layer.<l>.` Wq, Wk, Wv, Wo, bo, gamma, gc, c, W1, b1, W2, M2, b2. Wq and Wv (and Wk unless
 * centred) end in their bias row at scale fx + fw.
 */
export type Folded = ReadonlyMap<string, IntegerTensor>;

/** The same integers under the names of the program format. */
export const programTable = (g: PlanGate): FourierTable => ({
  b: g.b, a0: g.a0, a: g.a, bk: g.b_k, g1: g.g1, g2: g.g2, fOut: g.f_out, digest: g.digest,
}); // prettier-ignore

export const programTrig = (t: PlanTrig): TrigTable => ({
  l: t.l, hiCos: t.hi_cos, hiSin: t.hi_sin, loCos: t.lo_cos, loSin: t.lo_sin,
}); // prettier-ignore

/** Bits dropped between the Fourier sum and its output. */
export const cut = (gate: PlanGate): number => gate.g1 + gate.g2 - gate.f_out;

/** Ring of an inverse's Fourier words. @throws RefusedError if a Newton step does not fit its rings */
const seriesRing = (site: InverseSite): number =>
  (site.fit.newton === undefined ? site.nY : newtonStep(site).nStart) + cut(site.fit.gate);

/** Widest ring of `ring/`, and of a word in one 64-bit slot. */
const WIDEST = 128;
const WORD = 64;

/** Widest ring in which μ is used: with E_n, in scores, in the mean of the keys, in the LayerNorms whose padding rows it clears. */
export function muRing(
  p: Pick<Plan, 'norm' | 'H' | 'eps' | keyof Scales | 'fz' | 'ne' | 'nPool' | 'layers' | 'keyMean' | 'keyScale'>,
): number {
  const clears = normSites(p).flatMap((site) =>
    clearsPadding(site.key, p.layers.length) ? [seriesRing(normSite(p, site))] : [],
  );
  return Math.max(...clears, p.keyMean?.n ?? 0, p.keyScale?.n ?? 0, ...p.layers.flatMap((q) => [q.nEx, q.nS]));
}

/** Whether a LayerNorm makes the rows of padding 0: those that a layer's attention reads. */
export const clearsPadding = (key: string, layers: number): boolean =>
  key === 'emb' || (key.endsWith('.ln2') && key !== `${layers - 1}.ln2`);

/** Fraction bits of an answer, at most. */
const LOGIT_BITS = 14;

const RANGES = 'lower the calibrated range (train with a range penalty, drop extreme texts) or choose smaller scales';
const SCALES = 'choose fraction bits that are not below those of the next wire';
const REFIT = 'export again: the plan was edited or does not belong to this model';
const SHORTER = 'lower --max-length or choose smaller scales';

/**
 * The preconditions of the program, by name (specification, `plan.check`). Run when a plan is made and when one is loaded.
 * @param width hidden units F of each layer, where the tensors are at hand
 * @throws RefusedError `plan: <name> …` with the two sides of the relation and the remedy
 */
export function checkPlan(p: Plan, width?: readonly number[]): void {
  const need = (holds: boolean, name: string, detail: string, remedy: string): void => {
    if (!holds) throw new RefusedError(`plan: ${name}${detail === '' ? '' : ` (${detail})`}`, remedy);
  };
  const atLeast = (name: string, have: number, bound: number, wire: string, remedy: string): void =>
    need(have >= bound, name, `${wire}: ${have} bits, needs at least ${bound}`, remedy);
  const atMost = (name: string, have: number, bound: number, wire: string, remedy: string): void =>
    need(have <= bound, name, `${wire}: ${have} bits, at most ${bound}`, remedy);

  need(
    p.normaliser === '2quad' || p.normaliser === '2quad_centred',
    'normaliser',
    `${String(p.normaliser)}: the masked suite runs 2quad and 2quad_centred`,
    'distil a student with softmax_act 2quad or 2quad_centred first (train-distill student)',
  );
  need(p.length === 'public' || p.length === 'secret', 'length', `${String(p.length)}: public or secret`, REFIT);
  const { keyMean, keyScale } = p;
  const centresHidden = hidesMean(p);
  need(
    !centresHidden || (keyMean !== undefined && p.layers.every(({ nKs }) => nKs !== undefined)),
    '2quad_centred needs a public length (no padding rows)',
    'or the rings in which the mean of its keys is taken: keyMean, nKs',
    REFIT,
  );
  const scalesHidden = p.length === 'secret' && p.per_length !== undefined;
  need(
    !scalesHidden || (keyScale !== undefined && p.layers.every(({ nK }) => nK !== undefined)),
    'scores scaled by the length need a public length',
    'or the rings in which the keys are scaled: keyScale, nK',
    REFIT,
  );
  need(typeof p.guard === 'boolean', 'guard', `${String(p.guard)}: on or off`, REFIT);
  need(
    Number.isInteger(p.shortest) && Number.isInteger(p.longest) && 1 <= p.shortest && p.shortest <= p.longest,
    'legal lengths',
    `${p.shortest}..${p.longest} tokens`,
    REFIT,
  );
  const cuts: Record<string, number> = {
    Q: p.fx + p.fw - p.fq,
    K: p.fx + p.fw - p.fk,
    V: p.fx + p.fw - p.fv,
    St: p.fq + p.fk - p.fs,
    Pt: 2 * p.fs - p.fp,
    PVt: p.fp + p.fv - p.fpv,
    'emb.t': p.fe - p.ft_e,
    'ln.t': p.fz - p.ft,
    'logits.t': 24 - p.fl,
  };
  for (const [wire, by] of Object.entries(cuts))
    need(by >= 0, 'truncation below zero', `${wire} would be cut by ${by} bits`, SCALES);
  need(p.layers.length > 0, 'layers', 'none', REFIT);

  const centre = centreBits(p);
  p.layers.forEach((q, l) => {
    const k = `${l}: `;
    const E = `wire ${l}.E_n`;
    const nT = q.nS - (p.fq + p.fk - p.fs);
    const g = q.D.gate;
    const tO = p.fpv + g.f_out - p.fo;
    const wide = (n: number, f: number): number => n + p.fx + p.fw - f;
    const qRing = wide(q.nS, p.fq) + (scalesHidden ? 0 : (p.per_length ?? centre.queries));
    const kRing = wide(keysRing(q), p.fk) + centre.keys;
    atLeast(`${k}E_n ring below the Q ring (centring bits included)`, q.nEx, qRing, E, REFIT);
    atLeast(`${k}E_n ring below the K ring (centring bits included)`, q.nEx, kRing, E, REFIT);
    atLeast(`${k}E_n ring below the V ring`, q.nEx, wide(q.nP, p.fv), E, REFIT);
    atLeast(`${k}E_n ring below residual ring + 8`, q.nEx, q.nO + 8, E, REFIT);
    if (centresHidden) {
      atMost(`${k}key mean ring above the ring of its weights`, q.nS + keyMean!.f, keyMean!.n, 'wire mu.w', REFIT);
      atLeast(`${k}key mean ring not above the ring of sums`, q.nS + keyMean!.f, q.nKs! + 1, `wire ${l}.Kmean`, REFIT);
    }
    if (scalesHidden) {
      const scaled = q.nS + p.per_length!;
      atMost(`${k}scaled key ring above the ring of its factor`, scaled, keyScale!.n, 'wire mu.F', REFIT);
      atLeast(`${k}scaled key ring not above the ring of keys`, scaled, q.nK! + 1, `wire ${l}.KF`, REFIT);
    }
    atLeast(`${k}score ring below 3`, nT, 3, `wire ${l}.t`, REFIT);
    atLeast(`${k}square ring below score ring + 2`, q.NP + 3, nT + 2, `wire ${l}.P`, REFIT);
    atMost(`${k}P ring above the square ring`, q.nP, q.NP + 3 - (2 * p.fs - p.fp), `wire ${l}.Pt`, REFIT);
    atMost(`${k}PV ring above the Beaver ring`, q.nPVo, q.nP - (p.fp + p.fv - p.fpv), `wire ${l}.PVt`, REFIT);
    atLeast(`${k}D ring below the Fourier opening`, q.NP - q.D.drop, g.b, `wire ${l}.Dv`, REFIT);
    for (const by of [tO, cut(g), q.D.drop])
      need(by >= 0, `${k}D truncation below zero`, `wire ${l}.D would be cut by ${by} bits`, SCALES);
    atLeast(`${k}PV product ring not above the PV ring`, q.nO + tO, q.nPVo + 1, `wire ${l}.O`, RANGES);
    atMost(`${k}PV product ring above 64`, q.nO + tO, WORD, `wire ${l}.O`, RANGES);
    atMost(`${k}D wide ring above 128`, seriesRing(denominatorSite(p, l)), WIDEST, `wire ${l}.D.inv`, RANGES);
    atLeast(`${k}E_n1 ring below U or Z`, q.nE1, Math.max(q.nU, q.nZ), `wire ${l}.E_n1`, REFIT);
    atLeast(`${k}U ring below the Fourier opening`, q.nU - (q.rawU - p.bc), p.bc, `wire ${l}.Ut`, REFIT);
    const F = width?.[l] ?? q.perm.length;
    const bounds = [0, ...q.groups.map((u) => u.to)];
    need(
      q.groups.length > 0 && q.groups.every((u, i) => u.from === bounds[i]) && bounds.at(-1) === F,
      `${k}GeLU groups do not cover the hidden units once`,
      `${q.groups.map((u) => `${u.from}..${u.to}`).join(', ')} of ${F}`,
      REFIT,
    );
    const scales = new Set(q.groups.map(({ gate }) => `${gate.b} ${gate.g1 + gate.g2} ${gate.f_out}`));
    need(scales.size === 1, `${k}GeLU groups differ in scale`, [...scales].join('; '), REFIT);
    for (const { gate } of q.groups)
      atMost(`${k}GeLU words above 64`, q.nZ + cut(gate), WORD, `wire ${l}.gelu`, RANGES);
  });
  for (const site of normSites(p)) {
    const { key, nIn, ft, nOut } = site;
    const r = p.norm[key];
    if (r === undefined) throw new RefusedError(`plan: ${key}: no such norm`, REFIT);
    const tn = ft + r.gate.f_out - p.fx;
    for (const by of [tn, cut(r.gate), r.drop])
      need(by >= 0, `${key}: truncation below zero`, `would be cut by ${by} bits`, SCALES);
    atLeast(`${key}: square ring below input ring + 2`, r.N + 3, nIn + 2, `wire ${key}.ss`, REFIT);
    atLeast(`${key}: product ring not above input ring`, nOut + tn, nIn + 1, `wire ${key}.n`, RANGES);
    atMost(`${key}: product ring above 64`, nOut + tn, WORD, `wire ${key}.n`, SHORTER);
    atLeast(`${key}: sum of squares ring below the Fourier opening`, r.N - r.drop, r.gate.b, `wire ${key}.v`, REFIT);
    atMost(`${key}: wide ring above 128`, seriesRing(normSite(p, site)), WIDEST, `wire ${key}.inv`, SHORTER);
  }
  if (p.length === 'secret') {
    atLeast('mu ring below a ring that uses it', p.n_mu, muRing(p), 'wire mu', REFIT);
    atMost('mu ring above 128', p.n_mu, WIDEST, 'wire mu', SHORTER);
  }
  if (centresHidden || scalesHidden) atMost('tables of n', bits(p.longest), MAX_TABLE_BITS, 'wire mu.n', SHORTER);
  if (centresHidden) {
    const { f, n } = keyMean!;
    atLeast('fraction bits of the mean of the keys', f, 1, 'wire mu.w', REFIT);
    const entries = tableRing(weightTable(p, f, lengthFactor(p)));
    atLeast('ring of a token’s weight not above its table', n, entries + 1, 'wire mu.w', REFIT);
    atMost('ring of a token’s weight above 64', n, WORD, 'wire mu.w', SHORTER);
  }
  if (scalesHidden) {
    const entries = tableRing(scaleTable(p, lengthFactor(p)!));
    atLeast('ring of the factor not above its table', keyScale!.n, entries + 1, 'wire mu.F', REFIT);
    atMost('ring of the factor above 64', keyScale!.n, WORD, 'wire mu.F', SHORTER);
  }
  const tanh = p.tanh;
  atLeast('pooler ring below the tanh opening', p.nPool - (p.rawP - tanh.b), tanh.b, 'wire pool.u', REFIT);
  atMost('tanh words above 64', p.nC + cut(tanh), WORD, 'wire tanh', RANGES);
  // untruncated logits have 24 fraction bits, and the lowest of them tell of the weights more than an answer
  atMost('fraction bits of the logits', p.fl, LOGIT_BITS, 'wire logits.t', 'export again with a plan of this toolkit');
  atLeast('logit ring', p.nC - (24 - p.fl), 2, 'wire logits.t', REFIT);
  if (p.guard) checkGuard(p);
}
