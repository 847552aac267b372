/** Markdown tables. */

/** What stands where nothing was measured. */
export const NOT_RUN = 'not run';

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** Rows of a table; `align` has `l` or `r` for each column, `r` where it is too short. */
export function mdTable(head: readonly string[], rows: readonly (readonly string[])[], align = ''): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  const rule = head.map((_, i) => (align[i] === 'l' ? '---' : '--:'));
  return [line(head), `|${rule.join('|')}|`, ...rows.map(line)];
}
