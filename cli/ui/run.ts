import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { CommanderError } from 'commander';
import { Failure } from '../../common/errors.ts';
import { packageFile } from './package.ts';
import { onError } from './colour.ts';
import { Stopped } from './interrupt.ts';

/** Version of the installed package, for `--version`. */
export const version = (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version;

/**
 * Runs a command line: a Failure becomes two lines on standard error (what, remedy) and its exit code; a bug keeps its
 * stack. Ctrl-C exits with 130; work that can go on later is Stopped, which is one line. Standard output carries results only, everything else goes to standard error.
 */
export async function runCommand(program: Command, argv: readonly string[] = process.argv): Promise<void> {
  // Subcommands do not inherit it: they were added before.
  const every = (command: Command): void => void (command.exitOverride(), command.commands.forEach(every));
  every(program);
  process.once('SIGINT', () => process.exit(130));
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2;
    } else if (error instanceof Stopped) {
      process.stderr.write(`${error.message}\n`);
      process.exitCode = error.exitCode;
    } else if (error instanceof Failure) {
      process.stderr.write(`${onError.red('error:')} ${error.message}\n${onError.dim('remedy:')} ${error.hint}\n`);
      process.exitCode = error.exitCode;
    } else {
      process.stderr.write(
        `${onError.red('bug:')} ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
      );
      process.exitCode = 70;
    }
  }
}
