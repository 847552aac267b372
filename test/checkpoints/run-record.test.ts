import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readRunRecord, type RunRecord, writeRunRecord } from '../../checkpoints/index.ts';
import { InputError } from '../../common/errors.ts';

const record: RunRecord = {
  format: 'run-record',
  version: 1,
  command: 'student',
  started: '2025-01-02T03:04:05.678Z',
  seconds: 12.5,
  config: { learningRate: 5e-5, stages: [2], normaliser: '2quad_centred', shift: null },
  dataHash: { train: 'a'.repeat(64) },
  modelHash: { teacher: 'b'.repeat(64) },
  seed: 7,
  threads: 2,
  versions: { node: '20.1.0' },
  curve: [{ stage: 'logits', step: 0, values: { loss: 0.7, lr: 0 } }],
  metrics: { 'dev.accuracy': 0.85 },
};

let dir: string;
beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), 'record-'))));
afterAll(() => rmSync(dir, { recursive: true }));

it('comes back as written, and is never overwritten', async () => {
  const file = join(dir, 'run.json');
  await writeRunRecord(file, record);
  expect(await readRunRecord(file)).toEqual(record);
  await expect(writeRunRecord(file, record)).rejects.toThrow(InputError);
});

it.each([
  ['version', { version: 2 }],
  ['seconds', { seconds: Number.NaN }],
  ['threads', { threads: 0 }],
  ['dataHash.train', { dataHash: { train: 'A'.repeat(64) } }],
  ['curve.0.step', { curve: [{ stage: 'x', step: -1, values: {} }] }],
  ['metrics.f1', { metrics: { f1: Infinity } }],
  ['started', { started: 'yesterday' }],
])('a wrong %s is refused with its name', async (field, change) => {
  const wrong = { ...record, ...change } as RunRecord;
  await expect(writeRunRecord(join(dir, 'wrong.json'), wrong)).rejects.toThrow(field);
  const file = join(dir, `${field}.json`);
  writeFileSync(file, JSON.stringify(wrong));
  await expect(readRunRecord(file)).rejects.toThrow(InputError);
  await expect(readRunRecord(file)).rejects.toThrow(`${file}: ${field}`);
});

it('text that is no JSON, and no file, are refused', async () => {
  const file = join(dir, 'text.json');
  writeFileSync(file, '{');
  await expect(readRunRecord(file)).rejects.toThrow(InputError);
  await expect(readRunRecord(join(dir, 'absent.json'))).rejects.toThrow(InputError);
});
