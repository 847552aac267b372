import { mkdirSync, mkdtempSync, readFileSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../common/errors.ts';
import { classCounts, classOf, classWeights, labelsOf, targetsOf } from '../../data/labels.ts';
import type { Dataset } from '../../data/read.ts';
import { fileTask, GLUE_NAMES, loadTaskPart, TASK_NAMES, taskInfo } from '../../data/tasks.ts';
import { DATA_DIR } from '../support/golden.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tasks-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, ...lines: string[]): string {
  const file = join(folder, name);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

const dataset = (...labels: (string | undefined)[]): Dataset => ({
  examples: labels.map((label) => ({ text: 'x', ...(label === undefined ? {} : { label }) })),
  hash: '0'.repeat(64),
  source: 'somewhere.tsv',
});

const MNLI_HEADER =
  'index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse sentence1 sentence2'.split(
    ' ',
  );

describe('names of tasks', () => {
  it('are known in any of their usual spellings', () => {
    for (const name of ['sst-2', 'SST-2', 'sst2', 'SST_2']) expect(taskInfo(name).name).toBe('sst-2');
    expect(taskInfo('STSB')).toMatchObject({ name: 'sts-b', regression: true, metrics: ['pearson', 'spearman'] });
    expect([...TASK_NAMES, ...GLUE_NAMES].map((name) => taskInfo(name).name)).toEqual([...TASK_NAMES, ...GLUE_NAMES]);
  });

  it('have the official metrics', () => {
    const metrics = Object.fromEntries(GLUE_NAMES.map((name) => [name, taskInfo(name).metrics]));
    expect(metrics).toEqual({
      cola: ['matthews'],
      'sst-2': ['accuracy'],
      mrpc: ['f1', 'accuracy'],
      'sts-b': ['pearson', 'spearman'],
      qqp: ['f1', 'accuracy'],
      mnli: ['accuracy'],
      qnli: ['accuracy'],
      rte: ['accuracy'],
      wnli: ['accuracy'],
    });
  });

  it('need a folder unless bundled, and a part that exists', async () => {
    await expect(loadTaskPart('cola', 'dev')).rejects.toThrow('task cola is not bundled');
    await expect(loadTaskPart('rte', 'dev_mismatched', { folder })).rejects.toThrow("no part 'dev_mismatched'");
    const missing = join(folder, 'QNLI', 'train.tsv');
    await expect(loadTaskPart('qnli', 'train', { folder })).rejects.toThrow(`${missing}: no such file`);
  });
});

describe('layouts of the two largest tasks', () => {
  it('MNLI: matched and mismatched', async () => {
    const row = (id: number, a: string, b: string, ...labels: string[]): string =>
      [id, '1', '1e', 'slate', '( a )', '( b )', '(A a)', '(B b)', a, b, ...labels].join('\t');
    write(
      'MNLI/train.tsv',
      [...MNLI_HEADER, 'label1', 'gold_label'].join('\t'),
      row(0, 'p', 'h', 'neutral', 'neutral'),
    );
    const five = ['label1', 'label2', 'label3', 'label4', 'label5', 'gold_label'];
    for (const [name, gold] of [
      ['matched', 'entailment'],
      ['mismatched', 'contradiction'],
    ] as const) {
      write(
        `MNLI/dev_${name}.tsv`,
        [...MNLI_HEADER, ...five].join('\t'),
        row(0, name, 'h', 'neutral', gold, gold, gold, gold, gold),
      );
    }
    write('MNLI/test_mismatched.tsv', MNLI_HEADER.join('\t'), row(0, 'p', 'h'));
    const part = (which: Parameters<typeof loadTaskPart>[1]) => loadTaskPart('mnli', which, { folder });
    expect((await part('train')).examples).toEqual([{ text: 'p', pair: 'h', label: 'neutral' }]);
    expect((await part('dev')).examples).toEqual([{ text: 'matched', pair: 'h', label: 'entailment' }]);
    expect((await part('dev_mismatched')).examples).toEqual([
      { text: 'mismatched', pair: 'h', label: 'contradiction' },
    ]);
    expect((await part('test_mismatched')).examples).toEqual([{ text: 'p', pair: 'h' }]);
    await expect(part('test')).rejects.toThrow('test_matched.tsv: no such file');
  });

  it('QQP: rows cut off within are left out and counted; no other task has such', async () => {
    const rows = ['1\t1\t2\ta?\tb?\t0', '2\t3\t4\tcut off', '3\t5\t6\t\tno first\t1', '4\t7\t8\tc?\t\t1'];
    write('QQP/train.tsv', 'id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate', ...rows);
    const data = await loadTaskPart('qqp', 'train', { folder });
    expect(data.omitted).toBe(2);
    expect(data.examples).toEqual([
      { text: 'a?', pair: 'b?', label: '0' },
      { text: 'c?', pair: '', label: '1' },
    ]);
    write('RTE/dev.tsv', 'index\tsentence1\tsentence2\tlabel', '0\ta\tb\tentailment', '1\tcut');
    await expect(loadTaskPart('rte', 'dev', { folder })).rejects.toThrow('line 3: 2 tab-separated cells');
  });

  it('a label that is not the task’s is refused', async () => {
    write('WNLI/dev.tsv', 'index\tsentence1\tsentence2\tlabel', '0\ta\tb\t1', '1\tc\td\t2');
    const error: unknown = await loadTaskPart('wnli', 'dev', { folder }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(InputError);
    expect((error as InputError).message).toMatch(/WNLI\/dev\.tsv, line 3: label '2' is none of the classes/);
    write('STS-B/dev.tsv', 'index\tsentence1\tsentence2\tscore', '0\ta\tb\tentailment');
    await expect(loadTaskPart('sts-b', 'dev', { folder })).rejects.toThrow("'entailment' is no score");
  });

  const extra = DATA_DIR === undefined ? '' : join(DATA_DIR, 'glue_extra_subsets');
  for (const [name, header] of [
    ['MNLI', [...MNLI_HEADER, 'label1', 'gold_label']],
    ['QQP', ['id', 'qid1', 'qid2', 'question1', 'question2', 'is_duplicate']],
  ] as const) {
    it.runIf(existsSync(extra))(`${name}: real rows in the official columns`, async () => {
      const json = JSON.parse(readFileSync(join(extra, `${name}_dev.json`), 'utf8')) as object;
      const rows = Object.values(json) as { text_a: string; text_b: string; label: string }[];
      expect(rows.length).toBe(1000);
      const lines = rows.map((row, i) =>
        header
          .map((column) => {
            if (/^(sentence|question)[12]$/.test(column)) return column.endsWith('1') ? row.text_a : row.text_b;
            return column === 'gold_label' || column === 'is_duplicate' ? row.label : String(i);
          })
          .join('\t'),
      );
      write(`real/${name}/train.tsv`, header.join('\t'), ...lines);
      const { examples, omitted } = await loadTaskPart(name, 'train', { folder: join(folder, 'real') });
      expect(examples).toEqual(rows.map((row) => ({ text: row.text_a, pair: row.text_b, label: row.label })));
      expect(omitted).toBeUndefined();
    });
  }
});

describe('a user’s own data', () => {
  it('classes are those of the training file, sorted', async () => {
    const train = write('own/train.csv', 'body,kind', 'a,sport', 'b,arts', 'c,politics', 'd,arts');
    const dev = write('own/dev.csv', 'body,kind', 'e,sport');
    const task = await fileTask({ train, dev, textColumn: 'body', labelColumn: 'kind' });
    expect(task).toMatchObject({ labels: ['arts', 'politics', 'sport'], regression: false, metrics: ['accuracy'] });
    expect(task.dev?.examples).toEqual([{ text: 'e', label: 'sport' }]);
  });

  it('a dev label that training data does not have is refused, naming file and label', async () => {
    const train = write('own/train.tsv', 'text\tlabel', 'a\tx', 'b\ty');
    const dev = write('own/dev.tsv', 'text\tlabel', 'a\tx', 'b\tz');
    const error: unknown = await fileTask({ train, dev }).catch((e: unknown) => e);
    expect((error as InputError).message).toBe(`${dev}, line 3: label 'z' is none of the classes`);
    expect((error as InputError).hint).toBe('The classes are: x, y.');
    // Stars from 1 to 3: 0 is no class, though there are three and it could be taken for the first's number.
    const stars = write('own/stars.tsv', 'text\tlabel', 'a\t1', 'b\t2', 'c\t3');
    const zero = write('own/zero.tsv', 'text\tlabel', 'a\t0');
    await expect(fileTask({ train: stars, dev: zero })).rejects.toThrow("label '0' is none of the classes");
  });

  it('scores are numbers', async () => {
    const train = write('own/scores.tsv', 'text\tscore', 'a\t3.8', 'b\t-1e-2');
    const task = await fileTask({ train, regression: true });
    expect(task).toMatchObject({ labels: ['score'], regression: true, metrics: ['pearson', 'spearman'] });
    expect(targetsOf(task.train, task.labels, true)).toEqual([3.8, -0.01]);
    const bad = write('own/bad.tsv', 'text\tscore', 'a\t1', 'b\thigh');
    await expect(fileTask({ train: bad, regression: true })).rejects.toThrow("bad.tsv, line 3: 'high' is no score");
  });

  it('names are sorted, numbers by value', () => {
    expect(labelsOf(dataset('10', '9', '0', '9'))).toEqual(['0', '9', '10']);
    expect(labelsOf(dataset('10', '9', 'x'))).toEqual(['10', '9', 'x']);
    expect(() => labelsOf(dataset('a', 'a'))).toThrow("every label is 'a'");
    // Whole numbers are classes, however they are written; a fraction among numbers is a score.
    expect(labelsOf(dataset('1.0', '0.0'))).toEqual(['0.0', '1.0']);
    expect(labelsOf(dataset('1.5', 'x'))).toEqual(['1.5', 'x']);
    expect(() => labelsOf(dataset('4', '2.5'))).toThrow('labels are numbers such as 2.5');
    expect(() => labelsOf(dataset('a', undefined))).toThrow('example 2 has no label');
    expect(() => labelsOf(dataset(...Array.from({ length: 1001 }, (_, i) => String(i))))).toThrow(
      '1001 different labels',
    );
  });

  it('a number stands for a class only where no class is named by a number', () => {
    expect(classOf('1', ['negative', 'positive'])).toBe(1);
    expect(classOf('2', ['negative', 'positive'])).toBeUndefined();
    expect(classOf('1', ['1', '2', '3'])).toBe(0);
    expect(classOf('0', ['1', '2', '3'])).toBeUndefined();
    expect(classOf('01', ['a', 'b'])).toBeUndefined();
  });

  it('class weights are scikit-learn’s', () => {
    // compute_class_weight('balanced', classes=[0, 1, 2], y=[0, 0, 0, 1, 2, 2])
    expect(classWeights([0, 0, 0, 1, 2, 2], ['a', 'b', 'c'])).toEqual([2 / 3, 2, 1]);
    expect(classCounts([0, 0, 2], 3)).toEqual([2, 0, 1]);
    expect(() => classWeights([0, 0, 2], ['a', 'b', 'c'])).toThrow("no example of class 'b'");
  });
});
