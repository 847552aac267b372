import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = dirname(import.meta.dirname);

/** Who may import whom (each folder may import itself). One way only: the table has no cycle. */
const ALLOWED: Record<string, readonly string[]> = {
  common: [],
  model: ['common'],
  data: ['common', 'model'],
  checkpoints: ['common', 'model'],
  engine: ['common', 'model'],
  train: ['common', 'model', 'data', 'checkpoints', 'engine'],
  ring: ['common'],
  protocol: ['common', 'ring'],
  export: ['common', 'model', 'data', 'checkpoints', 'engine', 'ring', 'protocol'],
  runtime: ['common', 'ring', 'protocol', 'export', 'data'],
  cli: ['common', 'model', 'data', 'checkpoints', 'engine', 'train', 'ring', 'protocol', 'export', 'runtime'],
  bench: ['common', 'model', 'data', 'checkpoints', 'engine', 'train', 'ring', 'protocol', 'export', 'runtime', 'cli'],
};

/** Below these only what is listed: the runtime needs no more of export than the bundle format, of data than the tokeniser. */
const NARROW: Record<string, Record<string, RegExp>> = {
  runtime: { export: /^export\/bundle(\/|\.ts$)/, data: /^data\/tokenizer(\/|\.ts$)/ },
};

const sources = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.ts'))
    .map((f) => join(folder, f));

const imports = (file: string): string[] =>
  [...readFileSync(join(root, file), 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((m) => m[1]!);

describe('import directions', () => {
  for (const [folder, allowed] of Object.entries(ALLOWED)) {
    it(`${folder}/ imports only ${['itself', ...allowed].join(', ')}`, () => {
      const wrong: string[] = [];
      for (const file of sources(folder)) {
        for (const specifier of imports(file)) {
          if (!specifier.startsWith('.')) continue;
          const target = normalize(join(dirname(file), specifier));
          const to = target.split('/')[0]!;
          if (to === folder || to === 'package.json') continue;
          const narrow = NARROW[folder]?.[to];
          if (!allowed.includes(to) || (narrow !== undefined && !narrow.test(target)))
            wrong.push(`${file} → ${target}`);
        }
      }
      expect(wrong).toEqual([]);
    });
  }

  it('the client core and all below it need no node: module', () => {
    const seen = new Set<string>();
    const wrong: string[] = [];
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const specifier of imports(file)) {
        if (specifier.startsWith('node:')) wrong.push(`${file} → ${specifier}`);
        else if (specifier.startsWith('.')) visit(relative(root, join(root, dirname(file), specifier)));
      }
    };
    let entries: string[] = [];
    try {
      entries = sources('runtime/client');
    } catch {
      // No client yet: nothing to hold.
    }
    for (const file of entries) visit(file);
    expect(wrong).toEqual([]);
  });
});
