import { Failure } from '../../common/errors.ts';
import type { Kernels } from './kernels.ts';

/** Parameters of each kernel: u an integer, r an array read, w one written, x one changed. */
const SIGNATURES = {
  zip: 'uurrwuuu',
  convert: 'rwuuuuu',
  choose: 'rrrwuu',
  sum: 'rwuuuu',
  gather: 'rrwuuu',
  matmul: 'rrwuuuuuu',
  matmulBatch: 'rrxuuuuuuuuuu',
  unaligned: 'r',
  packedLimbs: 'uuu',
  packMatrix: 'rwuuu',
  matmulPacked: 'rrwuuuuuuu',
  pack: 'rwuu',
  unpack: 'rwuu',
  narrow: 'rwuu',
  packMasked: 'rrrwuuuu',
  unpackAdd: 'rrwuu',
  extShare: 'rrrrwuuuuu',
  squareShare: 'rrrrrwuuuuuu',
  productShare: 'rrrrrrrrwuuuuuuu',
  cellTables: 'rwuuuuuu',
  cellFlags: 'rrxuuuuuuu',
  gfDots: 'rrrwu',
  peak: 'uu',
  encode: 'rwuuu',
  decode: 'rwuuu',
  fourierPublic: 'rrrrrrrwuuuu',
  fourierSecret: 'rrrrrwuuuuuu',
  fourierDot: 'rrrrrrrrwuuuuu',
} as const;

type Operand = Uint8Array | Uint32Array | Int32Array | Float64Array | BigInt64Array;
const PAGE = 65536;
const ALIGN = 64;

function grow(memory: WebAssembly.Memory, bytes: number): void {
  try {
    memory.grow(Math.ceil((bytes - memory.buffer.byteLength) / PAGE));
  } catch {
    throw new Failure(
      `the WebAssembly kernels got no ${Math.ceil(bytes / 2 ** 20)} MiB for one operation`,
      'process fewer texts at once, or install a C++ compiler and run `npm rebuild` for the native kernels',
    );
  }
}

/**
 * Kernels in WebAssembly (SIMD, one thread). Operands are copied into its memory and results out of it; the memory is reused
 * from call to call and grows to the largest call.
 */
export async function instantiateWasm(bytes: BufferSource): Promise<Kernels> {
  const { instance } = await WebAssembly.instantiate(bytes, {});
  const memory = instance.exports['memory'] as WebAssembly.Memory;
  const base = (instance.exports['__heap_base'] as WebAssembly.Global).value as number;

  const wrap = (name: keyof typeof SIGNATURES) => {
    const kernel = instance.exports[name] as (...args: number[]) => number;
    const signature = SIGNATURES[name];
    return (...args: (number | Operand)[]): number => {
      const at: number[] = [];
      let top = Math.ceil(base / ALIGN) * ALIGN;
      for (const arg of args) {
        if (typeof arg === 'number') at.push(arg);
        else {
          at.push(top);
          top += Math.ceil(arg.byteLength / ALIGN) * ALIGN;
        }
      }
      if (top > memory.buffer.byteLength) grow(memory, top);
      const heap = new Uint8Array(memory.buffer);
      const view = (a: Operand): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
      for (let i = 0; i < args.length; i++)
        if (signature[i] === 'r' || signature[i] === 'x') heap.set(view(args[i] as Operand), at[i]!);
      const status = kernel(...at);
      for (let i = 0; i < args.length; i++) {
        if (signature[i] !== 'w' && signature[i] !== 'x') continue;
        const target = view(args[i] as Operand);
        target.set(heap.subarray(at[i]!, at[i]! + target.byteLength));
      }
      return status >>> 0;
    };
  };

  const entries = (Object.keys(SIGNATURES) as (keyof typeof SIGNATURES)[]).map((name) => [name, wrap(name)] as const);
  return { name: 'wasm', setThreads: () => {}, ...Object.fromEntries(entries) } as unknown as Kernels;
}
