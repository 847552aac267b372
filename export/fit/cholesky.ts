/** A matrix that is not positive definite, or numerically not. */
export class NotPositiveDefinite extends Error {}

/** Solves A x = y in place for a symmetric positive definite n × n matrix (lower triangle given, row-major). @throws NotPositiveDefinite */
export function solveCholesky(A: Float64Array, y: Float64Array, n: number): Float64Array {
  for (let j = 0; j < n; j++) {
    const row = A.subarray(j * n, j * n + n);
    let d = row[j]!;
    for (let k = 0; k < j; k++) d -= row[k]! * row[k]!;
    if (!(d > 0)) throw new NotPositiveDefinite('matrix is not positive definite');
    const pivot = Math.sqrt(d);
    row[j] = pivot;
    for (let i = j + 1; i < n; i++) {
      const base = i * n;
      // four chains: the additions are independent
      let s0 = A[base + j]!;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      let k = 0;
      for (; k + 3 < j; k += 4) {
        s0 -= A[base + k]! * row[k]!;
        s1 -= A[base + k + 1]! * row[k + 1]!;
        s2 -= A[base + k + 2]! * row[k + 2]!;
        s3 -= A[base + k + 3]! * row[k + 3]!;
      }
      for (; k < j; k++) s0 -= A[base + k]! * row[k]!;
      A[base + j] = (s0 + s1 + (s2 + s3)) / pivot;
    }
  }
  const x = Float64Array.from(y);
  for (let i = 0; i < n; i++) {
    let s = x[i]!;
    for (let k = 0; k < i; k++) s -= A[i * n + k]! * x[k]!;
    x[i] = s / A[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    const xi = (x[i]! /= A[i * n + i]!);
    for (let k = 0; k < i; k++) x[k]! -= A[i * n + k]! * xi;
  }
  return x;
}
