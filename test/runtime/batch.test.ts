/** `--batch`: texts that share sessions are answered as if alone, in their order, and what they cost is told for all of them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sessionsOf } from '../../cli/secure-infer/asker.ts';
import { endAll, secureInfer } from '../support/processes.ts';
import { exportSmall, farToken, SMALL_LABELS, type SmallExport } from '../support/small-program.ts';

/** Ends of texts of all lengths; the fourth drives a guarded wire out of its range. */
const TEXTS = ['the film is good', 'bad', 'we liked it , not the plot .', 'the film is good !', 'it is fine', 'a warm story', 'dull']; // prettier-ignore
const WITHHELD = 3;

let small: SmallExport;
let root: string;
let file: string;
beforeAll(async () => {
  small = await exportSmall(1, SMALL_LABELS, { guarded: true, change: farToken });
  root = await mkdtemp(join(tmpdir(), 'batch-'));
  file = join(root, 'texts.tsv');
  await writeFile(file, `text\tlabel\n${TEXTS.map((text) => `${text}\tpositive`).join('\n')}\n`);
});
afterEach(endAll);
afterAll(() => Promise.all([root, dirname(small.dir)].map((dir) => rm(dir, { recursive: true, force: true }))));

const lines = (out: string): Record<string, any>[] => out.trimEnd().split('\n').map((line) => JSON.parse(line)); // prettier-ignore

describe('local --batch', () => {
  it('gives the answers of texts asked alone, in order; a withheld one takes no other with it', async () => {
    const alone = await secureInfer('local', small.dir, '--file', file, '--json');
    const shared = await secureInfer('local', small.dir, '--file', file, '--json', '--batch', '3');
    expect([alone.code, shared.code]).toEqual([0, 0]);
    const [a, b] = [lines(alone.out), lines(shared.out)];
    expect(b.map((line) => line.withheld === true)).toEqual(TEXTS.map((_, i) => i === WITHHELD));
    for (const [i, line] of b.entries()) {
      if (i === WITHHELD) continue;
      // Fresh masks round afresh: at most 6 units of 2^-6 in each of 4 values, times weights of at most 100/2^10.
      line.logits.forEach((v: number, j: number) => expect(Math.abs(v - a[i]!.logits[j])).toBeLessThan(0.05));
    }
    // 3 + 3 + 1 texts: rounds and bytes are those of a session, and the answer says how many shared them.
    expect(b.filter((_, i) => i !== WITHHELD).map((line) => line.texts)).toEqual([3, 3, 3, 3, 3, undefined]);
    expect(b.every((line) => line.withheld === true || line.rounds === a[0]!.rounds)).toBe(true);
    expect(b[0]!.sentBytes).toBe(b[2]!.sentBytes);
    expect(b[0]!.sentBytes).toBeLessThan(a[0]!.sentBytes + a[1]!.sentBytes + a[2]!.sentBytes);
    expect(shared.err).toMatch(/6 texts answered, 1 withheld: [\d.]+ texts\/s, [\d.]+ s a session/);
    expect(shared.err).toMatch(/1 of 7 answers was withheld/);
  });

  it('is of evaluate too: its means are of a text', async () => {
    const run = async (...extra: string[]): Promise<Record<string, any>> => {
      const { code, out } = await secureInfer('evaluate', small.dir, '--file', file, '--json', ...extra);
      expect(code).toBe(0);
      return JSON.parse(out);
    };
    const [alone, shared] = [await run(), await run('--batch', '7')];
    expect([shared.examples, shared.withheld]).toEqual([7, 1]);
    expect(shared.accuracy).toBe(alone.accuracy);
    expect(shared.meanRounds).toBeCloseTo(alone.meanRounds / 7, 10);
    expect(shared.meanSentBytes).toBeLessThan(alone.meanSentBytes);
  });

  it('refuses more texts than parties serve at once, and a transcript', async () => {
    const many = await secureInfer('local', small.dir, '--file', file, '--batch', '65');
    expect([many.code, many.out]).toEqual([2, '']);
    expect(many.err).toMatch(/at most 64 texts/);
    const transcript = await secureInfer('local', small.dir, '--file', file, '--batch', '2', '--seed', '1', '--transcript', join(root, 't')); // prettier-ignore
    expect([transcript.code, transcript.out]).toEqual([2, '']);
    expect(transcript.err).toMatch(/leave --batch out/);
  });
});

describe('sessions of texts', () => {
  const text = (length: number, name = 0): { ids: number[]; name: number } => ({ ids: new Array<number>(length).fill(0), name }); // prettier-ignore
  it('keep the order, and end where the tokens that are served at once do', () => {
    const all = [text(2000, 0), text(2000, 1), text(96, 2), text(1, 3), text(4096, 4), text(5, 5)];
    const sessions = sessionsOf(all, 64);
    expect(sessions.map((s) => s.map(({ name }) => name))).toEqual([[0, 1, 2], [3], [4], [5]]);
    expect(sessionsOf(all, 1).map((s) => s.length)).toEqual([1, 1, 1, 1, 1, 1]);
    expect(sessionsOf([], 4)).toEqual([]);
  });
});
