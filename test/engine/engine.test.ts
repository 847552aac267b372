import { describe, expect, it } from 'vitest';
import { float32, scalar } from '../../engine/engine.ts';
import { add, Graph, mul, neg, sumSquares } from '../../engine/graph/index.ts';
import { adamW } from '../../engine/optimizer.ts';
import { emitOnnx } from '../../engine/onnx/emit.ts';
import { Message } from '../../engine/onnx/protobuf.ts';
import { ENGINES } from '../support/engines.ts';

const hex = (m: Message): string => Buffer.from(m.finish()).toString('hex');

describe('protobuf writer', () => {
  // The examples of the encoding guide: 150 is 96 01, "testing" is length-delimited, −2 takes ten bytes.
  it('writes the examples of the encoding guide', () => {
    expect(hex(new Message().int(1, 150))).toBe('089601');
    expect(hex(new Message().string(2, 'testing'))).toBe('120774657374696e67');
    expect(hex(new Message().message(3, new Message().int(1, 150)))).toBe('1a03089601');
    expect(hex(new Message().int(1, -2))).toBe('08feffffffffffffffff01');
    expect(hex(new Message().float(1, 1))).toBe('0d0000803f');
  });
});

describe('graph', () => {
  it('makes equal nodes once and refuses mistakes when the graph is built', () => {
    const graph = new Graph();
    const x = graph.parameter('x', [2, 3]);
    expect(add(x, 1)).toBe(add(x, 1));
    expect(add(x, 1)).not.toBe(add(x, 2));
    expect(mul(x, 1)).toBe(x);
    expect(graph.parameter('x', [2, 3])).toBe(x);
    expect(() => graph.parameter('x', [3, 2])).toThrow('input x was declared as float32 (2, 3)');
    expect(() => add(x, graph.input('y', 'float32', [2]))).toThrow('do not broadcast');
    expect(() => add(x, graph.input('i', 'int64', [3]))).toThrow('operands are float32 and int64');
    expect(() => add(x, new Graph().parameter('x', [2, 3]))).toThrow('another graph');
  });

  it('emits only what the outputs need', () => {
    const graph = new Graph();
    const [x, y] = [graph.parameter('x', [2]), graph.parameter('y', [2])];
    neg(y);
    expect([...emitOnnx(graph, { z: neg(x) }).inputs.keys()]).toEqual(['x']);
    expect(() => emitOnnx(graph, { x: neg(x) })).toThrow('has the name of an input');
  });
});

describe.each(ENGINES)('engine $name', (engine) => {
  it('keeps state between steps and shares it between executables', async () => {
    const graph = new Graph();
    const w = graph.parameter('w', [2]);
    const x = graph.input('x', 'float32', []);
    const given = Float32Array.of(1, 2);
    const state = engine.createState(new Map([['w', { shape: [2], data: given }]]));
    const step = await engine.compileStep(
      graph,
      { seen: mul(w, 1), twice: add(w, w) },
      new Map([['w', add(w, x)]]),
      state,
    );
    const reader = await engine.compile(graph, { y: neg(w) }, state);
    // The outputs are of the state before the update.
    expect((await step.run({ x: scalar(10) }))['seen']!.data).toEqual(Float32Array.of(1, 2));
    expect((await step.run({ x: scalar(0.5) }))['twice']!.data).toEqual(Float32Array.of(22, 24));
    expect((await reader.run({}))['y']!.data).toEqual(Float32Array.of(-11.5, -12.5));
    expect(state.read('w').data).toEqual(Float32Array.of(11.5, 12.5));
    expect(given).toEqual(Float32Array.of(1, 2));
    state.write('w', { shape: [2], data: Float32Array.of(0, 7) });
    expect((await reader.run({}))['y']!.data).toEqual(Float32Array.of(-0, -7));
    // A fed parameter overrides the state.
    expect((await reader.run({ w: float32([2], [3, 4]) }))['y']!.data).toEqual(Float32Array.of(-3, -4));
    await step.release();
    await reader.release();
  });

  it('squares a sum over no axes: the gradient of a single number has a norm', async () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', []);
    const v = graph.input('v', 'float32', [2]);
    const executable = await engine.compile(graph, { one: sumSquares(x), none: sumSquares(v, []), all: sumSquares(v) });
    const result = await executable.run({ x: scalar(-3), v: float32([2], [3, -4]) });
    expect(result['one']!.data).toEqual(Float32Array.of(9));
    expect(result['none']!.data).toEqual(Float32Array.of(9, 16));
    expect(result['all']!.data).toEqual(Float32Array.of(25));
    await executable.release();
  });

  it('an optimiser step may take its gradient from the state, and empty it', async () => {
    const graph = new Graph();
    const sum = graph.parameter('sum', [2]);
    const optimiser = adamW(graph, new Map([['w', sum]]), { weightDecay: 0, maxNorm: undefined });
    const vector = (...data: number[]) => ({ shape: [2], data: Float32Array.from(data) });
    const state = engine.createState(new Map([['w', vector(1, 1)], ['sum', vector(4, -0.5)], ...optimiser.moments]));
    const step = await engine.compileStep(graph, {}, new Map([...optimiser.updates, ['sum', mul(sum, 0)]]), state);
    await step.run(optimiser.feeds(1, 0.25));
    // The first step of Adam is the rate times the sign, up to ε.
    for (const [i, expected] of [0.75, 1.25].entries()) expect(state.read('w').data[i]).toBeCloseTo(expected, 6);
    expect([...state.read('sum').data].map(Math.abs)).toEqual([0, 0]);
    await step.release();
    state.release();
  });

  it('a result does not change when the state moves on', async () => {
    const graph = new Graph();
    const w = graph.parameter('w', [1]);
    const state = engine.createState(new Map([['w', { shape: [1], data: Float32Array.of(1) }]]));
    const step = await engine.compileStep(graph, { w1: add(w, 1) }, new Map([['w', add(w, 1)]]), state);
    const first = (await step.run({}))['w1']!;
    await step.run({});
    expect(first.data).toEqual(Float32Array.of(2));
    expect(state.read('w').data).toEqual(Float32Array.of(3));
    await step.release();
  });

  it('names what is wrong with a feed', async () => {
    const graph = new Graph();
    const executable = await engine.compile(graph, { y: neg(graph.input('x', 'float32', ['B', 2])) });
    await expect(executable.run({})).rejects.toThrow('input x: not fed');
    await expect(executable.run({ x: float32([2, 3], new Float32Array(6)) })).rejects.toThrow(
      'has shape (2, 3), declared (B=2, 2)',
    );
    await expect(executable.run({ x: { dtype: 'bool', shape: [1, 2], data: new Uint8Array(2) } })).rejects.toThrow(
      'is bool, declared float32',
    );
    await executable.release();
  });

  it('refuses overlapping steps and tensors of another shape', async () => {
    const graph = new Graph();
    const w = graph.parameter('w', [1]);
    const state = engine.createState(new Map([['w', { shape: [1], data: new Float32Array(1) }]]));
    const step = await engine.compileStep(graph, {}, new Map([['w', add(w, 1)]]), state);
    const first = step.run({});
    await expect(step.run({})).rejects.toThrow('a step began');
    await first;
    await step.run({});
    expect(state.read('w').data).toEqual(Float32Array.of(2));
    state.write('w', { shape: [2], data: new Float32Array(2) });
    await expect(step.run({})).rejects.toThrow('input w: has shape (2), declared (1)');
    await step.release();
  });

  it('refuses updates that do not fit the state', async () => {
    const graph = new Graph();
    const w = graph.parameter('w', [2]);
    const state = engine.createState(new Map([['w', { shape: [2], data: new Float32Array(2) }]]));
    await expect(engine.compileStep(graph, {}, new Map([['v', neg(w)]]), state)).rejects.toThrow('does not hold');
    const wrong = add(w, graph.input('m', 'float32', [3, 1]));
    await expect(engine.compileStep(graph, {}, new Map([['w', wrong]]), state)).rejects.toThrow('has shape (3, 2)');
  });
});
