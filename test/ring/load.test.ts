import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InputError } from '../../common/errors.ts';
import { availableKernels } from '../../ring/kernels/node.ts';

const root = join(import.meta.dirname, '../..');
const names = (await availableKernels()).map((set) => set.name);

const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

/** A fresh copy of the module, which has loaded nothing yet. */
async function load(wanted: string | undefined): Promise<string> {
  vi.stubEnv('RING_KERNELS', wanted);
  vi.resetModules();
  const { loadKernels } = await import('../../ring/kernels/node.ts');
  const { kernels } = await import('../../ring/kernels/kernels.ts');
  const { name } = await loadKernels();
  expect(kernels().name).toBe(name);
  return name;
}

describe('loading kernels', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.resetModules();
  });

  it('takes the fastest, or the one RING_KERNELS names', async () => {
    expect(await load(undefined)).toBe(names[0]);
    expect(await load('')).toBe(names[0]);
    for (const name of names) expect(await load(name)).toBe(name);
    if (names.length > 1) expect(await load('native')).toBe(names[0]);
  });

  it('refuses a choice that does not exist or does not run here', async () => {
    const refused = [
      'avx1024',
      ...['native', 'avx512', 'avx2', 'portable'].filter((n) =>
        n === 'native' ? names.length === 1 : !names.includes(n),
      ),
    ];
    for (const name of refused) {
      const failure = await load(name).then(String, (e: unknown) => e as InputError);
      expect(failure).toMatchObject({ name: InputError.name, exitCode: 2 });
      expect((failure as InputError).message).toContain(`RING_KERNELS=${name}`);
    }
  });

  it('refuses a number of threads that is none', async () => {
    for (const wanted of ['0', '-1', 'two', '1000', '1.5']) {
      vi.stubEnv('RING_THREADS', wanted);
      await expect(load(undefined)).rejects.toMatchObject({ name: InputError.name, exitCode: 2 });
    }
    vi.stubEnv('RING_THREADS', '2');
    expect(await load(undefined)).toBe(names[0]);
  });

  it('names a native addon that cannot be loaded, and how to mend it', async () => {
    const other = mkdtempSync(join(tmpdir(), 'broken-addon-'));
    try {
      mkdirSync(join(other, 'build'));
      writeFileSync(join(other, 'build/kernels.node'), 'not a shared object');
      await expect(availableKernels(other)).rejects.toMatchObject({
        message: expect.stringContaining('build/kernels.node: cannot be loaded') as unknown,
        hint: expect.stringContaining('RING_KERNELS=wasm') as unknown,
        exitCode: 2,
      });
    } finally {
      rmSync(other, { recursive: true });
    }
  });

  it('says that no kernels are loaded rather than computing', async () => {
    vi.resetModules();
    const { zeros, add } = await import('../../ring/index.ts');
    expect(() => add(zeros(8, 1), zeros(8, 1))).toThrow('no ring kernels are loaded');
  });
});

describe('the WebAssembly build', () => {
  it('is of the sources beside it', () => {
    const folder = join(root, 'ring/kernels');
    const record = JSON.parse(readFileSync(join(folder, 'kernels.wasm.json'), 'utf8')) as {
      wasm: string;
      sources: Record<string, string>;
    };
    expect(sha256(join(folder, 'kernels.wasm'))).toBe(record.wasm);
    const files = readdirSync(join(folder, 'src')).filter((name) => name !== 'addon.cc');
    expect(Object.fromEntries(files.map((name) => [name, sha256(join(folder, 'src', name))]))).toEqual(record.sources);
  });

  it('asks nothing of its host', async () => {
    const module = await WebAssembly.compile(readFileSync(join(root, 'ring/kernels/kernels.wasm')));
    expect(WebAssembly.Module.imports(module)).toEqual([]);
  });
});

describe('scripts/build-native.mjs', () => {
  let copy: string;
  beforeEach(() => {
    copy = mkdtempSync(join(tmpdir(), 'build-native-'));
    mkdirSync(join(copy, 'scripts'));
    cpSync(join(root, 'scripts/build-native.mjs'), join(copy, 'scripts/build-native.mjs'));
    for (const source of ['ring/kernels/src', 'engine/native'])
      cpSync(join(root, source), join(copy, source), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  });
  afterEach(() => rmSync(copy, { recursive: true, force: true }));

  /** The line about the ring kernels. */
  const build = (env: NodeJS.ProcessEnv): string =>
    execFileSync(process.execPath, [join(copy, 'scripts/build-native.mjs')], { env, encoding: 'utf8' }).split('\n')[0]!;
  const built = (): boolean => existsSync(join(copy, 'build/kernels.node'));

  it('says in one line that WebAssembly serves where there is no compiler', () => {
    expect(build({ PATH: join(copy, 'nowhere') })).toBe(
      'ring kernels: WebAssembly (no C++ compiler found for the faster native code)',
    );
    expect(built()).toBe(false);
  });

  it.runIf(process.platform !== 'win32')('says in one line why a build failed', () => {
    const bin = join(copy, 'bin');
    mkdirSync(bin);
    const script =
      '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "x.cc:1: error: no such header" >&2\necho more >&2\nexit 1\n';
    writeFileSync(join(bin, 'g++'), script);
    chmodSync(join(bin, 'g++'), 0o755);
    expect(build({ PATH: bin })).toBe('ring kernels: WebAssembly (native build failed: x.cc:1: error: no such header)');
    expect(built()).toBe(false);
    expect(readdirSync(join(copy, 'build'))).toEqual([]);
  });

  it.runIf(names.length > 1)('builds once, and again only when a source is newer', () => {
    const line = /^ring kernels: native \((AVX-512|AVX2|NEON|portable)\)$/;
    expect(build(process.env)).toMatch(line);
    expect(built()).toBe(true);
    // Up to date: even a machine without a compiler keeps what was built.
    expect(build({ PATH: '' })).toMatch(line);
    const later = new Date(Date.now() + 60_000);
    utimesSync(join(copy, 'ring/kernels/src/wire.h'), later, later);
    expect(build({ PATH: '' })).toContain('no C++ compiler');
    expect(built()).toBe(false);
  });
});
