/** The look-up gate, exhaustively at small tables: every value under every mask, and what its opening tells. */
import { describe, expect, it } from 'vitest';
import type { Gate } from '../../protocol/program.ts';
import { PlanError } from '../../protocol/errors.ts';
import { masked } from '../../protocol/suite/masked.ts';
import { add, fromNumbers, sub, toBigInts, toSigned, type Words } from '../../ring/index.ts';
import { joined, runGates, seeded, type Random, type Step } from '../support/gate-harness.ts';

const dims = { lengths: [1], heads: 1 };
const TABLE = [0, -9, 40, 3, 3, 77, -128, 127];
const B = 3;

const gate = (table: readonly number[], n: number): Gate => ({ name: 'g', op: 'lookup', in: [0], n, f: 0, shape: { rows: 'text', cols: 1 }, table }); // prettier-ignore

/** x in ring `ring` with these masks of the two parties; everything else drawn. */
function look(x: number, r: readonly [number, number], seed: number, ring = B): Step {
  const other = seeded(seed);
  const random: Random = (name, n, length) =>
    name === 'g.r.0' || name === 'g.r.1' ? fromNumbers([r[Number(name.at(-1))]!], n) : other(name, n, length);
  const pad = other('pad', ring, 1);
  const shares = [pad, sub(fromNumbers([x], ring), pad)] as const;
  const inputs = [{ n: ring, f: 0, shape: { rows: 'text', cols: 1 }, shares }] as const;
  return runGates({ dims, inputs, gates: [gate(TABLE, 9)], random })[0]!;
}

describe('lookup', () => {
  it('is its table at every value under every mask, modulo the size of the table', () => {
    for (let x = 0; x < 8; x++)
      for (let r0 = 0; r0 < 8; r0++)
        for (let r1 = 0; r1 < 8; r1++) {
          const step = look(x, [r0, r1], 64 * x + 8 * r0 + r1);
          expect([...toSigned(joined(step))]).toEqual([TABLE[x]]);
        }
    for (const x of [8, 13, 31]) expect([...toSigned(joined(look(x, [3, 6], x, 5)))]).toEqual([TABLE[x % 8]]);
  });

  it('opens every word equally often whatever the value, also to a party that knows its own mask', () => {
    for (let x = 0; x < 8; x++)
      for (let r0 = 0; r0 < 8; r0++) {
        const opened = Array.from({ length: 8 }, (_, r1) => Number(toBigInts(look(x, [r0, r1], x).opened[0]!)[0]));
        expect(opened.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      }
  });

  it('deals the same words to party 0 whatever the value, and to party 1 those and the rotated table', () => {
    const words = (step: Step): [Words, Words] => [...step.dealt.get('T')!];
    for (let r = 0; r < 8; r++) {
      const [[pad, correction], [again]] = [words(look(2, [r, 5], 1)), words(look(7, [r, 5], 1))];
      expect(toBigInts(pad)).toEqual(toBigInts(again));
      const rotated = TABLE.map((_, i) => TABLE[(i - r - 5 + 16) % 8]);
      expect([...toSigned(add(pad, correction))]).toEqual(rotated);
    }
  });

  it.each<[string, readonly number[], number, RegExp]>([
    ['a table that is no power of two', [1, 2, 3], 9, /a table of 3 entries/],
    ['one entry', [1], 9, /a table of 1 entries/],
    ['more entries than its input has values', new Array<number>(16).fill(1), 9, /2\^4 entries for ring 3/],
    ['an entry beyond its ring', [0, 256], 9, /not a signed integer of 9 bits/],
    ['an entry that is no integer', [0, 0.5], 9, /not a signed integer/],
  ])('refuses %s', (_, table, n, what) => {
    const inputs = [{ kind: 'share', n: B, f: 0, shape: { rows: 'text', cols: 1 } }] as const;
    const declared = { ...gate(table, n), n, inShapes: [inputs[0].shape] } as never;
    const check = (): unknown => masked.lookup.type(declared, inputs, () => ({}) as never, dims);
    expect(check).toThrow(PlanError);
    expect(check).toThrow(what);
  });
});
