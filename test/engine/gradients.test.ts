/**
 * Every op's value and gradient against central differences of a float64 twin written here with plain loops.
 *
 * Tolerance: the difference quotient with step d = 2^-17 has error about d² ≈ 2^-34 (the functions' third derivatives are
 * of order 1 to 10 on the points used) plus float64 rounding 2^-53/d ≈ 2^-36; what remains is the engine's float32 rounding,
 * bounded by 2^-24 times the number of roundings on the path (below 64) times the largest gradient.
 */
import { describe, expect, it } from 'vitest';
import { float32, int64, type Feeds } from '../../engine/engine.ts';
import * as ops from '../../engine/graph/index.ts';
import { gradients, Graph, mul, sum, type Node } from '../../engine/graph/index.ts';
import { activation } from '../../engine/bert/activation.ts';
import { layerNorm } from '../../engine/bert/layer-norm.ts';
import { normalise } from '../../engine/bert/normalise.ts';
import type { SoftmaxAct } from '../../model/config.ts';
import { erf as erf64 } from '../support/erf.ts';
import { ENGINES } from '../support/engines.ts';

const STEP = 2 ** -17;
const ROUNDINGS = 64 * 2 ** -24;

type Values = readonly number[];

interface Case {
  readonly shapes: readonly (readonly number[])[];
  /** The graph under test. */
  readonly build: (...inputs: Node[]) => Node;
  /** The same function on flat float64 arrays. */
  readonly twin: (...inputs: Values[]) => Values;
  /** Maps a raw value in (−1.5, 1.5) into the domain. */
  readonly domain?: (v: number) => number;
}

/** Rows of the last axis, mapped. */
const rows = (x: Values, width: number, f: (row: Values) => Values): Values =>
  Array.from({ length: x.length / width }, (_, i) => f(x.slice(i * width, (i + 1) * width))).flat();
const total = (x: Values): number => x.reduce((a, v) => a + v, 0);
const zip = (a: Values, b: Values, f: (x: number, y: number) => number): Values => a.map((x, i) => f(x, b[i]!));
const unary = (build: (x: Node) => Node, f: (x: number) => number, domain?: (v: number) => number): Case => ({
  shapes: [[2, 3]],
  build,
  twin: (x) => x.map(f),
  ...(domain === undefined ? {} : { domain }),
});
const binary = (build: (a: Node, b: Node) => Node, f: (x: number, y: number) => number): Case => ({
  shapes: [
    [2, 3],
    [2, 3],
  ],
  build,
  twin: (a, b) => zip(a, b, f),
  domain: (v) => (v < 0 ? v - 0.5 : v + 0.5),
});
const positive = (v: number): number => Math.abs(v) + 0.5;
const apart = (v: number): number => (Math.abs(v) < 0.05 ? v + 0.2 : v);
const product = (a: Values, b: Values, m: number, k: number, n: number): Values =>
  Array.from({ length: m * n }, (_, i) => {
    let s = 0;
    for (let t = 0; t < k; t++) s += a[Math.floor(i / n) * k + t]! * b[t * n + (i % n)]!;
    return s;
  });
const transposed = (a: Values, m: number, n: number): Values =>
  Array.from({ length: m * n }, (_, i) => a[(i % m) * n + Math.floor(i / m)]!);
const softmaxRow = (row: Values): Values => {
  const e = row.map(Math.exp);
  return e.map((v) => v / total(e));
};
const phi = (u: number): number => 0.5 * (1 + erf64(u * Math.SQRT1_2));

// One text of two has a masked key in the middle, the other none; a third has no real key at all.
const MASK = [1, 0, 1, 1, 1, 1, 0, 0, 0];
const C = [0.7, -0.4];
/** Attention rows of shape (3, 2, 3, 3): `f(row, mask, head)` per row. */
const attention = (s: Values, f: (row: Values, mask: Values, head: number) => Values): Values =>
  Array.from({ length: 18 }, (_, i) => {
    const text = Math.floor(i / 6);
    return f(s.slice(i * 3, i * 3 + 3), MASK.slice(text * 3, text * 3 + 3), Math.floor(i / 3) % 2);
  }).flat();
const softRow = (s: Values, m: Values): Values => {
  const e = zip(s, m, (x, y) => y * Math.exp(x));
  return e.map((v) => (total(m) === 0 ? 0 : v / total(e)));
};
const quadRow = (centred: boolean) => (s: Values, m: Values, head: number) => {
  const n = total(m);
  if (n === 0) return s.map(() => 0);
  const mean = centred ? total(zip(s, m, (x, y) => x * y)) / n : 0;
  const q = zip(s, m, (x, y) => y * (x - mean + C[head]!) ** 2);
  return q.map((v) => v / total(q));
};
const normaliser = (act: SoftmaxAct, row: Parameters<typeof attention>[1]): Case => ({
  shapes: [[3, 2, 3, 3]],
  build: (s) => normalise(s, s.graph.constant(MASK, [3, 3]), { act, c: act.startsWith('2quad') ? C : [] }),
  twin: (s) => attention(s, row),
  domain: apart,
});

const CASES: Record<string, Case> = {
  add: binary(ops.add, (x, y) => x + y),
  sub: binary(ops.sub, (x, y) => x - y),
  mul: binary(ops.mul, (x, y) => x * y),
  div: binary(ops.div, (x, y) => x / y),
  maximum: binary(ops.maximum, Math.max),
  minimum: binary(ops.minimum, Math.min),
  'broadcast mul (2,3)·(3)': {
    shapes: [[2, 3], [3]],
    build: ops.mul,
    twin: (a, b) => a.map((v, i) => v * b[i % 3]!),
  },
  'broadcast sub (2,1)−(3,1,4)': {
    shapes: [
      [2, 1],
      [3, 1, 4],
    ],
    build: ops.sub,
    twin: (a, b) =>
      Array.from({ length: 24 }, (_, i) => a[Math.floor(i / 4) % 2]! - b[Math.floor(i / 8) * 4 + (i % 4)]!),
  },
  neg: unary(ops.neg, (x) => -x),
  sqrt: unary(ops.sqrt, Math.sqrt, positive),
  exp: unary(ops.exp, Math.exp),
  log: unary(ops.log, Math.log, positive),
  tanh: unary(ops.tanh, Math.tanh),
  erf: unary(ops.erf, erf64),
  relu: unary(ops.relu, (x) => Math.max(x, 0), apart),
  abs: unary(ops.abs, Math.abs, apart),
  unitAffine: unary(
    (x) => ops.unitAffine(x, 0.25, 0.5),
    (x) => 0.25 * x + 0.5,
  ),
  gelu: unary(
    (x) => activation(x, 'gelu'),
    (x) => x * phi(x),
  ),
  gelu_new: unary(
    (x) => activation(x, 'gelu_new'),
    (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  ),
  quad: unary(
    (x) => activation(x, 'quad'),
    (x) => 0.125 * x * x + 0.25 * x + 0.5,
  ),
  where: {
    shapes: [[2, 3], [3]],
    build: (a, b) => ops.where(ops.greater(a, 0), a, b),
    twin: (a, b) => a.map((v, i) => (v > 0 ? v : b[i % 3]!)),
    domain: apart,
  },
  sum: {
    shapes: [[2, 3, 4]],
    build: (x) => ops.sum(x, [1]),
    twin: (x) => [0, 1].flatMap((i) => [0, 1, 2, 3].map((k) => total([0, 1, 2].map((j) => x[i * 12 + j * 4 + k]!)))),
  },
  mean: {
    shapes: [[2, 3]],
    build: (x) => ops.mean(x, [0], true),
    twin: (x) => [0, 1, 2].map((j) => (x[j]! + x[j + 3]!) / 2),
  },
  max: { shapes: [[2, 3]], build: (x) => ops.max(x, [1]), twin: (x) => rows(x, 3, (r) => [Math.max(...r)]) },
  min: { shapes: [[2, 3]], build: (x) => ops.min(x, [1]), twin: (x) => rows(x, 3, (r) => [Math.min(...r)]) },
  sumSquares: { shapes: [[2, 3]], build: (x) => ops.sumSquares(x), twin: (x) => [total(x.map((v) => v * v))] },
  softmax: { shapes: [[2, 3]], build: ops.softmax, twin: (x) => rows(x, 3, softmaxRow) },
  logSoftmax: { shapes: [[2, 3]], build: ops.logSoftmax, twin: (x) => rows(x, 3, (r) => softmaxRow(r).map(Math.log)) },
  reshape: {
    shapes: [[2, 6]],
    build: (x) => ops.mul(ops.reshape(x, [3, 4]), ops.reshape(x, [3, 4])),
    twin: (x) => x.map((v) => v * v),
  },
  transpose: { shapes: [[2, 3]], build: (x) => ops.transpose(x, [1, 0]), twin: (x) => transposed(x, 2, 3) },
  expand: {
    shapes: [[2, 1]],
    build: (x) => ops.expand(x, [3, 2, 2]),
    twin: (x) => Array.from({ length: 12 }, (_, i) => x[Math.floor(i / 2) % 2]!),
  },
  slice: { shapes: [[2, 4]], build: (x) => ops.slice(x, 1, 1, 2), twin: (x) => [x[1]!, x[2]!, x[5]!, x[6]!] },
  concat: {
    shapes: [
      [2, 1],
      [2, 3],
    ],
    build: (a, b) => ops.concat([a, b], 1),
    twin: (a, b) => [0, 1].flatMap((i) => [a[i]!, ...b.slice(i * 3, i * 3 + 3)]),
  },
  'gather, table of 5': {
    shapes: [[5, 2]],
    build: (t) => ops.gather(t, t.graph.constant([3, 0, 3, 3], [2, 2], 'int64')),
    twin: (t) => [3, 0, 3, 3].flatMap((i) => [t[2 * i]!, t[2 * i + 1]!]),
  },
  'gather, table of 70': {
    shapes: [[70, 2]],
    build: (t) => ops.gather(t, t.graph.constant([69, 1, 69, 69], [2, 2], 'int64')),
    twin: (t) => [69, 1, 69, 69].flatMap((i) => [t[2 * i]!, t[2 * i + 1]!]),
  },
  'gather, every row once': {
    shapes: [[70, 2]],
    build: (t) => ops.gather(t, t.graph.constant([69, 1, 7], [3], 'int64')),
    twin: (t) => [69, 1, 7].flatMap((i) => [t[2 * i]!, t[2 * i + 1]!]),
  },
  columnSum: {
    shapes: [[3, 2]],
    build: (x) => ops.columnSum(x),
    twin: (x) => product([1, 1, 1], x, 1, 3, 2),
  },
  'columnSum, weighted': {
    shapes: [[3, 2], [3]],
    build: ops.columnSum,
    twin: (x, w) => product(w, x, 1, 3, 2),
  },
  rowDot: {
    shapes: [
      [2, 3],
      [2, 3],
    ],
    build: ops.rowDot,
    twin: (g, p) =>
      rows(
        zip(g, p, (x, y) => x * y),
        3,
        (r) => [total(r)],
      ),
  },
  'rowDot of a product': {
    shapes: [
      [2, 4],
      [3, 4],
      [2, 3],
      [2, 3],
    ],
    build: (d, v, factor, p) => ops.rowDot(mul(ops.matmul(d, v, { transposeB: true }), factor), p),
    twin: (d, v, factor, p) => {
      const g = zip(product(d, transposed(v, 3, 4), 2, 4, 3), factor, (x, y) => x * y);
      return rows(
        zip(g, p, (x, y) => x * y),
        3,
        (r) => [total(r)],
      );
    },
  },
  linear: {
    shapes: [[3, 2], [4, 2], [4]],
    build: ops.linear,
    twin: (x, w, b) => product(x, transposed(w, 4, 2), 3, 2, 4).map((v, i) => v + b[i % 4]!),
  },
  layerNorm: {
    shapes: [[2, 4], [4], [4]],
    build: (x, g, b) => layerNorm(x, g, b, 1e-3),
    twin: (x, g, b) =>
      rows(x, 4, (r) => {
        const mean = total(r) / 4;
        const sigma = Math.sqrt(total(r.map((v) => (v - mean) ** 2)) / 4 + 1e-3);
        return r.map((v, i) => ((v - mean) / sigma) * g[i]! + b[i]!);
      }),
  },
  'normalise softmax': normaliser('softmax', softRow),
  'normalise 2quad': normaliser('2quad', quadRow(false)),
  'normalise 2quad_centred': normaliser('2quad_centred', quadRow(true)),
};
for (const [act, row] of [
  ['softmax', softRow],
  ['2quad_centred', quadRow(true)],
] as const)
  CASES[`attention, ${act}`] = {
    // Scores, values, dropout.
    shapes: [
      [3, 2, 3, 3],
      [3, 2, 3, 2],
      [3, 2, 3, 3],
    ],
    build: (s, v, dropout) => ops.matmul(mul(normaliser(act, row).build(s), dropout), v),
    twin: (s, v, dropout) => {
      const p = zip(attention(s, row), dropout, (x, y) => x * y);
      return [0, 1, 2, 3, 4, 5].flatMap((i) => product(p.slice(9 * i, 9 * i + 9), v.slice(6 * i, 6 * i + 6), 3, 3, 2));
    },
    domain: apart,
  };
for (const act of ['2relu', '2relu_real_n', '2relu_published'] as const)
  CASES[`normalise ${act}`] = {
    // All scores positive: where a row has none, ε decides and differences of 2^-17 see nothing of it.
    ...normaliser(act, (s, m) => {
      const r = zip(s, m, (x, y) => y * Math.max(x, 0));
      // The text without a real key: the published code spreads its weight over padding.
      return r.map((v) => (total(m) === 0 ? (act === '2relu_published' ? 1 / 3 : 0) : v / total(r)));
    }),
    domain: positive,
  };
for (const transposeA of [false, true])
  for (const transposeB of [false, true])
    CASES[`matmul${transposeA ? ' aᵀ' : ''}${transposeB ? ' bᵀ' : ''}`] = {
      shapes: [transposeA ? [2, 4, 3] : [2, 3, 4], transposeB ? [5, 4] : [4, 5]],
      build: (a, b) => ops.matmul(a, b, { transposeA, transposeB, alpha: 0.5 }),
      twin: (a, b) => {
        const right = transposeB ? transposed(b, 5, 4) : b;
        return [0, 1].flatMap((i) => {
          const left = a.slice(i * 12, i * 12 + 12);
          return product(transposeA ? transposed(left, 4, 3) : left, right, 3, 4, 5).map((v) => 0.5 * v);
        });
      },
    };

/** Deterministic values in (−1.5, 1.5) that float32 holds exactly. */
const values = (n: number, salt: number): number[] =>
  Array.from({ length: n }, (_, i) => Math.fround(1.5 * Math.sin(1 + 12.9898 * (i + 1) + 78.233 * salt)));

describe.each(ENGINES)('values and gradients of every op on $name', (engine) => {
  it.each(Object.entries(CASES))('%s', async (_name, { shapes, build, twin, domain = (v) => v }) => {
    const points = shapes.map((shape, i) =>
      values(
        shape.reduce((a, d) => a * d, 1),
        i,
      ).map((v) => Math.fround(domain(v))),
    );
    const graph = new Graph();
    const inputs = shapes.map((shape, i) => graph.input(`x${i}`, 'float32', shape));
    const y = build(...inputs);
    const weightsOf = values(twin(...points).length, 99);
    // A weighted sum, so that every output element has its own influence.
    const loss = sum(mul(y, graph.constant(weightsOf, y.shape as number[])));
    const gradient = gradients(loss, inputs);
    const feeds: Feeds = Object.fromEntries(points.map((p, i) => [`x${i}`, float32(shapes[i]!, p)]));
    const executable = await engine.compile(graph, {
      y,
      ...Object.fromEntries(inputs.map((x, i) => [`g${i}`, gradient.get(x)!])),
    });
    const result = await executable.run(feeds);
    await executable.release();

    const expected = twin(...points);
    const scale = Math.max(1, ...expected.map(Math.abs));
    expect(
      [...(result['y']!.data as Float32Array)].every((v, i) => Math.abs(v - expected[i]!) <= ROUNDINGS * scale),
    ).toBe(true);

    const lossAt = (moved: readonly Values[]): number => total(zip(twin(...moved), weightsOf, (a, b) => a * b));
    points.forEach((point, i) => {
      const numeric = point.map((v, j) => {
        const at = (d: number): number => lossAt(points.map((p, k) => (k === i ? p.with(j, v + d) : p)));
        return (at(STEP) - at(-STEP)) / (2 * STEP);
      });
      const allowed = ROUNDINGS * Math.max(1, ...numeric.map(Math.abs));
      const actual = [...(result[`g${i}`]!.data as Float32Array)];
      expect(actual.length).toBe(numeric.length);
      const worst = Math.max(...actual.map((v, j) => Math.abs(v - numeric[j]!)));
      expect(worst, `gradient of operand ${i}`).toBeLessThanOrEqual(allowed);
    });
  });

  it('the row sums of attention gradients come from the product forwards, not from another over all keys', () => {
    for (const act of ['softmax', '2quad', '2quad_centred'] as const) {
      const graph = new Graph();
      const [s, v] = [graph.input('s', 'float32', ['B', 2, 'L', 'L']), graph.input('v', 'float32', ['B', 2, 'L', 8])];
      const p = normalise(s, graph.input('mask', 'float32', ['B', 'L']), { act, c: [0, 0] });
      const context = ops.matmul(mul(p, graph.input('dropout', 'float32', p.shape)), v);
      gradients(sum(mul(context, context)), [s, v]);
      const forwards = graph.nodes.filter((n) => n.op === context.op && n.shape.join() === context.shape.join());
      // The context, and the gradient of v.
      expect(forwards.length, act).toBe(2);
    }
  });

  it('a text without real keys has weights and gradients of exactly 0', async () => {
    for (const act of ['softmax', '2quad', '2quad_centred', '2relu', '2relu_real_n'] as const) {
      const graph = new Graph();
      const s = graph.input('s', 'float32', ['B', 2, 'L', 'L']);
      const p = normalise(s, graph.input('mask', 'float32', ['B', 'L']), { act, c: [0, 0] });
      const executable = await engine.compile(graph, { p, g: gradients(sum(mul(p, s)), [s]).get(s)! });
      const { p: weights, g } = await executable.run({
        s: float32([1, 2, 3, 3], values(18, 1)),
        mask: float32([1, 3], [0, 0, 0]),
      });
      await executable.release();
      expect(
        [...(weights!.data as Float32Array)].every((v) => v === 0),
        act,
      ).toBe(true);
      expect(
        [...(g!.data as Float32Array)].every((v) => v === 0),
        act,
      ).toBe(true);
    }
  });

  it('what the loss does not depend on has no gradient', () => {
    const graph = new Graph();
    const [a, b] = [graph.input('a', 'float32', [2]), graph.input('b', 'float32', [2])];
    const d = gradients(sum(mul(a, ops.stopGradient(b))), [a, b]);
    expect([...d.keys()]).toEqual([a]);
    expect(() => gradients(a, [a])).toThrow('not a scalar');
  });

  it('symbolic lengths are taken from the feeds and must agree', async () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', ['B', 'L']);
    const ids = graph.input('ids', 'int64', ['B']);
    const y = ops.add(
      ops.reshape(ops.expand(ops.reshape(x, ['B', 'L', 1]), ['B', 'L', 2]), [ops.product('L', 2, 'B')]),
      ops.sum(ops.cast(ids, 'float32')),
    );
    expect(y.shape).toEqual(['2*B*L']);
    const executable = await engine.compile(graph, { y });
    const run = (b: number, l: number, n: number): Promise<unknown> =>
      executable.run({ x: float32([b, l], values(b * l, 3)), ids: int64([n], values(n, 4).map(Math.round)) });
    await expect(run(2, 3, 2)).resolves.toMatchObject({ y: { shape: [12] } });
    await expect(run(3, 1, 3)).resolves.toMatchObject({ y: { shape: [6] } });
    await expect(run(2, 3, 4)).rejects.toThrow('input ids: has shape (4), declared (B=2)');
    await executable.release();
  });
});
