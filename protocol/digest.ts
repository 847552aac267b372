/** Digests of a program and of its Fourier tables. The hash is an argument, since a browser's is not Node's. */
import { TRIG_BITS } from './gates/fourier.ts';
import type { FourierTable, Program, TrigTable } from './program.ts';

/** SHA-256 of bytes, as hex or as a promise of it. */
export type Hash<T> = (bytes: Uint8Array) => T;

/** JSON with sorted keys and no white space: equal values have equal texts. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).filter(([, v]) => v !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${entries.map(([key, v]) => `${JSON.stringify(key)}:${canonicalJson(v)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** Digest of the whole program: parties, assistant and client compare it before anything is dealt. */
export const programDigest = <T>(program: Program, sha256: Hash<T>): T =>
  sha256(new TextEncoder().encode(canonicalJson(program)));

/** Python's json.dumps of nested lists of integers and plain ASCII strings. */
const pythonJson = (value: unknown): string =>
  Array.isArray(value) ? `[${value.map(pythonJson).join(', ')}]` : JSON.stringify(value);

/** Digest of the integers of a Fourier gate, as the specification makes it (fourier.py, `digest`). */
export function fourierDigest<T>({ b, a0, a, bk, g1, g2, fOut }: FourierTable, trig: TrigTable, sha256: Hash<T>): T {
  const table = [trig.l, [trig.hiCos, trig.hiSin], [trig.loCos, trig.loSin]];
  return sha256(new TextEncoder().encode(pythonJson([b, a0, a, bk, g1, g2, fOut, TRIG_BITS, table])));
}
