/** The preconditions of a guarded plan: why no value that leaves its interval passes, and no calibrated one is flagged. */
import { RefusedError } from '../common/errors.ts';
import { guardSpan } from '../protocol/gates/guard-cells.ts';
import { CELL_BITS, fitLevels, PERIOD_BITS, type FitInterval } from './guard-levels.ts';
import { normSites } from './norm-sites.ts';
import type { Plan } from './plan.ts';
import { denominatorSite, normSite, residual } from './residual.ts';

const WIDER = 'export again with a wider ring, or without guards (--no-guard)';
const REFIT = 'export again: the plan was edited or does not belong to this model';

/** Truncations move a value by at most this many units of its wire. */
const UNITS = 2;

/** @throws RefusedError naming wire and relation */
export function checkGuard(p: Plan): void {
  const need = (holds: boolean, wire: string, problem: string, remedy = WIDER): void => {
    if (!holds) throw new RefusedError(`plan: guard: ${wire}: ${problem}`, remedy);
  };
  /** An ext wire wraps at 3·2^(n−2): nothing the weights allow gets there. */
  const ext = (wire: string, n: number, f: number, reach: number | undefined): void => {
    const most = (reach ?? Infinity) * 2 ** f + UNITS;
    need(
      most < 3 * 2 ** (n - 2),
      wire,
      `the weights allow ${most.toPrecision(3)}, a ring of ${n} bits tells 3·2^${n - 2} apart`,
    );
  };
  /** Nothing the weights allow is 16 periods from the interval; calibrated values are never flagged. */
  const period = (
    wire: string,
    fit: FitInterval & Pick<Plan['tanh_fit'], 'seen' | 'reach'>,
    n: number,
    b: number,
  ): void => {
    need(n >= b + PERIOD_BITS, wire, `a ring of ${n} bits does not hold 16 periods of 2^${b}`);
    need((fit.reach ?? Infinity) < 8 * fit.period, wire, `the weights allow ±${fit.reach?.toPrecision(3)}, 8 periods are ${(8 * fit.period).toPrecision(3)}`); // prettier-ignore
    const unit = 2 ** b / fit.period;
    const span = guardSpan(fitLevels(fit, b), CELL_BITS);
    if (span === undefined) throw new Error('levels of a fit nest');
    const within = Number(span.passes[0]) >= fit.lo * unit && Number(span.passes[1]) <= fit.hi * unit + 1;
    need(within, wire, 'its cells pass values outside the fit', REFIT);
    const [from, to] = fit.seen ?? [Infinity, -Infinity];
    const safe = from * unit - UNITS >= Number(span.safe[0]) && to * unit + UNITS < Number(span.safe[1]);
    need(safe, wire, 'a calibrated value would be flagged', REFIT);
  };

  const [first, ...rest] = normSites(p);
  ext('emb.x', first!.nIn, first!.ft, p.reach?.embedding);
  p.layers.forEach((q, l) => {
    const nT = q.nS - (p.fq + p.fk - p.fs);
    ext(`${l}.o_S`, nT, p.fs, q.reach?.score);
    if (q.nKs !== undefined) ext(`${l}.o_Ksum`, q.nKs, p.fk, q.reach?.keySum);
    if (q.nK !== undefined) {
      const most = (q.reach?.key ?? Infinity) * 2 ** p.fk + UNITS;
      need(most < 2 ** (q.nK - 2), `${l}.o_K`, `the weights allow ${most.toPrecision(3)}, a ring of ${q.nK} bits holds 2^${q.nK - 2}`); // prettier-ignore
    }
    ext(`${l}.o_PV`, q.nPVo, p.fpv, q.reach?.context);
    // a sum of squares of unflagged values, |t| < 2^(n−2), is right in its ring and below a quarter of it
    const sum = 2 * (nT - 2) + Math.log2(p.longest);
    need(
      sum <= q.NP + 1,
      `${l}.D`,
      `a sum of ${p.longest} squares has up to ${Math.ceil(sum)} bits, its ring ${q.NP + 3}`,
    );
    residual(denominatorSite(p, l));
    for (const [j, u] of q.groups.entries()) period(`${l}.gelu${j}`, u, q.nU - (q.rawU - p.bc), p.bc);
  });
  for (const site of [first!, ...rest]) {
    const sum = 2 * (site.nIn - 2) + Math.log2(p.H);
    const { N } = p.norm[site.key]!;
    need(sum <= N + 1, `${site.key}.ss`, `a sum of ${p.H} squares has up to ${Math.ceil(sum)} bits, its ring ${N + 3}`);
    residual(normSite(p, site));
  }
  rest.forEach((site, i) => {
    const reach = p.layers[i >> 1]!.reach;
    ext(`${site.key}.x`, site.nIn, site.ft, i % 2 === 0 ? reach?.norm1 : reach?.norm2);
  });
  period('tanh', p.tanh_fit, p.nPool - (p.rawP - p.tanh.b), p.tanh.b);
  need(2 ** (p.nC - 25) > (p.reach?.logits ?? Infinity), 'logits', `the weights allow ${p.reach?.logits.toPrecision(3)}, ${p.nC} bits hold ${2 ** (p.nC - 25)}`); // prettier-ignore
}
