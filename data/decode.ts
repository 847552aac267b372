import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { InputError } from '../common/errors.ts';

/** A text file: its strictly decoded content without byte order mark, and the SHA-256 (hex) of its bytes. */
export interface TextFile {
  readonly text: string;
  readonly hash: string;
}

const READ_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EISDIR: 'is a folder, not a file',
  EACCES: 'may not be read (permissions)',
};

/**
 * Reads a file whole, with the SHA-256 (hex) of its bytes.
 * @throws InputError if it cannot be read or is empty.
 */
export async function readBytes(file: string): Promise<{ bytes: Buffer; hash: string }> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    throw new InputError(`${file}: ${READ_ERRORS[code] ?? `cannot be read (${code})`}`, 'Check the path.');
  }
  if (bytes.length === 0) throw emptyFile(file);
  return { bytes, hash: createHash('sha256').update(bytes).digest('hex') };
}

const emptyFile = (file: string): InputError =>
  new InputError(`${file}: the file is empty`, 'Give a file with at least one example.');

/**
 * Reads a UTF-8 file.
 * @throws InputError if it cannot be read, is empty, or holds bytes that are not UTF-8 (naming the line).
 */
export async function readText(file: string): Promise<TextFile> {
  const { bytes, hash } = await readBytes(file);
  const text = decodeUtf8(bytes, file);
  if (text === '') throw emptyFile(file);
  return { text, hash };
}

function decodeUtf8(bytes: Uint8Array, file: string): string {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    const text = decoder.decode(bytes);
    return text.startsWith('\ufeff') ? text.slice(1) : text;
  } catch {
    throw new InputError(
      `${file}, line ${invalidLine(bytes)}: not UTF-8`,
      'Save the file as UTF-8, for example with iconv.',
    );
  }
}

/** Number of the first line that does not decode. A newline byte is never part of a longer UTF-8 sequence. */
function invalidLine(bytes: Uint8Array): number {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    try {
      decoder.decode(bytes.subarray(start, end));
    } catch {
      break;
    }
    start = end + 1;
  }
  return line;
}
