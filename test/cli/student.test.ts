import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel, saveModel } from '../../checkpoints/index.ts';
import { readRunRecord } from '../../checkpoints/run-record.ts';
import { InputError } from '../../common/errors.ts';
import { CounterRandom } from '../../common/random.ts';
import { TINY_VOCAB, tinyConfig, tinyTensors } from '../support/tiny-model.ts';
import { trainDistill } from '../support/in-process.ts';

let dir: string;
const at = (name: string): string => join(dir, name);

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'student-'));
  mkdirSync(at('tokenizer'));
  writeFileSync(at('tokenizer/vocab.txt'), `${TINY_VOCAB.join('\n')}\n`);
  const config = tinyConfig({ num_hidden_layers: 4, id2label: { 0: 'poor', 1: 'good' } });
  await saveModel(at('teacher'), { config, tensors: tinyTensors(config), tokenizerDir: at('tokenizer'), dtype: 'F32' });
  const random = new CounterRandom(3, 'texts');
  const word = (): string => TINY_VOCAB[5 + random.int(TINY_VOCAB.length - 5)]!;
  const row = (): string =>
    `${Array.from({ length: 2 + random.int(9) }, word).join(' ')}\t${['poor', 'good'][random.int(2)]}`;
  writeFileSync(at('train.tsv'), `text\tlabel\n${Array.from({ length: 64 }, row).join('\n')}\n`);
});
afterAll(() => rmSync(dir, { recursive: true }));

/** Trains a student in this process; its folder. */
async function student(name: string, ...args: string[]): Promise<string> {
  const data = ['--train', at('train.tsv'), '--max-length', '16', '--batch', '16', '--threads', '2', '--quiet'];
  await trainDistill('student', '--teacher', at('teacher'), ...data, '--out', at(name), ...args);
  return at(name);
}

describe('a student of other size', () => {
  it.each([
    ['shallower', ['--layers', '2', '--layer-map', '1,4'], '1,4'],
    ['narrower', ['--layers', '2', '--hidden', '6'], '2,4'],
  ])('%s: learns, is saved without its projections, and loads', async (name, flags, layers) => {
    const file = at(`${name}.json`);
    const losses = { logits: 1, hidden: 1, scores: 1 };
    const stage = { name: 'joint', losses, steps: 60, learningRate: 1e-2, dropout: 0 };
    writeFileSync(file, JSON.stringify({ name: 'mine', for: 'student', stages: [stage] }));
    const folder = await student(name, '--recipe', file, ...flags);
    const { config, tensors } = await loadModel(folder);
    const wide = name === 'narrower' ? 6 : 12;
    expect(config).toMatchObject({ num_hidden_layers: 2, hidden_size: wide, softmax_act: '2quad_centred' });
    // One shift for each head of the two layers.
    expect((config.softmax_c as number[][]).map((heads) => heads.length)).toEqual([3, 3]);
    expect([...tensors.keys()].filter((key) => key.startsWith('projection'))).toEqual([]);
    const { curve, config: recorded } = await readRunRecord(join(folder, 'run.json'));
    expect(recorded).toMatchObject({ layers, start: name === 'narrower' ? 'random' : 'teacher' });
    const loss = curve.map(({ values }) => values['loss']!);
    expect(loss.slice(-5).reduce((a, b) => a + b) / loss.slice(0, 5).reduce((a, b) => a + b)).toBeLessThan(0.7);
    expect(Object.keys(curve[0]!.values)).toEqual(expect.arrayContaining(['hidden.2', 'scores.1']));
    expect(Object.keys(curve[0]!.values)).not.toContain('hidden.3');
  });

  it('refuses what does not fit together, before it trains', async () => {
    const three = student('x', '--hidden', '6', '--heads', '2', '--preset', 'secformer', '--recipe', 'fast');
    await expect(three).rejects.toThrow('compares scores head by head');
    await expect(student('x', '--hidden', '6', '--heads', '2')).rejects.toThrow("takes c from the teacher's heads");
    await expect(student('x', '--layers', '5')).rejects.toThrow('a student of 5 layers from a teacher of 4');
    await expect(student('x', '--layer-map', '1,9', '--layers', '2')).rejects.toThrow(InputError);
    await expect(student('x', '--hidden', '7')).rejects.toThrow('3 heads do not divide');
  });
});

describe('ablations', () => {
  const stages = async (folder: string): Promise<{ name: string; losses: Record<string, number> }[]> => {
    const { config } = await readRunRecord(join(folder, 'run.json'));
    return (config['recipe'] as unknown as { stages: { name: string; losses: Record<string, number> }[] }).stages;
  };

  it('--no-stage1 and --no-distillation change what is learned, and leave one stage', async () => {
    const none = await stages(await student('no-stage1', '--no-stage1', '--steps', '2'));
    expect(none.map(({ losses }) => losses)).toEqual([{ labels: 0, logits: 1, hidden: 0, scores: 0, ranges: 0 }]);
    const labels = await stages(await student('labels', '--no-distillation', '--steps', '2'));
    expect(labels.map(({ losses }) => losses)).toEqual([{ labels: 1, logits: 0, hidden: 0, scores: 0, ranges: 0 }]);
  });

  it('--random-start begins with nothing of the teacher', async () => {
    const [random, copied] = [
      await loadModel(await student('random', '--random-start', '--swap-only')),
      await loadModel(await student('copied', '--swap-only')),
    ];
    const name = 'bert.encoder.layer.3.attention.self.value.weight';
    const teacher = await loadModel(at('teacher'));
    expect(copied.tensors.get(name)).toEqual(teacher.tensors.get(name));
    expect(random.tensors.get(name)).not.toEqual(teacher.tensors.get(name));
    expect(JSON.parse(readFileSync(join(at('random'), 'run.json'), 'utf8')).config.start).toBe('random');
  });
});
