/** Rows of one task side by side: what a preset or recipe is worth against the default one, on what both have run. */
import type { ModelLine } from './lines.ts';
import { mdTable } from './markdown.ts';
import { labelOf, type Model, type Run } from './rows.ts';

/** What every other row is compared with. */
const DEFAULT_PRESET = 'secformer-centred';

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
export const signed = (points: number): string => `${points >= 0 ? '+' : '−'}${Math.abs(points).toFixed(2)}`;

/**
 * A table of scores, one column a task: percent, mean over the seeds that ran. The last two columns are the mean over tasks of the
 * difference to the default preset's row, seed by seed where both ran, and on how many tasks.
 */
export function compareSection(runs: readonly Run[], line: (model: Model) => ModelLine | undefined): string[] {
  const students = runs.filter((run) => run.variant === 'student' && line(run) !== undefined);
  const tasks = [...new Set(students.map(({ task }) => task))];
  const of = (label: string, task: string): Run[] =>
    students.filter((run) => labelOf(run) === label && run.task === task);
  const usual = labelOf({ task: '', variant: 'student', seed: 1, preset: DEFAULT_PRESET });
  const gain = (label: string, task: string): number[] => {
    const gaps = of(label, task).flatMap((run) => {
      const other = of(usual, task).find(({ seed }) => seed === run.seed);
      return other === undefined ? [] : [100 * (line(run)!.score - line(other)!.score)];
    });
    return gaps.length === 0 ? [] : [mean(gaps)];
  };
  const rows = [...new Set(students.map(labelOf))].map((label) => {
    const cells = tasks.map((task) => {
      const scores = of(label, task).map((run) => 100 * line(run)!.score);
      return scores.length === 0 ? '' : `${mean(scores).toFixed(2)}${scores.length === 1 ? '' : ` (${scores.length})`}`;
    });
    const gains = tasks.flatMap((task) => gain(label, task));
    const compared = label === usual || gains.length === 0;
    return [label, ...cells, compared ? '' : signed(mean(gains)), compared ? '' : String(gains.length)];
  });
  if (rows.length < 2) return [];
  return [
    '### Side by side',
    '',
    'The score of each task (the mean of its metrics; in brackets the number of seeds, if several), and the mean difference to',
    `\`${DEFAULT_PRESET}\` in points, over the seeds and tasks that both have run. One seed of a small dev set says little: a standard`,
    'error is 2 points on MRPC, 1 on STS-B, SST-2 and `polarity`, 3 on CoLA.',
    '',
    ...mdTable(['', ...tasks, `against \`${DEFAULT_PRESET}\``, 'tasks'], rows, `l${'r'.repeat(tasks.length)}rr`),
    '',
  ];
}
