import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { loadWeights, readSafetensors, requireHead, type Safetensors } from '../../checkpoints/index.ts';
import { InputError } from '../../common/errors.ts';
import { GOLDEN_DIR } from '../support/golden.ts';

interface Case {
  folder: string;
  outcome: 'load' | 'warn' | 'either' | 'refuse';
  why: string;
  values?: string;
}

const dir = GOLDEN_DIR === undefined ? undefined : join(GOLDEN_DIR, '08_checkpoints');
const cases: Case[] =
  dir === undefined ? [] : (JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')) as { cases: Case[] }).cases;
if (dir !== undefined) process.stdout.write(`08_checkpoints: ${cases.length} cases\n`);

/** Names in a safetensors file, read without the code under test (these headers are plain JSON). */
function storedNames(folder: string): string[] {
  const file = join(folder, 'model.safetensors');
  if (!existsSync(file)) return [];
  const bytes = readFileSync(file);
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0)))) as object;
  return Object.keys(header).filter((name) => name !== '__metadata__');
}

const FIELDS = /\b(hidden_size|num_attention_heads|vocab_size|hidden_act|position_embedding_type|model_type)\b/g;
const TENSORS = /\b(bert\.[\w.]+\w|classifier\.(?:weight|bias))\b/g;

/** The message names the file, and the tensors and fields that the manifest names; there is a remedy; nothing was printed. */
function expectClear(error: unknown, { folder, why }: Case, path: string): void {
  expect(error).toBeInstanceOf(InputError);
  const { message, hint } = error as InputError;
  const files = readdirSync(path).map((name) => join(path, name));
  const absent = why.match(/\b(config\.json|model-[\w-]+\.safetensors)(?=[\w ,]* absent)/)?.[0];
  const named = [...files, ...(absent === undefined ? [] : [join(path, absent)])];
  // Where no weight file exists there is only the folder to name.
  expect(
    message.startsWith(`${path}: no weight file`) || named.some((file) => message.startsWith(`${file}: `)),
    message,
  ).toBe(true);
  for (const [name] of why.matchAll(TENSORS)) expect(message).toContain(name);
  if (folder.startsWith('refuse-config'))
    for (const [field] of why.matchAll(FIELDS)) expect(`${message} ${hint}`).toContain(field);
  expect(hint.length).toBeGreaterThan(20);
}

describe.runIf(dir !== undefined)('golden checkpoint folders', () => {
  const root = dir ?? '';
  let reference: Safetensors;
  beforeAll(async () => {
    reference = await readSafetensors(join(root, 'reference', 'tensors.safetensors'));
  });

  const expectValues = (loaded: Awaited<ReturnType<typeof loadWeights>>, set: string): void => {
    const names = [...reference.tensors.keys()]
      .filter((name) => name.startsWith(`${set}.`))
      .map((name) => name.slice(set.length + 1));
    expect(names.length).toBeGreaterThan(0);
    expect([...loaded.tensors.keys(), ...loaded.missing].toSorted()).toEqual(names.toSorted());
    for (const [name, { shape, data }] of loaded.tensors) {
      const wanted = reference.tensors.get(`${set}.${name}`)!;
      expect(shape, name).toEqual(wanted.shape);
      // As integers: −0 and 0 differ.
      expect(new Uint32Array(data.buffer, data.byteOffset, data.length), name).toEqual(
        new Uint32Array(wanted.data.buffer, wanted.data.byteOffset, wanted.data.length),
      );
    }
  };

  it('has a case for every folder', () => {
    const folders = readdirSync(root).filter(
      (name) => name !== 'reference' && statSync(join(root, name)).isDirectory(),
    );
    expect(cases.length).toBeGreaterThan(0);
    expect(cases.map(({ folder }) => folder).toSorted()).toEqual(folders.toSorted());
  });

  for (const golden of cases) {
    const path = join(root, golden.folder);
    it(`${golden.outcome} ${golden.folder}: ${golden.why}`, async () => {
      const stdout = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
      let loaded: Awaited<ReturnType<typeof loadWeights>> | undefined;
      let error: unknown;
      try {
        loaded = await loadWeights(path);
      } catch (thrown) {
        error = thrown;
      } finally {
        expect(stdout).not.toHaveBeenCalled();
        stdout.mockRestore();
      }
      expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('shape');

      if (golden.outcome === 'refuse' || (golden.outcome === 'either' && loaded === undefined)) {
        expect(loaded).toBeUndefined();
        expectClear(error, golden, path);
        return;
      }
      if (loaded === undefined) throw error;
      expectValues(loaded, golden.values!);
      if (golden.outcome === 'load') {
        expect(loaded.warnings).toEqual([]);
        expect(loaded.missing).toEqual([]);
        return;
      }
      if (golden.outcome !== 'warn' && golden.outcome !== 'either')
        throw new Error(`unknown outcome ${golden.outcome as string}`);
      // Every tensor left out and every parameter made new is named.
      const left = storedNames(path).filter((name) => !loaded.tensors.has(name) && !loaded.tensors.has(`bert.${name}`));
      const text = loaded.warnings.join('\n');
      for (const name of [...left, ...loaded.missing]) expect(text).toContain(name);
      if (golden.outcome === 'warn') expect(left.length + loaded.missing.length).toBeGreaterThan(0);
      if (loaded.missing.length > 0) expect(() => requireHead(loaded, path)).toThrow(InputError);
      else expect(() => requireHead(loaded, path)).not.toThrow();
    });
  }
});
