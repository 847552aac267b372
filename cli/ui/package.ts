import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Root of the installed package, from its sources as well as from `dist/`. */
export const packageRoot = ((): string => {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
})();

/** A file that ships with the package. */
export const packageFile = (path: string): string => join(packageRoot, path);
