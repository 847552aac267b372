/** `secure-infer evaluate --clear`, and calibration on a task's training texts; the three processes are in `bench/results.test.ts`. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { saveModel } from '../../checkpoints/index.ts';
import { addExport } from '../../cli/export-shares/command.ts';
import { addEvaluateCommand, agreement, resultText } from '../../cli/secure-infer/evaluate.ts';
import { InputError, RefusedError } from '../../common/errors.ts';
import { CounterRandom } from '../../common/random.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { fixedPredict } from '../../export/clear.ts';
import { loadProvider } from '../../export/provider.ts';
import { TINY_VOCAB, tinyConfig, tinyTensors } from '../support/tiny-model.ts';
import { inProcess, trainDistill } from '../support/in-process.ts';

let dir: string;
const at = (...names: string[]): string => join(dir, ...names);

const evaluate = async (...args: string[]): Promise<Record<string, unknown>> =>
  JSON.parse(await inProcess([addEvaluateCommand], ['evaluate', at('bundles'), '--clear', '--json', ...args])) as Record<string, unknown>; // prettier-ignore

interface Row {
  readonly first: string;
  readonly second: string;
  readonly label: number;
}
const mrpc = (rows: readonly Row[]): string =>
  `Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n${rows.map((r, i) => `${r.label}\t${i}\t${i}\t${r.first}\t${r.second}\n`).join('')}`;

let dev: Row[];
let logits: number[][];
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'secure-evaluate-'));
  mkdirSync(at('tokenizer'));
  writeFileSync(at('tokenizer/vocab.txt'), `${TINY_VOCAB.join('\n')}\n`);
  const random = new CounterRandom(1, 'pairs');
  const words = TINY_VOCAB.slice(5);
  const text = (): string => Array.from({ length: 1 + random.int(5) }, () => words[random.int(words.length)]).join(' ');
  const rows = (n: number): Row[] =>
    Array.from({ length: n }, () => ({ first: text(), second: text(), label: random.int(2) }));
  dev = rows(30);
  mkdirSync(at('glue', 'MRPC'), { recursive: true });
  writeFileSync(at('glue', 'MRPC', 'train.tsv'), mrpc(rows(200)));
  writeFileSync(at('glue', 'MRPC', 'dev.tsv'), mrpc(dev));
  const config = tinyConfig({ softmax_act: '2quad_centred', softmax_c: 3, id2label: { 0: 'not_equivalent', 1: 'equivalent' } }); // prettier-ignore
  await saveModel(at('student'), { config, tensors: tinyTensors(config), tokenizerDir: at('tokenizer'), dtype: 'F32' });
  const exported = JSON.parse(
    await inProcess([addExport], [at('student'), '--task', 'mrpc', '--glue', at('glue'), '--calibrate-size', '100', '--out', at('bundles'), '--threads', '1', '--quiet', '--json']), // prettier-ignore
  ) as { longest: number };
  // Pairs of up to five words: [CLS] a [SEP] b [SEP].
  expect(exported.longest).toBe(13);

  const { program, integers } = await loadProvider(at('bundles', 'provider'));
  const tokenizer = await loadTokenizer(at('tokenizer'));
  const texts = dev.map((r) => tokenizer.encode(r.first, r.second, {}));
  logits = fixedPredict(program, integers, texts).map((row) => {
    if (row instanceof Error) throw row;
    return [...row];
  });
});
afterAll(() => rmSync(dir, { recursive: true }));

const task = (): string[] => ['--task', 'mrpc', '--glue', at('glue')];

describe('secure-infer evaluate', () => {
  it('gives the official metrics of a task of pairs', async () => {
    const predicted = logits.map(([no, yes]) => Number(yes! > no!));
    const count = (p: number, l: number): number => predicted.filter((x, i) => x === p && dev[i]!.label === l).length;
    const accuracy = (count(0, 0) + count(1, 1)) / dev.length;
    const f1 = (2 * count(1, 1)) / (2 * count(1, 1) + count(1, 0) + count(0, 1));
    const result = await evaluate(...task());
    expect(result).toMatchObject({ path: 'clear', examples: 30, withheld: 0, withheldAt: [], accuracy });
    expect(result['f1']).toBeCloseTo(f1, 12);
    expect(result['score']).toBeCloseTo((accuracy + f1) / 2, 12);
    expect((await evaluate(...task(), '--examples', '7'))['examples']).toBe(7);
  });

  it('takes a file with a named pair column', async () => {
    const rows = dev.map((r) => `${JSON.stringify({ a: r.first, b: r.second, same: r.label })}\n`);
    writeFileSync(at('dev.jsonl'), rows.join(''));
    const columns = ['--text-column', 'a', '--pair-column', 'b', '--label-column', 'same'];
    const { accuracy, f1 } = await evaluate('--file', at('dev.jsonl'), ...columns);
    expect({ accuracy, f1 }).toEqual((({ accuracy: a, f1: f }) => ({ accuracy: a, f1: f }))(await evaluate(...task())));
  });

  it('says how far the logits are from predictions of the float model', async () => {
    // One logit is off by 1/4, one label is turned over by adding 8 to the smaller logit; all else is equal.
    const float = logits.map((row) => [...row]);
    float[0]![0]! += 0.25 * Math.sign(float[0]![0]! - float[0]![1]!);
    float[1]![Number(float[1]![1]! < float[1]![0]!)]! += 8;
    writeFileSync(at('float.jsonl'), float.map((row) => `${JSON.stringify({ logits: row })}\n`).join(''));
    const result = await evaluate(...task(), '--against', at('float.jsonl'));
    expect(result['agreement']).toBeCloseTo(29 / 30, 12);
    expect(result['maxLogitError']).toBeCloseTo(8, 9);
    expect(result['meanLogitError']).toBeCloseTo(8.25 / 60, 9);
    // The label that was turned over is right in one of the two and wrong in the other.
    const [fixed, other] = [result['accuracy'] as number, (result['float'] as { accuracy: number }).accuracy];
    const predicted = Number(logits[1]![1]! > logits[1]![0]!);
    expect(30 * (other - fixed)).toBeCloseTo(predicted === dev[1]!.label ? -1 : 1, 9);
  });

  it('takes what train-distill evaluate wrote of the same texts, and refuses it of others, or cut at another length', async () => {
    const predict = async (name: string, ...args: string[]): Promise<void> =>
      void (await trainDistill(
        'evaluate',
        at('student'),
        ...args,
        '--threads',
        '1',
        '--quiet',
        '--predictions',
        at(name),
      ));
    await predict('same.jsonl', ...task());
    const { agreement: agreed, maxLogitError } = await evaluate(...task(), '--against', at('same.jsonl'));
    expect(agreed).toBe(1);
    expect(maxLogitError).toBeLessThan(0.05);
    await predict('cut.jsonl', ...task(), '--max-length', '8');
    const cut = evaluate(...task(), '--against', at('cut.jsonl'));
    await expect(cut).rejects.toThrow(/cut\.jsonl, line \d+: made of 8 tokens, the text asked has \d+/);
    await expect(cut).rejects.toThrow(RefusedError);
    await predict('other.jsonl', ...task(), '--split', 'train');
    await expect(evaluate(...task(), '--against', at('other.jsonl'))).rejects.toThrow(/other\.jsonl, line 1: made of/);
  });

  it('cuts texts longer than any calibrated one only if told, and then the float model must have seen the same', async () => {
    const long = `${'very '.repeat(9)}good`;
    writeFileSync(at('long.jsonl'), [{ text: 'a film', pair: 'fine', label: '1' }, { text: long, pair: 'dull plot', label: '0' }].map((row) => `${JSON.stringify(row)}\n`).join('')); // prettier-ignore
    const file = ['--file', at('long.jsonl')];
    const refused = evaluate(...file);
    await expect(refused).rejects.toThrow(`${at('long.jsonl')}, line 2: 15 tokens with the special ones, the model was calibrated for at most 13`); // prettier-ignore
    await expect(refused).rejects.toMatchObject({ hint: 'Shorten the text, or cut it with --truncate.' });
    const predict = (...more: string[]): Promise<string> => trainDistill('evaluate', at('student'), ...file, '--threads', '1', '--quiet', '--predictions', at('long-float.jsonl'), ...more); // prettier-ignore
    await predict();
    const against = ['--truncate', '--against', at('long-float.jsonl')];
    const failure = (await evaluate(...file, ...against).catch((error: unknown) => error)) as RefusedError;
    expect(failure.message).toMatch(/line 2: made of 15 tokens, the text asked has 13/);
    expect(failure.hint).toMatch(/--max-length 13 /);
    await predict('--max-length', '13');
    expect(await evaluate(...file, ...against)).toMatchObject({ examples: 2, truncated: 1, agreement: 1 });
  });

  it('refuses single texts where pairs were calibrated', async () => {
    writeFileSync(at('single.tsv'), 'text\tlabel\ngood film\t1\n');
    const single = evaluate('--file', at('single.tsv'));
    await expect(single).rejects.toThrow(`${at('single.tsv')}, line 2: a single text, and the model was calibrated on pairs`); // prettier-ignore
    await expect(single).rejects.toThrow(RefusedError);
  });

  it('prints percentages, four digits, and where the withheld texts stand', () => {
    const result = {
      command: 'evaluate',
      path: 'secured',
      data: 'dev.tsv',
      examples: 23,
      truncated: 3,
      withheld: 22,
      withheldAt: Array.from({ length: 22 }, (_, i) => `line ${i + 2}`),
      metrics: { accuracy: 0.88654321 },
      compared: { agreement: 1, maxLogitError: 0.002513289451599121, meanLogitError: 4e-4, float: { accuracy: 0.875 } },
      meanRounds: 99 / 16,
      meanSentBytes: 3_387_005,
      kernels: 'wasm',
      seconds: 1234.567,
    } as const;
    const lines = resultText(result).split('\n');
    const named = Array.from({ length: 20 }, (_, i) => `line ${i + 2}`).join(', ');
    expect(lines).toEqual([
      'data             dev.tsv',
      'examples         23, 1 answer, 22 withheld',
      'truncated        3',
      `withheld         ${named} and 2 more (--json names all)`,
      'accuracy         88.65 % (float model 87.50 %)',
      'agreement        100.00 %',
      'logit error      0.002513 at most, 0.0004 on average',
      'a text           6.188 rounds, 3.39 MB sent by each party',
      'seconds          1235',
      '',
    ]);
  });

  it('leaves withheld answers out, and has no labels to compare for a score', () => {
    const result = agreement([[1], undefined, [3]], [[1.5], [100], [3]]);
    expect(result).toEqual({ maxLogitError: 0.5, meanLogitError: 0.25 });
  });

  it('refuses what it cannot compare before anything runs', async () => {
    writeFileSync(at('short.jsonl'), '{"logits":[1,2]}\n');
    writeFileSync(at('wrong.jsonl'), '{"logits":[1,2]}\n{"logits":[1]}\n'.repeat(15));
    writeFileSync(at('bare.txt'), 'good film\n');
    writeFileSync(at('other.tsv'), 'text\tlabel\ngood film\tsplendid\n');
    const fails = (what: RegExp, ...args: string[]): Promise<void> => expect(evaluate(...args)).rejects.toThrow(what);
    await fails(/short\.jsonl: 1 line for 30 texts/, ...task(), '--against', at('short.jsonl'));
    await fails(/wrong\.jsonl, line 2: no 2 logits/, ...task(), '--against', at('wrong.jsonl'));
    await fails(/plain text has no labels/, '--file', at('bare.txt'));
    await fails(/'splendid' is none of the classes/, '--file', at('other.tsv'));
    await expect(evaluate(...task(), '--file', at('bare.txt'))).rejects.toThrow(InputError);
    await expect(inProcess([addExport], [at('student'), '--out', at('x')])).rejects.toThrow('give either --calibrate or --task'); // prettier-ignore
  });
});
