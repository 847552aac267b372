/** A file that says which process writes in a folder, so that no second one does. */
import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { RefusedError } from '../common/errors.ts';

/** Milliseconds between touches of a lock, and after how many without one a process that cannot be asked counts as dead. */
const TOUCH_EVERY = 20_000;
const DEAD_AFTER = 120_000;

interface Holder {
  readonly host: string;
  readonly pid: number;
  /** When that process began, where the system tells: a later process may have the same number. */
  readonly began?: string | undefined;
}

/** Linux: clock ticks from the system's start to the process's; elsewhere, or without such a process, undefined. */
async function beginning(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The name of the program, in brackets, may hold spaces and brackets; the 20th field after it is the time.
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19];
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Whether the process that wrote this still runs; one of another machine is alive while it touches the file. */
async function alive(file: string, text: string): Promise<Holder | undefined> {
  const touched = (await stat(file)).mtimeMs > Date.now() - DEAD_AFTER;
  let holder: Holder;
  try {
    holder = JSON.parse(text) as Holder;
  } catch {
    // Killed while it wrote, or writing now.
    return touched ? { host: 'unknown', pid: 0 } : undefined;
  }
  if (holder.host !== hostname()) return touched ? holder : undefined;
  return runs(holder.pid) && (holder.began ?? '') === ((await beginning(holder.pid)) ?? '') ? holder : undefined;
}

/** A lock that is held; `release` gives it back. A process that dies leaves one that the next one sees to be stale. */
export interface Lock {
  release(): Promise<void>;
}

/** @throws RefusedError if another process holds it */
export async function takeLock(file: string): Promise<Lock> {
  const own = JSON.stringify({ host: hostname(), pid: process.pid, began: await beginning(process.pid) });
  const refused = ({ host, pid }: Holder): RefusedError =>
    new RefusedError(
      `${dirname(file)}: another run writes there (process ${pid} on ${host})`,
      `Wait for its end, or choose another --out. If no such process runs, remove ${file}.`,
    );
  for (;;) {
    try {
      await writeFile(file, own, { flag: 'wx' });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        // The name may be there though its content did not fit on the disk.
        await rm(file, { force: true });
        throw error;
      }
    }
    try {
      const text = await readFile(file, 'utf8');
      const holder = await alive(file, text);
      if (holder !== undefined) throw refused(holder);
      // Two may find it stale: whoever moves away what the other has just written puts it back.
      const moved = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString('hex')}`);
      await rename(file, moved);
      if ((await readFile(moved, 'utf8')) !== text) {
        await rename(moved, file);
        continue;
      }
      await rm(moved);
    } catch (error) {
      // Given back meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  const touching = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => undefined), TOUCH_EVERY);
  touching.unref();
  return {
    async release() {
      clearInterval(touching);
      await rm(file, { force: true });
    },
  };
}
