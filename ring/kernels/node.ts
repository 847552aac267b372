import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { InputError } from '../../common/errors.ts';
import { type Kernels, setKernels } from './kernels.ts';
import { instantiateWasm } from './wasm.ts';

/** Native instruction sets, fastest first. */
const NATIVE = ['avx512', 'avx2', 'neon', 'portable'] as const;
const CHOICES = ['native', ...NATIVE, 'wasm'];

/** The package's root, from ring/kernels as from dist/ring/kernels: the folder above that has the committed WebAssembly. */
function packageRoot(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'ring', 'kernels', 'kernels.wasm'))) return folder;
    if (dirname(folder) === folder) throw new Error(`${import.meta.dirname}: no ring/kernels/kernels.wasm above it`);
  }
}

type Addon = Partial<Record<(typeof NATIVE)[number], Omit<Kernels, 'name' | 'setThreads' | 'detach'>>> & {
  setThreads(threads: number): void;
  detach(buffer: ArrayBufferLike): void;
};

/** The native sets this processor runs, fastest first; none where the addon was not built. */
function nativeSets(root: string): Kernels[] {
  const file = join(root, 'build', 'kernels.node');
  if (!existsSync(file)) return [];
  let addon: Addon;
  try {
    addon = createRequire(import.meta.url)(file) as Addon;
  } catch (error) {
    throw new InputError(
      `build/kernels.node: cannot be loaded (${(error as Error).message.split('\n')[0]})`,
      'run `npm rebuild` to build it for this machine, or set RING_KERNELS=wasm',
    );
  }
  return NATIVE.flatMap((name) => {
    const set = addon[name];
    const { setThreads, detach } = addon;
    return set === undefined ? [] : [{ ...set, name, setThreads, detach }];
  });
}

const wasm = (root: string): Promise<Kernels> =>
  instantiateWasm(readFileSync(join(root, 'ring', 'kernels', 'kernels.wasm')));

/**
 * Every set of kernels that runs here, fastest first; WebAssembly is always the last.
 * @throws InputError if a native addon is there but cannot be loaded.
 */
export async function availableKernels(root: string = packageRoot()): Promise<Kernels[]> {
  return [...nativeSets(root), await wasm(root)];
}

let loading: Promise<Kernels> | undefined;

/**
 * Loads the fastest kernels of this machine, or those RING_KERNELS names (native, avx512, avx2, neon, portable, wasm), and makes
 * them the process's, with RING_THREADS threads, or a third of the cores: often three roles share a machine. Loads once.
 * @throws InputError if RING_THREADS is no number of threads, or RING_KERNELS names kernels that are unknown or do not run here.
 */
export function loadKernels(): Promise<Kernels> {
  loading ??= choose().then((k) => {
    k.setThreads(threads());
    setKernels(k);
    return k;
  });
  return loading;
}

function threads(): number {
  const wanted = process.env['RING_THREADS'];
  if (wanted === undefined || wanted === '') return Math.max(1, Math.floor(availableParallelism() / 3));
  if (/^[1-9]\d{0,2}$/.test(wanted)) return Number(wanted);
  throw new InputError(`RING_THREADS=${wanted}: not a number of threads`, 'set 1 to 999, or unset it');
}

async function choose(): Promise<Kernels> {
  const wanted = process.env['RING_KERNELS'];
  if (wanted === 'wasm') return wasm(packageRoot());
  const sets = await availableKernels();
  if (wanted === undefined || wanted === '') return sets[0]!;
  const found = sets.find((set) => (wanted === 'native' ? set.name !== 'wasm' : set.name === wanted));
  if (found !== undefined) return found;
  throw new InputError(
    CHOICES.includes(wanted)
      ? `RING_KERNELS=${wanted}: these kernels do not run here (there are ${sets.map((s) => s.name).join(', ')})`
      : `RING_KERNELS=${wanted}: no such kernels`,
    wanted === 'native'
      ? 'install a C++ compiler and run `npm rebuild`, or unset RING_KERNELS'
      : `set one of ${CHOICES.join(', ')}, or unset it`,
  );
}
