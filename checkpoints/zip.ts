/**
 * The part of the zip format that torch.save writes: stored entries, one disk, no encryption. Names, sizes and positions
 * come from the central directory (APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12 and 4.3.16) and are checked against the file.
 * Checksums are not: PyTorch neither checks them nor always writes them.
 */
import type { FileHandle } from 'node:fs/promises';
import { InputError } from '../common/errors.ts';
import { readRange } from './files.ts';

export interface ZipEntry {
  readonly name: string;
  /** First byte of the data in the file. */
  readonly offset: number;
  readonly bytes: number;
}

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const MAX_COMMENT = 0xffff;
const METHODS: Readonly<Record<number, string>> = { 8: 'deflate', 9: 'deflate64', 12: 'bzip2', 14: 'LZMA', 93: 'zstd' };

const HINT = 'The file is damaged or was not written by torch.save: download it again, or convert it to safetensors.';

/** Name → entry. @throws InputError naming the file, the entry and what is wrong */
export async function readZip(handle: FileHandle, size: number, file: string): Promise<Map<string, ZipEntry>> {
  const refuse = (what: string, hint = HINT): never => {
    throw new InputError(`${file}: ${what}`, hint);
  };
  const tailBytes = Math.min(size, END_BYTES + MAX_COMMENT);
  const tail = view(await readRange(handle, size - tailBytes, tailBytes, file));
  let at = tailBytes - END_BYTES;
  // The comment's length must lead exactly to the end of the file, else the signature is part of some data.
  while (
    at >= 0 &&
    !(tail.getUint32(at, true) === END && tail.getUint16(at + 20, true) === tailBytes - at - END_BYTES)
  ) {
    at--;
  }
  if (at < 0) return refuse('a zip file without its central directory: it is truncated');
  const count = tail.getUint16(at + 10, true);
  const directoryBytes = tail.getUint32(at + 12, true);
  const directoryStart = tail.getUint32(at + 16, true);
  if (tail.getUint32(at + 4, true) !== 0 || tail.getUint16(at + 8, true) !== count)
    refuse('a zip file in several parts');
  if (count === 0xffff || directoryStart === 0xffffffff) {
    refuse(
      'zip64 (a file above 4 GiB) is not read',
      'Convert it: model.save_pretrained(folder, safe_serialization=True).',
    );
  }
  const end = size - tailBytes + at;
  if (directoryStart + directoryBytes > end) refuse('the central directory reaches beyond its place');

  const directory = await readRange(handle, directoryStart, directoryBytes, file);
  const header = view(directory);
  const entries = new Map<string, ZipEntry>();
  let position = 0;
  for (let i = 0; i < count; i++) {
    if (position + 46 > directoryBytes || header.getUint32(position, true) !== CENTRAL) {
      refuse(`the central directory ends before entry ${i + 1} of ${count}`);
    }
    const flags = header.getUint16(position + 8, true);
    const method = header.getUint16(position + 10, true);
    const stored = header.getUint32(position + 20, true);
    const bytes = header.getUint32(position + 24, true);
    const nameBytes = header.getUint16(position + 28, true);
    const name = decodeName(directory.subarray(position + 46, position + 46 + nameBytes));
    if (name === undefined) return refuse(`the name of entry ${i + 1} is not UTF-8`);
    if (entries.has(name)) refuse(`the entry ${name} occurs twice`);
    if (flags & 1) refuse(`the entry ${name} is encrypted`);
    if (method !== 0) {
      const how = METHODS[method] ?? `method ${method}`;
      refuse(`the entry ${name} is compressed (${how}); torch.save stores`, 'Load and save it again in PyTorch.');
    }
    if (stored !== bytes) refuse(`the entry ${name} is stored in ${stored} bytes but holds ${bytes}`);
    const local = header.getUint32(position + 42, true);
    const offset = await dataStart(handle, local, name, directoryStart, file);
    if (offset === undefined || offset + bytes > directoryStart)
      return refuse(`the entry ${name} is not where it should be`);
    entries.set(name, { name, offset, bytes });
    position += 46 + nameBytes + header.getUint16(position + 30, true) + header.getUint16(position + 32, true);
  }
  return entries;
}

/** Where the data after a local header begins; undefined if there is no such header of that name. */
async function dataStart(
  handle: FileHandle,
  local: number,
  name: string,
  limit: number,
  file: string,
): Promise<number | undefined> {
  if (local + 30 > limit) return undefined;
  const header = view(await readRange(handle, local, 30, file));
  const nameBytes = header.getUint16(26, true);
  if (header.getUint32(0, true) !== LOCAL || local + 30 + nameBytes > limit) return undefined;
  if (decodeName(await readRange(handle, local + 30, nameBytes, file)) !== name) return undefined;
  return local + 30 + nameBytes + header.getUint16(28, true);
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function decodeName(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
