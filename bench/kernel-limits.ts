/** What the machine could do at most, measured: multiply instructions on registers alone, AES rounds, copying. */
import type { Kernels } from '../ring/index.ts';

/** Per second; `of` says what. */
export interface Limit {
  readonly of: string;
  readonly value: number;
}

/** Seconds of the fastest of several calls. */
type Time = (f: () => void) => number;

/** Numbers of `Kernels.peak`. */
const PRODUCT_32 = 0, PRODUCT_64 = 1, MADD52_OR_MUL32 = 2, WORD_PAIRS = 3, AES_ROUND = 4; // prettier-ignore
const ROUNDS = 20_000;

/** Products an instruction makes in a second (bytes, of an AES round), undefined where the set has no such instruction. */
function rate(set: Kernels, instruction: number, time: Time): number | undefined {
  const each = set.peak(instruction, 1);
  return each === 0 ? undefined : (each * ROUNDS) / time(() => set.peak(instruction, ROUNDS));
}

/**
 * Multiply-adds in a second if a kernel did nothing but the multiplications of its method (ring/kernels/src/arith.h), and those at
 * full speed. For 64 bits in AVX-512 it is the 64-bit multiply instruction, which the method there does not use.
 */
export function limitOfProducts(set: Kernels, n: number, time: Time): Limit {
  const of = (instruction: number): number => rate(set, instruction, time)!;
  if (n > 64) throw new Error(`no limit is known for products of ring ${n}`);
  if (set.name === 'avx512') {
    // Two steps of k take three instructions of 32 products each.
    if (n <= 32) return { of: 'VPDPWSSD, 3 products', value: of(WORD_PAIRS) / 3 };
    return n <= 52 ? { of: 'VPMADD52LUQ', value: of(MADD52_OR_MUL32) } : { of: 'VPMULLQ', value: of(PRODUCT_64) };
  }
  if (set.name === 'avx2') {
    if (n <= 32) return { of: 'VPMULLD', value: of(PRODUCT_32) };
    const low = 1 / of(MADD52_OR_MUL32);
    // Both cross products of a word: one VPMADDWD of two products, or two VPMULLD.
    return n <= 48
      ? { of: 'VPMULUDQ + VPMADDWD', value: 1 / (low + 2 / of(WORD_PAIRS)) }
      : { of: 'VPMULUDQ + 2 VPMULLD', value: 1 / (low + 2 / of(PRODUCT_32)) };
  }
  return n <= 32
    ? { of: '32-bit vector product', value: of(PRODUCT_32) }
    : { of: '64-bit product', value: of(PRODUCT_64) };
}

/** Bytes of AES-128 in counter mode, ten rounds a block; undefined for a set without AES instructions. */
export function limitOfStream(set: Kernels, time: Time): Limit | undefined {
  const rounds = rate(set, AES_ROUND, time);
  return rounds === undefined ? undefined : { of: 'AES rounds', value: rounds / 10 };
}

/** Bytes read and written in a second by copying `bytes`: as many as the elementwise kernels move, so from the same cache. */
export function limitOfCopy(bytes: number, time: Time): Limit {
  const [from, to] = [new Uint8Array(bytes).fill(1), new Uint8Array(bytes)];
  return { of: 'copying', value: (2 * bytes) / time(() => to.set(from)) };
}
