import { expect, it } from 'vitest';
import { costByGate, costTable } from '../../cli/export-shares/costs.ts';
import { readJson, type SpecProgramCase } from '../support/spec-program.ts';
import { tinyExport } from '../support/tiny-export.ts';
import { dirname, join } from 'node:path';

it('the rows add up to what the specification counted for a text', () => {
  const { program } = tinyExport();
  const dir = join(dirname(import.meta.dirname), 'vectors', 'spec', 'program_tiny_centred');
  const { bits, rounds, ids } = readJson<SpecProgramCase>(join(dir, 'short.json'));
  const costs = costByGate(program, ids.length);
  const sum = (of: (r: (typeof costs.rows)[number]) => number): number => costs.rows.reduce((a, r) => a + of(r), 0);
  expect(costs.total.rounds).toBe(rounds);
  expect([costs.total.openedBytes, sum((r) => r.openedBytes)]).toEqual([
    bits.opened_per_party / 8,
    bits.opened_per_party / 8,
  ]);
  expect([costs.total.dealtBytes, sum((r) => r.dealtBytes)]).toEqual([bits.dealt / 8, bits.dealt / 8]);
  expect(costs.total.clientBytes).toBe(bits.client / 8);
  expect(costs.rows.find((r) => r.part === 'gelu')?.gates).toBe(2 * 3);
  const wires = costTable(costs, true);
  for (const row of costs.rows) expect(wires).toContain(row.part);
  expect(wires).toContain(`${rounds} rounds`);
  // by default a line a kind of gate, which adds up to its wires, and no name of a wire
  const kinds = costTable(costs)
    .split('\n')
    .filter((line) => line !== '');
  expect(kinds[0]).toContain(`${rounds} rounds`);
  const ops = [...new Set(costs.rows.map(({ op }) => op))];
  for (const op of ops) {
    const gates = costs.rows.filter((r) => r.op === op).reduce((n, r) => n + r.gates, 0);
    expect(kinds.filter((line) => new RegExp(`^${op} +${gates} `).test(line))).toHaveLength(1);
  }
  const fixed = 2 + 1 + 2 + 1 + 1; // what the columns are, head, rules, total, how to see wires
  expect(kinds).toHaveLength(ops.length + fixed);
  for (const line of kinds) expect(line.length).toBeLessThanOrEqual(80);
  expect(kinds.join('\n')).not.toContain('E_n');
});
