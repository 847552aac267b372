import { spawn } from 'node:child_process';
import { Failure } from '../../common/errors.ts';
import { packageFile } from '../ui/package.ts';
import { onError } from '../ui/colour.ts';

/** One command that ran, with its wall time. */
export interface Step {
  readonly title: string;
  readonly seconds: number;
}

interface Run {
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly steps: Step[];
  readonly teacher: string;
  readonly work: string;
}

/** The command as a user would type it from the root of the checkout. */
const shown = ({ command, args, teacher, work }: Run): string =>
  ['npx', command, ...args]
    .map((word) =>
      word.replace(teacher, 'checkpoints/polarity-teacher').replace(work, 'DEMO').replace(packageFile(''), ''),
    )
    .join(' ');

/** Runs one of the package's commands as a process of its own: progress to standard error, results returned. */
export async function run(request: Run): Promise<string> {
  process.stderr.write(`\n${onError.bold(request.title)}\n${onError.dim(`$ ${shown(request)}`)}\n`);
  const start = Date.now();
  const child = spawn(process.execPath, [packageFile(`dist/cli/${request.command}.js`), ...request.args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  const seconds = (Date.now() - start) / 1000;
  if (code !== 0) {
    throw new Failure(
      `${request.command} ended with exit code ${code}`,
      `run it by itself: ${shown(request)}`,
      code ?? 1,
    );
  }
  process.stderr.write(onError.green(`${seconds.toFixed(1)} s\n`));
  request.steps.push({ title: request.title, seconds });
  return out;
}
