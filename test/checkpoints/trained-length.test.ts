/** The length to which evaluation and export cut texts unless told: what run.json says, or 128, within the model's positions. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runRecordJson, trainedLength } from '../../checkpoints/index.ts';
import { InputError } from '../../common/errors.ts';
import { studentRecord } from '../support/run-records.ts';

let dir: string;
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'trained-'))));
afterEach(() => rmSync(dir, { recursive: true }));
const record = (text: string): void => writeFileSync(join(dir, 'run.json'), text);
const trainedAt = (recipe: object): string => runRecordJson(studentRecord(1, { config: { recipe: { ...recipe } } }));

it.each([
  ['the length of the record', trainedAt({ maxLength: 64 }), 512, 64],
  ['no more than the positions', trainedAt({ maxLength: 64 }), 40, 40],
  ['128 where the record has none', trainedAt({ name: 'old' }), 512, 128],
  ['128 beside another program’s file', '{"wandb": 1}', 512, 128],
  ['128 beside a file that is no JSON', 'maxLength: 64', 512, 128],
])('%s', async (_, text, positions, expected) => {
  record(text);
  expect(await trainedLength(dir, positions)).toBe(expected);
});

it('128 or the positions without a record', async () => {
  expect([await trainedLength(dir, 512), await trainedLength(dir, 16)]).toEqual([128, 16]);
});

it('refuses a record that is damaged: its length cannot be known', async () => {
  record('{"format": "run-record", "version": 1}');
  await expect(trainedLength(dir, 512)).rejects.toThrow(InputError);
});
