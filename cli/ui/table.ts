/** Tables and figures of the results that people read. */

/** Rows under a head and a rule: the first `left` columns begin left, the others end right. A `foot` has a rule above it. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { left = 1, foot }: { readonly left?: number; readonly foot?: readonly string[] } = {},
): string[] {
  const all = [head, ...rows, ...(foot === undefined ? [] : [foot])];
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i < left ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd();
  const rule = '-'.repeat(widths.reduce((sum, width) => sum + width + 2, -2));
  return [line(head), rule, ...rows.map(line), ...(foot === undefined ? [] : [rule, line(foot)])];
}
