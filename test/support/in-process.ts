/** Subcommands of the command line in this process. */
import { Command } from 'commander';
import { vi } from 'vitest';
import { addEvaluate } from '../../cli/train-distill/evaluate.ts';
import { addReport } from '../../cli/train-distill/report.ts';
import { addStudent } from '../../cli/train-distill/student.ts';
import { addTeacher } from '../../cli/train-distill/teacher.ts';

/** Runs what `add` adds to a program; its standard output. Standard error goes to `said`, and nowhere else. */
export async function inProcess(
  add: readonly ((program: Command) => void)[],
  args: readonly string[],
  said: (text: string) => void = () => {},
): Promise<string> {
  const program = new Command('test').exitOverride();
  for (const one of add) one(program);
  let out = '';
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true));
  const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => (said(String(text)), true));
  try {
    await program.parseAsync(['node', 'test', ...args]);
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
  return out;
}

export const trainDistill = (...args: string[]): Promise<string> =>
  inProcess([addTeacher, addStudent, addEvaluate, addReport], args);
