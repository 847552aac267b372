import { InputError } from '../common/errors.ts';

/** Column names, or for a file without header line 1-based numbers, as on the command line. */
export interface ColumnOptions {
  readonly textColumn?: string | undefined;
  readonly pairColumn?: string | undefined;
  readonly labelColumn?: string | undefined;
}

/** The columns to read, by name (JSONL) or by name and index (TSV, CSV). */
export interface Columns {
  readonly text: string;
  readonly pair: string | undefined;
  readonly label: string | undefined;
}

/** Columns of text and pair in the layouts of GLUE and of common exports; the first whose columns all exist is taken. */
const LAYOUTS: readonly (readonly [text: string, pair?: string])[] = [
  ['sentence1', 'sentence2'], // RTE, STS-B, WNLI, MNLI
  ['question', 'sentence'], // QNLI
  ['question1', 'question2'], // QQP
  ['#1 String', '#2 String'], // MRPC
  ['premise', 'hypothesis'],
  ['text_a', 'text_b'],
  ['text', 'pair'],
  ['sentence'], // SST-2
  ['text'],
];

/** The usual label columns, in order: GLUE's, then MNLI's, MRPC's, STS-B's and QQP's own. */
const LABELS: readonly string[] = ['label', 'gold_label', 'Quality', 'score', 'is_duplicate'];

/** Column names as a message lists them, long ones cut. */
export const quoted = (names: readonly string[]): string =>
  names.map((name) => (name.length > 40 ? `'${name.slice(0, 40)}…'` : `'${name}'`)).join(', ');

/**
 * Which of the columns `existing` hold text, pair and label. A given text column means one text, unless a pair column is
 * given too; with neither, the first known layout decides. The label column is optional unless named.
 * @throws InputError for a column that does not exist, listing those that do.
 */
export function chooseColumns(existing: readonly string[], options: ColumnOptions, file: string): Columns {
  const given = (flag: string, name: string | undefined): string | undefined => {
    if (name === undefined || existing.includes(name)) return name;
    throw new InputError(
      `${file}: ${flag} '${name}' does not exist; columns: ${quoted(existing)}`,
      `Give one of these columns to ${flag}.`,
    );
  };
  const textColumn = given('--text-column', options.textColumn);
  const pairColumn = given('--pair-column', options.pairColumn);
  const labelColumn = given('--label-column', options.labelColumn);

  const usable = (name: string): boolean => existing.includes(name) && name !== pairColumn && name !== labelColumn;
  const layout = textColumn === undefined ? LAYOUTS.find((names) => names.every((name) => usable(name!))) : undefined;
  const text = textColumn ?? layout?.[0];
  if (text === undefined) {
    throw new InputError(
      `${file}: no column of a known name holds the text; columns: ${quoted(existing)}`,
      'Name it with --text-column; if the file has no header line, by number (--text-column 1).',
    );
  }
  const label = labelColumn ?? LABELS.find((name) => existing.includes(name) && name !== text && name !== pairColumn);
  return { text, pair: pairColumn ?? layout?.[1], label };
}

/** Whether the given columns are all numbers, which says that the file has no header line. */
export function givenByNumber(options: ColumnOptions): boolean {
  const names = [options.textColumn, options.pairColumn, options.labelColumn].filter((name) => name !== undefined);
  return names.length > 0 && names.every((name) => /^[1-9][0-9]*$/.test(name));
}

/** Columns of CoLA's official train and dev files, which have no header: source, label, the author's mark, sentence. */
export const COLA_COLUMNS: Columns = { text: '4', pair: undefined, label: '2' };

/** Whether a first line looks like CoLA's. */
export function looksLikeCola(cells: readonly string[]): boolean {
  return cells.length === 4 && /^[01]$/.test(cells[1]!) && /^(\*|)$/.test(cells[2]!);
}
