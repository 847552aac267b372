/** What a training needs on disk, small: a base model with its tokeniser, and texts whose labels their words decide. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { saveModel } from '../../checkpoints/index.ts';
import { CounterRandom } from '../../common/random.ts';
import { TINY_VOCAB, tinyConfig, tinyTensors } from './tiny-model.ts';

/** Words that decide the label, by class. */
const WORDS = [['bad', 'dull'], ['good', 'fine'], ['plot', 'with']]; // prettier-ignore

/** CSV with columns `message` and `topic`: the last word is one of those of its label. */
export function tinyCsv(labels: readonly string[], count: number, seed: number): string {
  const random = new CounterRandom(seed, 'messages');
  const rows = Array.from({ length: count }, () => {
    const label = random.int(labels.length);
    return `"the film, a ${'very '.repeat(random.int(3))}${WORDS[label]![random.int(2)]}",${labels[label]}\n`;
  });
  return `message,topic\n${rows.join('')}`;
}

/** Flags of a training on it. */
export const TINY_COLUMNS = ['--text-column', 'message', '--label-column', 'topic'];

/** Writes `base/`, `train.csv` and `dev.csv` into the folder. */
export async function tinyTraining(dir: string, labels: readonly string[], change: object = {}): Promise<void> {
  const tokenizer = join(dir, 'tokenizer');
  mkdirSync(tokenizer, { recursive: true });
  writeFileSync(join(tokenizer, 'vocab.txt'), `${TINY_VOCAB.join('\n')}\n`);
  const config = tinyConfig({ id2label: { 0: 'LABEL_0', 1: 'LABEL_1' }, ...change });
  await saveModel(join(dir, 'base'), {
    config,
    tensors: tinyTensors(config),
    tokenizerDir: tokenizer,
    dtype: 'F32',
  });
  writeFileSync(join(dir, 'train.csv'), tinyCsv(labels, 120, 1));
  writeFileSync(join(dir, 'dev.csv'), tinyCsv(labels, 40, 2));
}
