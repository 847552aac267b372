/** Figures of `bench secure`, `bench kernels` and `bench train`, as they were printed. */
import type { SpeedLine } from './lines.ts';
import { mdTable } from './markdown.ts';

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A figure with at most four significant digits, large ones grouped. */
export function figure(value: unknown): string {
  if (typeof value !== 'number') return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e5) return String(value);
  if (Math.abs(value) >= 1e9) return `${(value / 1e9).toPrecision(4)} G`;
  if (Math.abs(value) >= 1e6) return `${(value / 1e6).toPrecision(4)} M`;
  return Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}

/** Fields of fields by dotted names. */
function flat(fields: Fields, prefix = ''): [name: string, value: unknown][] {
  return Object.entries(fields).flatMap(([name, value]) =>
    isFields(value) ? flat(value, `${prefix}${name}.`) : [[`${prefix}${name}`, value] as [string, unknown]],
  );
}

/** One record for each measurement: an array is its records; of an object with one array of records, each with the rest beside it. */
export function records(output: unknown): Map<string, unknown>[] {
  if (Array.isArray(output)) return output.filter(isFields).map((fields) => new Map(flat(fields)));
  if (!isFields(output)) return [];
  const lists = Object.entries(output).filter(([, value]) => Array.isArray(value) && value.some(isFields));
  const rest = flat(
    Object.fromEntries(Object.entries(output).filter(([name]) => !lists.some(([own]) => own === name))),
  );
  if (lists.length === 0) return [new Map(rest)];
  return lists.flatMap(([, list]) =>
    (list as unknown[]).filter(isFields).map((fields) => new Map([...flat(fields), ...rest])),
  );
}

const TITLES: Readonly<Record<string, string>> = {
  secure: 'Secured inference of random models',
  kernels: 'Ring kernels',
  train: 'Training steps',
};

/** Columns where the JSON has more than a table can show; the rest is in the file of lines. */
const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  secure: [
    ...['shape', 'seq', 'batch', 'plan', 'wallSeconds', 'onlineSeconds', 'textsPerSecond', 'onlineTextsPerSecond'],
    ...[
      'sentBytesPerParty',
      'rounds',
      'dealtBytes',
      'peakRssBytes.party0',
      'peakRssBytes.party1',
      'peakRssBytes.assistant',
    ],
    ...['maxError', 'meanError', 'logitSd', 'cores', 'kernels'],
  ],
};

const about = (bench: string): string =>
  bench === 'secure'
    ? 'Three role processes on one host, TLS on loopback, guard on; answers checked against float.'
    : bench === 'kernels'
      ? 'A second of one core, for each set of kernels; in brackets the ratio to the limit of that set measured beside it (`docs/KERNELS.md` names the limits).'
      : 'Fields as the command prints them.';

/** Fields of a figure of `bench kernels`, of which `kernels` names the set; beside them the limit that the figure is held to. */
const KERNEL_FIELDS = ['what', 'n', 'size', 'unit'] as const;
const LIMIT_FIELDS = ['limit', 'limitOf', 'ratio'] as const;

/**
 * Figures of one kernel in one row, a column for each set of kernels, with the ratio to its limit in brackets; undefined where the
 * figures have other fields than these.
 */
export function bySet(figures: readonly ReadonlyMap<string, unknown>[]): Map<string, unknown>[] | undefined {
  const needed = [...KERNEL_FIELDS, 'kernels', 'value'];
  const known = new Set<string>([...needed, ...LIMIT_FIELDS]);
  const are = (fields: ReadonlyMap<string, unknown>): boolean =>
    needed.every((name) => fields.has(name)) && [...fields.keys()].every((name) => known.has(name));
  if (!figures.every(are)) return;
  const rows = new Map<string, Map<string, unknown>>();
  for (const fields of figures) {
    const shared = KERNEL_FIELDS.map((name) => [name, fields.get(name)] as const);
    const key = JSON.stringify(shared);
    const row = rows.get(key) ?? new Map<string, unknown>(shared);
    const ratio = fields.get('ratio');
    const value = figure(fields.get('value'));
    rows.set(key, row.set(String(fields.get('kernels')), typeof ratio === 'number' ? `${value} (${ratio.toFixed(2)})` : value)); // prettier-ignore
  }
  return [...rows.values()];
}

/** A section for every kind of measurement; the columns are the fields of its JSON. */
export function speedSections(lines: readonly SpeedLine[], letter: (line: SpeedLine) => string): string[] {
  const kinds = [...new Set(lines.map(({ bench }) => bench))];
  return kinds.flatMap((kind) => {
    const own = lines.filter(({ bench }) => bench === kind);
    const measured = own.flatMap((line) => {
      const figures = records(line.output);
      return (bySet(figures) ?? figures).map((fields) => ({ line, fields }));
    });
    const present = new Set(measured.flatMap(({ fields }) => [...fields.keys()]));
    const columns = (COLUMNS[kind] ?? [...present]).filter((name) => present.has(name));
    const rows = measured.map(({ line, fields }) => [
      ...columns.map((name) => (fields.has(name) ? figure(fields.get(name)) : '–')),
      letter(line),
    ]);
    const commands = own.map((line) => `${line.command}   # machine ${letter(line)}`);
    return [
      ...[`## ${TITLES[kind] ?? kind}`, '', about(kind), ''],
      ...['```sh', ...commands, '```', ''],
      ...mdTable([...columns, 'machine'], rows),
      '',
    ];
  });
}
