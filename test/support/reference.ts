/** The functionality of the gates that have no vectors, in BigInt loops over text, head, row and column: no code of the gates. */
import type { Gate, LengthFactor } from '../../protocol/program.ts';
import type { Dims, Rows } from '../../protocol/shape.ts';

/** One text's matrix. */
export type Matrix = bigint[][];

interface Given {
  readonly inputs: readonly Matrix[];
  readonly tensor: Matrix;
  readonly length: number;
  readonly heads: number;
}
type Reference = (gate: never, given: Given) => Matrix;
type Of<Op extends Gate['op']> = Extract<Gate, { op: Op }>;

const dot = (x: readonly bigint[], y: readonly bigint[]): bigint => x.reduce((sum, v, i) => sum + v * y[i]!, 0n);

/** √(longest / L), times 2^k / L where centred, rounded to bits + 1 bits: m / 2^s. */
function factorOf({ longest, bits, centred }: LengthFactor, L: number): { m: bigint; s: number } {
  const real = Math.sqrt(longest / L) * (centred ? 2 ** Math.ceil(Math.log2(L)) / L : 1);
  const s = bits - Math.floor(Math.log2(real));
  return { m: BigInt(Math.round(real * 2 ** s)), s };
}

/** ⌊v / 2^s⌋, or v·2^−s. */
const shifted = (v: bigint, s: number): bigint => (s >= 0 ? v >> BigInt(s) : v << BigInt(-s));

/** Gates whose result is one truncation away from the formula's floor: it, or one more. */
export const truncates = (gate: Gate): boolean => gate.op === 'lengthScale' || 'factor' in gate;

export const references: Partial<Record<Gate['op'], Reference>> = {
  bias: ({ along, factor }: Of<'bias'>, { inputs: [x], tensor, length: L, heads }) =>
    x!.map((row, i) =>
      row.map((v, j) => {
        if (along === 'cols') return v + tensor[0]![j]!;
        if (along === 'position') return v + tensor[i]![j]!;
        const c = tensor[0]![Math.floor(i / (x!.length / heads))]!;
        if (factor === undefined) return v + c;
        const { m, s } = factorOf(factor, L);
        return v + (factor.centred ? shifted(c * m * BigInt(L), s + Math.ceil(Math.log2(L))) : shifted(c * m, s));
      }),
    ),
  addKeys: (_: Of<'addKeys'>, { inputs: [s, c], heads }) => {
    const each = s!.length / heads;
    return s!.map((row, i) => row.map((v, j) => v + c![j]![Math.floor(i / each)]!));
  },
  sumTokens: (_: Of<'sumTokens'>, { inputs: [x] }) => [
    x!.reduce(
      (total, row) => total.map((v, j) => v + row[j]!),
      x![0]!.map(() => 0n),
    ),
  ],
  lookup: ({ table }: Of<'lookup'>, { inputs: [x] }) =>
    x!.map((row) => row.map((v) => BigInt(table[Number(BigInt.asUintN(Math.log2(table.length), v))]!))),
  outer: (_: Of<'outer'>, { inputs: [v, w] }) => w!.map(([weight]) => v![0]!.map((x) => x * weight!)),
  lengthScale: ({ by, factor }: Of<'lengthScale'>, { inputs: [x], length }) => {
    const { m, s } = factorOf(factor, length);
    return x!.map((row) => row.map((v) => shifted(v * m, by + s)));
  },
  linear: ({ elementwise }: Of<'linear'>, { inputs: [x], tensor }) =>
    x!.map((row) =>
      elementwise
        ? row.map((v, j) => v * tensor[0]![j]!)
        : tensor[0]!.map((_, j) => dot(row, tensor.map((w) => w[j]!))),
    ), // prettier-ignore
  matmul: ({ form }: Of<'matmul'>, { inputs: [x, y], heads }) => {
    const D = y![0]!.length / heads;
    const head = (m: Matrix, h: number): Matrix => m.map((row) => row.slice(h * D, (h + 1) * D));
    return Array.from({ length: heads }, (_, h) => {
      const right = head(y!, h);
      if (form === 'scores') return head(x!, h).map((q) => right.map((k) => dot(q, k)));
      const each = x!.length / heads;
      const P = x!.slice(h * each, (h + 1) * each);
      return P.map((p) => right[0]!.map((_v, j) => dot(p, right.map((v) => v[j]!)))); // prettier-ignore
    }).flat();
  },
  scale: ({ by }: Of<'scale'>, { inputs: [x] }) => x!.map((row) => row.map((v) => BigInt(by) * v)),
  sum: (_: Of<'sum'>, { inputs: [x] }) => x!.map((row) => [row.reduce((a, b) => a + b, 0n)]),
  add: ({ sign }: Of<'add'>, { inputs: [x, y] }) =>
    x!.map((row, i) => row.map((v, j) => v + BigInt(sign) * y![i]![j]!)),
  concat: (_: Of<'concat'>, { inputs }) => inputs[0]!.map((_row, i) => inputs.flatMap((x) => x[i]!)),
  mergeHeads: (_: Of<'mergeHeads'>, { inputs: [x], heads }) => {
    const each = x!.length / heads;
    return Array.from({ length: each }, (_row, i) =>
      Array.from({ length: heads }, (_h, h) => x![h * each + i]!).flat(),
    );
  },
  firstToken: (_: Of<'firstToken'>, { inputs: [x] }) => [x![0]!],
  square: ({ rowSum }: Of<'square'>, { inputs: [x] }) =>
    x!.map((row) => (rowSum ? [dot(row, row)] : row.map((v) => v * v))),
  product: ({ broadcast }: Of<'product'>, { inputs: [x, w] }) =>
    x!.map((row, i) => row.map((v, j) => v * w![i]![broadcast === 'row' ? 0 : j]!)),
};

/** A wire's words as one matrix a text: rows first, head-major. */
export function matrices(words: readonly bigint[], rows: Rows, cols: number | 'keys', dims: Dims): Matrix[] {
  let at = 0;
  return dims.lengths.map((L) => {
    const height = { token: L, head: L * dims.heads, text: 1, headText: dims.heads }[rows];
    const width = cols === 'keys' ? L : cols;
    return Array.from({ length: height }, () => words.slice(at, (at += width)));
  });
}
