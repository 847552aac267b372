/** Dense float64 products for the folding pass, row-major. */

/** Columns of b and rows of b that stay in cache together. */
const BLOCK_N = 256;
const BLOCK_K = 64;

/** a (m × k) · b (k × n), added to `out` (m × n). */
export function multiplyAdd(
  out: Float64Array,
  a: Float64Array,
  b: Float64Array,
  m: number,
  k: number,
  n: number,
): void {
  for (let p0 = 0; p0 < k; p0 += BLOCK_K) {
    const p1 = Math.min(k, p0 + BLOCK_K);
    for (let j0 = 0; j0 < n; j0 += BLOCK_N) {
      const width = Math.min(n, j0 + BLOCK_N) - j0;
      for (let i = 0; i < m; i++) {
        const row = out.subarray(i * n + j0, i * n + j0 + width);
        let p = p0;
        for (; p + 3 < p1; p += 4) {
          const [a0, a1, a2, a3] = [a[i * k + p]!, a[i * k + p + 1]!, a[i * k + p + 2]!, a[i * k + p + 3]!];
          const q0 = p * n + j0;
          const q1 = q0 + n;
          const q2 = q1 + n;
          const q3 = q2 + n;
          for (let j = 0; j < width; j++)
            row[j]! += a0 * b[q0 + j]! + a1 * b[q1 + j]! + a2 * b[q2 + j]! + a3 * b[q3 + j]!;
        }
        for (; p < p1; p++) {
          const ap = a[i * k + p]!;
          const q = p * n + j0;
          for (let j = 0; j < width; j++) row[j]! += ap * b[q + j]!;
        }
      }
    }
  }
}

/** x (rows) · W (rows × cols). */
export function rowTimes(x: Float64Array, W: Float64Array, cols: number): Float64Array {
  const out = new Float64Array(cols);
  multiplyAdd(out, x, W, 1, x.length, cols);
  return out;
}

/** W (I − 11ᵀ/cols): every row less its mean. */
export function centreRows(W: ArrayLike<number>, cols: number): Float64Array {
  const out = Float64Array.from(W);
  for (let at = 0; at < out.length; at += cols) {
    let mean = 0;
    for (let j = 0; j < cols; j++) mean += out[at + j]!;
    mean /= cols;
    for (let j = 0; j < cols; j++) out[at + j]! -= mean;
  }
  return out;
}
