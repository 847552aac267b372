import { CsvError, parse } from 'csv-parse/sync';
import { InputError } from '../common/errors.ts';
import { csvLines } from './csv-lines.ts';

/** One record of a data file: the line it begins on and its cells. */
export interface Row {
  readonly line: number;
  readonly cells: readonly string[];
}

/** Records of a tabular file as they stand, header (if any) included; every row has as many cells as the first. */
export type Rows = readonly Row[];

/** Lines without their ends (LF or CRLF); the end of the last line does not begin another. */
export function splitLines(text: string): string[] {
  const lines = text.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/**
 * Tab-separated as GLUE has it: no quoting at all, so a quotation mark is a quotation mark and no cell holds a tab or newline.
 * Rows of another width than the first are told to `onBrokenRow` and left out.
 * @throws InputError at such a row if there is no `onBrokenRow`.
 */
export function parseTsv(text: string, file: string, onBrokenRow?: (line: number) => void): Rows {
  const rows = splitLines(text).map((line, i) => ({ line: i + 1, cells: line.split('\t') }));
  const width = rows[0]?.cells.length ?? 0;
  return rows.filter(({ line, cells }) => {
    if (cells.length === width) return true;
    if (onBrokenRow !== undefined) {
      onBrokenRow(line);
      return false;
    }
    throw new InputError(
      `${file}, line ${line}: ${cells.length} tab-separated cells where the first line has ${width}`,
      'Give every line the same number of tabs; TSV files are read unquoted, as GLUE writes them.',
    );
  });
}

/**
 * Comma-separated with double quotes (RFC 4180), lines ended by LF or CRLF. In a file of several columns an empty line is no row.
 * @throws InputError at a row of another width or a broken quotation.
 */
export function parseCsv(text: string, file: string): Rows {
  const remedy = 'Quote cells that hold commas, quotes or newlines; double a quote inside.';
  const { starts, broken } = csvLines(text);
  if (broken !== undefined) throw new InputError(`${file}, line ${broken.line}: ${broken.what}`, remedy);
  let rows: Rows;
  try {
    const records = parse(text, { record_delimiter: ['\r\n', '\n'], relax_column_count: true }) as string[][];
    rows = records.map((cells, i) => ({ line: starts[i]!, cells }));
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new InputError(`${file}: ${error.message}`, remedy);
  }
  const width = rows[0]?.cells.length ?? 0;
  return rows.filter(({ line, cells }) => {
    if (cells.length === width) return true;
    if (cells.length === 1 && cells[0] === '') return false;
    throw new InputError(`${file}, line ${line}: ${cells.length} cells where the first line has ${width}`, remedy);
  });
}

/** A JSON Lines record: the line and the object on it. */
export interface JsonRow {
  readonly line: number;
  readonly object: Readonly<Record<string, unknown>>;
}

/**
 * One JSON object a line.
 * @throws InputError at a line that is anything else.
 */
export function parseJsonl(text: string, file: string): readonly JsonRow[] {
  return splitLines(text).map((source, i) => {
    const line = i + 1;
    let value: unknown;
    try {
      value = JSON.parse(source);
    } catch (error) {
      const what = source.trim() === '' ? 'the line is empty' : `not JSON (${(error as Error).message})`;
      throw new InputError(`${file}, line ${line}: ${what}`, 'Write one JSON object a line, without empty lines.');
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new InputError(
        `${file}, line ${line}: not a JSON object`,
        'Write one JSON object a line, for example {"text": "…", "label": "…"}.',
      );
    }
    return { line, object: value as Record<string, unknown> };
  });
}
