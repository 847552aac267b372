/** Batches against plain loops: what a gate computes on every text, written down a second time. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Gate } from '../../protocol/program.ts';
import { add, type Words } from '../../ring/index.ts';
import { Draw, makeCase } from '../support/gate-cases.ts';
import { joined, runGates, type Step } from '../support/gate-harness.ts';
import { matrices, references, truncates, type Matrix } from '../support/reference.ts';
import { signedIntegers } from '../support/spec-vectors.ts';

const session = fc.record({
  lengths: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 }),
  heads: fc.integer({ min: 1, max: 3 }),
  seed: fc.nat(),
});
const rowsOf = (x: Words, cols: number): Matrix => {
  const words = signedIntegers(x);
  return Array.from({ length: words.length / cols }, (_, i) => words.slice(i * cols, (i + 1) * cols));
};

/** What the parties hold together, of shares or of an opened operand. */
function joinedOf(step: Step): Words {
  const [a, b] = step.party;
  return a.kind === 'operand' && b.kind === 'operand' ? add(add(a.E, a.A), b.A) : joined(step);
}

describe.each(Object.entries(references))('%s', (op, reference) => {
  it('is its formula on every text of a batch', () => {
    fc.assert(
      fc.property(session, ({ lengths, heads, seed }) => {
        const draw = new Draw(seed);
        const dims = { lengths, heads };
        const made = makeCase(op as Gate['op'], draw, dims);
        const step = runGates({ ...made, dims, random: draw.random }).at(-1)!;
        const inputs = made.inputs.map(({ shares, shape }) =>
          matrices(signedIntegers(add(...shares)), shape.rows, shape.cols, dims),
        );
        const W = made.tensors?.['W'];
        const tensor = W === undefined ? [] : rowsOf(W.W, W.spec.cols);
        const expected = lengths.flatMap((length, b) =>
          reference(step.gate as never, { inputs: inputs.map((x) => x[b]!), tensor, length, heads }).flat(),
        );
        const n = step.type.n;
        for (const words of [joinedOf(step), step.clear.x]) {
          const over = signedIntegers(words).map((v, i) => BigInt.asUintN(n, v - expected[i]!));
          expect(over.length).toBe(expected.length);
          for (const v of over)
            expect(v === 0n || (truncates(step.gate as Gate) && v === 1n % (1n << BigInt(n)))).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });
});
