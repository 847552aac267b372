import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromBigInts, slots, toBigInts, type Words } from '../../ring/index.ts';
import { SPEC_DIR } from './golden.ts';

/** The specification's vectors if there, else the committed copy of its small files. */
export const VECTORS = SPEC_DIR ?? join(dirname(import.meta.dirname), 'vectors', 'spec');

export const vectorFiles = (): string[] =>
  readdirSync(VECTORS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || entry.name.endsWith('.json'))
    .map((entry) => entry.name)
    .toSorted();

export function readVector<T>(file: string): T {
  const path = join(VECTORS, file);
  if (!existsSync(path)) throw new Error(`${path}: no such file`);
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}

/** An array of integers: row-major, numbers or decimal strings. */
export interface Encoded {
  readonly shape: readonly number[];
  readonly v: readonly (number | string)[];
}
export type Pair = readonly [Encoded, Encoded];

export interface SpecTable {
  readonly b: number;
  readonly a0: string;
  readonly a: readonly string[];
  readonly b_k: readonly string[];
  readonly g1: number;
  readonly g2: number;
  readonly f_out: number;
  readonly digest: string;
}

/** One case of a gate file. Numbers of `params` by name; `gate` is a Fourier table. */
export interface SpecCase {
  readonly params: Readonly<Record<string, number>> & {
    readonly gate?: SpecTable;
    readonly gate_party1?: SpecTable;
    readonly rows?: boolean;
    readonly elementwise?: boolean;
    readonly side?: 'keys' | 'queries';
  };
  readonly inputs: Readonly<Record<string, Encoded>>;
  readonly random: Readonly<Record<string, Encoded>>;
  readonly input_shares: Readonly<Record<string, Pair>>;
  readonly dealt: Readonly<Record<string, Pair>>;
  readonly sent: Readonly<Record<string, Pair>>;
  readonly opened: Readonly<Record<string, Encoded>>;
  readonly output_shares: Pair;
  readonly output: Encoded;
  readonly expected: Encoded;
  readonly rounding_word?: Encoded;
  readonly error_bound: number;
}

export interface NegativeCase extends SpecCase {
  readonly gate: string;
  readonly why: string;
  readonly at: string;
}

export const integers = ({ v }: Encoded): bigint[] => v.map(BigInt);
export const decode = (x: Encoded, n: number): Words => fromBigInts(integers(x), n);
export const signedIntegers = (x: Words): bigint[] => toBigInts(x).map((word) => BigInt.asIntN(x.n, word));

/** The words as given, out of range or not; `undefined` where the storage of the ring cannot even hold them. */
export function decodeUnchecked(x: Encoded, n: number): Words | undefined {
  const limbs = slots(n);
  const data = new Uint32Array(x.v.length * limbs);
  for (const [i, value] of integers(x).entries()) {
    if (BigInt.asUintN(32 * limbs, value) !== value && value > 0n) return undefined;
    for (let j = 0; j < limbs; j++) data[i * limbs + j] = Number(BigInt.asUintN(32, value >> BigInt(32 * j)));
  }
  return { n, length: x.v.length, data };
}
