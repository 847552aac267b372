import { extname } from 'node:path';
import { InputError } from '../common/errors.ts';
import type { ColumnOptions, Columns } from './columns.ts';
import { chooseColumns, COLA_COLUMNS, givenByNumber, looksLikeCola } from './columns.ts';
import { readBytes, readText } from './decode.ts';
import { openParquet } from './parquet.ts';
import type { Rows } from './table.ts';
import { parseCsv, parseJsonl, parseTsv, splitLines } from './table.ts';

/** One text or pair of texts with its label as written in the file (a class name, a class number, a score). */
export interface Example {
  readonly text: string;
  readonly pair?: string;
  readonly label?: string;
}

export interface ReadOptions extends ColumnOptions {
  /**
   * TSV only: called with the line of every row that has too few or too many cells or no text, which is then left out.
   * Absent: such a row is refused.
   */
  readonly onBrokenRow?: ((line: number) => void) | undefined;
}

export interface Dataset {
  /** In the order of the file. */
  readonly examples: readonly Example[];
  /** Where each stands in the file: `line 7`, of Parquet `row 3`. */
  readonly places?: readonly string[];
  /** Columns of the file, of plain text none; absent where the data is in no file. */
  readonly columns?: readonly string[];
  /** SHA-256 (hex) of the file's bytes. */
  readonly hash: string;
  /** The file, or the part of a bundled task. */
  readonly source: string;
  /** Broken rows of the file that were left out, where its format's custom is to do so; absent: none. */
  readonly omitted?: number;
}

/** File and line of an example, or its number where the data is in no file. */
export const placeOf = ({ source, places }: Pick<Dataset, 'source' | 'places'>, i: number): string =>
  places === undefined ? `${source}: example ${i + 1}` : `${source}, ${places[i]!}`;

/**
 * Reads examples in the format its extension names: .tsv (unquoted, as GLUE), .csv (quoted), .jsonl or .ndjson, .parquet,
 * .txt (one text a line). Which columns are read: `chooseColumns`.
 * @throws InputError naming file, line (of Parquet: row) and remedy for bytes that are not UTF-8, an empty file, an unknown
 * extension or column, rows of unequal width, a text without characters, a missing label.
 */
export async function readExamples(file: string, options: ReadOptions = {}): Promise<Dataset> {
  const extension = extname(file).toLowerCase();
  const parse = PARSERS[extension];
  if (parse === undefined && extension !== PARQUET) {
    throw new InputError(
      `${file}: unknown extension`,
      `Name the file by its format: ${Object.keys(PARSERS).join(', ')}, ${PARQUET}.`,
    );
  }
  const { hash, found, columns } =
    parse === undefined ? await fromParquet(file, options) : await fromText(file, parse, options);
  if (found.length === 0)
    throw new InputError(`${file}: a header but no examples`, 'Give a file with at least one example.');
  const [examples, places] = [found.map(({ example }) => example), found.map(({ place }) => place)];
  return { examples, places, columns, hash, source: file };
}

const PARQUET = '.parquet';

interface Placed {
  readonly example: Example;
  readonly place: string;
}
interface Found {
  readonly found: readonly Placed[];
  readonly columns: readonly string[];
}
interface Read extends Found {
  readonly hash: string;
}

async function fromText(file: string, parse: Parser, options: ReadOptions): Promise<Read> {
  const { text, hash } = await readText(file);
  return { hash, ...parse(text, file, options) };
}

async function fromParquet(file: string, options: ColumnOptions): Promise<Read> {
  const { bytes, hash } = await readBytes(file);
  const table = openParquet(bytes, file);
  const columns = chooseColumns(table.names, options, file);
  const text = await table.texts(columns.text);
  const pair = columns.pair === undefined ? undefined : await table.texts(columns.pair);
  const label = columns.label === undefined ? undefined : await table.labels(columns.label);
  const found = text.map((value, i) =>
    checked(
      {
        text: value,
        ...(pair === undefined ? {} : { pair: pair[i]! }),
        ...(label === undefined ? {} : { label: label[i]! }),
      },
      file,
      `row ${i + 1}`,
    ),
  );
  return { hash, found, columns: table.names };
}

type Parser = (text: string, file: string, options: ReadOptions) => Found;

const PARSERS: Readonly<Record<string, Parser>> = {
  '.tsv': (text, file, options) => fromRows(parseTsv(text, file, options.onBrokenRow), file, options),
  '.csv': (text, file, options) => fromRows(parseCsv(text, file), file, options),
  '.jsonl': fromJsonl,
  '.ndjson': fromJsonl,
  '.txt': fromLines,
};

function fromLines(text: string, file: string, options: ColumnOptions): Found {
  const named = options.textColumn ?? options.pairColumn ?? options.labelColumn;
  if (named !== undefined) {
    throw new InputError(
      `${file}: column '${named}' does not exist; plain text has no columns`,
      'Leave the column options out, or use TSV, CSV or JSONL.',
    );
  }
  return { columns: [], found: splitLines(text).map((line, i) => checked({ text: line }, file, `line ${i + 1}`)) };
}

function fromRows(rows: Rows, file: string, options: ReadOptions): Found {
  const first = rows[0]!.cells;
  const named = options.textColumn ?? options.pairColumn ?? options.labelColumn;
  const headerless =
    (named === undefined && looksLikeCola(first)) || (givenByNumber(options) && !first.includes(named!));
  const names = headerless ? first.map((_, i) => String(i + 1)) : first;
  const repeated = names.find((name, i) => names.indexOf(name) !== i);
  if (repeated !== undefined) {
    throw new InputError(
      `${file}, line 1: two columns are called '${repeated}'`,
      'Give every column its own name; if the file has no header line, give column numbers.',
    );
  }
  const columns = headerless ? headerlessColumns(names, first, options, file) : chooseColumns(names, options, file);
  const at = (name: string | undefined): number => (name === undefined ? -1 : names.indexOf(name));
  const [text, pair, label] = [at(columns.text), at(columns.pair), at(columns.label)];
  const found = rows.slice(headerless ? 0 : 1).flatMap(({ line, cells }) => {
    if (options.onBrokenRow !== undefined && cells[text]!.trim() === '') {
      options.onBrokenRow(line);
      return [];
    }
    const example = {
      text: cells[text]!,
      ...(pair < 0 ? {} : { pair: cells[pair]! }),
      ...(label < 0 ? {} : { label: cells[label]! }),
    };
    return [checked(example, file, `line ${line}`)];
  });
  return { columns: names, found };
}

function headerlessColumns(
  names: readonly string[],
  first: readonly string[],
  options: ColumnOptions,
  file: string,
): Columns {
  if (!looksLikeCola(first)) return chooseColumns(names, options, file);
  const textColumn = options.textColumn ?? COLA_COLUMNS.text;
  return chooseColumns(names, { ...options, textColumn, labelColumn: options.labelColumn ?? COLA_COLUMNS.label }, file);
}

function fromJsonl(text: string, file: string, options: ColumnOptions): Found {
  const rows = parseJsonl(text, file);
  const names = Object.keys(rows[0]!.object);
  const columns = chooseColumns(names, options, file);
  const placed = rows.map(({ line, object }) => {
    const value = (name: string): unknown => {
      if (Object.hasOwn(object, name)) return object[name];
      throw new InputError(
        `${file}, line ${line}: no field '${name}'; fields: ${Object.keys(object).join(', ')}`,
        'Give every line the fields of the first.',
      );
    };
    const asString = (name: string): string => {
      const found = value(name);
      if (typeof found === 'string') return found;
      throw new InputError(`${file}, line ${line}: field '${name}' is not a string`, 'Write texts as JSON strings.');
    };
    const asLabel = (name: string): string => {
      const found = value(name);
      if (typeof found === 'string' || typeof found === 'number' || typeof found === 'boolean') return String(found);
      throw new InputError(
        `${file}, line ${line}: field '${name}' is no label`,
        'Write labels as JSON strings or numbers.',
      );
    };
    return checked(
      {
        text: asString(columns.text),
        ...(columns.pair === undefined ? {} : { pair: asString(columns.pair) }),
        ...(columns.label === undefined ? {} : { label: asLabel(columns.label) }),
      },
      file,
      `line ${line}`,
    );
  });
  return { columns: names, found: placed };
}

/** @throws InputError naming file and place */
function checked(example: Example, file: string, place: string): Placed {
  if (example.text.trim() === '') {
    throw new InputError(`${file}, ${place}: the text is empty`, 'Remove the line, or give the right --text-column.');
  }
  if (example.label === '') {
    throw new InputError(`${file}, ${place}: the label is empty`, 'Fill it in, or give the right --label-column.');
  }
  if (/\p{Cs}/u.test(example.text + (example.pair ?? ''))) {
    throw new InputError(
      `${file}, ${place}: half a surrogate pair in the text`,
      'Write characters beyond U+FFFF as both halves of their \\u escape.',
    );
  }
  return { example, place };
}
