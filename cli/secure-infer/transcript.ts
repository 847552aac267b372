/** Transcripts of deterministic runs: what was opened, and party 1's rounding words, from which the interpreter repeats a run. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../../common/errors.ts';
import { pack, unpack, type Words } from '../../ring/index.ts';
import { readU32 } from '../../runtime/encoding.ts';
import type { Watch } from '../../runtime/role/party-options.ts';

interface Line {
  readonly gate: string;
  readonly n: number;
  readonly words: number;
}

/** An opened value of a round: this party's half and the sum, packed to n bits, in base64. */
interface OpenedLine extends Line {
  readonly round: number;
  readonly sent: string;
  readonly opened: string;
}

interface RoundingLine extends Line {
  readonly u: string;
}

const base64 = (w: Words): string => Buffer.from(pack(w)).toString('base64');

/** Folder of the index-th text. */
export const textFolder = (dir: string, index: number): string => join(dir, `text-${String(index).padStart(5, '0')}`);

const folderOf = (dir: string, reference: Uint8Array): string => textFolder(dir, readU32(reference, 12));

/** Writes party0.jsonl or party1.jsonl of every session, and rounding.jsonl at party 1. */
export function transcriptWatch(dir: string, party: 0 | 1): (reference: Uint8Array) => Watch {
  return (reference) => {
    const folder = folderOf(dir, reference);
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `party${party}.jsonl`);
    const rounding = join(folder, 'rounding.jsonl');
    writeFileSync(file, '');
    if (party === 1) writeFileSync(rounding, '');
    const write = (to: string, line: OpenedLine | RoundingLine): void =>
      appendFileSync(to, `${JSON.stringify(line)}\n`);
    return {
      opened: ({ round, gate, sent, sum }) =>
        write(file, { round, gate, n: sum.n, words: sum.length, sent: base64(sent), opened: base64(sum) }),
      ...(party === 1
        ? { rounding: (gate, u) => write(rounding, { gate: gate.name, n: u.n, words: u.length, u: base64(u) }) }
        : {}),
    };
  };
}

/** Party 1's rounding words of the index-th text, by gate. */
export function readRounding(dir: string, index: number): Map<string, Words> {
  const file = join(textFolder(dir, index), 'rounding.jsonl');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    throw new InputError(
      `${file}: cannot be read`,
      'Give the folder that `local --seed S --transcript DIR` wrote for the same texts.',
    );
  }
  const lines = text
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '');
  return new Map(
    lines.map((line) => {
      const { gate, n, words, u } = JSON.parse(line) as RoundingLine;
      return [gate, unpack(Buffer.from(u, 'base64'), n, words)];
    }),
  );
}

export interface ClientRecord {
  readonly ids: readonly number[];
  readonly types: readonly number[];
  readonly logits: readonly number[];
}

/** Writes what the client of a deterministic run got for text `index`. */
export function writeClient(dir: string, index: number, record: ClientRecord): void {
  mkdirSync(textFolder(dir, index), { recursive: true });
  writeFileSync(join(textFolder(dir, index), 'client.json'), `${JSON.stringify(record)}\n`);
}

/** Reads it back. @throws InputError if it is not there */
export function readClient(dir: string, index: number): ClientRecord {
  const file = join(textFolder(dir, index), 'client.json');
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ClientRecord;
  } catch {
    throw new InputError(
      `${file}: cannot be read`,
      'Give the folder that `local --seed S --transcript DIR` wrote for the same texts.',
    );
  }
}
