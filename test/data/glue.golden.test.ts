import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { GluePart } from '../../data/glue.ts';
import { classCounts, targetsOf } from '../../data/labels.ts';
import { readExamples } from '../../data/read.ts';
import { GLUE_NAMES, loadTask, loadTaskPart, taskInfo } from '../../data/tasks.ts';
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

/** Official numbers of examples (Wang et al. 2019, table 1, and the Hugging Face data set `glue`). */
const COUNTS: Record<string, Partial<Record<GluePart, number>>> = {
  cola: { train: 8551, dev: 1043, test: 1063 },
  'sst-2': { train: 67349, dev: 872, test: 1821 },
  mrpc: { train: 3668, dev: 408, test: 1725 },
  'sts-b': { train: 5749, dev: 1500, test: 1379 },
  qqp: { train: 363846, dev: 40430, test: 390965 },
  mnli: { train: 392702, dev: 9815, test: 9796, dev_mismatched: 9832, test_mismatched: 9847 },
  qnli: { train: 104743, dev: 5463, test: 5463 },
  rte: { train: 2490, dev: 277, test: 3000 },
  wnli: { train: 635, dev: 71, test: 146 },
};

/** Dev examples of each class, as named by the data set's card. */
const DEV_CLASSES: Record<string, Record<string, number>> = {
  cola: { unacceptable: 322, acceptable: 721 },
  'sst-2': { negative: 428, positive: 444 },
  mrpc: { not_equivalent: 129, equivalent: 279 },
  qnli: { entailment: 2702, not_entailment: 2761 },
  rte: { entailment: 146, not_entailment: 131 },
  wnli: { not_entailment: 40, entailment: 31 },
};

describe.runIf(existsSync(folder))('GLUE tasks by name, from the official folder', () => {
  const folders = new Set(existsSync(folder) ? readdirSync(folder) : []);
  const FOLDER: Record<string, string> = { cola: 'CoLA', qqp: 'QQP', mnli: 'MNLI', rte: 'RTE', wnli: 'WNLI' };
  const FOLDERS: Record<string, string> = { ...FOLDER, 'sst-2': 'SST-2', mrpc: 'MRPC', 'sts-b': 'STS-B', qnli: 'QNLI' };

  it('are all nine', () => {
    expect(GLUE_NAMES.toSorted()).toEqual(Object.keys(COUNTS).toSorted());
  });

  for (const name of GLUE_NAMES) {
    const present = folders.has(FOLDERS[name]!);
    for (const part of Object.keys(COUNTS[name]!) as GluePart[]) {
      const file = join(folder, FOLDERS[name]!, `${part}.tsv`);
      it(`${name} ${part}`, async () => {
        if (!present || !existsSync(file)) {
          const wanted = name === 'mnli' && !part.includes('_') && part !== 'train' ? `${part}_matched` : part;
          await expect(loadTaskPart(name, part, { folder })).rejects.toThrow(
            `${join(folder, FOLDERS[name]!, wanted)}.tsv: no such file`,
          );
          return;
        }
        const data = await loadTaskPart(name, part, { folder });
        const info = taskInfo(name);
        expect(data.examples.length).toBe(COUNTS[name]![part]);
        expect(data.omitted).toBeUndefined();
        if (part !== 'test') {
          const targets = targetsOf(data, info.labels, info.regression);
          if (info.regression) {
            expect(Math.min(...targets)).toBe(0);
            expect(Math.max(...targets)).toBe(5);
          } else if (part === 'dev') {
            const counts = classCounts(targets, info.labels.length);
            expect(Object.fromEntries(info.labels.map((label, i) => [label, counts[i]]))).toEqual(DEV_CLASSES[name]);
          }
        }
      });
    }
  }

  it.runIf(folders.has('RTE'))('loads a whole task', async () => {
    const task = await loadTask('RTE', { folder });
    expect([task.train, task.dev, task.test].map((data) => data.examples.length)).toEqual([2490, 277, 3000]);
    expect(task).toMatchObject({ name: 'rte', labels: ['entailment', 'not_entailment'], metrics: ['accuracy'] });
  });

  const parquet = DATA_DIR === undefined ? '' : join(DATA_DIR, 'bert_tiny_sst2_encoder', 'SST-2-val.parquet');
  it.runIf(existsSync(parquet) && folders.has('SST-2'))('SST-2 dev as Parquet is SST-2 dev as TSV', async () => {
    const { examples } = await readExamples(parquet);
    const tsv = await loadTaskPart('sst2', 'dev', { folder });
    expect(examples).toEqual(tsv.examples);
  });
});
