/** Batches against plain loops: what a gate computes on every text, written down a second time. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Gate } from '../../protocol/program.ts';
import { add, type Words } from '../../ring/index.ts';
import { Draw, makeCase } from '../support/gate-cases.ts';
import { joined, runGates } from '../support/gate-harness.ts';
import { matrices, references, type Matrix } from '../support/reference.ts';
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
        expect(signedIntegers(joined(step))).toEqual(expected.map((v) => BigInt.asIntN(n, v)));
        expect(signedIntegers(step.clear.x)).toEqual(expected.map((v) => BigInt.asIntN(n, v)));
      }),
      { numRuns: 60 },
    );
  });
});
