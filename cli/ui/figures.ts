/** Figures as people read them; `--json` has them whole. */

/** What is a share of one, or a correlation, and is read as a percentage. */
const PERCENT = new Set(['accuracy', 'f1', 'matthews', 'pearson', 'spearman', 'score', 'agreement']);

/** `accuracy` and the like as a percentage (names may have a prefix, `dev.accuracy`), anything else to 4 significant digits. */
export function figure(name: string, value: number): string {
  if (PERCENT.has(name.slice(name.lastIndexOf('.') + 1))) return `${(100 * value).toFixed(2)} %`;
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

/** `1 text`, `2 texts`. */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

/** A line of a result: its name, and what it is. */
export const resultLine = (name: string, value: string): string => `${name.padEnd(16)} ${value}\n`;
