import type { Step } from './commands.ts';
import { onError } from '../ui/colour.ts';

export interface DemoResult {
  readonly examples: number;
  /** Accuracies on the same `examples` sentences. */
  readonly teacher: number;
  readonly swapped: number;
  readonly student: number;
  readonly fixed: number;
  readonly secured: number;
  /** Share of secured labels equal to the float student's. */
  readonly agreement: number;
  /** Secured logits equal the interpreter's, given the same masks. */
  readonly bitExact: boolean;
  /** Accuracies on the whole test set. */
  readonly testTeacher: number;
  readonly testStudent: number;
  readonly testSwapped: number;
  readonly seconds: number;
  readonly secondsPerSentence: number;
  /** Sent by one party to the other, the client and the assistant. */
  readonly sentBytesPerSentence: number;
  readonly rounds: number;
  /** Sentences whose answer a guard withheld. */
  readonly withheld: number;
}

export const labelsOf = (rows: readonly { readonly label: string }[]): string[] => rows.map((row) => row.label);

/** Share of labels that are right; compares as many as there are predictions. */
export const accuracy = (predicted: readonly string[], gold: readonly string[]): number =>
  predicted.filter((label, i) => label === gold[i]).length / predicted.length;

const percent = (x: number | undefined): string => (x === undefined ? '' : `${(100 * x).toFixed(2)} %`).padStart(12);

/** The table a person reads at the end. */
export function report(r: DemoResult, steps: readonly Step[]): string {
  const row = (name: string, some: number, all?: number): string =>
    `${name.padEnd(34)}${percent(some)}${percent(all)}\n`;
  const time = steps.map((s) => `${s.title.padEnd(58)}${s.seconds.toFixed(1).padStart(7)} s\n`).join('');
  return (
    `\n${onError.bold('Accuracy'.padEnd(34))}${`first ${r.examples}`.padStart(12)}${'whole test'.padStart(12)}\n` +
    row('teacher, softmax', r.teacher, r.testTeacher) +
    row('2Quad swapped in, no training', r.swapped, r.testSwapped) +
    row('student, float', r.student, r.testStudent) +
    row('student, fixed point in the clear', r.fixed) +
    row('student, secured', r.secured) +
    `\nsecured labels equal to the float student's${percent(r.agreement)}\n` +
    `secured logits equal to the interpreter's, same masks  ${r.bitExact ? 'bit for bit' : onError.red('NO')}\n` +
    `per sentence: ${r.secondsPerSentence.toFixed(3)} s, ${(r.sentBytesPerSentence / 1e6).toFixed(2)} MB sent by a party, ${r.rounds} rounds\n` +
    (r.withheld === 0 ? '' : `${r.withheld} answers withheld: a value left its calibrated range\n`) +
    `\n${onError.bold('Time')}\n${time}${'whole demo'.padEnd(58)}${r.seconds.toFixed(1).padStart(7)} s\n`
  );
}
