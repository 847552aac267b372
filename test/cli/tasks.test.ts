import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel, saveModel } from '../../checkpoints/index.ts';
import { readRunRecord } from '../../checkpoints/run-record.ts';
import { CounterRandom } from '../../common/random.ts';
import { TINY_VOCAB, tinyConfig, tinyTensors } from '../support/tiny-model.ts';
import { trainDistill } from '../support/in-process.ts';

let dir: string;
const at = (...names: string[]): string => join(dir, ...names);

const json = async (...args: string[]): Promise<Record<string, unknown>> =>
  JSON.parse(await trainDistill(...args, '--threads', '2', '--json', '--quiet')) as Record<string, unknown>;

/** Pairs that share more words are more alike. */
function rows(count: number, seed: number, label: (shared: number) => string): string[] {
  const random = new CounterRandom(seed, 'pairs');
  const words = ['good', 'bad', 'film', 'dull', 'fine', 'plot'];
  return Array.from({ length: count }, (_, i) => {
    const first = Array.from({ length: 4 }, () => words[random.int(words.length)]!);
    const second = first.map((word) => (random.int(2) === 0 ? word : words[random.int(words.length)]!));
    const shared = second.filter((word, k) => word === first[k]).length;
    return `${i}\t${first.join(' ')}\t${second.join(' ')}\t${label(shared)}`;
  });
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tasks-command-'));
  mkdirSync(at('tokenizer'));
  writeFileSync(at('tokenizer', 'vocab.txt'), `${TINY_VOCAB.join('\n')}\n`);
  const config = tinyConfig({ id2label: { 0: 'LABEL_0', 1: 'LABEL_1' } });
  await saveModel(at('base'), { config, tensors: tinyTensors(config), tokenizerDir: at('tokenizer'), dtype: 'F32' });
  for (const [folder, column, label] of [
    ['STS-B', 'score', (shared: number) => (1.25 * shared).toFixed(3)],
    ['RTE', 'label', (shared: number) => (shared > 2 ? 'entailment' : 'not_entailment')],
    ['MRPC', 'Quality', (shared: number) => String(Number(shared > 2))],
  ] as const) {
    mkdirSync(at('glue', folder), { recursive: true });
    const names = folder === 'MRPC' ? ['#1 String', '#2 String'] : ['sentence1', 'sentence2'];
    const header = ['index', ...names, column].join('\t');
    for (const [part, count] of [
      ['train', 64],
      ['dev', 24],
    ] as const)
      // prettier-ignore
      writeFileSync(at('glue', folder, `${part}.tsv`), `${[header, ...rows(count, count, label)].join('\n')}\n`);
  }
});
afterAll(() => rmSync(dir, { recursive: true }));

const teacher = (task: string, ...more: string[]): Promise<Record<string, unknown>> =>
  json(
    'teacher',
    '--from',
    at('base'),
    '--task',
    task,
    '--glue',
    at('glue'),
    '--steps',
    '8',
    '--max-length',
    '16',
    ...more,
  );

describe('tasks of GLUE in train-distill', () => {
  it('sts-b is a regression, chosen and scored by correlation', async () => {
    await teacher('sts-b', '--out', at('sts'));
    const { config } = await loadModel(at('sts'));
    expect([config.num_labels, config.labels]).toEqual([1, ['score']]);
    const record = await readRunRecord(at('sts', 'run.json'));
    expect(record.config['recipe']).toMatchObject({ metric: 'pearson' });
    expect(record.evaluation).toMatchObject({ kind: 'scores' });
    const result = await json('evaluate', at('sts'), '--task', 'STS-B', '--glue', at('glue'), '--max-length', '16');
    expect(result['score']).toBeCloseTo(((result['pearson'] as number) + (result['spearman'] as number)) / 2, 12);
    expect(result['examples']).toBe(24);
  });

  it('mrpc is chosen by F1 and scored by F1 and accuracy; its student learns layer by layer', async () => {
    await teacher('mrpc', '--out', at('mrpc'));
    const { config } = await loadModel(at('mrpc'));
    expect(config.labels).toEqual(['not_equivalent', 'equivalent']);
    const task = ['--task', 'mrpc', '--glue', at('glue'), '--max-length', '16'];
    const result = await json('evaluate', at('mrpc'), ...task);
    expect(result['score']).toBeCloseTo(((result['f1'] as number) + (result['accuracy'] as number)) / 2, 12);

    const steps = ['--recipe', 'two-stage', '--stage1-steps', '5', '--stage2-steps', '4'];
    await json('student', '--teacher', at('mrpc'), ...task, ...steps, '--out', at('student'));
    const record = await readRunRecord(at('student', 'run.json'));
    expect(record.config['recipe']).toMatchObject({ metric: 'f1' });
    const first = record.curve[0]!.values;
    // Two layers: the embedding output and each layer's, and each layer's scores; their sums are the losses.
    for (const [kind, layers] of [
      ['hidden', 3],
      ['scores', 2],
    ] as const) {
      // prettier-ignore
      const parts = Array.from({ length: layers }, (_, l) => first[`${kind}.${l}`]!);
      expect(parts.reduce((a, b) => a + b, 0)).toBeCloseTo(first[kind]!, 4);
    }
    const { evaluation, ranges } = record;
    if (evaluation?.kind !== 'classes') throw new Error('no confusion matrix');
    expect(evaluation.confusion.flat().reduce((a, b) => a + b, 0)).toBe(24);
    const right = evaluation.confusion[0]![0]! + evaluation.confusion[1]![1]!;
    expect(right / 24).toBeCloseTo(record.metrics['dev.accuracy']!, 9);
    // Scores, activation inputs, denominators, and the variances of two LayerNorms.
    expect(new Set(ranges!.map(({ wire }) => wire)).size).toBe(5);
  });

  it('says what is missing', async () => {
    await expect(json('teacher', '--from', at('base'), '--task', 'rte', '--out', at('no'))).rejects.toThrow(
      'task rte is not bundled',
    );
    await expect(teacher('qnli', '--out', at('no'))).rejects.toThrow(
      `${at('glue', 'QNLI', 'train.tsv')}: no such file`,
    );
    await expect(teacher('rte', '--regression', '--out', at('no'))).rejects.toThrow('--regression with --task rte');
    await expect(json('evaluate', at('base'), '--task', 'rte', '--split', 'dev_mismatched')).rejects.toThrow(
      "no part 'dev_mismatched'",
    );
  });
});
