/** Runs our gates on one case of the specification: which of our gates a vector exercises, and under which names its words go. */
import { centreConstants } from '../../protocol/gates/centre.ts';
import { fourierDrop } from '../../protocol/gates/fourier.ts';
import type { WireType } from '../../protocol/gate.ts';
import type { FourierTable, Gate, Resolved, TensorSpec, TrigTable } from '../../protocol/program.ts';
import { gateType } from '../../protocol/resolve.ts';
import type { Dims, Shape } from '../../protocol/shape.ts';
import { fromBigInts, zeros, type Words } from '../../ring/index.ts';
import { runGates, type Input, type Setup, type Step } from './gate-harness.ts';
import { decode, integers, readVector, type Encoded, type SpecCase, type SpecTable } from './spec-vectors.ts';

interface SpecTrig {
  readonly l: number;
  readonly hi_cos: number[];
  readonly hi_sin: number[];
  readonly lo_cos: number[];
  readonly lo_sin: number[];
}

export const trigTables = (): Map<number, TrigTable> => {
  const { tables } = readVector<{ tables: Record<string, SpecTrig> }>('trig_tables.json');
  return new Map(
    Object.entries(tables).map(([b, t]) => [
      Number(b),
      { l: t.l, hiCos: t.hi_cos, hiSin: t.hi_sin, loCos: t.lo_cos, loSin: t.lo_sin },
    ]),
  );
};

export const fourierTable = ({ b_k, f_out, ...rest }: SpecTable): FourierTable => ({ ...rest, bk: b_k, fOut: f_out });

/** Leading axes are rows: of one text's tokens, so that every number of rows can be had. */
function shapeOf({ shape }: Encoded): { readonly shape: Shape; readonly dims: Dims } {
  const cols = shape.at(-1)!;
  const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  return { shape: { rows: 'token', cols }, dims: { lengths: [rows], heads: 1 } };
}

/** Zero rows and columns up to rows × cols: products of matrices of any sizes through gates that know only L × L and L × D. */
function embed(x: Encoded, rows: number, cols: number, transpose = false): Encoded {
  const [m, k] = x.shape as [number, number];
  const v: (number | string)[] = Array.from({ length: rows * cols }, () => 0);
  for (let i = 0; i < m; i++) for (let j = 0; j < k; j++) v[transpose ? j * cols + i : i * cols + j] = x.v[i * k + j]!;
  return { shape: [rows, cols], v };
}

/** How a case becomes gates: the gates, and for every word they draw the name under which the case has it. */
interface Plan {
  readonly setup: Omit<Setup, 'random'>;
  readonly names: (name: string) => string;
  /** Changes an array of the case before use. */
  readonly layout?: (name: string, x: Encoded) => Encoded;
}

const input = (c: SpecCase, name: string, n: number, shape: Shape, layout = (x: Encoded): Encoded => x): Input => ({
  n,
  f: 0,
  shape,
  // When asked for: a negative case may have a ring that no words exist in.
  get shares(): readonly [Words, Words] {
    const given = c.input_shares?.[name];
    if (given === undefined) return fromPad(layout(c.inputs[name]!), layout(c.random[`${name}.share0`]!), n);
    return [decode(layout(given[0]), n), decode(layout(given[1]), n)];
  },
});

/** Negative cases list only party 0's share. */
const fromPad = (x: Encoded, pad: Encoded, n: number): readonly [Words, Words] => {
  const first = integers(pad);
  const rest = integers(x).map((v, i) => BigInt.asUintN(n, v - first[i]!));
  return [fromBigInts(first, n), fromBigInts(rest, n)];
};

const base = (name: string, from: readonly number[], n: number, shape: Shape, f = 0) => ({
  name,
  in: from,
  n,
  f,
  shape,
});

/** `v.r.0` → `r0`, `z.r2.pad` → `r2.pad`. */
const plainName = (name: string): string => name.replace(/^[^.]+\./, '').replace(/\.([01])$/, '$1');

type Planner = (c: SpecCase) => Plan;

const planners: Record<string, Planner> = {
  truncate_reduce(c) {
    const { n, f: by } = c.params as unknown as { n: number; f: number };
    const { shape, dims } = shapeOf(c.inputs['z']!);
    const gate: Gate = { ...base('z', [0], n - by, shape, -by), op: 'truncate', by };
    return { setup: { dims, inputs: [input(c, 'z', n, shape)], gates: [gate] }, names: plainName };
  },
  ext_lift(c) {
    const { n, N } = c.params as unknown as { n: number; N: number };
    const { shape, dims } = shapeOf(c.inputs['v']!);
    const gate: Gate = { ...base('v', [0], n, shape), op: 'ext', lift: N };
    return { setup: { dims, inputs: [input(c, 'v', n, shape)], gates: [gate] }, names: plainName };
  },
  square(c) {
    const { N, rows } = c.params as unknown as { N: number; rows: boolean };
    const plan = planners['ext_lift']!(c);
    const { shape } = plan.setup.inputs[0]!;
    const output: Shape = rows ? { rows: shape.rows, cols: 1 } : shape;
    const gate: Gate = { ...base('z', [1], N, output), op: 'square', rowSum: rows };
    return { ...plan, setup: { ...plan.setup, gates: [...plan.setup.gates, gate] } };
  },
  product(c) {
    const { n, N, nw } = c.params as unknown as { n: number; N: number; nw: number };
    const { shape, dims } = shapeOf(c.inputs['v']!);
    const row = c.inputs['w']!.shape.at(-1) !== c.inputs['v']!.shape.at(-1);
    const factor: Shape = row ? { rows: shape.rows, cols: 1 } : shape;
    const gates: Gate[] = [
      { ...base('v', [0], n, shape), op: 'ext', lift: N },
      { ...base('w', [1], nw, factor), op: 'open' },
      { ...base('z', [2, 3], N, shape), op: 'product', broadcast: row ? 'row' : 'none' },
    ];
    const inputs = [input(c, 'v', n, shape), input(c, 'w', nw, factor)]; // prettier-ignore
    return { setup: { dims, inputs, gates }, names: plainName };
  },
  static_linear(c) {
    const { n, nE, nW } = c.params as unknown as { n: number; nE: number; nW: number };
    const elementwise = c.params.elementwise === true;
    const { shape, dims } = shapeOf(c.inputs['x']!);
    const W = c.inputs['W']!;
    const [rows, cols] = elementwise ? [1, W.shape[0]!] : (W.shape as [number, number]);
    const gates: Gate[] = [
      { ...base('x', [0], nE, shape), op: 'open' },
      { ...base('z', [1], n, { rows: 'token', cols }), op: 'linear', tensor: 'W', elementwise },
    ];
    const tensors = { W: { spec: { role: 'masked', n: nW, rows, cols } as const, W: decode(W, nW) } };
    return {
      setup: { dims, inputs: [input(c, 'x', nE, shape)], gates, tensors },
      names: (name) => plainName(name.replace('static/', '')),
    };
  },
  fourier(c) {
    const { n_out } = c.params as unknown as { n_out: number };
    const table = fourierTable(c.params.gate!);
    const { shape, dims } = shapeOf(c.inputs['x']!);
    const drop = fourierDrop(table);
    const gates: Gate[] = [
      { ...base('y', [0], n_out + drop, shape, table.g1 + table.g2), op: 'fourier', table },
      { ...base('t', [1], n_out, shape, table.fOut), op: 'truncate', by: drop },
    ];
    const tables = trigTables();
    const mu = c.inputs['mu'];
    if (mu !== undefined) {
      const nMu = c.params['n_mu']!;
      const factor: Input = { n: nMu, f: 0, shape, get shares() { return [zeros(nMu, mu.v.length), decode(mu, nMu)] as const; } }; // prettier-ignore
      const padded: Gate[] = [
        { ...base('mu', [1], nMu, shape), op: 'open' },
        { ...base('y', [0, 2], n_out + drop, shape, table.g1 + table.g2), op: 'paddedFourier', table },
        { ...base('t', [3], n_out, shape, table.fOut), op: 'truncate', by: drop },
      ];
      const inputs = [input(c, 'x', table.b, shape), factor];
      return { setup: { dims, inputs, gates: padded, trig: (b) => tables.get(b)! }, names: plainName };
    }
    return {
      setup: { dims, inputs: [input(c, 'x', table.b, shape)], gates, trig: (b) => tables.get(b)! },
      names: plainName,
    };
  },
  centre(c) {
    const { n, f: by } = c.params as unknown as { n: number; f: number };
    const side = c.params.side!;
    const { shape, dims } = shapeOf(c.inputs['z']!);
    const { k, e } = centreConstants(dims.lengths[0]!);
    const gate: Gate = { ...base('z', [0], n - by - (side === 'keys' ? k : e), shape, -by), op: 'centre', side, by };
    return { setup: { dims, inputs: [input(c, 'z', n, shape)], gates: [gate] }, names: plainName };
  },
  embedding(c) {
    const { n, V2: split } = c.params as unknown as { n: number; V2: number };
    const { word, type_delta: delta, ids, types } = c.inputs as Record<string, Encoded>;
    const [vocab, hidden] = word!.shape as [number, number];
    const V1 = Math.ceil(vocab / split);
    const table = Array.from({ length: (V1 + 1) * split * hidden }, (_, i) =>
      i < V1 * split * hidden ? BigInt(word!.v[i] ?? 0) : BigInt(delta!.v[i % hidden]!),
    );
    const spec = { role: 'masked', n, rows: V1 + 1, cols: split * hidden } as const;
    const gate: Gate = {
      ...base('emb', [], n, { rows: 'token', cols: hidden }),
      op: 'embedding',
      tensor: 'W',
      vocab,
      split,
    };
    return {
      setup: {
        dims: { lengths: [ids!.v.length], heads: 1 },
        inputs: [],
        gates: [gate],
        tensors: { W: { spec, W: fromBigInts(table, n) } },
        ids: [integers(ids!).map(Number)],
        types: [integers(types!).map(Number)],
      },
      names: (name) => plainName(name.replace('static/', '')).replace(/^(A[12])([01])$/, '$1_$2'),
    };
  },
};

/** x (a × b) · y (b × c) in both forms of our matmul, embedded in L × L and L × D. */
function beaver(c: SpecCase, form: 'scores' | 'context'): Plan {
  const { n, nE, nD } = c.params as unknown as { n: number; nE: number; nD: number };
  const [a, b] = c.inputs['x']!.shape as [number, number];
  const cols = c.inputs['y']!.shape[1]!;
  const scores = form === 'scores';
  const L = scores ? Math.max(a, cols) : Math.max(a, b);
  const D = scores ? b : cols;
  const layout = (name: string, x: Encoded): Encoded => {
    const side = /^(x|A[01])/.test(name) && name !== 'AC.pad' ? 'x' : name === 'AC.pad' ? 'out' : 'y';
    if (side === 'x') return embed(x, L, scores ? D : L);
    if (side === 'y') return embed(x, L, D, scores);
    return embed(x, L, scores ? L : D);
  };
  const token: Shape = { rows: 'token', cols: D };
  const keys: Shape = { rows: 'head', cols: 'keys' };
  const gates: Gate[] = [
    { ...base('x', [0], nE, scores ? token : keys), op: 'open' },
    { ...base('y', [1], nD, token), op: 'open' },
    { ...base('z', [2, 3], n, scores ? keys : { rows: 'head', cols: D }), op: 'matmul', form },
  ];
  return {
    setup: {
      dims: { lengths: [L], heads: 1 },
      inputs: [
        input(c, 'x', nE, scores ? token : keys, (x) => layout('x', x)),
        input(c, 'y', nD, token, (x) => layout('y', x)),
      ],
      gates,
    },
    names: (name) => plainName(name.replace(/^y\.A\./, 'y.C.')),
    layout,
  };
}

/** The ways a vector of this gate is run. */
export const plans = (gate: string): readonly Planner[] =>
  gate === 'beaver'
    ? [(c) => beaver(c, 'scores'), (c) => beaver(c, 'context')]
    : planners[gate] === undefined
      ? []
      : [planners[gate]];

/** The type checks alone, those of the gates that made the inputs included; no words are made. */
export function typeCase(planner: Planner, c: SpecCase): void {
  const { inputs, gates, dims, tensors } = planner(c).setup;
  const types: WireType[] = inputs.map(({ n, f, shape }) => ({ kind: 'share', n, f, shape }));
  const tensor = (name: string): TensorSpec => tensors![name]!.spec;
  const made = types.map((wire): Resolved => ({ name: 'input', op: 'sum', in: [0], inShapes: [wire.shape], ...wire }));
  for (const [i, gate] of made.entries()) {
    const row: Shape = { rows: gate.shape.rows, cols: 1 };
    gateType({ ...gate, shape: row }, [types[i]!], tensor, dims);
  }
  for (const gate of gates) {
    const read = gate.in.map((wire) => types[wire]!);
    const resolved = { ...gate, n: gate.n as number, inShapes: read.map((wire) => wire.shape) } as Resolved;
    types.push(gateType(resolved, read, tensor, dims));
  }
}

/** Runs the case; `layout` maps an array of the case to how our gates hold it. */
export function runCase(
  planner: Planner,
  c: SpecCase,
): { steps: Step[]; layout: (name: string, x: Encoded) => Encoded } {
  const plan = planner(c);
  const layout = plan.layout ?? ((_: string, x: Encoded): Encoded => x);
  const random = (name: string, n: number, length: number): Words => {
    const key = plan.names(name);
    const given = c.random[key];
    if (given === undefined) throw new Error(`the case has no ${key} for ${name}`);
    const words = layout(key, given);
    if (words.v.length !== length) throw new Error(`${key}: ${words.v.length} words for ${length}`);
    return decode(words, n);
  };
  return { steps: runGates({ ...plan.setup, random }), layout };
}
