/** The product's commands as words with places in them, so that a command can be shown without the paths of one machine. */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { Failure, InputError } from '../../common/errors.ts';
import { onError } from '../../cli/ui/colour.ts';
import { packageFile } from '../../cli/ui/package.ts';

/** Real folders by the name with which commands are shown, `$GLUE` for `GLUE`. */
export type Places = Readonly<Partial<Record<'RUNS' | 'GLUE' | 'MINILM' | 'TOKENIZER' | 'BROUGHT' | 'WORK', string>>>;

const OPTIONS = {
  RUNS: '--runs',
  GLUE: '--glue',
  MINILM: '--from',
  TOKENIZER: '--tokenizer',
  BROUGHT: '--brought',
  WORK: '',
} as const;

/** The real path of a word that begins with a place. @throws InputError if nobody said where the place is */
export function real(word: string, places: Places): string {
  const name = /^\$([A-Z]+)/.exec(word)?.[1] as keyof Places | undefined;
  if (name === undefined) return word;
  const folder = places[name];
  if (folder === undefined) throw new InputError(`nobody said where $${name} is`, `Give ${OPTIONS[name]}.`);
  return resolve(folder) + word.slice(name.length + 1);
}

/** As typed in a shell in the root of the checkout, where MINILM, GLUE and RUNS are set. */
export const shown = (words: readonly string[]): string => ['npx', ...words].join(' ');

/**
 * Runs a command of the package in the root of the checkout; what it says on standard error is shown as it comes, or when quiet only if
 * it fails.
 * @returns the JSON of the last line of its standard output
 * @throws Failure with its exit code
 */
export async function runJson(
  words: readonly string[],
  { places, quiet }: { readonly places: Places; readonly quiet: boolean },
): Promise<Record<string, unknown>> {
  if (!quiet) process.stderr.write(`${onError.dim(`$ ${shown(words)}`)}\n`);
  const args = words.slice(1).map((word) => real(word, places));
  return lastLine(await output([`cli/${words[0]}.js`, ...args, '--json'], quiet));
}

/** A measurement of `bench`, with its progress. */
export async function runBench(words: readonly string[]): Promise<unknown> {
  return lastLine(await output(['bench/main.js', ...words, '--json'], false));
}

async function output([program, ...args]: readonly string[], quiet: boolean): Promise<string> {
  const child = spawn(process.execPath, [packageFile(`dist/${program}`), ...args], {
    cwd: packageFile('.'),
    stdio: ['ignore', 'pipe', quiet ? 'pipe' : 'inherit'],
  });
  let out = '';
  let said = '';
  child.stdout!.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
  const code = await new Promise<number | null>((done, fail) => child.on('error', fail).on('close', done));
  if (code === 0) return out;
  process.stderr.write(said);
  throw new Failure(`${program} ended with exit code ${code}`, 'see its lines above', code ?? 1);
}

/** The JSON of the last line of what a command printed. @throws InputError if it is none */
export function lastLine(out: string): Record<string, unknown> {
  const line = out.trimEnd().split('\n').at(-1)!;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    throw new InputError(`not JSON: ${line.slice(0, 80)}`, 'Give what a command printed with --json.');
  }
}
