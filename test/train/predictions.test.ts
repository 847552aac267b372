/** The predictions file: it says of which tokens it was made, and is refused beside others. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { InputError, RefusedError } from '../../common/errors.ts';
import { prediction, readPredictions } from '../../train/predictions.ts';
import { tinyConfig } from '../support/tiny-model.ts';

let file: string;
beforeAll(() => void (file = join(mkdtempSync(join(tmpdir(), 'predictions-')), 'float.jsonl')));
afterAll(() => rmSync(join(file, '..'), { recursive: true }));

const encoding = (...words: number[]): { ids: number[]; types: number[] } => ({ ids: [2, ...words, 3], types: [0, ...words.map(() => 0), 0] }); // prettier-ignore
const inputs = [encoding(5, 6, 7), encoding(8)];
const write = (lines: readonly object[]): void => writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join('')); // prettier-ignore
const made = (from = inputs): object[] =>
  from.map((input, i) => prediction(tinyConfig(), Float32Array.of(i, 0.5), input));

it('holds label, probabilities, logits, and length and digest of the tokens', () => {
  expect(prediction(tinyConfig(), Float32Array.of(1, 1), inputs[1]!)).toEqual({
    label: 'negative',
    probabilities: [0.5, 0.5],
    logits: [1, 1],
    tokens: 3,
    tokenHash: createHash('sha256').update('{"ids":[2,8,3],"types":[0,0,0]}').digest('hex'),
  });
  const one = tinyConfig({ id2label: { 0: 'score' } });
  expect(prediction(one, Float32Array.of(2), inputs[1]!)).toMatchObject({ score: 2, logits: [2], tokens: 3 });
});

it('gives the logits of the same texts, or of the first of them', async () => {
  write(made());
  expect(await readPredictions(file, 2, inputs)).toEqual([[0, 0.5], [1, 0.5]]); // prettier-ignore
  expect(await readPredictions(file, 2, inputs.slice(0, 1))).toEqual([[0, 0.5]]);
});

it('of a file without digests is taken on trust', async () => {
  write([{ logits: [1, 2] }, { logits: [3, 4] }]);
  expect(await readPredictions(file, 2, inputs)).toEqual([[1, 2], [3, 4]]); // prettier-ignore
});

it.each([
  [
    'of another length',
    [encoding(5, 6, 7, 8), encoding(8)],
    /float\.jsonl, line 1: made of 6 tokens, the text asked has 5/,
    /--max-length 5 /,
  ],
  [
    'of another text of this length',
    [encoding(5, 6, 7), encoding(9)],
    /float\.jsonl, line 2: made of another text/,
    /the same texts/,
  ],
  ['in another order', inputs.toReversed(), /line 1: made of 3 tokens, the text asked has 5/, /the same texts/],
] as const)('is refused where it was made %s', async (_, others, message, remedy) => {
  write(made([...others]));
  const failure = (await readPredictions(file, 2, inputs).catch((error: unknown) => error)) as RefusedError;
  expect(failure).toBeInstanceOf(RefusedError);
  expect(failure.message).toMatch(message);
  expect(failure.hint).toMatch(remedy);
});

it('is refused with too few lines or other logits', async () => {
  write(made().slice(0, 1));
  await expect(readPredictions(file, 2, inputs)).rejects.toThrow(/1 line for 2 texts/);
  write(made());
  await expect(readPredictions(file, 3, inputs)).rejects.toThrow(/line 1: no 3 logits/);
  await expect(readPredictions(`${file}.absent`, 3, inputs)).rejects.toThrow(InputError);
});
