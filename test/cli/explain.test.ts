import { describe, expect, it } from 'vitest';
import { CORE, expectedSeconds, explainProgram, type Part } from '../../cli/secure-infer/explain.ts';
import { shapeConfig, shapePlan, shapeProgram } from '../../export/shapes.ts';
import { programCost } from '../../protocol/cost.ts';

const config = shapeConfig('bert-tiny');
const program = shapeProgram(config, shapePlan(config, 16));
const dims = { lengths: [16, 16, 16], heads: program.heads };
const explained = explainProgram(program, dims);
const { total } = programCost(program, dims);

describe('explain', () => {
  it('is the sum of the declarations, however it is grouped', () => {
    expect(explained.rounds).toBe(total.rounds);
    expect(explained.sentBytesPerParty).toBe(Math.ceil(total.openedBits / 8));
    expect(explained.dealtBytes).toBe(Math.ceil(total.dealtBits / 8));
    expect(explained.clientBytes).toBe(Math.ceil(total.clientBits / 8));
    expect(explained.ringMultiplyAdds).toEqual(total.multiplyAdds);
    for (const parts of [explained.layers, explained.kinds, explained.gates]) {
      const sum = (of: (part: Part) => number): number => parts.reduce((s, part) => s + of(part), 0);
      expect(sum((p) => p.gates)).toBe(program.gates.length);
      expect(sum((p) => p.multiplyAdds)).toBe(total.multiplyAdds.party0);
      expect(sum((p) => p.weightBytes)).toBe(explained.weightBytes);
      // Each part is rounded up to a byte.
      expect(Math.abs(sum((p) => p.sentBytes) - explained.sentBytesPerParty)).toBeLessThanOrEqual(parts.length);
      expect(Math.abs(sum((p) => p.dealtBytes) - explained.dealtBytes)).toBeLessThanOrEqual(parts.length);
    }
  });

  it('has the rounds of the layers add up to those of the program', () => {
    expect(explained.layers.map(({ name, rounds }) => [name, rounds])).toEqual([
      ['embedding', 4],
      ['layer 0', 15],
      ['layer 1', 15],
      ['classifier', 3],
    ]);
  });

  it('counts F and V of every weight once', () => {
    const words = Object.values(program.tensors).map(({ role, n, rows, cols }) => {
      const bytes = n <= 32 ? 4 : n <= 64 ? 8 : 16;
      return (role === 'masked' ? 2 : 1) * bytes * rows * cols;
    });
    expect(explained.weightBytes).toBe(words.reduce((a, b) => a + b));
  });

  it('adds half a round trip a round and the time on the line', () => {
    const near = expectedSeconds(explained, { rtt: 0, bandwidth: Infinity });
    const far = expectedSeconds(explained, { rtt: 0.1, bandwidth: 1e6 });
    const moved = explained.sentBytesPerParty + explained.clientBytes;
    expect(far.onlineSeconds - near.onlineSeconds).toBeCloseTo(total.rounds * 0.05 + moved * 8e-6, 9);
    expect(far.seconds - near.seconds).toBeCloseTo(total.rounds * 0.05 + (moved + explained.dealtBytes) * 8e-6, 9);
    expect(near.seconds - near.onlineSeconds).toBeCloseTo(total.multiplyAdds.party0 / 2 / CORE.multiplyAdds, 9);
  });
});
