/**
 * Lowering: plan and folded integers → program. Composes the gates exactly as the specification's `program.py` does; gate
 * names are its wire names, so the two can be compared wire by wire. Bias tensors are named `<masked tensor>+`.
 */
import { mostDropped } from '../protocol/gates/length-scale.ts';
import { PROGRAM_VERSION, type LengthFactor, type Program, type Ring } from '../protocol/program.ts';
import type { Shape } from '../protocol/shape.ts';
import { asMatrix, asRow, embeddingTable, rows, type Matrix } from './static-tensors.ts';
import { RefusedError } from '../common/errors.ts';
import { ring, type Wire } from './builder.ts';
import { InverseBuilder } from './lower-inverse.ts';
import { normSites, type NormSite } from './norm-sites.ts';
import { denominatorSite, normSite } from './residual.ts';
import { keysRing, lengthFactor } from './lengths.ts';
import { checkPlan, clearsPadding, programTrig, type Folded, type IntegerTensor, type Plan, type PlanLayer } from './plan.ts'; // prettier-ignore

export type { Matrix };

export interface Lowered {
  readonly program: Program;
  /** By tensor name: what F, B and the static shares are made of. */
  readonly tensors: ReadonlyMap<string, Matrix>;
}

/** Classifier scale: tanh at 12 bits times weights at 12. */
const F_TANH = 12;
const F_LOGITS = 24;
/** Extra weight bits of the column that subtracts the residual's mean. */
const F_MEAN = 8;

/**
 * @throws RefusedError if the plan does not pass `checkPlan` or a tensor is missing or of another shape
 */
export function lower(plan: Plan, folded: Folded): Lowered {
  checkPlan(
    plan,
    plan.layers.map((_, l) => folded.get(`layer.${l}.W1`)?.shape[1] ?? 0),
  );
  return new Lowering(plan, folded).run();
}

class Lowering extends InverseBuilder {
  private readonly folded: Folded;

  constructor(plan: Plan, folded: Folded) {
    super(plan);
    this.folded = folded;
  }

  run(): Lowered {
    const p = this.p;
    if (p.length === 'secret') this.hide(p.n_mu);
    let n = this.norm(this.embedding(), this.site('emb'));
    p.layers.forEach((q, l) => {
      n = this.layer(n, q, l);
    });
    const output = this.classifier(n);
    const program: Program = {
      version: PROGRAM_VERSION,
      suite: 'masked',
      length: p.length,
      shortest: p.shortest,
      longest: p.longest,
      ...(p.length === 'secret' && { buckets: p.buckets ?? [p.longest] }),
      heads: p.A,
      hidden: p.H,
      vocab: p.V,
      labels: output.shape.cols as number,
      gates: this.gates,
      tensors: this.specs,
      trig: Object.fromEntries(Object.entries(p.trig_tables).map(([b, t]) => [b, programTrig(t)])),
      output: output.index,
      ...this.guards,
    };
    return { program, tensors: this.tensors };
  }

  private embedding(): Wire {
    const { p } = this;
    const word = this.get('emb_word', [p.V, p.H]);
    const type = this.get('emb_type', [p.H]);
    const positions = this.get('emb_pos', [undefined, p.H]);
    if (positions.shape[0]! < p.longest)
      throw new RefusedError(`plan: longest ${p.longest} above the ${positions.shape[0]} positions of the model`, 'lower --max-length'); // prettier-ignore
    const table = embeddingTable(word, type, p.V2);
    this.tensor('emb', 'masked', p.ne, table);
    const shape: Shape = { rows: 'token', cols: p.H };
    const x = this.gate({ op: 'embedding', name: 'emb', tensor: 'emb', vocab: p.V, split: p.V2 }, [], p.ne, p.fe, shape); // prettier-ignore
    return this.bias(x, 'emb', rows(positions, 0, p.longest), 'position');
  }

  /** x centred → x / √(mean(x²) + ε) at scale fx in ring nOut; three openings. ε is inside the fitted function. */
  private norm(x: Wire, site: NormSite): Wire {
    const { key, ft, nOut } = site;
    const ln = this.p.norm[key]!;
    const tn = ft + ln.gate.f_out - this.p.fx;
    const X = this.guardedExt(this.toScale(x, ft, `${key}.t`), `${key}.x`, Math.max(ln.N + 3, nOut + tn));
    const sum = this.square(X, `${key}.ss`, ln.N + 3, true, ln.interval[1]);
    const v = this.reduced(sum, ln.mul, ln.drop, `${key}.v`);
    const mu = clearsPadding(key, this.p.layers.length) ? this.mu : undefined;
    const inverse = normSite(this.p, site);
    const y = this.inverse(sum, v, key, inverse, mu);
    const io = this.open(y, `${key}.io`);
    this.guardInverse(sum, y, inverse);
    return this.truncate(this.product(X, io, nOut + tn, `${key}.n`), tn, `${key}.nt`);
  }

  private site(key: string): NormSite {
    return normSites(this.p).find((site) => site.key === key)!;
  }

  private layer(n: Wire, q: PlanLayer, l: number): Wire {
    const { p } = this;
    const k = `${l}.`;
    const no = this.open(n, `${k}E_n`);
    // the classifier reads one row of the last layer: its keys and values come from every token, all else from the first
    const alone = p.cls_only === true && l === p.layers.length - 1;
    const row = alone ? this.firstRow(no, `${k}E_n.row`) : no;
    const O = this.attention(no, row, q, l);
    const Y = this.linear(O, `${k}Wo`, this.matrix(l, 'Wo', p.H, p.H), p.fz - p.fo, q.nO);
    const R = this.linear(row, `${k}gamma`, this.row(l, 'gamma', p.H), p.fz - p.fx, q.nO, true);
    const C = this.linear(row, `${k}gc`, this.matrix(l, 'gc', p.H, 1), p.fz - p.fx + F_MEAN, q.nO + F_MEAN);
    const mean = this.truncate(C, F_MEAN, `${k}gct`);
    const sum = this.add(this.add(Y, R, 1, `${k}Y.residual`), mean, -1, `${k}Y.centred`);
    const Yb = this.bias(sum, `${k}Y`, this.row(l, 'bo', p.H));
    const n1 = this.open(this.norm(Yb, this.site(`${k}ln1`)), `${k}E_n1`);
    const Z = this.feedForward(n1, q, l);
    return this.norm(Z, this.site(`${k}ln2`));
  }

  private firstRow(x: Wire, name: string): Wire {
    return this.gate({ op: 'firstToken', name }, [x], x.n, x.f, { rows: 'text', cols: x.shape.cols });
  }

  /** E_n, and its rows that ask → the opened attention output E_o of those rows, (token or text, H) at scale fo. */
  private attention(no: Wire, asking: Wire, q: PlanLayer, l: number): Wire {
    const { p } = this;
    const k = `${l}.`;
    const centred = p.normaliser === '2quad_centred';
    const by = (f: number): number => p.fx + p.fw - f;
    const biased = (t: 'q' | 'k' | 'v', n: Ring): Wire => {
      const W = this.matrix(l, `W${t}`, p.H + 1, p.H);
      // μ is one more column, the bias its row of weights: 0 for padding
      if (this.mu !== undefined) return this.linear(t === 'q' ? augmentedAsking : augmented, `${k}W${t}`, W, p.fw, n);
      const z = this.linear(t === 'q' ? asking : no, `${k}W${t}`, rows(W, 0, p.H), p.fw, n);
      return this.bias(z, `${k}W${t}`, rows(W, p.H, p.H + 1));
    };
    const augmented = this.besideMu(no, `${k}E_n.mu`);
    const augmentedAsking = asking === no ? augmented : this.firstRow(augmented, `${k}E_n.mu.row`);
    const centre = (z: Wire, f: number, side: 'keys' | 'queries', name: string): Wire =>
      this.gate({ op: 'centre', name, side, by: by(f) }, [z], q.nS, f, z.shape);

    const V = this.toScale(biased('v', q.nP + by(p.fv)), p.fv, `${k}V`);
    const factor = this.mu === undefined ? lengthFactor(p) : undefined;
    let Q: Wire;
    let K: Wire;
    if (factor !== undefined) {
      const z = biased('q', q.nS + by(p.fq) + factor.bits);
      Q = this.gate({ op: 'lengthScale', name: `${k}Q`, by: by(p.fq), factor }, [z], q.nS, p.fq, z.shape);
    } else if (centred && this.mu === undefined) {
      Q = centre(biased('q', { base: q.nS + by(p.fq), plus: 'queries' }), p.fq, 'queries', `${k}Q`);
    } else {
      Q = this.toScale(biased('q', q.nS + by(p.fq)), p.fq, `${k}Q`);
    }
    if (this.mu !== undefined) {
      const n = keysRing(q) + by(p.fk);
      K = this.hiddenKeys(centred ? this.linear(no, `${k}Wk`, this.matrix(l, 'Wk', p.H, p.H), p.fw, n) : biased('k', n), q, k); // prettier-ignore
    } else if (centred) {
      const Wk = this.matrix(l, 'Wk', p.H, p.H); // no bias row: a constant key cancels
      const z = this.linear(no, `${k}Wk`, Wk, p.fw, { base: q.nS + by(p.fk), plus: 'keys' });
      K = centre(z, p.fk, 'keys', `${k}K`);
    } else {
      K = this.toScale(biased('k', q.nS + by(p.fk)), p.fk, `${k}K`);
    }
    const Eq = this.open(Q, `${k}E_q`);
    const Ek = this.open(K, `${k}E_k`);
    const Ev = this.open(V, `${k}E_v`);
    const perHead = asking.shape.rows === 'text' ? 'headText' : 'head';
    const scores: Shape = { rows: perHead, cols: 'keys' };
    const S = this.gate({ op: 'matmul', name: `${k}S`, form: 'scores' }, [Eq, Ek], q.nS, p.fq + p.fk, scores);
    const c = this.get(`layer.${l}.c`, [p.A]);
    const t = this.shifted(this.toScale(S, p.fs, `${k}St`), `${k}t`, asRow(c), factor);

    const P = this.square(this.guardedExt(t, `${k}o_S`, q.NP + 3), `${k}P`, q.NP + 3, false, q.D.interval[1]);
    const D = this.gate({ op: 'sum', name: `${k}D`, bound: Math.floor(q.D.interval[1] * 2 ** P.f) }, [P], P.n, P.f, {
      rows: perHead,
      cols: 1,
    });
    const Dv = this.reduced(D, q.D.mul, q.D.drop, `${k}Dv`);
    const Po = this.open(this.toScale(P, p.fp, `${k}Pt`), `${k}E_p`, q.nP);
    const context: Shape = { rows: perHead, cols: p.H / p.A };
    const PV = this.gate({ op: 'matmul', name: `${k}PV`, form: 'context' }, [Po, Ev], q.nP, p.fp + p.fv, context);
    const PVt = this.toScale(PV, p.fpv, `${k}PVt`);
    const g = q.D.gate;
    const tO = p.fpv + g.f_out - p.fo;
    const inverse = denominatorSite(p, l);
    const y = this.inverse(D, Dv, `${k}D`, inverse);
    const io = this.open(y, `${k}D.io`);
    this.guardInverse(D, y, inverse);
    const O = this.product(this.guardedExt(PVt, `${k}o_PV`, q.nO + tO, q.nPVo), io, q.nO + tO, `${k}O`);
    const Ot = this.truncate(O, tO, `${k}Ot`);
    const merged = this.gate({ op: 'mergeHeads', name: `${k}O.merged` }, [Ot], Ot.n, Ot.f, asking.shape);
    return this.open(merged, `${k}E_o`);
  }

  /**
   * F(n) k_j − w_j Σ_j k_j of projections z that are 0 for padding, and remain so: keys scaled by the hidden length, if they are, less
   * their mean over the real tokens, w_j = F(n) / n, if scores are centred. The sum is truncated once, before its product.
   */
  private hiddenKeys(z: Wire, q: PlanLayer, k: string): Wire {
    const { fk } = this.p;
    const { weight, factor } = this;
    const plain = weight === undefined && factor === undefined;
    const keys = this.toScale(z, fk, plain ? `${k}K` : `${k}Kt`);
    const scaled = factor === undefined ? keys : this.scaledKeys(keys, factor, q, k);
    if (weight === undefined) return scaled;
    const total = this.gate({ op: 'sumTokens', name: `${k}Ksum` }, [z], ring(z), z.f, { rows: 'text', cols: z.shape.cols }); // prettier-ignore
    const n = q.nS + weight.f;
    const v = this.guardedExt(this.toScale(total, fk, `${k}Ksumt`), `${k}o_Ksum`, n, q.nKs);
    const mean = this.gate({ op: 'outer', name: `${k}Kmean` }, [v, weight], n, fk + weight.f, z.shape);
    return this.add(scaled, this.toScale(mean, fk, `${k}Kmeant`), -1, `${k}K`);
  }

  /** Keys times the factor of their text. No guard: the weights allow no key that this opening could not hold. */
  private scaledKeys(keys: Wire, factor: Wire, q: PlanLayer, k: string): Wire {
    const n = q.nS + factor.f;
    const scaled = this.product(this.ext(keys, `${k}o_K`, n, q.nK), factor, n, `${k}KF`);
    return this.truncate(scaled, factor.f, `${k}KFt`);
  }

  /** s + c, or F (s + c) of scores that carry the factor F already: a share truncated to ring n needs as many bits more. */
  private shifted(s: Wire, name: string, c: Matrix, factor: LengthFactor | undefined): Wire {
    if (this.mu !== undefined) {
      const k = name.slice(0, -1);
      const by = this.factor ?? this.mu;
      const shift = this.toScale(this.linear(by, `${k}c`, c, s.f, ring(s) + by.f), s.f, `${k}ct`);
      return this.gate({ op: 'addKeys', name }, [s, shift], s.n, s.f, s.shape);
    }
    if (factor === undefined) return this.bias(s, name, c, 'head');
    const tensor = `${name}+`;
    this.tensor(tensor, 'share', ring(s) + mostDropped(factor), c);
    return this.gate({ op: 'bias', name: tensor, tensor, along: 'head', factor }, [s], s.n, s.f, s.shape);
  }

  /** gelu(n1·W1 + b1)·W2 + residual: slopes and γ are inside M2. */
  private feedForward(n1: Wire, q: PlanLayer, l: number): Wire {
    const { p } = this;
    const k = `${l}.`;
    const F = q.groups.at(-1)!.to;
    const raw = this.linear(n1, `${k}W1`, this.matrix(l, 'W1', p.H, F), 0, q.nU);
    const U = this.truncate(this.bias(raw, `${k}U`, this.row(l, 'b1', F)), q.rawU - p.bc, `${k}Ut`);
    const period = this.periods(U, p.bc, `${k}Up`);
    const groups = q.groups.map((u, j) => this.guardedFourier(period, u.gate, q.nZ, `${k}gelu${j}`, u, [u.from, u.to]));
    const { n, f } = groups[0]!;
    const y = groups.length === 1 ? groups[0]! : this.gate({ op: 'concat', name: `${k}gelu` }, groups, n, f, U.shape);
    const yo = this.open(this.toScale(y, p.fy, `${k}y`), `${k}E_y`);
    const W2 = this.linear(yo, `${k}W2`, this.matrix(l, 'W2', F, p.H), p.fz - p.fy, q.nZ);
    const M2 = this.linear(n1, `${k}M2`, this.matrix(l, 'M2', p.H, p.H), p.fz - p.fx, q.nZ);
    return this.bias(this.add(W2, M2, 1, `${k}Z.residual`), `${k}Z`, this.row(l, 'b2', p.H));
  }

  private classifier(n: Wire): Wire {
    const { p } = this;
    const cls = n.shape.rows === 'text' ? n : this.firstRow(n, 'cls.row');
    const poolW = asMatrix(this.get('poolW', [p.H, p.H]));
    const pre = this.linear(this.open(cls, 'E_cls'), 'pool', poolW, 0, p.nPool);
    const biased = this.bias(pre, 'pool', asRow(this.get('poolb', [p.H])));
    const u = this.truncate(biased, p.rawP - p.tanh.b, 'pool.u');
    const period = this.periods(u, p.tanh.b, 'pool.p');
    const t = this.toScale(this.guardedFourier(period, p.tanh, p.nC, 'tanh', p.tanh_fit), F_TANH, 'tanh.t');
    const clsW = this.get('clsW', [p.H, undefined]);
    const logits = this.linear(this.open(t, 'E_tanh'), 'cls', asMatrix(clsW), F_TANH, p.nC);
    const out = this.bias(logits, 'logits', asRow(this.get('clsb', [clsW.shape[1]])));
    return this.truncate(out, F_LOGITS - p.fl, 'logits.t');
  }

  private get(name: string, shape: readonly (number | undefined)[]): IntegerTensor {
    const t = this.folded.get(name);
    const fits = t?.shape.length === shape.length && shape.every((d, i) => d === undefined || d === t.shape[i]);
    if (t === undefined || !fits) {
      const found = t === undefined ? 'missing' : `of shape (${t.shape.join(', ')})`;
      throw new RefusedError(`plan: tensor ${name} is ${found}, expected (${shape.map((d) => d ?? 'any').join(', ')})`, 'export again: plan and tensors belong to different models'); // prettier-ignore
    }
    return t;
  }

  private matrix(l: number, name: string, r: number, c: number): Matrix {
    return asMatrix(this.get(`layer.${l}.${name}`, [r, c]));
  }

  private row(l: number, name: string, cols: number): Matrix {
    return asRow(this.get(`layer.${l}.${name}`, [cols]));
  }
}
