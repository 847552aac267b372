/**
 * Speed of the ring kernels on one thread, for every set that runs here, each beside the limit this machine has for it, measured
 * in the same run: a product beside the multiply instruction it is made of, the key stream beside the AES instruction, everything
 * else beside copying as many bytes as it reads and writes. Results are compared between sets before anything is timed.
 *   npm run --silent bench -- kernels [--json]
 */
import type { Command } from 'commander';
import * as ring from '../ring/index.ts';
import type { Kernels, Words } from '../ring/index.ts';
import { availableKernels, loadKernels } from '../ring/kernels/node.ts';
import { expand } from '../ring/prg-node.ts';
import { limitOfCopy, limitOfProducts, limitOfStream, type Limit } from './kernel-limits.ts';

export interface KernelFigure {
  readonly kernels: string;
  /** The kernel; `product` multiplies with a packed matrix, `matmul` with one as it lies. */
  readonly what: string;
  readonly n: number;
  /** m × k × n of a product, words otherwise. */
  readonly size: string;
  readonly value: number;
  /** Multiply-adds, or bytes: of key stream, else those read and written. */
  readonly unit: 'MAC/s' | 'B/s';
  readonly limit: number;
  /** What the limit is one of. */
  readonly limitOf: string;
  readonly ratio: number;
}

export interface BenchOptions {
  /** [m, k, n] of the products. */
  readonly shapes: readonly (readonly [number, number, number])[];
  readonly rings: readonly number[];
  /** Words of the elementwise kernels. */
  readonly words: number;
  /** Least seconds a figure is measured for. */
  readonly seconds: number;
}

export const FULL: BenchOptions = {
  shapes: [
    [128, 768, 768],
    [25, 384, 1536],
    [1, 768, 768],
  ],
  rings: [32, 43, 64],
  words: 1 << 18,
  seconds: 0.25,
};

/** Not secret: reproducible operands. */
const operand = (n: number, length: number, salt: number): Words => expand(new Uint8Array(32).fill(salt), n, length);

/** One thing to measure, and its result as words. */
interface Work {
  readonly what: string;
  readonly n: number;
  readonly size: string;
  readonly amount: number;
  readonly unit: KernelFigure['unit'];
  /** Called once for a set before it is measured. */
  readonly prepare?: () => void;
  readonly run: () => Words;
}

/** Storage comes from a pool as in a session: fresh pages would cost more than many of the kernels. */
function pooled(run: () => Words): void {
  const region = new ring.Region();
  region.run(run);
  region.release(new Set());
}

function products({ shapes, rings }: BenchOptions): Work[] {
  return rings.flatMap((n) =>
    shapes.flatMap(([m, k, cols]) => {
      const [a, b] = [operand(n, m * k, 1), operand(n, k * cols, 2)];
      const common = { n, size: `${m}x${k}x${cols}`, amount: m * k * cols, unit: 'MAC/s' } as const;
      let packed: ring.PackedMatrix;
      return [
        { ...common, what: 'product', prepare: () => void (packed = ring.packMatrix(b, k, cols)), run: () => ring.matmulPacked(a, packed, m) },
        { ...common, what: 'matmul', run: () => ring.matmul(a, b, m, k, cols) },
      ]; // prettier-ignore
    }),
  );
}

/** Bytes of words in memory. */
const bytesOf = (...words: readonly Words[]): number => words.reduce((sum, w) => sum + w.data.byteLength, 0);

/** A kernel of the given operands, whose cost is the bytes it reads and writes; `also` are those of packed operands. */
function passing(what: string, n: number, read: readonly Words[], run: () => Words, also = 0): Work {
  const out = run();
  return { what, n, size: `${out.length}`, amount: bytesOf(...read, out) + also, unit: 'B/s', run };
}

function wire(words: number): Work[] {
  return [14, 32, 43].flatMap((n) => {
    const [w, own] = [operand(n, words, 3), operand(n, words, 4)];
    const packed = ring.pack(w);
    // The packed bytes are the result: as limbs, the last zero-filled.
    const room = new Uint32Array(Math.ceil(packed.length / 4));
    const bytes = new Uint8Array(room.buffer, 0, packed.length);
    const sent = ring.wrap(32, room);
    const stream = { what: 'key stream', n, size: `${words}`, amount: words * ring.slotBytes(n), unit: 'B/s' } as const;
    return [
      { ...stream, run: () => operand(n, words, 3) },
      passing('pack', n, [w], () => (ring.packInto(w, bytes), sent)),
      passing('mask and pack', n, [w, own], () => (ring.packMasked('sub', w, own, bytes), sent)),
      passing('unpack', n, [], () => ring.unpack(packed, n, words), packed.length),
      passing('unpack and add', n, [own], () => ring.unpackAdd(packed, own), packed.length),
    ];
  });
}

/** Steps of gates, in rings as the exporter plans them for BERT-base. */
function gates(words: number): Work[] {
  const ext = { c: operand(18, words, 5), r: operand(18, words, 6), q: operand(26, words, 7), qm: operand(26, words, 8), lift: 44 }; // prettier-ignore
  const parts = [ext.c, ext.r, ext.q, ext.qm];
  const [delta, rA, mA] = [operand(25, words, 9), operand(44, words, 10), operand(26, words, 11)];
  const w = { E: operand(44, words / 64, 12), A: operand(44, words / 64, 13) };
  const tables = operand(16, words, 14);
  const level = { n: 18, offset: -12345 };
  const flags = new Uint32Array(Math.ceil(words / 32));
  const flagged = (): Words => {
    flags.fill(0);
    ring.cellFlags(ext.c, tables, level, 4, { first: 0, end: words, table: 0, bits: flags, from: 0 });
    return ring.wrap(32, flags);
  };
  return [
    passing('add', 44, [rA, rA], () => ring.add(rA, rA)),
    passing('truncate', 44, [rA], () => ring.truncateReduce(1, rA, 12)),
    passing('lift', 44, parts, () => ring.extShare(0, ext, 44)),
    passing('square', 44, [...parts, delta], () => ring.squareShare(0, ext, delta, 44)),
    passing('row product', 44, [...parts, rA, mA, w.E, w.A], () => ring.productShare(0, ext, w, mA, rA, 64)),
    passing('guard tables', 18, [ext.r], () => ring.cellTables(ext.r, 18, 4, 0xff00n)),
    passing('guard flags', 18, [ext.c, tables], flagged),
    ...fourier(words / 8),
  ];
}

/** Tables of the activation: 8 harmonics, period 2^15, ring 45. */
function fourier(words: number): Work[] {
  const [b, l, K, n] = [15, 7, 8, 45];
  const table = (count: number, step: number, f: (x: number) => number): Int32Array =>
    Int32Array.from({ length: count }, (_, i) =>
      Math.round(f((2 * Math.PI * i * step) / 2 ** b) * 2 ** ring.TRIG_BITS),
    );
  const spec: ring.TrigSpec = {
    ...{ b, l, g1: 10, g2: 12 },
    hiCos: table(2 ** (b - l), 2 ** l, Math.cos),
    hiSin: table(2 ** (b - l), 2 ** l, Math.sin),
    loCos: table(2 ** l, 1, Math.cos),
    loSin: table(2 ** l, 1, Math.sin),
    a: BigInt64Array.from({ length: K }, (_, k) => BigInt(5000 - 700 * k)),
    bk: BigInt64Array.from({ length: K }, (_, k) => BigInt(300 * k - 1000)),
  };
  const [c, T] = [operand(b, words, 15), operand(n, 2 * K * words, 16)];
  return [
    passing('Fourier sum', n, [c, T], () => ring.fourierDot(c, T, spec, n)),
    passing('Fourier words', n, [c], () => ring.fourierSecret(c, spec, n)),
  ];
}

/** Seconds of the fastest call, over repetitions that fill `seconds`. */
function best(f: () => void, seconds: number): number {
  let least = Infinity;
  const end = performance.now() + 1000 * seconds;
  do {
    const from = performance.now();
    f();
    least = Math.min(least, performance.now() - from);
  } while (performance.now() < end);
  return Math.max(least / 1000, 1e-9);
}

/** Measures every kernel set that runs here, whose results must be equal before anything is timed. */
export async function benchKernels(options: BenchOptions = FULL): Promise<KernelFigure[]> {
  await loadKernels();
  const before = ring.kernels();
  const sets = await availableKernels();
  const { words, seconds } = options;
  try {
    const works = [...products(options), ...wire(words), ...gates(words)];
    const copy = limitOfCopy(16 * words, (f) => best(f, seconds));
    return works.flatMap((work) => measure(work, sets, copy, seconds));
  } finally {
    ring.setKernels(before);
  }
}

function limitOf({ what, unit, n }: Work, set: Kernels, copy: Limit, seconds: number): Limit {
  const time = (f: () => void): number => best(f, seconds / 8);
  if (unit === 'MAC/s') return limitOfProducts(set, n, time);
  return (what === 'key stream' ? limitOfStream(set, time) : undefined) ?? copy;
}

function measure(work: Work, sets: readonly Kernels[], copy: Limit, seconds: number): KernelFigure[] {
  const { what, n, size, amount, unit, prepare, run } = work;
  let first: Words | undefined;
  for (const set of sets) {
    ring.setKernels(set);
    prepare?.();
    const result = run();
    first ??= ring.slice(result, 0, result.length);
    if (!ring.equal(first, result)) throw new Error(`${what} of ring ${n}, ${size}: ${set.name} differs from ${sets[0]!.name}`); // prettier-ignore
  }
  return sets.map((set) => {
    ring.setKernels(set);
    set.setThreads(1);
    prepare?.();
    const limit = limitOf(work, set, copy, seconds);
    const value = amount / best(() => pooled(run), seconds);
    return { kernels: set.name, what, n, size, value, unit, limit: limit.value, limitOf: limit.of, ratio: value / limit.value }; // prettier-ignore
  });
}

const line = (f: KernelFigure): string =>
  `${f.what.padEnd(14)} ring ${String(f.n).padStart(3)}  ${f.size.padStart(13)}  ${f.kernels.padEnd(8)} ` +
  `${(f.value / 1e9).toFixed(2).padStart(7)} of ${(f.limit / 1e9).toFixed(2).padStart(6)} G${f.unit}  ${f.ratio.toFixed(2)} of ${f.limitOf}`;

/** `bench kernels`. */
export function addKernelsBench(program: Command): void {
  program
    .command('kernels')
    .description('Ring kernels on one thread, every set that runs here, beside the limits of this machine.')
    .option('--json', 'one JSON array as the last line')
    .addHelpText('after', '\nExample:\n  npm run --silent bench -- kernels --json\n')
    .action(async ({ json }: { readonly json?: boolean }) => {
      const figures = await benchKernels();
      process.stdout.write(json ? `${JSON.stringify(figures)}\n` : `${figures.map(line).join('\n')}\n`);
    });
}
