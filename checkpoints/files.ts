/** Small helpers over files: whole reads and writes, hashes, folders that appear whole or not at all. */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { InputError, RefusedError } from '../common/errors.ts';
import { syncFolder } from '../common/sync-folder.ts';

/** One system call moves less than 2^31 bytes. */
const CHUNK = 2 ** 30;

/** Exactly `length` bytes from `offset`, in a buffer of their own. */
export async function readRange(handle: FileHandle, offset: number, length: number, file: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(CHUNK, length - done), offset + done);
    if (bytesRead === 0)
      throw new InputError(`${file}: became shorter while it was read`, 'Read a file nobody writes to.');
    done += bytesRead;
  }
  return bytes;
}

/** Far above any config, index or run record; keeps a hostile file from filling the memory. */
const MAX_TEXT = 2 ** 24;

/** A small text file. @throws InputError if it cannot be read, is longer than 16 MiB, or is not UTF-8 */
export async function readText(file: string, hint: string): Promise<string> {
  const handle = await open(file).catch((error: Error) => {
    throw new InputError(`${file}: cannot be read (${error.message})`, hint);
  });
  try {
    const { size } = await handle.stat();
    if (size > MAX_TEXT) throw new InputError(`${file}: ${size} bytes, more than ${MAX_TEXT}`, hint);
    return new TextDecoder('utf-8', { fatal: true }).decode(await readRange(handle, 0, size, file));
  } catch (error) {
    if (error instanceof InputError) throw error;
    const what = error instanceof TypeError ? 'is not UTF-8' : `cannot be read (${(error as Error).message})`;
    throw new InputError(`${file}: ${what}`, hint);
  } finally {
    await handle.close();
  }
}

/** Writes all of `bytes` at the handle's position, in pieces as large as one call takes. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    done += (await handle.write(bytes, done, Math.min(CHUNK, bytes.length - done))).bytesWritten;
  }
}

/** sha256 as lower-case hex. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** sha256 of a file as lower-case hex, in constant memory. */
export async function sha256File(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash).catch((error: Error) => {
    throw new InputError(`${file}: cannot be read (${error.message})`, 'Give the path of a readable file.');
  });
  return hash.digest('hex');
}

/** Writes a new file and makes its bytes durable. */
export async function writeDurably(file: string, bytes: Uint8Array | string): Promise<void> {
  const handle = await open(file, 'wx');
  try {
    await writeAll(handle, typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Whether something has this name; a dangling link counts. */
export async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/**
 * Fills a temporary sibling of `folder` with `fill`, then renames it: the folder appears whole or not at all, and a
 * failure leaves nothing behind.
 * @throws RefusedError if it exists and `overwrite` is false
 */
export async function writeFolder(
  folder: string,
  overwrite: boolean,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const target = resolve(folder);
  const refuseExisting = async (): Promise<void> => {
    if (!overwrite && (await exists(target))) {
      throw new RefusedError(
        `${folder}: exists already`,
        'Choose another folder, remove this one, or allow overwriting.',
      );
    }
  };
  await refuseExisting();
  await mkdir(dirname(target), { recursive: true });
  const sibling = (kind: string): string =>
    join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.${kind}`);
  const temporary = sibling('tmp');
  await mkdir(temporary);
  try {
    await fill(temporary);
    await syncFolder(temporary);
    await refuseExisting();
    const old = sibling('old');
    const replaced = await exists(target);
    if (replaced) await rename(target, old);
    try {
      await rename(temporary, target);
    } catch (error) {
      if (replaced) await rename(old, target);
      throw error;
    }
    await syncFolder(dirname(target));
    if (replaced) await rm(old, { recursive: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}
