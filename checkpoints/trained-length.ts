/** How long a text a model folder is meant for: one rule for evaluation and export, so that both cut the same texts alike. */
import { join } from 'node:path';
import { exists, readText } from './files.ts';
import { parseRunRecord, RUN_RECORD_FILE } from './run-record.ts';

/** Tokens of a text at most, where no run record says otherwise. */
export const MAX_LENGTH = 128;

/**
 * Tokens to which texts are cut unless a length is asked for: those the model was trained with, as `run.json` beside it says, else 128;
 * never more than it has positions. A `run.json` of another program is passed over.
 * @throws InputError for a run record that cannot be read
 */
export async function trainedLength(dir: string, positions: number): Promise<number> {
  return Math.min((await recordedLength(join(dir, RUN_RECORD_FILE))) ?? MAX_LENGTH, positions);
}

async function recordedLength(file: string): Promise<number | undefined> {
  if (!(await exists(file))) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(await readText(file, 'Give --max-length.'));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if ((json as { format?: unknown } | null)?.format !== 'run-record') return undefined;
  const { recipe } = parseRunRecord(json, file).config;
  const length = (recipe as { maxLength?: unknown } | null | undefined)?.maxLength;
  return Number.isInteger(length) && (length as number) >= 2 ? (length as number) : undefined;
}
