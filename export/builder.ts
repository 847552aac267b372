/** Gates of a program one by one: every method appends one and returns its wire. */
import type { Gate, Ring, TensorSpec } from '../protocol/program.ts';
import type { Shape } from '../protocol/shape.ts';
import { amplitude } from './amplitude.ts';
import { centreBits, lengthFactor, scaleTable, tableRing, weightTable } from './lengths.ts';
import { cut, programTable, type Plan, type PlanGate } from './plan.ts';
import { bits } from './plan-guard.ts';
import type { Matrix } from './static-tensors.ts';

/** A wire under construction; `n` is a number except between a centred projection and its `centre`. */
export interface Wire {
  readonly index: number;
  readonly n: Ring;
  readonly f: number;
  readonly shape: Shape;
}

export type Fields<G extends Gate = Gate> = G extends Gate ? Omit<G, 'in' | 'n' | 'f' | 'shape'> : never;

const COLUMN: Shape = { rows: 'token', cols: 1 };
const ONE: Shape = { rows: 'text', cols: 1 };

/** `mul` stands for mul / 8. */
const MUL_BITS = 3;

/** Appends gates to a program under construction and keeps track of rings and scales. */
export class Builder {
  protected readonly p: Plan;
  protected readonly gates: Gate[] = [];
  protected readonly specs: Record<string, TensorSpec> = {};
  protected readonly tensors = new Map<string, Matrix>();
  /** The padding factor, an operand of integers, and its bits; undefined where lengths are public. */
  protected mu: Wire | undefined;
  protected padding: Wire | undefined;
  /** Operands of real numbers: μ_j F(n) / n where the mean of the keys is taken, μ_j F(n) where scores are scaled; n = Σ μ. */
  protected weight: Wire | undefined;
  protected factor: Wire | undefined;
  private readonly extra: { keys: number; queries: number };

  constructor(plan: Plan) {
    this.p = plan;
    this.extra = centreBits(plan);
  }

  protected gate(fields: Fields, inputs: readonly Wire[], n: Ring, f: number, shape: Shape): Wire {
    const index = this.gates.length;
    this.gates.push({ ...fields, in: inputs.map((w) => w.index), n, f, shape } as Gate);
    return { index, n, f, shape };
  }

  protected truncate(x: Wire, by: number, name: string): Wire {
    return by === 0 ? x : this.gate({ op: 'truncate', name, by }, [x], ring(x) - by, x.f - by, x.shape);
  }

  /** Truncates to scale f. */
  protected toScale(x: Wire, f: number, name: string): Wire {
    return this.truncate(x, x.f - f, name);
  }

  protected open(x: Wire, name: string, n: number = ring(x)): Wire {
    return this.gate({ op: 'open', name }, [x], n, x.f, x.shape);
  }

  protected ext(x: Wire, name: string, lift: number, n: number = ring(x)): Wire {
    return this.gate({ op: 'ext', name, lift, bound: 2 ** (n - 2) }, [x], n, x.f, x.shape);
  }

  protected linear(x: Wire, name: string, w: Matrix, f: number, n: Ring, elementwise = false): Wire {
    this.tensor(name, 'masked', n, w);
    const shape: Shape = elementwise ? x.shape : { rows: x.shape.rows, cols: w.cols };
    return this.gate({ op: 'linear', name, tensor: name, elementwise }, [x], n, x.f + f, shape);
  }

  /** Adds a static share; the wire is `<name>+`. */
  protected bias(x: Wire, name: string, value: Matrix, along: 'cols' | 'position' | 'head' = 'cols'): Wire {
    this.tensor(`${name}+`, 'share', x.n, value);
    return this.gate({ op: 'bias', name: `${name}+`, tensor: `${name}+`, along }, [x], x.n, x.f, x.shape);
  }

  protected add(x: Wire, y: Wire, sign: 1 | -1, name: string): Wire {
    return this.gate({ op: 'add', name, sign }, [x, y], Math.min(ring(x), ring(y)), x.f, x.shape);
  }

  /** `bound`, if any, in real units. */
  protected square(x: Wire, name: string, n: number, rowSum: boolean, bound?: number): Wire {
    const shape: Shape = rowSum ? { rows: x.shape.rows, cols: 1 } : x.shape;
    return this.gate({ op: 'square', name, rowSum, ...inUnits(bound, 2 * x.f) }, [x], n, 2 * x.f, shape);
  }

  protected product(x: Wire, w: Wire, n: number, name: string): Wire {
    return this.gate({ op: 'product', name, broadcast: 'row' }, [x, w], n, x.f + w.f, x.shape);
  }

  /** Output still at scale g1 + g2 in ring nOut + t. */
  protected fourier(
    x: Wire,
    g: PlanGate,
    nOut: number,
    name: string,
    columns?: readonly [number, number],
    factor?: Wire,
  ): Wire {
    const shape: Shape = columns === undefined ? x.shape : { rows: x.shape.rows, cols: columns[1] - columns[0] };
    const common = { name, table: programTable(g), ...inUnits(amplitude(g), g.g1 + g.g2) };
    if (factor !== undefined)
      return this.gate({ op: 'paddedFourier', ...common }, [x, factor], nOut + cut(g), g.g1 + g.g2, shape);
    const fields = { op: 'fourier', ...common, ...(columns === undefined ? {} : { columns }) } as const;
    return this.gate(fields, [x], nOut + cut(g), g.g1 + g.g2, shape);
  }

  /** The client's padding factor: its bits, and μ as an operand of ring n. */
  protected hide(n: number): void {
    this.padding = this.gate({ op: 'padding', name: 'mu.bits' }, [], 1, 0, COLUMN);
    const share = this.gate({ op: 'paddingShare', name: 'mu.share' }, [this.padding], n, 0, COLUMN);
    this.mu = this.open(share, 'mu');
    const { keyMean, keyScale, longest } = this.p;
    const scale = lengthFactor(this.p);
    if (keyMean === undefined && scale === undefined) return;
    const tokens = this.gate({ op: 'sumTokens', name: 'mu.n' }, [share], bits(longest), 0, ONE);
    if (keyMean !== undefined)
      this.weight = this.byLength('w', tokens, this.mu, weightTable(this.p, keyMean.f, scale), keyMean.f, keyMean.n);
    if (scale !== undefined)
      this.factor = this.byLength('F', tokens, this.mu, scaleTable(this.p, scale), scale.bits, keyScale!.n);
  }

  /** μ_j g(n), an operand of ring N: g by a look-up, 0 for a text without a token. Whatever μ is, the ext wire holds it. */
  private byLength(name: string, tokens: Wire, mu: Wire, table: readonly number[], f: number, N: number): Wire {
    const g = this.gate({ op: 'lookup', name: `mu.${name}.table`, table }, [tokens], tableRing(table), f, ONE);
    const v = this.ext(g, `mu.${name}.o`, N);
    return this.open(this.gate({ op: 'outer', name: `mu.${name}.share` }, [v, mu], N, f, COLUMN), `mu.${name}`);
  }

  /** An operand with μ as one more column; itself where lengths are public. */
  protected besideMu(x: Wire, name: string): Wire {
    if (this.mu === undefined) return x;
    return this.gate({ op: 'concat', name }, [x, this.mu], x.n, x.f, { rows: x.shape.rows, cols: (x.shape.cols as number) + 1 }); // prettier-ignore
  }

  /** x·mul/8 cut by `drop` bits: the period of the Fourier gate is then just above the interval. */
  protected reduced(x: Wire, mul: number, drop: number, name: string): Wire {
    const scaled = this.gate({ op: 'scale', name: `${name}.mul`, by: mul }, [x], x.n, x.f, x.shape);
    return this.truncate(scaled, drop + MUL_BITS, name);
  }

  protected tensor(name: string, role: TensorSpec['role'], n: Ring, m: Matrix): void {
    const widest = typeof n === 'number' ? n : n.base + this.extra[n.plus];
    this.specs[name] = { role, n: widest, rows: m.rows, cols: m.cols };
    this.tensors.set(name, m);
  }
}

const inUnits = (real: number | undefined, f: number): { bound?: number } =>
  real === undefined ? {} : { bound: Math.floor(real * 2 ** f) };

/** Only centred projections grow with the length, and they are read by `centre` alone. */
export function ring(x: Wire): number {
  if (typeof x.n !== 'number') throw new Error(`wire ${x.index} has no fixed ring`);
  return x.n;
}
