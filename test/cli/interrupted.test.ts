/** Trainings in real processes that are killed, stopped by a signal, or run out of room, and go on. */
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunRecord } from '../../checkpoints/run-record.ts';
import { CounterRandom } from '../../common/random.ts';
import { endAll, Run, SECONDS, type Ended } from '../support/processes.ts';
import { TINY_COLUMNS, tinyTraining } from '../support/tiny-training.ts';

let dir: string;
const at = (...names: string[]): string => join(dir, ...names);

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'interrupted-'));
  await tinyTraining(dir, ['dull', 'fine']);
});
afterEach(endAll);
afterAll(() => rmSync(dir, { recursive: true }));

const common = (): string[] => [
  ...['--train', at('train.csv'), '--dev', at('dev.csv'), ...TINY_COLUMNS, '--max-length', '16', '--threads', '1'],
  ...['--batch', '8', '--lr', '3e-3'],
];
const teacher = (out: string, ...more: string[]): string[] =>
  ['teacher', '--from', at('base'), ...common(), '--steps', '60', '--evaluations', '15', '--out', at(out), ...more]; // prettier-ignore
const student = (out: string, ...more: string[]): string[] =>
  ['student', '--teacher', at('teacher'), ...common(), '--recipe', 'two-stage', '--stage1-steps', '30', '--stage2-steps', '30', '--evaluations', '8', '--out', at(out), ...more]; // prettier-ignore

const start = (args: readonly string[], fileLimit?: number): Run =>
  new Run(args, { command: 'train-distill', ...(fileLimit === undefined ? {} : { fileLimit }) });
async function done(args: readonly string[]): Promise<Ended> {
  const ended = await start(args).ended;
  expect(ended.code, ended.err).toBe(0);
  return ended;
}
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What must be the same: weights to the byte, and the record but for clocks and memory. */
function result(out: string): unknown {
  const { started: _s, seconds: _t, peakRssBytes: _p, ...record } = JSON.parse(readFileSync(at(out, 'run.json'), 'utf8')) as Record<string, unknown>; // prettier-ignore
  const files = readdirSync(at(out), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'run.json')
    .map((entry) => join(entry.parentPath, entry.name));
  const hashes = files.map((file) => [file.slice(at(out).length), hash(file)]);
  return { record, files: Object.fromEntries(hashes.toSorted()) as unknown };
}
const hash = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');
/** Everything in the folder of the tests that belongs to a run. */
const traces = (out: string): string[] => readdirSync(dir).filter((name) => name.includes(out)).toSorted(); // prettier-ignore
/** Name of the newest checkpoint of an unfinished run; undefined: none yet. */
function newest(out: string): string | undefined {
  if (!existsSync(at(`${out}.partial`))) return undefined;
  // Stage and step, by number.
  const byNumber = new Intl.Collator('en', { numeric: true });
  const names = readdirSync(at(`${out}.partial`)).filter((name) => name.startsWith('checkpoint-'));
  return names.toSorted((a, b) => byNumber.compare(b, a))[0];
}
/** The one checkpoint of an unfinished run, as name and hashes. */
function checkpoint(out: string): [string, string[]] {
  const [name, ...others] = readdirSync(at(`${out}.partial`)).filter((n) => n.startsWith('checkpoint-'));
  expect(others).toEqual([]);
  const folder = at(`${out}.partial`, name!);
  return [name!, readdirSync(folder).toSorted().map((file) => hash(join(folder, file)))]; // prettier-ignore
}

describe('a process that is killed at any moment', () => {
  it.each([
    ['teacher', teacher],
    ['student', student],
  ] as const)('%s: the same command gives the uninterrupted result', async (name, command) => {
    await done(command(name, '--keep', '2'));
    const random = new CounterRandom(7, 'moments', name);
    const out = `killed-${name}`;
    const args = command(out, '--keep', '2');
    // At the start, between two checkpoints and while one is written, while the model is examined and saved.
    const moments: ((run: Run, before: string | undefined) => Promise<unknown>)[] = [
      () => pause(random.int(500)),
      ...[1, 2, 3].map(() => (_: Run, before: string | undefined) => waitFor(() => newest(out) !== before)),
      ...[1, 2].map(() => (run: Run) => Promise.race([run.says(/Result examined/), run.ended])),
    ];
    for (const moment of moments) {
      const before = newest(out);
      const run = start(args);
      await moment(run, before);
      await pause(random.int(30));
      run.child.kill('SIGKILL');
      await run.ended;
      // A result is whole or not there, and nothing else lies beside.
      const left = traces(out);
      expect(['', `${out}.partial`, out, `${out},${out}.partial`]).toContain(left.join());
      if (left.includes(out)) break;
    }
    const last = await start(args).ended;
    // The last kill may have come after the result had taken its name.
    expect([0, 3]).toContain(last.code);
    expect(traces(out)).toEqual([out]);
    expect(result(out)).toEqual(result(name));
  });
});

describe('a signal', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s stops at the next step, with a checkpoint of it and one line', async (signal, code) => {
    const out = `stopped-${signal}`;
    const run = start(teacher(out, '--steps', '100000', '--evaluations', '1', '--quiet'));
    await waitFor(() => traces(out).length > 0);
    await pause(700);
    run.child.kill(signal);
    const ended = await run.ended;
    const [, step] = /^stopped at step (\d+) of stage \S+; the same command goes on\n$/.exec(ended.err) ?? [];
    expect(ended).toMatchObject({ code, out: '' });
    expect(step, ended.err).toBeDefined();
    expect(checkpoint(out)[0]).toBe(`checkpoint-0-${step}`);
    expect(readdirSync(at(`${out}.partial`))).not.toContain('lock');
  });
});

it('a second SIGINT ends at once', async () => {
  const run = start(teacher('twice', '--steps', '100000', '--evaluations', '1'));
  await run.says(/Stage 1 of 1/);
  // Both before the process looks: only the first asks for a checkpoint.
  run.child.kill('SIGSTOP');
  run.child.kill('SIGINT');
  run.child.kill('SIGTERM');
  run.child.kill('SIGCONT');
  const ended = await run.ended;
  expect([130, 143]).toContain(ended.code);
  expect(ended.err).not.toContain('stopped at step');
  expect(readdirSync(at('twice.partial')).filter((name) => name.startsWith('checkpoint-'))).toEqual([]);
});

async function waitFor(what: () => boolean): Promise<void> {
  const deadline = Date.now() + SECONDS;
  while (!what()) {
    if (Date.now() > deadline) throw new Error('never came');
    await pause(10);
  }
}

type Clocks = Pick<RunRecord, 'started' | 'seconds'> & { readonly peakRssBytes: number };

/** A file system of so many bytes, in memory; needs privileges. */
const mount = (folder: string, size: string): SpawnSyncReturns<string> =>
  spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder], { encoding: 'utf8' });

/** Why no such file system can be had; undefined: it can. */
function smallDiskRefused(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'small-disk-'));
  const { status, error, stderr } = mount(folder, '128k');
  if (status === 0) spawnSync('umount', [folder]);
  rmSync(folder, { recursive: true });
  return status === 0 ? undefined : (error?.message ?? stderr.trim());
}

describe('a full disk', () => {
  // The writes of a process with a limit on its files fail with EFBIG, which takes the way of ENOSPC.
  const possible = process.platform !== 'win32';
  if (!possible) process.stderr.write('full disk: no ulimit on this system, not tested\n');
  it.runIf(possible)('ends the run with one error, and the checkpoint before stays whole', async () => {
    await done(teacher('whole'));
    const first = start(teacher('full'));
    await waitFor(
      () => traces('full').length > 0 && readdirSync(at('full.partial')).some((n) => n.startsWith('check')),
    );
    first.child.kill('SIGTERM');
    expect((await first.ended).code).toBe(143);
    const before = checkpoint('full');

    const ended = await start(teacher('full', '--quiet'), 4).ended;
    expect(ended).toMatchObject({ code: 2, out: '' });
    expect(ended.err).toMatch(/^error: \S+full\.partial: cannot be written \(EFBIG.*\)\nremedy: Make room .*\n$/);
    expect(checkpoint('full')).toEqual(before);
    expect(readdirSync(at('full.partial')).toSorted()).toEqual([before[0], 'run-identity.json'].toSorted());

    const told = JSON.parse(readFileSync(at('full.partial', before[0], 'progress.json'), 'utf8')) as Clocks;
    await done(teacher('full'));
    // The record is of all processes.
    const record = JSON.parse(readFileSync(at('full', 'run.json'), 'utf8')) as Clocks;
    expect(record.started).toBe(told.started);
    expect(record.seconds).toBeGreaterThan(told.seconds);
    expect(record.peakRssBytes).toBeGreaterThanOrEqual(told.peakRssBytes);
    expect(result('full')).toEqual(result('whole'));
  });

  const refusal = smallDiskRefused();
  if (refusal !== undefined) process.stderr.write(`full disk: no small file system here (${refusal}), not tested\n`);
  it.runIf(refusal === undefined)('of a file system without room: goes on when there is some', async () => {
    const disk = at('disk');
    mkdirSync(disk);
    // 32 pages: one checkpoint of 18 fits, a second beside it does not.
    expect(mount(disk, '128k').status).toBe(0);
    try {
      const args = teacher(join('disk', 'run'), '--quiet');
      const ended = await start(args).ended;
      expect(ended).toMatchObject({ code: 2, out: '' });
      expect(ended.err).toMatch(/^error: \S+run\.partial: cannot be written \(ENOSPC.*\)\nremedy: Make room .*\n$/);
      expect(readdirSync(disk)).toEqual(['run.partial']);
      expect(readdirSync(join(disk, 'run.partial')).toSorted()).toEqual(['checkpoint-0-4', 'run-identity.json']);
      expect(spawnSync('mount', ['-o', 'remount,size=8m', disk]).status).toBe(0);
      await done(args);
      await done(teacher('roomy'));
      expect(result(join('disk', 'run'))).toEqual(result('roomy'));
    } finally {
      spawnSync('umount', [disk]);
    }
  });
});
