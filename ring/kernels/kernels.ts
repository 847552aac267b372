/**
 * The kernels of Z_2^n behind one interface: native (node.ts) or WebAssembly (wasm.ts), bit for bit the same. What each
 * computes stands in src/kernels.h. Callers check lengths; kernels do not.
 */
export interface Kernels {
  /** `avx512`, `avx2`, `neon`, `portable` (native) or `wasm`. */
  readonly name: string;
  /** Threads a large product may use; WebAssembly has one. */
  setThreads(threads: number): void;
  /** Frees the memory of a buffer now, not when the collector comes by; nobody may read it again. Native only. */
  detach?(buffer: ArrayBufferLike): void;

  zip(op: number, mode: number, a: Uint32Array, s: Uint32Array, out: Uint32Array, rows: number, cols: number, n: number): number; // prettier-ignore
  convert(a: Uint32Array, out: Uint32Array, length: number, n: number, m: number, shift: number, flags: number): number;
  choose(bits: Uint32Array, a: Uint32Array, b: Uint32Array, out: Uint32Array, length: number, n: number): number;
  sum(a: Uint32Array, out: Uint32Array, rows: number, cols: number, axis: number, n: number): number;
  gather(a: Uint32Array, index: Uint32Array, out: Uint32Array, count: number, length: number, n: number): number;
  matmul(a: Uint32Array, b: Uint32Array, c: Uint32Array, m: number, k: number, n: number, col0: number, col1: number, w: number): number; // prettier-ignore
  matmulBatch(a: Uint32Array, b: Uint32Array, c: Uint32Array, count: number, m: number, k: number, n: number, aStep: number, aRow: number, bStep: number, bRow: number, transposed: number, w: number): number; // prettier-ignore
  /** Limbs of an array before the next multiple of 64 bytes. */
  unaligned(array: Uint32Array): number;
  /** Limbs a matrix (k × n in ring w) takes once packed for these kernels. */
  packedLimbs(k: number, n: number, w: number): number;
  packMatrix(b: Uint32Array, packed: Uint32Array, k: number, n: number, w: number): number;
  matmulPacked(a: Uint32Array, packed: Uint32Array, c: Uint32Array, m: number, k: number, n: number, col0: number, col1: number, wb: number, w: number): number; // prettier-ignore
  pack(a: Uint32Array, bytes: Uint8Array, length: number, n: number): number;
  unpack(bytes: Uint8Array, out: Uint32Array, length: number, n: number): number;
  narrow(bytes: Uint8Array, out: Uint32Array, length: number, n: number): number;
  /** Key stream as words; only where the processor has AES instructions. */
  keyStream?(key: Uint8Array, counter: Uint8Array, out: Uint32Array, length: number, n: number): number;
  encode(x: Float64Array, out: Uint32Array, length: number, f: number, n: number): number;
  decode(a: Uint32Array, x: Float64Array, length: number, f: number, n: number): number;
  packMasked(x: Uint32Array, a: Uint32Array, k: Uint32Array, bytes: Uint8Array, length: number, nx: number, n: number, minus: number): number; // prettier-ignore
  unpackAdd(bytes: Uint8Array, own: Uint32Array, out: Uint32Array, length: number, n: number): number;
  extShare(c: Uint32Array, r: Uint32Array, q: Uint32Array, qm: Uint32Array, out: Uint32Array, length: number, n: number, lift: number, N: number, party: number): number; // prettier-ignore
  squareShare(c: Uint32Array, r: Uint32Array, q: Uint32Array, qm: Uint32Array, delta: Uint32Array, out: Uint32Array, length: number, n: number, lift: number, N: number, party: number): number; // prettier-ignore
  productShare(c: Uint32Array, r: Uint32Array, q: Uint32Array, qm: Uint32Array, E: Uint32Array, A: Uint32Array, mA: Uint32Array, rA: Uint32Array, out: Uint32Array, length: number, n: number, lift: number, N: number, nw: number, cols: number, party: number): number; // prettier-ignore
  cellTables(r: Uint32Array, out: Uint32Array, length: number, n: number, nl: number, m: number, flagsLow: number, flagsHigh: number): number; // prettier-ignore
  cellFlags(c: Uint32Array, tables: Uint32Array, bits: Uint32Array, length: number, n: number, nl: number, m: number, offsetLow: number, offsetHigh: number, from: number): number; // prettier-ignore
  gfDots(a: Uint32Array, b: Uint32Array, sizes: Uint32Array, out: Uint32Array, runs: number): number;
  /** For measurements: products a round of one of the processor's multiply instructions makes; 0 where there is none. */
  peak(instruction: number, rounds: number): number;
  fourierPublic(c: Uint32Array, hiCos: Int32Array, hiSin: Int32Array, loCos: Int32Array, loSin: Int32Array, a: BigInt64Array, bk: BigInt64Array, out: Uint32Array, length: number, K: number, b: number, l: number): number; // prettier-ignore
  fourierSecret(r: Uint32Array, hiCos: Int32Array, hiSin: Int32Array, loCos: Int32Array, loSin: Int32Array, out: Uint32Array, length: number, K: number, b: number, l: number, g1: number, n: number): number; // prettier-ignore
  fourierDot(c: Uint32Array, T: Uint32Array, hiCos: Int32Array, hiSin: Int32Array, loCos: Int32Array, loSin: Int32Array, a: BigInt64Array, bk: BigInt64Array, out: Uint32Array, length: number, K: number, b: number, l: number, n: number): number; // prettier-ignore
}

let current: Kernels | undefined;

/** Makes `k` the kernels of this process. */
export function setKernels(k: Kernels): void {
  current = k;
}

/** The kernels in use; a program must load some first (`loadKernels` of node.ts, `instantiateWasm` of wasm.ts). */
export function kernels(): Kernels {
  if (current === undefined) throw new Error('no ring kernels are loaded: await loadKernels() first');
  return current;
}

export const hasKernels = (): boolean => current !== undefined;
