/** The commands on real processes, as a person starts it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const COMMANDS = join(import.meta.dirname, '../../dist/cli');
/** "Within seconds", with room for a loaded machine. */
export const SECONDS = 30_000;

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly command?: 'secure-infer' | 'train-distill';
  readonly cwd?: string;
  /** Largest file the process may write, KiB: a write beyond it fails as on a full disk. */
  readonly fileLimit?: number;
}

/** One process of a command, from its start; `endAll` ends those that a test leaves behind. */
export class Run {
  readonly child: ChildProcess;
  out = '';
  err = '';
  readonly ended: Promise<Ended>;

  constructor(args: readonly string[], { command = 'secure-infer', cwd, fileLimit }: RunOptions = {}) {
    const file = join(COMMANDS, `${command}.js`);
    if (!existsSync(file)) throw new Error('dist/ is missing: npm run build');
    const whole = [process.execPath, file, ...args];
    const [program, ...rest] =
      fileLimit === undefined ? whole : ['bash', '-c', `ulimit -f ${fileLimit}; exec "$@"`, 'bash', ...whole];
    this.child = spawn(program!, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.child.stdout!.setEncoding('utf8').on('data', (chunk: string) => (this.out += chunk));
    this.child.stderr!.setEncoding('utf8').on('data', (chunk: string) => (this.err += chunk));
    this.ended = new Promise((resolve) =>
      this.child.on('close', (code) => resolve({ code, out: this.out, err: this.err })),
    );
    running.push(this);
  }

  /** Waits until standard error has `pattern`. */
  async says(pattern: RegExp): Promise<void> {
    const deadline = Date.now() + SECONDS;
    while (!pattern.test(this.err)) {
      if (Date.now() > deadline || this.child.exitCode !== null) throw new Error(`never said ${pattern}:\n${this.err}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

const running: Run[] = [];

/** Runs the command to its end. */
export const secureInfer = (...args: string[]): Promise<Ended> => new Run(args).ended;

/** For `afterEach`: no process outlives its test. */
export async function endAll(): Promise<void> {
  const all = running.splice(0);
  for (const run of all) run.child.kill('SIGKILL');
  await Promise.all(all.map((run) => run.ended));
}
