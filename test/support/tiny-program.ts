/** A whole one-layer classifier with every op of the masked suite and symbolic rings. Scales are arbitrary; rings and shapes fit. */
import { createHash } from 'node:crypto';
import { fourierDigest } from '../../protocol/digest.ts';
import {
  PROGRAM_VERSION,
  type FourierTable,
  type Gate,
  type Program,
  type Ring,
  type TensorSpec,
} from '../../protocol/program.ts';
import type { Shape } from '../../protocol/shape.ts';
import { trigTable } from './gate-cases.ts';

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const [HEADS, HIDDEN, WIDE, VOCAB, SPLIT, LABELS, LONGEST] = [2, 4, 6, 7, 2, 3, 9];

type Rest<G> = G extends Gate ? Omit<G, 'name' | 'in' | 'n' | 'f' | 'shape'> : never;

/** `hidden`: with a padding factor and a gate of each sort that reads one. */
export function tinyProgram(hidden = false): Program {
  const gates: Gate[] = [];
  const tensors: Record<string, TensorSpec> = {};
  const put = (name: string, from: number[], n: Ring, f: number, shape: Shape, rest: Rest<Gate>): number =>
    gates.push({ name, in: from, n, f, shape, ...rest } as Gate) - 1;
  const masked = (name: string, n: number, rows: number, cols: number): string => {
    tensors[name] = { role: 'masked', n, rows, cols };
    return name;
  };
  const share = (name: string, n: number, rows: number, cols: number): string => {
    tensors[name] = { role: 'share', n, rows, cols };
    return name;
  };
  const table = (b: number, K: number): FourierTable => {
    const plain = {
      b, a0: '5000000000', a: Array.from({ length: K }, (_, k) => String(900 >> k)),
      bk: Array.from({ length: K }, (_, k) => String(-(70 >> k))), g1: 20, g2: 12, fOut: 12, digest: '',
    }; // prettier-ignore
    return { ...plain, digest: fourierDigest(plain, trigTable(b), sha256) };
  };
  const token: Shape = { rows: 'token', cols: HIDDEN };
  const scalar: Shape = { rows: 'token', cols: 1 };
  const keys: Shape = { rows: 'head', cols: 'keys' };

  /** x at scale 2^10 in ring 30 → normalised rows, scale 2^10. */
  const norm = (key: string, x: number): number => {
    const short = put(`${key}.t`, [x], 26, 6, token, { op: 'truncate', by: 4 });
    const v = put(`${key}.x`, [short], 20, 6, token, { op: 'ext', lift: 48 });
    const ss = put(`${key}.ss`, [v], 48, 12, scalar, { op: 'square', rowSum: true });
    const scaled = put(`${key}.mul`, [ss], 48, 12, scalar, { op: 'scale', by: 9 });
    const period = put(`${key}.v`, [scaled], 18, -18, scalar, { op: 'truncate', by: 30 });
    const inv = put(`${key}.inv`, [period], 68, 32, scalar, { op: 'fourier', table: table(14, 3) });
    const cut = put(`${key}.invt`, [inv], 48, 12, scalar, { op: 'truncate', by: 20 });
    const io = put(`${key}.io`, [cut], 48, 12, scalar, { op: 'open' });
    const n = put(`${key}.n`, [v, io], 48, 18, token, { op: 'product', broadcast: 'row' });
    return put(`${key}.nt`, [n], 40, 10, token, { op: 'truncate', by: 8 });
  };

  const emb = put('emb', [], 30, 10, token, { op: 'embedding', tensor: masked('emb', 30, Math.ceil(VOCAB / SPLIT) + 1, SPLIT * HIDDEN), vocab: VOCAB, split: SPLIT }); // prettier-ignore
  const x0 = put('emb+', [emb], 30, 10, token, { op: 'bias', tensor: share('positions', 30, LONGEST, HIDDEN), along: 'position' }); // prettier-ignore
  const n = put('0.E_n', [norm('emb', x0)], 40, 10, token, { op: 'open' });
  const W = (name: string, ring: Ring): number =>
    put(`0.W${name}`, [n], ring, 22, token, { op: 'linear', tensor: masked(`W${name}`, 40, HIDDEN, HIDDEN), elementwise: false }); // prettier-ignore
  const q = put('0.Wq+', [W('q', { base: 27, plus: 'queries' })], { base: 27, plus: 'queries' }, 22, token, { op: 'bias', tensor: share('bq', 40, 1, HIDDEN), along: 'cols' }); // prettier-ignore
  const Q = put('0.E_q', [put('0.Q', [q], 13, 8, token, { op: 'centre', side: 'queries', by: 14 })], 13, 8, token, { op: 'open' }); // prettier-ignore
  const k = put('0.K', [W('k', { base: 27, plus: 'keys' })], 13, 8, token, { op: 'centre', side: 'keys', by: 14 });
  const K = put('0.E_k', [k], 13, 8, token, { op: 'open' });
  const V = put('0.E_v', [put('0.V', [W('v', 40)], 26, 8, token, { op: 'truncate', by: 14 })], 26, 8, token, { op: 'open' }); // prettier-ignore
  const factor = { longest: LONGEST, bits: 3, centred: false };
  put('0.V.scaled', [gates.findIndex(({ name }) => name === '0.Wv')], 20, 8, token, { op: 'lengthScale', by: 14, factor }); // prettier-ignore
  const S = put('0.S', [Q, K], 13, 16, keys, { op: 'matmul', form: 'scores' });
  const st = put('0.St', [S], 5, 8, keys, { op: 'truncate', by: 8 });
  const t = put('0.t+', [st], 5, 8, keys, { op: 'bias', tensor: share('c', 13, 1, HEADS), along: 'head' });
  const P = put('0.P', [put('0.o_S', [t], 5, 8, keys, { op: 'ext', lift: 30 })], 30, 16, keys, { op: 'square', rowSum: false }); // prettier-ignore
  const D = put('0.D', [P], 30, 16, { rows: 'head', cols: 1 }, { op: 'sum' });
  const Dt = put('0.Dv', [D], 16, 2, { rows: 'head', cols: 1 }, { op: 'truncate', by: 14 });
  put('0.t.lift', [gates.findIndex(({ name }) => name === '0.o_S')], 30, 8, keys, { op: 'lift' });
  const Pt = put('0.E_p', [put('0.Pt', [P], 26, 12, keys, { op: 'truncate', by: 4 })], 26, 12, keys, { op: 'open' });
  const head: Shape = { rows: 'head', cols: HIDDEN / HEADS };
  const PV = put('0.PV', [Pt, V], 26, 20, head, { op: 'matmul', form: 'context' });
  const inv = put('0.D.inv', [Dt], 60, 32, { rows: 'head', cols: 1 }, { op: 'fourier', table: table(14, 2) });
  const io = put('0.D.io', [put('0.D.invt', [inv], 40, 12, { rows: 'head', cols: 1 }, { op: 'truncate', by: 20 })], 40, 12, { rows: 'head', cols: 1 }, { op: 'open' }); // prettier-ignore
  const pv = put('0.o_PV', [put('0.PVt', [PV], 16, 10, head, { op: 'truncate', by: 10 })], 16, 10, head, { op: 'ext', lift: 40 }); // prettier-ignore
  const O = put('0.Ot', [put('0.O', [pv, io], 40, 22, head, { op: 'product', broadcast: 'row' })], 28, 10, head, { op: 'truncate', by: 12 }); // prettier-ignore
  const E_o = put('0.E_o', [put('0.merge', [O], 28, 10, token, { op: 'mergeHeads' })], 28, 10, token, { op: 'open' });
  const Y = put('0.Wo', [E_o], 28, 22, token, { op: 'linear', tensor: masked('Wo', 28, HIDDEN, HIDDEN), elementwise: false }); // prettier-ignore
  const R = put('0.gamma', [n], 40, 22, token, { op: 'linear', tensor: masked('gamma', 40, 1, HIDDEN), elementwise: true }); // prettier-ignore
  const Z = put('0.Y', [Y, R], 28, 22, token, { op: 'add', sign: 1 });
  const n1 = put('0.E_n1', [put('0.Yt', [Z], 16, 10, token, { op: 'truncate', by: 12 })], 16, 10, token, { op: 'open' }); // prettier-ignore
  const wide: Shape = { rows: 'token', cols: WIDE };
  const U = put('0.W1', [n1], 16, 10, wide, {
    op: 'linear',
    tensor: masked('W1', 16, HIDDEN, WIDE),
    elementwise: false,
  });
  const period = put('0.U', [U], 16, 10, wide, { op: 'phase' });
  const gelu = [[0, 4], [4, WIDE]].map(([from, to], g) =>
    put(`0.gelu${g}`, [period], 52, 32, { rows: 'token', cols: to! - from! }, { op: 'fourier', table: table(15, 2 + g), columns: [from!, to!] }),
  ); // prettier-ignore
  const levels = [{ n: 16, offset: -4096, free: 2 }];
  put('0.gelu.guard', [period], 1, 10, { rows: 'token', cols: 4 }, { op: 'guard', m: 4, levels, columns: [0, 4] });
  put('0.o_S.guard', [gates.findIndex(({ name }) => name === '0.o_S')], 1, 8, keys, { op: 'guard', m: 2, levels: [{ n: 5, offset: 0, free: 2 }] }); // prettier-ignore
  if (hidden) {
    const bits = put('mu.bits', [], 1, 0, scalar, { op: 'padding' });
    const muShare = put('mu.share', [bits], 80, 0, scalar, { op: 'paddingShare' });
    const mu = put('mu', [muShare], 80, 0, scalar, { op: 'open' });
    const one: Shape = { rows: 'text', cols: 1 };
    const count = put('mu.n', [muShare], 4, 0, one, { op: 'sumTokens' });
    const inverse = put('mu.inv', [count], 12, 8, one, { op: 'lookup', table: [0, 256, 128, 85, 64, 51, 43, 37, 32, 28, 26, 23, 21, 20, 18, 17] }); // prettier-ignore
    put('mu.w', [put('mu.o_inv', [inverse], 11, 8, one, { op: 'ext', lift: 40 }), mu], 40, 8, scalar, { op: 'outer' });
    const variance = gates.findIndex(({ name }) => name === 'emb.v');
    put('emb.mu', [variance, mu], 68, 32, scalar, { op: 'paddedFourier', table: table(14, 3) });
    const c = put('0.c', [mu], 5, 8, { rows: 'token', cols: HEADS }, { op: 'linear', tensor: masked('cm', 5, 1, HEADS), elementwise: false }); // prettier-ignore
    put('0.t.mu', [st, c], 5, 8, keys, { op: 'addKeys' });
    put('0.E_n.mu', [n, mu], 40, 10, { rows: 'token', cols: HIDDEN + 1 }, { op: 'concat' });
    put('0.U.guard', [period, bits], 1, 10, wide, { op: 'guard', m: 4, levels });
  }
  const y = put('0.y', gelu, 52, 32, wide, { op: 'concat' });
  const cls = put('cls', [put('0.yt', [y], 32, 12, wide, { op: 'truncate', by: 20 })], 32, 12, { rows: 'text', cols: WIDE }, { op: 'firstToken' }); // prettier-ignore
  const E_c = put('E_cls', [cls], 32, 12, { rows: 'text', cols: WIDE }, { op: 'open' });
  const output = put('logits', [E_c], 32, 24, { rows: 'text', cols: LABELS }, { op: 'linear', tensor: masked('Wc', 32, WIDE, LABELS), elementwise: false }); // prettier-ignore

  return {
    version: PROGRAM_VERSION, suite: 'masked', length: hidden ? 'secret' : 'public', shortest: 1, longest: LONGEST, ...(hidden && { buckets: [3, LONGEST] }),
    heads: HEADS, hidden: HIDDEN, vocab: VOCAB, labels: LABELS, gates, tensors, trig: { 14: trigTable(14), 15: trigTable(15) }, output,
    guard: gates.flatMap(({ op }, wire) => (op === 'guard' ? [wire] : [])),
  }; // prettier-ignore
}
