import * as tf from '@tensorflow/tfjs-core';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { float32, int64 } from '../../engine/engine.ts';
import {
  add,
  cast,
  erf,
  gather,
  Graph,
  matmul,
  mul,
  neg,
  slice,
  sum,
  where,
  type Node,
} from '../../engine/graph/index.ts';
import { putRows } from '../../engine/graph/ops/gather.ts';
import type { Op } from '../../engine/graph/node.ts';
import { KERNELS } from '../../engine/tfjs/kernels.ts';
import { erf as erf64 } from '../support/erf.ts';
import { tfjs as engine } from '../support/engines.ts';

const tensors = (): number => tf.memory().numTensors;

describe('kernels', () => {
  it('there is one for every op that a graph can hold', () => {
    const root = join(import.meta.dirname, '../../engine');
    const folders = ['graph', 'graph/ops', 'bert'].map((f) => join(root, f));
    const files = folders.flatMap((f) =>
      readdirSync(f)
        .filter((n) => n.endsWith('.ts'))
        .map((n) => join(f, n)),
    );
    const names = files.flatMap((f) =>
      [...readFileSync(f, 'utf8').matchAll(/: Op = \{\s*name: '(\w+)'/g)].map((m) => m[1]!),
    );
    expect(names).toContain('layerNorm');
    expect(names).toContain('scatterRows');
    const leaves = ['input', 'constant'];
    expect(Object.keys(KERNELS).toSorted()).toEqual(names.filter((n) => !leaves.includes(n)).toSorted());
  });

  it('an op without one is refused when the graph is compiled', async () => {
    const graph = new Graph();
    const op: Op = { name: 'fourier', emit: () => '' };
    const y = graph.create(op, [graph.input('x', 'float32', [2])], {}, 'float32', [2]);
    await expect(engine.compile(graph, { y })).rejects.toThrow('fourier has no form in TensorFlow.js');
  });

  it('erf is right to float32', async () => {
    const graph = new Graph();
    const executable = await engine.compile(graph, { y: erf(graph.input('x', 'float32', ['N'])) });
    const x = Float32Array.from({ length: 4001 }, (_, i) => ((i - 2000) / 2000) * 3.9);
    const { data } = (await executable.run({ x: float32([x.length], x) }))['y']!;
    // 1.1 units of 2^-24 from the rational function, one from storing the result.
    x.forEach((v, i) => {
      const expected = erf64(v);
      expect(Math.abs(Number(data[i]) - expected)).toBeLessThanOrEqual(2.1 * 2 ** -24 * Math.abs(expected));
    });
    const ends = await executable.run({ x: float32([4], [-50, 50, Infinity, NaN]) });
    expect([...(ends['y']!.data as Float32Array)]).toEqual([-1, 1, 1, NaN]);
    await executable.release();
  });

  // Shapes whose batches a kernel pairing matrix i with matrix i mod n would mix up.
  for (const [a, b] of [
    [
      [2, 3, 2, 4],
      [2, 1, 4, 3],
    ],
    [
      [2, 1, 2, 4],
      [1, 3, 4, 3],
    ],
    [
      [3, 2, 4],
      [2, 3, 4, 3],
    ],
  ] as const) {
    it(`matmul broadcasts (${a.join()})·(${b.join()})`, async () => {
      const graph = new Graph();
      const y = matmul(graph.input('a', 'float32', a), graph.input('b', 'float32', b));
      const whole = (shape: readonly number[], factor: number): number[] =>
        Array.from({ length: shape.reduce((p, d) => p * d, 1) }, (_, i) => ((i * factor) % 13) - 6);
      const [left, right] = [whole(a, 5), whole(b, 7)];
      const at = (shape: readonly number[], outer: readonly number[]): number => {
        const own = shape.slice(0, -2);
        return own.reduce((n, d, i) => n * d + (d === 1 ? 0 : outer[outer.length - own.length + i]!), 0);
      };
      const expected: number[] = [];
      for (const i of [0, 1])
        for (const j of [0, 1, 2])
          for (let r = 0; r < 2; r++)
            for (let c = 0; c < 3; c++) {
              let dot = 0;
              for (let k = 0; k < 4; k++)
                dot += left[at(a, [i, j]) * 8 + r * 4 + k]! * right[at(b, [i, j]) * 12 + k * 3 + c]!;
              expected.push(dot);
            }
      const executable = await engine.compile(graph, { y });
      const result = await executable.run({ a: float32(a, left), b: float32(b, right) });
      expect(result['y']).toEqual(float32([2, 3, 2, 3], expected));
      await executable.release();
    });
  }
});

describe('types', () => {
  it('int64 and bool come back as such, in copies of their own', async () => {
    const graph = new Graph();
    const [i, b] = [graph.input('i', 'int64', ['N']), graph.input('b', 'bool', ['N'])];
    const executable = await engine.compile(graph, { i, b, chosen: where(b, i, -7), ones: cast(b, 'int64') });
    const feeds = {
      i: int64([2], [2 ** 31 - 1, -(2 ** 31)]),
      b: { dtype: 'bool', shape: [2], data: Uint8Array.of(0, 1) },
    } as const;
    const result = await executable.run(feeds);
    expect(result).toEqual({ ...feeds, chosen: int64([2], [-7, -(2 ** 31)]), ones: int64([2], [0, 1]) });
    expect(result['b']!.data).not.toBe(feeds.b.data);
    await executable.release();
  });

  it('refuses integers beyond 32 bits, and arithmetic that could reach them', async () => {
    const graph = new Graph();
    const i = graph.input('i', 'int64', ['N']);
    const executable = await engine.compile(graph, { y: cast(i, 'float32') });
    for (const value of [2n ** 31n, -(2n ** 31n) - 1n, 2n ** 62n]) {
      const run = executable.run({ i: int64([2], BigInt64Array.of(1n, value)) });
      await expect(run).rejects.toThrow(`input i: holds ${value}, which TensorFlow.js's int32 cannot`);
    }
    await executable.release();
    await expect(engine.compile(graph, { y: add(i, i) })).rejects.toThrow('add of int64');
    await expect(engine.compile(graph, { y: cast(graph.input('x', 'float32', [1]), 'int64') })).rejects.toThrow('cast');
    await expect(engine.compile(graph, { y: where(cast(i, 'bool'), i, 2 ** 31) })).rejects.toThrow('outside int32');
  });

  it('refuses rows that a table does not have', async () => {
    const graph = new Graph();
    const ids = graph.input('ids', 'int64', ['B', 'L']);
    const small = gather(graph.constant([1, 2, 3], [3, 1]), ids);
    const large = gather(graph.constant([1, 2, 3, 4], [4, 1]), ids);
    const executable = await engine.compile(graph, { y: add(sum(small), sum(large)) });
    const run = (...values: number[]): Promise<unknown> => executable.run({ ids: int64([1, values.length], values) });
    await expect(run(0, 2)).resolves.toEqual({ y: float32([], [1 + 3 + 1 + 3]) });
    await expect(run(0, 3)).rejects.toThrow('input ids: holds 3, and the table has rows 0 to 2');
    await expect(run(-1)).rejects.toThrow('holds -1');
    await executable.release();
    const outside = gather(graph.constant([1, 2], [2]), graph.constant([0, 2], [2], 'int64'));
    await expect(engine.compile(graph, { y: outside })).rejects.toThrow('row 2 of a table of 2');
  });
});

describe('symbols', () => {
  it('a length that only another input knows is taken from it', async () => {
    const graph = new Graph();
    graph.input('ids', 'int64', ['B', 'L']);
    const positions = slice(graph.constant([5, 6, 7], [3]), 0, 0, 'L');
    const executable = await engine.compile(graph, { positions });
    await expect(executable.run({})).rejects.toThrow('input ids: not fed');
    const { positions: found } = await executable.run({ ids: int64([1, 2], [0, 0]) });
    expect(found).toEqual(float32([2], [5, 6]));
    await executable.release();
    await expect(engine.compile(graph, { y: slice(graph.constant([1], [1]), 0, 0, 'M') })).rejects.toThrow('length M');
  });
});

describe('memory', () => {
  /** w ← w with two rows replaced, and outputs that are inputs, held values and computed ones. */
  function graphs(): { graph: Graph; outputs: Record<string, Node>; updates: Map<string, Node> } {
    const graph = new Graph();
    const w = graph.parameter('w', [3, 2]);
    const [ids, x] = [graph.input('ids', 'int64', [2]), graph.input('x', 'float32', ['N', 2])];
    const moved = putRows(mul(w, 2), ids, slice(x, 0, 0, 2));
    return {
      graph,
      outputs: { w, x, moved, total: sum(neg(moved)) },
      // v becomes the present w: both are values of before the step.
      updates: new Map([
        ['w', moved],
        ['v', w],
      ]),
    };
  }
  const held = new Map(
    ['w', 'v'].map((name, i) => [
      name,
      { shape: [3, 2], data: Float32Array.from({ length: 6 }, (_, j) => j + 10 * i) },
    ]),
  );
  const feeds = { ids: int64([2], [2, 0]), x: float32([2, 2], [-1, -2, -3, -4]) };

  it('a run leaves only the state behind, and an executable nothing', async () => {
    const before = tensors();
    const state = engine.createState(held);
    expect(tensors()).toBe(before + 2);
    const { graph, outputs, updates } = graphs();
    const step = await engine.compileStep(graph, outputs, updates, state);
    const compiled = tensors();
    const result = await step.run(feeds);
    expect(tensors()).toBe(compiled);
    expect(result).toEqual({
      w: float32([3, 2], [0, 1, 2, 3, 4, 5]),
      x: feeds.x,
      moved: float32([3, 2], [-3, -4, 4, 6, -1, -2]),
      total: float32([], [0]),
    });
    expect(state.read('w').data).toEqual(result['moved']!.data);
    expect(state.read('v').data).toEqual(result['w']!.data);
    await step.run(feeds);
    expect(tensors()).toBe(compiled);
    // Results belong to the caller.
    (result['w']!.data as Float32Array).fill(9);
    (result['x']!.data as Float32Array).fill(9);
    expect(feeds.x.data[0]).toBe(-1);
    expect(state.read('v').data).toEqual(Float32Array.of(-3, -4, 4, 6, -1, -2));
    await step.release();
    expect(tensors()).toBe(before + 2);
    await expect(step.run(feeds)).rejects.toThrow('released');
    state.release();
    expect(tensors()).toBe(before);
  });

  it('a run that fails leaves nothing behind and the state as it was', async () => {
    const state = engine.createState(held);
    const { graph, outputs, updates } = graphs();
    const step = await engine.compileStep(graph, outputs, updates, state);
    const compiled = tensors();
    // One row where two are taken, which shows in the middle of the walk.
    await expect(step.run({ ...feeds, x: float32([1, 2], [1, 2]) })).rejects.toThrow('slice: 2 from 0 on');
    await expect(step.run({ ...feeds, x: float32([2], [1, 2]) })).rejects.toThrow('input x: has shape (2)');
    expect(tensors()).toBe(compiled);
    for (const [name, { data }] of held) expect(state.read(name).data).toEqual(data);
    await step.run(feeds);
    await step.release();
  });

  it('refuses a state of another engine', async () => {
    const graph = new Graph();
    const { onnxruntime } = await import('../support/engines.ts');
    const state = onnxruntime.createState(new Map());
    await expect(engine.compile(graph, { y: graph.constant(1) }, state)).rejects.toThrow('belongs to another engine');
  });
});
