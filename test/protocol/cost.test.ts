/** What a gate declares is what it does: rounds, bits opened, dealt and sent by the client, products of every role. No gate is exempt. */
import { describe, expect, it, vi } from 'vitest';
import { definitionOf, masked } from '../../protocol/suite/masked.ts';
import type { TensorSpec } from '../../protocol/program.ts';
import type { Dims } from '../../protocol/shape.ts';
import { Draw, OPS, makeCase } from '../support/gate-cases.ts';
import { runGates, type Role } from '../support/gate-harness.ts';

const counter = vi.hoisted(() => ({ adds: 0 }));

// The ring's products, counted where the gates call them.
vi.mock('../../ring/index.ts', async (original) => {
  const ring = await original<typeof import('../../ring/index.ts')>();
  const counted =
    <A extends unknown[], R>(fn: (...args: A) => R, adds: (...args: A) => number) =>
    (...args: A): R => {
      counter.adds += adds(...args);
      return fn(...args);
    };
  return {
    ...ring,
    mul: counted(ring.mul, (a) => a.length),
    mulRows: counted(ring.mulRows, (a) => a.length),
    mulCols: counted(ring.mulCols, (a) => a.length),
    matmul: counted(ring.matmul, (_a, _b, m, k, n) => m * k * n),
    addProducts: counted(ring.addProducts, (_c, _at, _a, _b, { count, m, k, n }) => count * m * k * n),
    times: counted(ring.times, (_a, _b, m, k, n) => m * k * n),
    squareShare: counted(ring.squareShare, (_i, v) => v.c.length),
    productShare: counted(ring.productShare, (_i, v) => 2 * v.c.length),
    fourierDot: counted(ring.fourierDot, (c, _T, spec) => 2 * spec.a.length * c.length),
  };
});

const SESSIONS: Dims[] = [
  { lengths: [1], heads: 1 },
  { lengths: [4], heads: 2 },
  { lengths: [5, 1, 3], heads: 3 },
  { lengths: [2, 6], heads: 2 },
];

describe.each(OPS)('%s', (op) => {
  it.each(SESSIONS)('declares what is counted: %o', (dims) => {
    for (let seed = 1; seed <= 12; seed++) {
      const draw = new Draw(seed * 1009);
      const made = makeCase(op, draw, dims);
      const tensor = (name: string): TensorSpec => made.tensors![name]!.spec;
      const adds: Record<Role, number> = { 0: 0, 1: 0, assistant: 0, client: 0, clear: 0 };
      let role: Role = 'client';
      const settle = (next: Role): void => {
        adds[role] += counter.adds;
        counter.adds = 0;
        role = next;
      };
      counter.adds = 0;
      const steps = runGates({ ...made, dims, random: draw.random, watch: settle });
      settle('client');

      const declared = steps.map((step) => {
        const types = step.gate.in.map((wire) => {
          const { inputs } = made;
          const outer = inputs[wire];
          return outer === undefined ? steps[wire - inputs.length]!.type : { ...outer, kind: 'share' as const };
        });
        return definitionOf(step.gate).cost(step.gate, types, dims, tensor);
      });
      steps.forEach((step, i) => {
        const { rounds, openedBits, dealtBits, clientBits } = declared[i]!;
        expect({ rounds, openedBits, dealtBits, clientBits }).toEqual(step.counted);
      });
      const total = (part: 'party0' | 'party1' | 'assistant'): number =>
        declared.reduce((sum, cost) => sum + cost.multiplyAdds[part], 0);
      expect({ 0: total('party0'), 1: total('party1'), assistant: total('assistant') }).toEqual({
        0: adds[0],
        1: adds[1],
        assistant: adds.assistant,
      });
      expect(adds.client).toBe(0);
    }
  });
});

describe('the count', () => {
  it('sees products: a square that declared none would fail', () => {
    const dims = { lengths: [2], heads: 1 };
    const draw = new Draw(3);
    counter.adds = 0;
    runGates({ ...makeCase('square', draw, dims), dims, random: draw.random });
    expect(counter.adds).toBeGreaterThan(0);
  });

  it('covers the whole suite', () => expect(OPS.toSorted()).toEqual(Object.keys(masked).toSorted()));
});
