/** Figures as people read them; `--json` has them whole. */

/** What is a share of one, or a correlation, and is read as a percentage. */
const PERCENT = new Set(['accuracy', 'f1', 'matthews', 'pearson', 'spearman', 'score', 'agreement']);

/** `accuracy` and the like as a percentage (names may have a prefix, `dev.accuracy`), anything else to 4 significant digits. */
export function figure(name: string, value: number): string {
  if (PERCENT.has(name.slice(name.lastIndexOf('.') + 1))) return `${(100 * value).toFixed(2)} %`;
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

/** The largest unit of which the amount has at least one; nothing for 0. */
function scaled(amount: number, units: readonly (readonly [number, string, number])[]): string {
  if (amount === 0) return '';
  const [unit, name, places] = units.find(([least]) => amount >= least) ?? units.at(-1)!;
  return `${(amount / unit).toFixed(places)} ${name}`;
}

/** `1.23 MB`; nothing for 0. */
export const bytes = (amount: number): string =>
  scaled(amount, [[1e9, 'GB', 2], [1e6, 'MB', 2], [1e3, 'kB', 1]]); // prettier-ignore

/** A large count, `12.3 M`; nothing for 0. */
export const large = (count: number): string =>
  scaled(count, [[1e9, 'G', 1], [1e6, 'M', 1], [1e3, 'k', 1]]); // prettier-ignore

/** `12.3 ms`, `4.56 s`. */
export const duration = (seconds: number): string =>
  seconds >= 1 ? `${seconds.toFixed(2)} s` : `${(1000 * seconds).toFixed(1)} ms`;

/** `1 text`, `2 texts`. */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

/** A line of a result: its name, and what it is. */
export const resultLine = (name: string, value: string): string => `${name.padEnd(16)} ${value}\n`;
