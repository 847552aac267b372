/** For every gate of the suite, small programs around it at random rings, shapes and batches, with values at the ends of their ranges. */
import { centringBits } from '../../protocol/resolve.ts';
import { mostDropped } from '../../protocol/gates/length-scale.ts';
import { tableRows } from '../../protocol/gates/embedding.ts';
import type { FourierTable, Gate, LengthFactor, TensorSpec, TrigTable } from '../../protocol/program.ts';
import { count, type Dims, type Rows, type Shape } from '../../protocol/shape.ts';
import { fromBigInts, gather, type Words } from '../../ring/index.ts';
import { seeded, shareOf, type Input, type Random, type Setup } from './gate-harness.ts';

export class Draw {
  readonly random: Random;
  constructor(seed: number) {
    this.random = seeded(seed);
  }
  /** Uniform integer in [from, to]. */
  int(from: number, to: number): number {
    return from + (this.random('int', 30, 1).data[0]! % (to - from + 1));
  }
  one<T>(items: readonly T[]): T {
    return items[this.int(0, items.length - 1)]!;
  }
  /** Words of a ring, the first ones 0, −1, the least and the greatest of `bits` bits; |v| < 2^(bits−1) as signed integers. */
  values(n: number, bits: number, length: number): Words {
    const half = 1n << BigInt(bits - 1);
    const ends = [0n, -1n, -half, half - 1n, 1n];
    const drawn = this.random('value', bits, length);
    const limbs = drawn.data.length / length;
    const value = (i: number): bigint => {
      let word = 0n;
      for (let j = limbs - 1; j >= 0; j--) word = (word << 32n) | BigInt(drawn.data[i * limbs + j]!);
      return BigInt.asIntN(bits, word);
    };
    const at = this.int(0, 3);
    return fromBigInts(
      Array.from({ length }, (_, i) => ends[i - at] ?? value(i)),
      n,
    );
  }
}

export type Case = Omit<Setup, 'dims' | 'random' | 'watch'>;
type Make = (draw: Draw, dims: Dims, inputs: Inputs) => Omit<Case, 'inputs'>;
type Tensors = Record<string, { spec: TensorSpec; W: Words }>;

/** Collects the outer wires of a case; wire numbers are given as they are made. */
class Inputs {
  readonly list: Input[] = [];
  readonly #draw: Draw;
  readonly #dims: Dims;
  constructor(draw: Draw, dims: Dims) {
    this.#draw = draw;
    this.#dims = dims;
  }
  /** A wire of ring n whose values have `bits` bits. */
  share(n: number, shape: Shape, bits = n): number {
    const x = this.#draw.values(n, bits, count(shape, this.#dims));
    this.list.push({ n, f: 0, shape, shares: shareOf(x, this.#draw.random) });
    return this.list.length - 1;
  }
}

const gate = (name: string, from: readonly number[], n: number, shape: Shape, f = 0) => ({
  name,
  in: from,
  n,
  f,
  shape,
});
const rows = (draw: Draw): Rows => draw.one(['token', 'head', 'text', 'headText'] as const);
/** Any shape a wire may have. */
const anyShape = (draw: Draw): Shape =>
  draw.int(0, 2) === 0
    ? { rows: draw.one(['head', 'headText'] as const), cols: 'keys' }
    : { rows: rows(draw), cols: draw.int(1, 5) };
const fixedShape = (draw: Draw): Shape => ({ rows: rows(draw), cols: draw.int(1, 5) });
/** Rings around the changes of storage, and any others. */
const ring = (draw: Draw, from: number, to: number): number => {
  const edges = [31, 32, 33, 63, 64, 65, 127, 128].filter((n) => n >= from && n <= to);
  return edges.length > 0 && draw.int(0, 1) === 0 ? draw.one(edges) : draw.int(from, to);
};

function tensor(draw: Draw, role: TensorSpec['role'], n: number, m: number, cols: number): Tensors {
  return { W: { spec: { role, n, rows: m, cols }, W: draw.values(n, n, m * cols) } };
}

/** Trig table of period 2^b by Math.cos: any table will do here, both parties have the same. */
export function trigTable(b: number): TrigTable {
  const l = Math.floor(b / 2);
  const column = (length: number, step: number, fn: (x: number) => number): number[] =>
    Array.from({ length }, (_, i) => Math.round(fn((2 * Math.PI * i * step) / 2 ** b) * 2 ** 28) + 0);
  return {
    l,
    hiCos: column(2 ** (b - l), 2 ** l, Math.cos),
    hiSin: column(2 ** (b - l), 2 ** l, Math.sin),
    loCos: column(2 ** l, 1, Math.cos),
    loSin: column(2 ** l, 1, Math.sin),
  };
}

/** Some neighbouring columns of a shape, and the shape of what they leave. */
function someColumns(draw: Draw, shape: Shape): { part: Shape; columns: readonly [number, number] } {
  const from = draw.int(0, (shape.cols as number) - 1);
  const to = draw.int(from + 1, shape.cols as number);
  return { part: { rows: shape.rows, cols: to - from }, columns: [from, to] };
}

const lengthFactor = (draw: Draw, dims: Dims): LengthFactor => ({
  longest: Math.max(...dims.lengths) + draw.one([0, 1, 5, 600]),
  bits: draw.int(0, 8),
  centred: draw.int(0, 1) === 1,
});

function table(draw: Draw): FourierTable {
  const g2 = draw.int(8, 20);
  const coefficients = (K: number): string[] =>
    Array.from({ length: K }, () => String(draw.int(0, 2 ** g2) - 2 ** (g2 - 1)));
  const K = draw.int(1, 6);
  const g1 = draw.int(6, 28);
  return {
    b: draw.int(4, 16), g1, g2, fOut: draw.int(1, g1 + g2), digest: '0'.repeat(64),
    a0: String(draw.int(0, 2 ** 30) - 2 ** 29), a: coefficients(K), bk: coefficients(K),
  }; // prettier-ignore
}

/** Real tokens of every text; the first always is one. */
const realTokens = (draw: Draw, dims: Dims): number[][] =>
  dims.lengths.map((L) => Array.from({ length: L }, (_, i) => (i === 0 ? 1 : draw.int(0, 1))));

const cases: Record<Gate['op'], Make> = {
  embedding(draw, dims) {
    const [n, split, vocab] = [ring(draw, 4, 40), draw.int(1, 4), draw.int(3, 12)];
    const hidden = draw.int(1, 3);
    const g: Gate = { ...gate('g', [], n, { rows: 'token', cols: hidden }), op: 'embedding', tensor: 'W', vocab, split };
    const tokens = (limit: number): number[][] => dims.lengths.map((L) => Array.from({ length: L }, () => draw.int(0, limit)));
    const spec: TensorSpec = { role: 'masked', n: n + draw.int(0, 3), rows: tableRows(g), cols: split * hidden };
    // The last row is one difference of types, repeated.
    const words = draw.values(spec.n, spec.n, (spec.rows - 1) * spec.cols + hidden);
    const index = Uint32Array.from({ length: spec.rows * spec.cols }, (_, i) =>
      i < words.length - hidden ? i : words.length - hidden + (i % hidden),
    );
    const tensors = { W: { spec, W: gather(words, index) } };
    return { gates: [g], tensors, ids: tokens(vocab - 1), types: tokens(1) };
  },
  bias(draw, dims, inputs) {
    const n = ring(draw, 1, 125);
    const along = draw.one(['cols', 'position', 'head'] as const);
    const cols = draw.int(1, 4);
    const shape: Shape =
      along === 'head' ? { rows: draw.one(['head', 'headText'] as const), cols: draw.one(['keys', cols] as const) }
      : along === 'position' ? { rows: 'token', cols } : { rows: rows(draw), cols }; // prettier-ignore
    const longest = Math.max(...dims.lengths);
    const [m, width] = along === 'head' ? [1, dims.heads] : along === 'position' ? [longest + draw.int(0, 2), cols] : [1, cols];
    const x = inputs.share(n + draw.int(0, 3), shape);
    const factor = along === 'head' && n <= 110 && draw.int(0, 1) === 1 ? lengthFactor(draw, dims) : undefined;
    return {
      gates: [{ ...gate('g', [x], n, shape), op: 'bias', tensor: 'W', along, ...(factor && { factor }) }],
      tensors: tensor(draw, 'share', n + (factor ? mostDropped(factor) : 0) + draw.int(0, 3), m, width),
    };
  },
  open(draw, _, inputs) {
    const [n, shape] = [ring(draw, 1, 125), anyShape(draw)];
    return { gates: [{ ...gate('g', [inputs.share(n + draw.int(0, 3), shape)], n, shape), op: 'open' }] };
  },
  ext(draw, _, inputs) {
    const [n, shape] = [ring(draw, 3, 124), anyShape(draw)];
    const x = inputs.share(n + draw.int(0, 3), shape, n - 1);
    return { gates: [{ ...gate('g', [x], n, shape), op: 'ext', lift: ring(draw, n + 1, 128) }] };
  },
  square(draw, _, inputs) {
    const [n, shape, rowSum] = [ring(draw, 3, 120), anyShape(draw), draw.int(0, 1) === 1];
    const N = ring(draw, n + 2, 128);
    const x = inputs.share(n, shape, n - 1);
    const output: Shape = rowSum ? { rows: shape.rows, cols: 1 } : shape;
    return {
      gates: [
        { ...gate('x', [x], n, shape), op: 'ext', lift: ring(draw, N, 128) },
        { ...gate('g', [x + 1], N, output), op: 'square', rowSum },
      ],
    };
  },
  product(draw, _, inputs) {
    const [n, shape] = [ring(draw, 3, 120), anyShape(draw)];
    const N = ring(draw, n + 1, 128);
    const nw = ring(draw, N, 128);
    const broadcast = draw.one(['none', 'row'] as const);
    const factor: Shape = broadcast === 'row' ? { rows: shape.rows, cols: 1 } : shape;
    const v = inputs.share(n, shape, n - 1);
    const w = inputs.share(nw, factor);
    return {
      gates: [
        { ...gate('v', [v], n, shape), op: 'ext', lift: ring(draw, N, 128) },
        { ...gate('w', [w], nw, factor), op: 'open' },
        { ...gate('g', [w + 1, w + 2], N, shape), op: 'product', broadcast },
      ],
    };
  },
  linear(draw, _, inputs) {
    const [n, shape, elementwise] = [ring(draw, 1, 125), fixedShape(draw), draw.int(0, 1) === 1];
    const width = shape.cols as number;
    const cols = elementwise ? width : draw.int(1, 5);
    const nE = n + draw.int(0, 3);
    const x = inputs.share(nE, shape);
    return {
      gates: [
        { ...gate('x', [x], nE, shape), op: 'open' },
        { ...gate('g', [x + 1], n, { rows: shape.rows, cols }), op: 'linear', tensor: 'W', elementwise },
      ],
      tensors: tensor(draw, 'masked', n + draw.int(0, 3), elementwise ? 1 : width, cols),
    };
  },
  matmul(draw, dims, inputs) {
    const [n, D, form] = [ring(draw, 1, 125), draw.int(1, 3), draw.one(['scores', 'context'] as const)];
    const first = draw.int(0, 1) === 1;
    const token: Shape = { rows: 'token', cols: D * dims.heads };
    const query: Shape = { rows: first ? 'text' : 'token', cols: D * dims.heads };
    const perHead = first ? 'headText' : 'head';
    const keys: Shape = { rows: perHead, cols: 'keys' };
    const [nx, ny] = [n + draw.int(0, 3), n + draw.int(0, 3)];
    const x = inputs.share(nx, form === 'scores' ? query : keys);
    const y = inputs.share(ny, token);
    return {
      gates: [
        { ...gate('x', [x], nx, inputs.list[x]!.shape), op: 'open' },
        { ...gate('y', [y], ny, token), op: 'open' },
        { ...gate('g', [y + 1, y + 2], n, form === 'scores' ? keys : { rows: perHead, cols: D }), op: 'matmul', form },
      ],
    };
  },
  fourier(draw, _, inputs) {
    const t = table(draw);
    const drop = t.g1 + t.g2 - t.fOut;
    const n = ring(draw, drop + 1, 128);
    const whole = draw.int(0, 1) === 1;
    const shape = whole ? anyShape(draw) : { rows: rows(draw), cols: draw.int(2, 5) };
    const wide = t.b + draw.int(0, 3);
    const opened = draw.int(0, 1) === 1;
    const outer = inputs.share(wide, shape);
    const open: Gate[] = opened ? [{ ...gate('x', [outer], wide, shape), op: 'phase' }] : [];
    const x = outer + open.length;
    if (whole) return { gates: [...open, { ...gate('g', [x], n, shape, t.g1 + t.g2), op: 'fourier', table: t }], trig: trigTable };
    const { part, columns } = someColumns(draw, shape);
    return { gates: [...open, { ...gate('g', [x], n, part, t.g1 + t.g2), op: 'fourier', table: t, columns }], trig: trigTable };
  },
  truncate(draw, _, inputs) {
    const [n, shape] = [ring(draw, 2, 128), anyShape(draw)];
    const by = draw.int(0, n - 1);
    return { gates: [{ ...gate('g', [inputs.share(n, shape)], n - by, shape), op: 'truncate', by }] };
  },
  centre(draw, dims, inputs) {
    const side = draw.one(['keys', 'queries'] as const);
    const shape: Shape = { rows: side === 'queries' ? draw.one(['token', 'text'] as const) : 'token', cols: draw.int(1, 4) };
    const [n, by, extra] = [ring(draw, 1, 90), draw.int(0, 20), centringBits(dims)[side]];
    const x = inputs.share(n + by + extra + draw.int(0, 3), shape);
    return { gates: [{ ...gate('g', [x], n, shape, -by), op: 'centre', side, by }] };
  },
  scale(draw, _, inputs) {
    const [n, shape] = [ring(draw, 1, 125), anyShape(draw)];
    return { gates: [{ ...gate('g', [inputs.share(n + draw.int(0, 3), shape)], n, shape), op: 'scale', by: draw.int(0, 40) - 20 }] };
  },
  sum(draw, _, inputs) {
    const [n, shape] = [ring(draw, 1, 125), anyShape(draw)];
    return { gates: [{ ...gate('g', [inputs.share(n + draw.int(0, 3), shape)], n, { rows: shape.rows, cols: 1 }), op: 'sum' }] };
  },
  add(draw, _, inputs) {
    const [n, shape] = [ring(draw, 1, 125), anyShape(draw)];
    const both = [inputs.share(n + draw.int(0, 3), shape), inputs.share(n + draw.int(0, 3), shape)];
    return { gates: [{ ...gate('g', both, n, shape), op: 'add', sign: draw.one([1, -1] as const) }] };
  },
  concat(draw, _, inputs) {
    const [n, kind] = [ring(draw, 1, 125), rows(draw)];
    const widths = Array.from({ length: draw.int(1, 3) }, () => draw.int(1, 3));
    const wider = widths.map(() => n + draw.int(0, 3));
    const outer = widths.map((cols, i) => inputs.share(wider[i]!, { rows: kind, cols }));
    const opened = draw.int(0, 1) === 1;
    const open: Gate[] = opened
      ? outer.map((x, i) => ({ ...gate(`x${i}`, [x], wider[i]!, { rows: kind, cols: widths[i]! }), op: 'open' }))
      : [];
    const parts = outer.map((x) => (opened ? x + outer.length : x));
    const shape: Shape = { rows: kind, cols: widths.reduce((a, b) => a + b, 0) };
    return { gates: [...open, { ...gate('g', parts, n, shape), op: 'concat' }] };
  },
  mergeHeads(draw, dims, inputs) {
    const [n, D] = [ring(draw, 1, 125), draw.int(1, 3)];
    const first = draw.int(0, 1) === 1;
    const x = inputs.share(n + draw.int(0, 3), { rows: first ? 'headText' : 'head', cols: D });
    return { gates: [{ ...gate('g', [x], n, { rows: first ? 'text' : 'token', cols: D * dims.heads }), op: 'mergeHeads' }] };
  },
  phase(draw, _, inputs) {
    const [n, shape] = [ring(draw, 1, 125), anyShape(draw)];
    return { gates: [{ ...gate('g', [inputs.share(n + draw.int(0, 3), shape)], n, shape), op: 'phase' }] };
  },
  lift(draw, _, inputs) {
    const [n, shape] = [ring(draw, 3, 120), anyShape(draw)];
    const N = ring(draw, n + 1, 128);
    const v = inputs.share(n, shape, n - 1);
    return {
      gates: [
        { ...gate('v', [v], n, shape), op: 'ext', lift: ring(draw, N, 128) },
        { ...gate('g', [v + 1], N, shape), op: 'lift' },
      ],
    };
  },
  padding(draw, dims) {
    return { gates: [{ ...gate('g', [], 1, { rows: 'token', cols: 1 }), op: 'padding' }], valid: realTokens(draw, dims) };
  },
  paddingShare(draw, dims) {
    const column: Shape = { rows: 'token', cols: 1 };
    return {
      gates: [
        { ...gate('mu', [], 1, column), op: 'padding' },
        { ...gate('g', [0], ring(draw, 1, 128), column), op: 'paddingShare' },
      ],
      valid: realTokens(draw, dims),
    };
  },
  addKeys(draw, dims, inputs) {
    const n = ring(draw, 1, 125);
    const shape: Shape = { rows: draw.one(['head', 'headText'] as const), cols: 'keys' };
    const s = inputs.share(n + draw.int(0, 3), shape);
    const c = inputs.share(n + draw.int(0, 3), { rows: 'token', cols: dims.heads });
    return { gates: [{ ...gate('g', [s, c], n, shape), op: 'addKeys' }] };
  },
  sumTokens(draw, _, inputs) {
    const [n, cols] = [ring(draw, 1, 125), draw.int(1, 4)];
    const x = inputs.share(n + draw.int(0, 3), { rows: 'token', cols });
    return { gates: [{ ...gate('g', [x], n, { rows: 'text', cols }), op: 'sumTokens' }] };
  },
  lookup(draw, _, inputs) {
    const [b, n, shape] = [draw.int(1, 6), ring(draw, 2, 128), anyShape(draw)];
    const limit = 2 ** Math.min(n - 1, 29);
    const entries = Array.from({ length: 2 ** b }, (_v, i) => (i === 0 ? -limit : draw.int(0, 2 * limit - 1) - limit));
    return { gates: [{ ...gate('g', [inputs.share(b + draw.int(0, 3), shape)], n, shape), op: 'lookup', table: entries }] };
  },
  outer(draw, _, inputs) {
    const [n, cols] = [ring(draw, 3, 120), draw.int(1, 5)];
    const N = ring(draw, n + 1, 128);
    const nw = ring(draw, N, 128);
    const [row, column]: Shape[] = [{ rows: 'text', cols }, { rows: 'token', cols: 1 }];
    const v = inputs.share(n, row!, n - 1);
    const w = inputs.share(nw, column!);
    return {
      gates: [
        { ...gate('v', [v], n, row!), op: 'ext', lift: ring(draw, N, 128) },
        { ...gate('w', [w], nw, column!), op: 'open' },
        { ...gate('g', [w + 1, w + 2], N, { rows: 'token', cols }), op: 'outer' },
      ],
    };
  },
  paddedFourier(draw, _, inputs) {
    const t = table(draw);
    const n = ring(draw, t.g1 + t.g2 - t.fOut + 1, 128);
    const shape: Shape = { rows: rows(draw), cols: draw.int(1, 3) };
    const nMu = Math.min(128, n + draw.int(0, 3));
    const x = inputs.share(t.b + draw.int(0, 3), shape);
    const mu = inputs.share(nMu, shape, 2);
    return {
      gates: [
        { ...gate('mu', [mu], nMu, shape), op: 'open' },
        { ...gate('g', [x, mu + 1], n, shape, t.g1 + t.g2), op: 'paddedFourier', table: t },
      ],
      trig: trigTable,
    };
  },
  /** Values that no level may flag: the clear half refuses others (their tests are apart). */
  guard(draw, dims, inputs) {
    const padded = draw.int(0, 1) === 1;
    const valid = padded ? { valid: realTokens(draw, dims) } : {};
    const factor: Gate[] = padded ? [{ ...gate('mu', [], 1, { rows: 'token', cols: 1 }), op: 'padding' }] : [];
    const whole = draw.int(0, 1) === 1;
    const shape = whole ? anyShape(draw) : { rows: rows(draw), cols: draw.int(2, 5) };
    const { part, columns } = whole ? { part: shape, columns: undefined } : someColumns(draw, shape);
    const m = draw.int(2, 6);
    const n = draw.int(2 * m + 2, 50);
    if (draw.int(0, 1) === 1) {
      const v = inputs.share(n, shape, n - 2);
      // 8 cells at least: of 4 the legal half would be one, whose neighbours may be flagged
      const cells = Math.max(m, 3);
      const levels = [{ n, offset: 0, free: 2 ** (cells - 1) - 1 }];
      return {
        ...valid,
        gates: [
          { ...gate('v', [v], n, shape), op: 'ext', lift: n + 1 },
          ...factor,
          { ...gate('g', padded ? [v + 1, v + 2] : [v + 1], 1, part), op: 'guard', m: cells, levels, ...(columns && { columns }) },
        ],
      };
    }
    // three cells about zero, then three cells a quarter (m > 2) as wide for every step
    const about = (r: number) => ({ n: r, offset: -3 * 2 ** (r - m - 1), free: 2 });
    const levels = m > 2 && draw.int(0, 1) === 1 ? [about(n), about(n - m + 1)] : [about(n)];
    const x = inputs.share(n + draw.int(0, 3), shape, levels.at(-1)!.n - m);
    return {
      ...valid,
      gates: [
        { ...gate('x', [x], n, shape), op: 'phase' },
        ...factor,
        { ...gate('g', padded ? [x + 1, x + 2] : [x + 1], 1, part), op: 'guard', m, levels, ...(columns && { columns }) },
      ],
    };
  },
  firstToken(draw, _, inputs) {
    const [n, cols] = [ring(draw, 1, 125), draw.int(1, 4)];
    const nx = n + draw.int(0, 3);
    const x = inputs.share(nx, { rows: 'token', cols });
    const opened = draw.int(0, 1) === 1;
    const open: Gate[] = opened ? [{ ...gate('x', [x], nx, { rows: 'token', cols }), op: 'open' }] : [];
    return { gates: [...open, { ...gate('g', [x + open.length], n, { rows: 'text', cols }), op: 'firstToken' }] };
  },
  lengthScale(draw, dims, inputs) {
    const shape: Shape = { rows: draw.one(['token', 'text'] as const), cols: draw.int(1, 4) };
    const [n, by, factor] = [ring(draw, 1, 90), draw.int(0, 20), lengthFactor(draw, dims)];
    const x = inputs.share(n + by + factor.bits + draw.int(0, 3), shape);
    return { gates: [{ ...gate('g', [x], n, shape, -by), op: 'lengthScale', by, factor }] };
  },
}; // prettier-ignore

export const OPS = Object.keys(cases) as Gate['op'][];

export function makeCase(op: Gate['op'], draw: Draw, dims: Dims): Case {
  const inputs = new Inputs(draw, dims);
  const made = cases[op](draw, dims, inputs);
  return { inputs: inputs.list, ...made };
}
