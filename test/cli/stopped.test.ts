/** Signals before the first step of a training and after its last one, where no step is there to stop at. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { addTeacher } from '../../cli/train-distill/teacher.ts';
import { Stopped } from '../../cli/ui/interrupt.ts';
import { inProcess } from '../support/in-process.ts';
import { endAll, Run, SECONDS } from '../support/processes.ts';
import { TINY_COLUMNS, tinyTraining } from '../support/tiny-training.ts';

let dir: string;
const at = (...names: string[]): string => join(dir, ...names);
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'stopped-'));
  await tinyTraining(dir, ['dull', 'fine']);
});
afterEach(endAll);
afterAll(() => rmSync(dir, { recursive: true }));

const teacher = (out: string, ...more: string[]): string[] => [
  ...['teacher', '--from', at('base'), '--train', at('train.csv'), '--dev', at('dev.csv'), ...TINY_COLUMNS],
  ...['--max-length', '16', '--threads', '1', '--batch', '8', '--lr', '3e-3', '--steps', '12', '--evaluations', '3'],
  ...['--out', at(out), ...more],
];
/** Everything in the folder of the tests that belongs to a run. */
const traces = (out: string): string[] => readdirSync(dir).filter((name) => name.includes(out)).toSorted(); // prettier-ignore
const weights = (...out: string[]): Buffer => readFileSync(at(...out, 'model.safetensors'));
/** The record but for clocks and memory. */
function record(...out: string[]): unknown {
  const { started: _s, seconds: _t, peakRssBytes: _p, ...rest } = JSON.parse(readFileSync(at(...out, 'run.json'), 'utf8')) as Record<string, unknown>; // prettier-ignore
  return rest;
}

/** Trains in this process, which gets the signal when it says `word`. */
function signalled(word: string, signal: 'SIGINT' | 'SIGTERM', args: string[]): Promise<string> {
  let sent = false;
  return inProcess([addTeacher], args, (text) => {
    if (sent || !text.includes(word)) return;
    sent = true;
    process.emit(signal);
  });
}

describe('before the first step', () => {
  it.runIf(process.platform !== 'win32').each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s while data are read: one line, and nothing is there', async (signal, code) => {
    // Whoever reads a pipe waits for its writer, and can be opened for writing once it reads.
    const pipe = at(`pipe-${signal}.csv`);
    execFileSync('mkfifo', [pipe]);
    const run = new Run(teacher(`early-${signal}`, '--train', pipe), { command: 'train-distill' });
    const writer = await reader(pipe);
    run.child.kill(signal);
    await run.says(/\n/);
    closeSync(writer);
    const ended = await run.ended;
    expect(ended).toEqual({
      code,
      out: '',
      err: 'stopped before the first step; nothing is lost, and the same command goes on\n',
    });
    expect(traces(`early-${signal}`)).toEqual([]);
  });

  it('after the folder was opened: a checkpoint of the first step to come, and the same bits', async () => {
    await inProcess([addTeacher], teacher('whole'));
    await expect(signalled('Stage 1 of 1', 'SIGINT', teacher('opened'))).rejects.toMatchObject({
      message: expect.stringMatching(/^stopped at step 1 of stage \S+; the same command goes on$/) as string,
      exitCode: 130,
    });
    expect(readdirSync(at('opened.partial')).toSorted()).toEqual(['checkpoint-0-1', 'run-identity.json']);
    await inProcess([addTeacher], teacher('opened'));
    expect(record('opened')).toEqual(record('whole'));
    expect(weights('opened').equals(weights('whole'))).toBe(true);
  });
});

describe('after the last step', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s while the result is examined: one line, and the same command only ends it', async (signal, code) => {
    const out = `late-${signal}`;
    await inProcess([addTeacher], teacher(`uninterrupted-${signal}`));
    const stopped = await signalled('Examining', signal, teacher(out)).catch((error: unknown) => error);
    expect(stopped).toBeInstanceOf(Stopped);
    expect(stopped).toMatchObject({
      message: 'stopped after the last step; the same command goes on',
      exitCode: code,
    });
    expect(traces(out)).toEqual([`${out}.partial`]);
    expect(readdirSync(at(`${out}.partial`)).filter((name) => name !== 'run-identity.json')).toEqual([
      'checkpoint-0-12',
    ]);
    let said = '';
    await inProcess([addTeacher], teacher(out), (text) => (said += text));
    expect(said).toContain('going on from stage 1, step 12');
    expect(traces(out)).toEqual([out]);
    expect(record(out)).toEqual(record(`uninterrupted-${signal}`));
    expect(weights(out).equals(weights(`uninterrupted-${signal}`))).toBe(true);
  });

  it('while the result is saved: it is saved, and that is the end of it', async () => {
    expect(await signalled('Result examined', 'SIGTERM', teacher('saved', '--json'))).toContain('"dev.accuracy"');
    expect(traces('saved')).toEqual(['saved']);
    expect(process.listenerCount('SIGTERM')).toBe(0);
  });

  it('while one of several seeds is saved: the next is not begun, and the same command trains it', async () => {
    const seeds = ['--seeds', '1,2'];
    await expect(signalled('Result examined', 'SIGINT', teacher('seeds', ...seeds))).rejects.toMatchObject({
      message: 'stopped after seed 1; the same command goes on',
      exitCode: 130,
    });
    expect(readdirSync(at('seeds'))).toEqual(['seed-1']);
    const first = weights('seeds', 'seed-1');
    await inProcess([addTeacher], teacher('seeds', ...seeds));
    expect(readdirSync(at('seeds')).toSorted()).toEqual(['seed-1', 'seed-2', 'summary.json']);
    expect(weights('seeds', 'seed-1').equals(first)).toBe(true);
  });
});

/** Opens the pipe for writing as soon as somebody reads it. */
async function reader(pipe: string): Promise<number> {
  const deadline = Date.now() + SECONDS;
  for (;;) {
    try {
      return openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO' || Date.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
