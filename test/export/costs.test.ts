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
  const table = costTable(costs);
  for (const row of costs.rows) expect(table).toContain(row.part);
  expect(table).toContain(`${rounds} rounds`);
});
