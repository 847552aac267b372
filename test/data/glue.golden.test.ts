import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readExamples } from '../../data/read.ts';
import { DATA_DIR } from '../support/golden.ts';

/** What the tasks' descriptions say of their files: sentences or pairs, and whether train and dev have a header line. */
const TASKS: Record<string, { pairs: boolean; header: boolean }> = {
  CoLA: { pairs: false, header: false },
  'SST-2': { pairs: false, header: true },
  MRPC: { pairs: true, header: true },
  'STS-B': { pairs: true, header: true },
  QNLI: { pairs: true, header: true },
  RTE: { pairs: true, header: true },
  WNLI: { pairs: true, header: true },
};

const folder = DATA_DIR === undefined ? '' : join(DATA_DIR, 'glue');

describe.runIf(existsSync(folder))('official GLUE files are read without options', () => {
  const tasks = existsSync(folder) ? readdirSync(folder) : [];
  it(`are of known tasks (${tasks.length})`, () => {
    expect(tasks.length).toBeGreaterThan(0);
    expect(tasks.filter((task) => !(task in TASKS))).toEqual([]);
  });
  for (const task of tasks) {
    // dev_ids.tsv of MRPC holds numbers only.
    const files = readdirSync(join(folder, task)).filter(
      (name) => /^(train|dev|test).*\.tsv$/.test(name) && name !== 'dev_ids.tsv',
    );
    for (const file of files) {
      it(`${task}/${file}`, async () => {
        const path = join(folder, task, file);
        const { examples } = await readExamples(path);
        const lines = readFileSync(path, 'utf8').replace(/\n$/, '').split('\n').length;
        const test = file.startsWith('test');
        expect(examples.length).toBe(lines - (test || TASKS[task]!.header ? 1 : 0));
        expect(examples.every((e) => (e.pair !== undefined) === TASKS[task]!.pairs)).toBe(true);
        expect(examples.every((e) => (e.label !== undefined) === !test)).toBe(true);
        // Nearly all texts have letters (SST-2's phrases include "30"); labels are numbers or one of two words.
        const worded = examples.filter((e) => /\p{L}/u.test(e.text));
        expect(worded.length).toBeGreaterThan(0.99 * examples.length);
        expect(
          examples.every((e) => e.label === undefined || /^([0-5](\.\d+)?|(not_)?entailment)$/.test(e.label)),
        ).toBe(true);
      });
    }
  }
});
