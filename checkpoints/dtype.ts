/**
 * Number formats of checkpoint files. Files are little-endian; so is every platform Node is built for that this toolkit
 * supports, and the typed arrays below rely on it.
 */

/** Bits an element (safetensors format, `dtype` of a tensor). */
export const DTYPE_BITS: Readonly<Record<string, number>> = {
  BOOL: 8, F4: 4, F6_E2M3: 6, F6_E3M2: 6, F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8,
  U8: 8, I8: 8, U16: 16, I16: 16, F16: 16, BF16: 16, U32: 32, I32: 32, F32: 32, U64: 64, I64: 64, F64: 64, C64: 64,
}; // prettier-ignore

/** Formats a model's weights may have. All widen to float32 without rounding. */
export const WEIGHT_DTYPES = ['F32', 'F16', 'BF16'] as const;
export type WeightDtype = (typeof WEIGHT_DTYPES)[number];

export const isWeightDtype = (dtype: string): dtype is WeightDtype =>
  (WEIGHT_DTYPES as readonly string[]).includes(dtype);

if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) throw new Error('big-endian platforms are not supported');

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** The value of one binary16 number (IEEE 754-2019, 3.6: 5 exponent bits, bias 15, 10 fraction bits). */
function halfValue(half: number): number {
  const exponent = (half >>> 10) & 31;
  const fraction = half & 1023;
  const magnitude =
    exponent === 31
      ? fraction === 0
        ? Infinity
        : Number.NaN
      : exponent === 0
        ? fraction * 2 ** -24
        : (1024 + fraction) * 2 ** (exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

let halves: Float32Array | undefined;

/** Widens raw file bytes (whole elements, any alignment) to float32; exact. */
export function widen(bytes: Uint8Array, dtype: WeightDtype): Float32Array {
  // The copy gives the alignment a typed array needs: data may begin at any offset of a file.
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  if (dtype === 'F32') return new Float32Array(buffer, byteOffset, bytes.length / 4);
  const source = new Uint16Array(buffer, byteOffset, bytes.length / 2);
  const out = new Float32Array(source.length);
  if (dtype === 'F16') {
    halves ??= Float32Array.from({ length: 65536 }, (_, half) => halfValue(half));
    for (let i = 0; i < out.length; i++) out[i] = halves[source[i]!]!;
  } else {
    const outBits = new Uint32Array(out.buffer);
    for (let i = 0; i < out.length; i++) outBits[i] = source[i]! << 16;
  }
  return out;
}

/** float32 → binary16 bits, ties to even; 0x7c00 where the rounded value exceeds 65504. */
function roundHalf(x: number): number {
  float[0] = x;
  const word = bits[0]!;
  const sign = (word >>> 16) & 0x8000;
  const exponent = ((word >>> 23) & 255) - 127;
  if (exponent < -25) return sign;
  if (exponent > 15) return sign | 0x7c00;
  // Below 2^-14 the result is subnormal: the leading one becomes explicit and more bits are cut.
  const subnormal = exponent < -14;
  const significand = subnormal ? (word & 0x7fffff) | 0x800000 : word & 0x7fffff;
  const cut = subnormal ? -1 - exponent : 13;
  const kept = (subnormal ? 0 : (exponent + 15) << 10) | (significand >>> cut);
  const rest = significand & ((1 << cut) - 1);
  const half = 1 << (cut - 1);
  // A carry out of the fraction is the next exponent, as it should be.
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}

/** float32 → bfloat16 bits, ties to even; the infinity pattern where the rounded value is too large. */
function roundBrain(x: number): number {
  float[0] = x;
  const word = bits[0]!;
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
}

/**
 * Narrows finite float32 values to file bytes, round to nearest, ties to even.
 * @returns the bytes, or the index of the first value that is not finite or rounds to infinity
 */
export function narrow(values: Float32Array, dtype: WeightDtype): Uint8Array | number {
  const bad = firstNonFinite(values);
  if (bad >= 0) return bad;
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const out = new Uint16Array(values.length);
  const infinity = dtype === 'F16' ? 0x7c00 : 0x7f80;
  const round = dtype === 'F16' ? roundHalf : roundBrain;
  for (let i = 0; i < out.length; i++) {
    const word = round(values[i]!);
    if ((word & infinity) === infinity) return i;
    out[i] = word;
  }
  return new Uint8Array(out.buffer);
}

/** Index of the first NaN or infinity, or -1. */
export function firstNonFinite(values: Float32Array | Float64Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}
