/**
 * Speed of the ring kernels, one thread: matrix products, key stream and packing, for every set of kernels that runs here.
 * Results are compared between sets before anything is timed.
 *   npm run --silent bench -- kernels [--json]
 */
import type { Command } from 'commander';
import { equal, kernels, type Kernels, matmul, pack, setKernels, unpack, type Words } from '../ring/index.ts';
import { availableKernels, loadKernels } from '../ring/kernels/node.ts';
import { expand } from '../ring/prg-node.ts';

export interface KernelFigure {
  readonly kernels: string;
  /** `matmul`, `key stream`, `pack` or `unpack`. */
  readonly what: string;
  readonly n: number;
  /** m × k × n of a product, words otherwise. */
  readonly size: string;
  readonly value: number;
  /** multiply-adds or bytes per second; bytes are those packed, or of key stream. */
  readonly unit: 'MAC/s' | 'B/s';
}

export interface BenchOptions {
  /** [m, k, n] of the products. */
  readonly shapes: readonly (readonly [number, number, number])[];
  readonly rings: readonly number[];
  /** Words of the byte kernels. */
  readonly words: number;
  /** Least seconds a figure is measured for. */
  readonly seconds: number;
}

export const FULL: BenchOptions = {
  shapes: [
    [128, 768, 3072],
    [25, 384, 1536],
    [1, 768, 768],
  ],
  rings: [32, 43, 64],
  words: 1 << 20,
  seconds: 0.5,
};

/** Not secret: reproducible operands. */
const operand = (n: number, length: number, salt: number): Words => expand(new Uint8Array(32).fill(salt), n, length);

/** Best time of one call of f in seconds, over repetitions that fill `seconds`. */
function best(f: () => unknown, seconds: number): number {
  let least = Infinity;
  const end = performance.now() + 1000 * seconds;
  do {
    const from = performance.now();
    f();
    least = Math.min(least, performance.now() - from);
  } while (performance.now() < end);
  return least / 1000;
}

function agree(sets: readonly Kernels[], what: string, f: () => Words): void {
  let first: Words | undefined;
  for (const set of sets) {
    setKernels(set);
    const result = f();
    first ??= result;
    if (!equal(first, result)) throw new Error(`${what}: ${set.name} differs from ${sets[0]!.name}`);
  }
}

/** Measures every kernel set that runs here, whose results must be equal before anything is timed. */
export async function benchKernels(options: BenchOptions = FULL): Promise<KernelFigure[]> {
  const before = await loadKernels().then(() => kernels());
  const sets = await availableKernels();
  const figures: KernelFigure[] = [];
  const measure = (
    what: string,
    n: number,
    size: string,
    amount: number,
    unit: KernelFigure['unit'],
    f: () => unknown,
  ): void => {
    for (const set of sets) {
      setKernels(set);
      set.setThreads(1);
      figures.push({ kernels: set.name, what, n, size, value: amount / best(f, options.seconds), unit });
    }
  };
  try {
    for (const n of options.rings) {
      for (const [m, k, cols] of options.shapes) {
        const [a, b] = [operand(n, m * k, 1), operand(n, k * cols, 2)];
        const f = (): Words => matmul(a, b, m, k, cols);
        agree(sets, `matmul ${m}x${k}x${cols} in ring ${n}`, f);
        measure('matmul', n, `${m}x${k}x${cols}`, m * k * cols, 'MAC/s', f);
      }
    }
    for (const n of [14, 32, 43]) {
      const { words } = options;
      const w = operand(n, words, 3);
      const bytes = pack(w);
      agree(sets, `pack in ring ${n}`, () => unpack(pack(w), n, words));
      measure('key stream', n, `${words}`, (words * (n <= 16 ? 16 : n <= 32 ? 32 : 64)) / 8, 'B/s', () =>
        operand(n, words, 3),
      );
      measure('pack', n, `${words}`, bytes.length, 'B/s', () => pack(w));
      measure('unpack', n, `${words}`, bytes.length, 'B/s', () => unpack(bytes, n, words));
    }
  } finally {
    setKernels(before);
  }
  return figures;
}

const line = (f: KernelFigure): string =>
  `${f.what.padEnd(11)} ring ${String(f.n).padStart(3)}  ${f.size.padStart(13)}  ${f.kernels.padEnd(8)} ${(f.value / 1e9).toFixed(2).padStart(7)} G${f.unit}`;

/** `bench kernels`. */
export function addKernelsBench(program: Command): void {
  program
    .command('kernels')
    .description('Ring kernels on one thread: products, key stream, packing, for every set that runs here.')
    .option('--json', 'one JSON array as the last line')
    .addHelpText('after', '\nExample:\n  npm run --silent bench -- kernels --json\n')
    .action(async ({ json }: { readonly json?: boolean }) => {
      const figures = await benchKernels();
      process.stdout.write(json ? `${JSON.stringify(figures)}\n` : `${figures.map(line).join('\n')}\n`);
    });
}
