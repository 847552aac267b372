/**
 * The guards of a program: one on every wire whose value a gate interprets. Nothing here changes what the program computes, and
 * every opening falls into a round that the program has anyway.
 */
import { Builder, ring, type Wire } from './builder.ts';
import { CELL_BITS, fitLevels, PERIOD_BITS, type FitInterval } from './guard-levels.ts';
import { extLevels, residual, type ResidualSite } from './residual.ts';
import type { GuardLevel } from '../protocol/program.ts';
import type { PlanGate } from './plan.ts';

/** A builder that puts a guard beside every wire whose value is interpreted. */
export class GuardedBuilder extends Builder {
  private readonly flags: number[] = [];

  /** What `program.guard` lists; undefined for a plan without guards. */
  protected get guards(): { readonly guard: readonly number[] } | undefined {
    return this.p.guard ? { guard: this.flags } : undefined;
  }

  private guard(x: Wire, name: string, levels: readonly GuardLevel[], columns?: readonly [number, number]): void {
    const shape = columns === undefined ? x.shape : { rows: x.shape.rows, cols: columns[1] - columns[0] };
    const fields = { op: 'guard', name: `${name}.guard`, m: CELL_BITS, levels, ...(columns && { columns }) } as const;
    // padding rows hold anything: their flags are not set
    const ofTokens = shape.rows === 'token' || shape.rows === 'head';
    const inputs = this.padding !== undefined && ofTokens ? [x, this.padding] : [x];
    this.flags.push(this.gate(fields, inputs, 1, x.f, shape).index);
  }

  /** An ext wire that is guarded if the plan says so. */
  protected guardedExt(x: Wire, name: string, lift: number, n?: number): Wire {
    const v = this.ext(x, name, lift, n);
    if (this.p.guard) this.guard(v, name, extLevels(ring(v)));
    return v;
  }

  /** What the Fourier gates of period 2^b read: the shares, or one opening modulo 16 periods for them and their guards. */
  protected periods(x: Wire, b: number, name: string): Wire {
    return this.p.guard ? this.gate({ op: 'phase', name }, [x], b + PERIOD_BITS, x.f, x.shape) : x;
  }

  protected guardedFourier(
    x: Wire,
    g: PlanGate,
    nOut: number,
    name: string,
    fit: FitInterval,
    columns?: readonly [number, number],
  ): Wire {
    const y = this.fourier(x, g, nOut, name, columns);
    if (this.p.guard) this.guard(x, name, fitLevels(fit, g.b), columns);
    return y;
  }

  /** y, the inverse (root) of v, multiplied back (see `residual`). */
  protected guardInverse(v: Wire, y: Wire, site: ResidualSite): void {
    if (!this.p.guard) return;
    const r = residual(site);
    const k = `${site.name}.back`;
    const X = this.ext(this.truncate(v, r.cutV, `${k}.vt`), `${k}.v`, r.N);
    this.guard(X, `${k}.v`, r.upper);
    const Y = this.ext(this.truncate(y, r.cutY, `${k}.yt`), `${k}.y`, r.N, r.nY);
    if (r.upperY !== undefined) this.guard(Y, `${k}.y`, r.upperY);
    const w = r.square
      ? this.square(Y, `${k}.w`, r.N, false)
      : this.gate({ op: 'lift', name: `${k}.w` }, [Y], r.N, Y.f, Y.shape);
    const z = this.gate(
      { op: 'product', name: `${k}.z`, broadcast: 'none' },
      [X, this.open(w, `${k}.E_w`)],
      r.N,
      X.f + w.f,
      X.shape,
    );
    const cut = this.truncate(z, r.cutZ, `${k}.zt`);
    const opened = this.gate({ op: 'phase', name: `${k}.c` }, [cut], ring(cut), cut.f, cut.shape);
    this.guard(opened, `${k}.c`, r.levels);
  }
}
