import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RefusedError } from '../../common/errors.ts';
import { takeLock } from '../../train/lock.ts';

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'lock-'));
  file = join(dir, 'lock');
});
afterEach(() => rmSync(dir, { recursive: true }));

const minutesAgo = (minutes: number): Date => new Date(Date.now() - 60_000 * minutes);
const left = (holder: unknown, minutes = 0): void => {
  writeFileSync(file, typeof holder === 'string' ? holder : JSON.stringify(holder));
  utimesSync(file, minutesAgo(minutes), minutesAgo(minutes));
};
const host = hostname();

describe('a lock', () => {
  it('is held by one at a time, and free when given back', async () => {
    const lock = await takeLock(file);
    await expect(takeLock(file)).rejects.toThrow(RefusedError);
    await lock.release();
    expect(existsSync(file)).toBe(false);
    await (await takeLock(file)).release();
  });

  it.each([
    // 2^22 is above the largest number that Linux gives a process.
    ['a process that is gone', { host, pid: 2 ** 22 + 1 }, 0],
    ['a process whose number is now ours', { host, pid: process.pid, began: '1' }, 0],
    ['a machine that has not touched it for long', { host: `not-${host}`, pid: 1 }, 3],
    ['a process killed while it wrote it', '{"ho', 3],
  ])('left by %s is taken over', async (_, holder, minutes) => {
    left(holder, minutes);
    const lock = await takeLock(file);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ host, pid: process.pid });
    await lock.release();
  });

  it.each([
    ['another machine that touches it', { host: `not-${host}`, pid: 2 ** 22 + 1 }],
    ['a process that is writing it', ''],
  ])('held by %s is respected, and what to do is said', async (_, holder) => {
    left(holder);
    const error = (await takeLock(file).catch((e: unknown) => e)) as RefusedError;
    expect(error).toBeInstanceOf(RefusedError);
    expect(error.hint).toContain(`remove ${file}`);
  });

  it('is given to one of many that find it stale', async () => {
    left({ host, pid: 2 ** 22 + 1 });
    const all = await Promise.allSettled(Array.from({ length: 20 }, () => takeLock(file)));
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});
