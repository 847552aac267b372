/** 1/x and 1/√x of a program: a Fourier gate, and a Newton step where the plan has one. */
import type { Wire } from './builder.ts';
import { GuardedBuilder } from './lower-guard.ts';
import { newtonStep, type InverseSite } from './newton.ts';
import { cut } from './plan.ts';

/** A builder that makes inverses of sums. */
export class InverseBuilder extends GuardedBuilder {
  /** The inverse (root) of v at the scale of its gate in ring site.nY, `reduced` being v by its period; times μ where given. */
  protected inverse(v: Wire, reduced: Wire, name: string, site: InverseSite, mu?: Wire): Wire {
    const { gate, newton } = site.fit;
    const series = (n: number): Wire => this.fourier(reduced, gate, n, `${name}.inv`, undefined, mu);
    if (newton === undefined) return this.truncate(series(site.nY), cut(gate), `${name}.invt`);
    return this.refined(v, name, site, series);
  }

  private refined(v: Wire, name: string, site: InverseSite, series: (n: number) => Wire): Wire {
    const { gate } = site.fit;
    const s = newtonStep(site);
    const k = `${name}.newton`;
    const lifted = (x: Wire, n: number, what: string): Wire =>
      this.gate({ op: 'lift', name: `${k}.${what}` }, [x], n, x.f, x.shape);
    const times = (x: Wire, w: Wire, n: number, what: string): Wire =>
      this.gate({ op: 'product', name: `${k}.${what}`, broadcast: 'none' }, [x, w], n, x.f + w.f, x.shape);

    const V = this.ext(this.truncate(v, s.cutV, `${k}.vt`), `${k}.v`, s.nP);
    const y0 = this.truncate(series(s.nStart), cut(gate), `${k}.y0`);
    const Y0 = this.ext(y0, `${k}.y`, site.square ? Math.max(s.nP, s.nW) : s.nP);
    const operand = this.open(lifted(V, s.nP, 'v.lift'), `${k}.E_v`);
    const product = times(Y0, operand, s.nP, 'p');
    const over = s.inverse === 1 && s.inverseBits === 0 ? product : this.gate({ op: 'scale', name: `${k}.p.scaled`, by: s.inverse }, [product], s.nP, product.f + s.inverseBits, product.shape); // prettier-ignore
    const p = this.truncate(over, s.cutP, `${k}.pt`);
    const P = this.open(p, `${k}.E_p`, s.nEnd);
    const correction = times(site.square ? this.squared(Y0, s, k) : Y0, P, s.nEnd, 'q');
    // 2 y0 or 3 y0, at the scale of the correction
    const factor = (site.square ? 3 : 2) * 2 ** (s.scale - gate.f_out);
    const many = this.gate({ op: 'scale', name: `${k}.y.scaled`, by: factor }, [lifted(Y0, s.nEnd, 'y.lift')], s.nEnd, s.scale, Y0.shape); // prettier-ignore
    const difference = this.add(many, correction, -1, `${k}.d`);
    // the half of an inverse root is one bit more of the cut
    const fields = { op: 'truncate', name: `${name}.invt`, by: s.cut } as const;
    return this.gate(fields, [difference], site.nY, gate.f_out, v.shape);
  }

  /** y0² as ext. */
  private squared(Y0: Wire, s: ReturnType<typeof newtonStep>, k: string): Wire {
    const w = this.truncate(this.square(Y0, `${k}.w`, s.nW, false), s.cutW, `${k}.wt`);
    return this.ext(w, `${k}.W`, s.nEnd);
  }
}
