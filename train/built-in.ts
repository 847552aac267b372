/** Recipes and presets that ship with the package, as JSON files a person reads, copies and changes. */
import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../common/errors.ts';
import { packageRoot } from '../common/package-root.ts';

export type BuiltInKind = 'recipe' | 'preset';

/** The parsed files of `train/recipes` or `train/presets` by name, which is the file's without `.json`. */
export function builtIns(kind: BuiltInKind): ReadonlyMap<string, unknown> {
  const folder = join(packageRoot(), 'train', `${kind}s`);
  const names = readdirSync(folder).flatMap((file) => (file.endsWith('.json') ? [file.slice(0, -'.json'.length)] : []));
  const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
  return new Map(names.toSorted().map((name) => [name, read(name)]));
}

/**
 * The built-in of that name, else the user's JSON file; `where` names it in messages.
 * @throws InputError if it is neither, or no JSON
 */
export async function readNamed(kind: BuiltInKind, nameOrFile: string): Promise<{ json: unknown; where: string }> {
  const known = builtIns(kind);
  if (known.has(nameOrFile)) return { json: known.get(nameOrFile), where: `${kind} ${nameOrFile}` };
  if (!nameOrFile.endsWith('.json')) {
    throw new InputError(
      `no ${kind} '${nameOrFile}'`,
      `Built in: ${[...known.keys()].join(', ')}; or give a JSON file, such as a changed copy of one in train/${kind}s/.`,
    );
  }
  try {
    return { json: JSON.parse(await readFile(nameOrFile, 'utf8')), where: nameOrFile };
  } catch (error) {
    throw new InputError(
      `${nameOrFile}: no readable JSON (${(error as Error).message})`,
      `Give the name of a built-in ${kind} or a JSON file.`,
    );
  }
}
