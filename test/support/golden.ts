import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/**
 * Where golden files lie: the environment variable if given (then it must exist), else the default beside the checkout.
 * `undefined` means: not given and absent, so the tests that need it are skipped, with a printed reason.
 */
function locate(variable: string, fallback: string): string | undefined {
  const given = process.env[variable];
  if (given !== undefined && given !== '') {
    const path = resolve(given);
    if (!existsSync(path)) throw new Error(`${variable}=${given}: no such folder`);
    return path;
  }
  const path = resolve(dirname(dirname(import.meta.dirname)), fallback);
  if (existsSync(path)) return path;
  if (process.env.GOLDEN_REQUIRED) throw new Error(`${variable} is not set and ${fallback} is absent`);
  process.stderr.write(`${variable} is not set and ${fallback} is absent: tests that need it are skipped\n`);
  return undefined;
}

export const GOLDEN_DIR = locate('GOLDEN_DIR', '../shared/data/golden');
export const SPEC_DIR = locate('SPEC_DIR', '../shared/spec/vectors');
export const DATA_DIR = locate('DATA_DIR', '../shared/data');

/** The case folders of one golden folder, by listing; prints the count and fails on zero. */
export function caseFolders(folder: string): string[] {
  if (GOLDEN_DIR === undefined) return [];
  const path = join(GOLDEN_DIR, folder);
  if (!existsSync(path)) throw new Error(`${path}: no such folder`);
  const names = readdirSync(path)
    .filter((name) => statSync(join(path, name)).isDirectory())
    .sort();
  if (names.length === 0) throw new Error(`${path}: no cases`);
  process.stdout.write(`${folder}: ${names.length} cases\n`);
  return names.map((name) => join(path, name));
}
