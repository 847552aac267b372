import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as ring from '../../ring/index.ts';
import { availableKernels } from '../../ring/kernels/node.ts';
import { mod } from '../support/ring-twin.ts';
import { SPEC_DIR } from '../support/golden.ts';

/** The executable specification's gates that are kernels here: truncate-reduce and the Fourier gate. */
interface Tensor {
  shape: number[];
  v: (number | string)[];
}
interface Case {
  params: Record<string, unknown>;
  inputs: Record<string, Tensor>;
  random: Record<string, Tensor>;
  input_shares: Record<string, [Tensor, Tensor]>;
  dealt: Record<string, [Tensor, Tensor]>;
  opened: Record<string, Tensor>;
  output_shares: [Tensor, Tensor];
  rounding_word: Tensor;
  public_coefficients: Tensor;
  secret_trig: Tensor;
  wide_shares: [Tensor, Tensor];
}
interface Gate {
  b: number;
  a0: string;
  a: string[];
  b_k: string[];
  g1: number;
  g2: number;
  f_out: number;
}

const read = <T>(name: string): T => JSON.parse(readFileSync(join(SPEC_DIR as string, name), 'utf8')) as T;
const big = (t: Tensor): bigint[] => t.v.map(BigInt);
const words = (t: Tensor, n: number): ring.Words => ring.fromBigInts(big(t), n);
const ints = (v: readonly (number | string)[]): Int32Array => Int32Array.from(v, Number);

const sets = await availableKernels();
const there = SPEC_DIR !== undefined;
if (SPEC_DIR !== undefined && !existsSync(join(SPEC_DIR, 'fourier.json')))
  throw new Error(`${SPEC_DIR}: no fourier.json`);

describe.runIf(there).each(sets)('specification vectors on $name kernels', (set) => {
  const before = ring.kernels();
  beforeAll(() => ring.setKernels(set));
  afterAll(() => ring.setKernels(before));

  it('truncate-reduce: shares and rounding words', () => {
    const { cases } = read<{ cases: Case[] }>('truncate_reduce.json');
    expect(cases.length).toBeGreaterThan(0);
    for (const c of cases) {
      const { n, f } = c.params as { n: number; f: number };
      const [z0, z1] = c.input_shares['z']!;
      expect(ring.toBigInts(ring.truncateReduce(0, words(z0, n), f))).toEqual(big(c.output_shares[0]));
      expect(ring.toBigInts(ring.truncateReduce(1, words(z1, n), f))).toEqual(big(c.output_shares[1]));
      expect(ring.toBigInts(ring.roundingWord(words(z1, n), f))).toEqual(big(c.rounding_word));
    }
  });

  it('Fourier gate: public coefficients, dealt words, wide shares', () => {
    const { tables } = read<{ tables: Record<string, Record<string, number[]> & { l: number }> }>('trig_tables.json');
    const { cases } = read<{ cases: Case[] }>('fourier.json');
    let plain = 0;
    for (const c of cases) {
      const gate = c.params['gate'] as Gate;
      const n = (c.params['n_out'] as number) + gate.g1 + gate.g2 - gate.f_out;
      const t = tables[String(gate.b)] as unknown as {
        l: number;
        hi_cos: number[];
        hi_sin: number[];
        lo_cos: number[];
        lo_sin: number[];
      };
      const spec: ring.TrigSpec = {
        b: gate.b, l: t.l, hiCos: ints(t.hi_cos), hiSin: ints(t.hi_sin), loCos: ints(t.lo_cos), loSin: ints(t.lo_sin),
        a: BigInt64Array.from(gate.a, BigInt), bk: BigInt64Array.from(gate.b_k, BigInt), g1: gate.g1, g2: gate.g2,
      }; // prettier-ignore
      const opened = words(c.opened['c']!, gate.b);
      const coefficients = big(c.public_coefficients);
      expect(ring.toBigInts(ring.fourierPublic(opened, spec))).toEqual(coefficients.map((v) => mod(v, 64)));
      const r = ring.add(words(c.random['r0']!, gate.b), words(c.random['r1']!, gate.b));
      expect(ring.toBigInts(ring.fourierSecret(r, spec, n))).toEqual(big(c.secret_trig).map((v) => mod(v, n)));
      if (c.inputs['mu'] !== undefined) continue; // the padding-factor form has other wide shares
      plain++;
      for (const party of [0, 1] as const) {
        const z = ring.fourierDot(opened, words(c.dealt['T']![party], n), spec, n);
        const share = party === 0 ? ring.addScalar(z, BigInt(gate.a0)) : z;
        expect(ring.toBigInts(share)).toEqual(big(c.wide_shares[party]));
      }
    }
    expect(plain).toBeGreaterThan(0);
  });
});
