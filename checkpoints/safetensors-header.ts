/**
 * The header of a safetensors file: 8 bytes length (little-endian), JSON {name: {dtype, shape, data_offsets}}, then the
 * data of all tensors, back to back. Read as strictly as the format's own library, and stricter where that one is lax (a
 * name given twice). Format: https://github.com/huggingface/safetensors, README section "Format".
 */
import { InputError } from '../common/errors.ts';
import { DTYPE_BITS } from './dtype.ts';
import { type Json, JsonError, JsonNumber, parseStrictJson } from './strict-json.ts';

export interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsHeader {
  /** `__metadata__`: free text the writer put there. */
  readonly metadata: ReadonlyMap<string, string>;
  /** In file order. */
  readonly entries: ReadonlyMap<string, TensorEntry>;
}

const HINT =
  'The file is damaged or not safetensors: copy or download it again, and compare its sha256 with the source.';

/** About 30,000 tensors; BERT-large has 391. Parsing takes a multiple of this, whatever the size of the file. */
const MAX_HEADER = 2 ** 22;

/** `length` of the JSON text from the first bytes of a file (8, or fewer if the file is shorter) of `fileBytes` bytes. */
export function headerLength(start: Uint8Array, fileBytes: number, file: string): number {
  if (start.length < 8) {
    throw new InputError(`${file}: ${fileBytes} bytes, too short for a header length (8 bytes)`, HINT);
  }
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (length === 0n) throw new InputError(`${file}: the header length is 0`, HINT);
  if (length > BigInt(fileBytes - 8)) {
    throw new InputError(`${file}: the header length ${length} reaches beyond the file of ${fileBytes} bytes`, HINT);
  }
  if (length > BigInt(MAX_HEADER)) {
    throw new InputError(`${file}: a header of ${length} bytes, more than ${MAX_HEADER}`, HINT);
  }
  return Number(length);
}

/** Reads and checks the JSON text; the tensors must fill `dataBytes` without hole or overlap. */
export function parseHeader(json: Uint8Array, dataBytes: number, file: string): SafetensorsHeader {
  const refuse = (what: string): never => {
    throw new InputError(`${file}: ${what}`, HINT);
  };
  let root: Json;
  try {
    // ignoreBOM keeps a byte-order mark in the text, where it is no JSON.
    root = parseStrictJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json));
  } catch (error) {
    if (error instanceof JsonError) return refuse(`the header is not valid JSON: ${error.message}`);
    if (error instanceof TypeError) return refuse('the header is not valid UTF-8');
    throw error;
  }
  if (!(root instanceof Map)) return refuse('the header is not a JSON object');

  const metadata = new Map<string, string>();
  const found: [string, TensorEntry][] = [];
  for (const [name, entry] of root) {
    if (!(entry instanceof Map)) return refuse(`the header entry ${name} is not a JSON object`);
    if (name === '__metadata__') {
      for (const [key, value] of entry) {
        if (typeof value !== 'string') return refuse(`__metadata__.${key} is not a string`);
        metadata.set(key, value);
      }
    } else found.push([name, parseEntry(entry, 8 + json.length, (what) => refuse(`tensor ${name}: ${what}`))]);
  }

  found.sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let end = 8 + json.length;
  for (const [name, entry] of found) {
    if (entry.offset < end) refuse(`tensor ${name} overlaps the tensor before it by ${end - entry.offset} bytes`);
    if (entry.offset > end) refuse(`${entry.offset - end} bytes before tensor ${name} belong to no tensor`);
    end += entry.bytes;
    const over = end - (8 + json.length + dataBytes);
    if (over > 0) refuse(`tensor ${name} reaches ${over} bytes beyond the end of the file`);
  }
  const rest = 8 + json.length + dataBytes - end;
  if (rest > 0) refuse(`${rest} bytes after the last tensor belong to no tensor`);
  return { metadata, entries: new Map(found) };
}

function parseEntry(entry: ReadonlyMap<string, Json>, dataStart: number, refuse: (what: string) => never): TensorEntry {
  for (const key of entry.keys()) {
    if (key !== 'dtype' && key !== 'shape' && key !== 'data_offsets')
      return refuse(`unknown field ${JSON.stringify(key)}`);
  }
  const dtype = entry.get('dtype');
  if (typeof dtype !== 'string') return refuse('no dtype');
  const width = Object.hasOwn(DTYPE_BITS, dtype)
    ? DTYPE_BITS[dtype]!
    : refuse(`unknown dtype ${JSON.stringify(dtype)}`);
  const counts = (field: string): number[] => {
    const list = entry.get(field);
    if (!Array.isArray(list)) return refuse(`no ${field}`);
    return list.map((item) => {
      const value = item instanceof JsonNumber ? item.count : undefined;
      return (
        value ??
        refuse(`${field} holds ${item instanceof JsonNumber ? item.text : 'no number'}, not a whole number ≥ 0`)
      );
    });
  };
  const shape = counts('shape');
  const offsets = counts('data_offsets');
  if (offsets.length !== 2) return refuse(`data_offsets has ${offsets.length} numbers, not 2`);
  const [begin, end] = offsets as [number, number];
  if (end < begin) return refuse(`data_offsets [${begin}, ${end}] end before they begin`);
  const total = shape.reduce((product, n) => product * BigInt(n), BigInt(width));
  if (total !== 8n * BigInt(end - begin)) {
    return refuse(`shape [${shape.join(', ')}] of ${dtype} does not make the ${end - begin} bytes of its data_offsets`);
  }
  return { dtype, shape, offset: dataStart + begin, bytes: end - begin };
}
