/** What a LayerNorm after attention divides by, in float64, from the hidden states and attention weights of a golden case. */
import type { CaseJson, GoldenCase } from './golden-case.ts';

interface ResidualVariance {
  /** Of every real token. */
  readonly variances: readonly number[];
  /** How far an honest float32 implementation may be off in an element of the residual. */
  readonly error: number;
}

const largest = (values: Iterable<number>): number => Math.max(...[...values].map(Math.abs));

/** h + W_o · concat_a(probs_a · (W_v h + b_v)_a) + b_o of a layer, its variance over hidden units for the first `lengths` tokens. */
export function residualVariance(
  golden: GoldenCase<CaseJson>,
  layer: number,
  lengths: readonly number[],
): ResidualVariance {
  const h = golden.get(`expected.hidden.${layer}`);
  const probs = golden.get(`expected.probs.${layer}`);
  const [, L, H] = h.shape as [number, number, number];
  const A = probs.shape[1]!;
  const D = H / A;
  const weight = (name: string): Float64Array =>
    golden.get(`weight.bert.encoder.layer.${layer}.attention.${name}`).data;
  const [Wv, bv, Wo, bo] = ['self.value.weight', 'self.value.bias', 'output.dense.weight', 'output.dense.bias'].map(weight) as [Float64Array, Float64Array, Float64Array, Float64Array]; // prettier-ignore
  const linear = (W: Float64Array, bias: Float64Array, x: Float64Array): Float64Array =>
    bias.map((b, o) => x.reduce((sum, v, i) => sum + W[o * H + i]! * v, b));
  const state = (b: number, t: number): Float64Array => h.data.slice((b * L + t) * H, (b * L + t + 1) * H);
  const widest = (W: Float64Array): number =>
    largest(Array.from({ length: H }, (_, o) => W.slice(o * H, (o + 1) * H).reduce((sum, w) => sum + Math.abs(w), 0)));

  let top = 0;
  const variances = lengths.flatMap((n, b) => {
    const v = Array.from({ length: L }, (_, t) => linear(Wv, bv, state(b, t)));
    top = Math.max(top, ...v.map(largest));
    return Array.from({ length: n }, (_, q) => {
      const context = Float64Array.from({ length: H }, (_unused, i) => {
        const at = ((b * A + Math.floor(i / D)) * L + q) * L;
        return v.reduce((sum, row, key) => sum + probs.data[at + key]! * row[i]!, 0);
      });
      const x = linear(Wo, bo, context).map((o, i) => o + state(b, q)[i]!);
      const mean = x.reduce((sum, e) => sum + e, 0) / H;
      return x.reduce((sum, e) => sum + (e - mean) ** 2, 0) / H;
    });
  });
  // Of the residual itself, and through W_o of weights that are off and of values that are.
  const tolerance = (name: string): number => golden.json.tolerance[`${name}.${layer}`]!.float32;
  const ofContext = L * tolerance('probs') * top + widest(Wv) * tolerance('hidden');
  return { variances, error: tolerance('hidden') + widest(Wo) * ofContext };
}
