import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = dirname(import.meta.dirname);

/** Not part of the project's text: what .gitignore names, and version control itself. */
const IGNORED = new Set([
  '.git',
  ...readFileSync(join(root, '.gitignore'), 'utf8')
    .split('\n')
    .map((line) => line.replace(/\/$/, '').trim())
    .filter((line) => line !== ''),
]);

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (IGNORED.has(entry.name)) return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? walk(path) : [relative(root, path)];
  });
}

const CODE = new Set(['.ts', '.mjs', '.js', '.cc', '.cpp', '.h', '.hpp', '.sh']);
const TEXT = new Set([...CODE, '.md', '.json', '.yml', '.yaml', '.html', '.css', '']);

const files = walk(root).filter((file) => TEXT.has(extname(file)));
const code = files.filter((file) => CODE.has(extname(file)));
const text = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Places, as file:line, where the pattern matches in the given files. */
const places = (among: readonly string[], pattern: RegExp): string[] =>
  among.flatMap((file) =>
    text(file)
      .split('\n')
      .flatMap((line, i) => (pattern.test(line) ? [`${file}:${i + 1}: ${line.trim().slice(0, 100)}`] : [])),
  );

describe('house style', () => {
  it('sees the project', () => {
    expect(code.length).toBeGreaterThan(50);
    expect(files).toContain('package.json');
  });

  it('leaves nothing to be done later', () => {
    expect(places(files, /TO[D]O\b|FIX[M]E\b|XX[X]\b/)).toEqual([]);
  });

  it('switches no test off by hand', () => {
    const tests = code.filter((file) => file.startsWith('test/'));
    expect(places(tests, /\.(only|skip|todo)\(/)).toEqual([]);
  });

  it('keeps a file of code to 500 lines', () => {
    const long = code.map((file) => [file, text(file).split('\n').length] as const).filter(([, lines]) => lines > 500);
    expect(long).toEqual([]);
  });

  it('names no path of one machine and no registry', () => {
    // The brackets keep the patterns from matching themselves.
    const path = /(?<![\w.~/-])\/(work|home|root|Users|tmp)\/[\w.]/;
    const host = /regis[t]ry\.[a-z]+\.[a-z]+|npm[j]s\.|py[p]i\.org|[r]esolved": "http/i;
    expect(places(files, path)).toEqual([]);
    expect(places(files, host)).toEqual([]);
  });

  it('looks beside the checkout only for test data', () => {
    const elsewhere = code.filter((file) => !file.startsWith('test/') && file !== 'scripts/test-golden.mjs');
    expect(places(elsewhere, /\.\.\/share[d]\b/)).toEqual([]);
  });

  it('documents every exported function and class', () => {
    const bare: string[] = [];
    for (const file of code.filter(
      (name) => name.endsWith('.ts') && !name.startsWith('test/') && name !== 'vitest.config.ts',
    )) {
      const lines = text(file).split('\n');
      lines.forEach((line, i) => {
        const name = /^export (?:default )?(?:abstract |async )*(?:function\*?|class) (\w+)/.exec(line)?.[1];
        if (name === undefined) return;
        // An overload's docstring stands above its first signature.
        let above = i - 1;
        while (new RegExp(`^export (?:async )?function\\*? ${name}\\b.*;$`).test(lines[above] ?? '')) above--;
        if (!/\*\/\s*$/.test(lines[above] ?? '')) bare.push(`${file}:${i + 1}: ${name}`);
      });
    }
    expect(bare).toEqual([]);
  });

  it('links only to files that exist', () => {
    const dead: string[] = [];
    for (const file of files.filter((name) => name.endsWith('.md'))) {
      const prose = text(file)
        .replace(/^```.*?^```/gms, '')
        .replace(/`[^`\n]*`/g, '');
      for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^([a-z]+:|#)/.test(target!)) continue;
        if (!existsSync(join(root, dirname(file), target!.replace(/#.*$/, '')))) dead.push(`${file} → ${target}`);
      }
    }
    expect(dead).toEqual([]);
  });
});
