// Matrix product in blocks: KC deep, MC rows of A packed (row tiles, k-major), one panel of B packed at a time, an MR x NR
// tile of C in registers. C collects the KC blocks modulo 2^bits(S) and is reduced after the last.
#pragma once
#include "arith.h"

namespace ring {
namespace RING_ISA {
namespace {

constexpr size_t KC = 256, MC = 128;

/// C tile of ROWS x NR from packed A (PARTS words per row and step) and B rows `ldb` words apart.
template <class P, int ROWS>
void tile(const typename P::S* a, In<typename P::S> b, size_t ldb, size_t k, typename P::S* out) {
  typename P::Acc acc[ROWS][P::NV] = {};
  for (size_t p = 0; p < k; ++p, a += ROWS * P::PARTS) {
    const u32* row = (b + p * ldb).p;
#pragma GCC unroll 8
    for (int v = 0; v < P::NV; ++v) {
      const typename P::B bv = P::load(row + v * (sizeof(typename P::V) / 4));
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r) P::mac(acc[r][v], a + r * P::PARTS, bv);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < P::NV; ++v) {
      const typename P::V value = P::value(acc[r][v]);
      __builtin_memcpy(out + (r * P::NV + v) * P::LANES, &value, sizeof(value));
    }
  }
}

/// tile with a run-time number of rows, 1..MR.
template <class P, int ROWS>
struct Tiles {
  static void run(int rows, const typename P::S* a, In<typename P::S> b, size_t ldb, size_t k, typename P::S* out) {
    if (rows == ROWS) tile<P, ROWS>(a, b, ldb, k, out);
    else Tiles<P, ROWS - 1>::run(rows, a, b, ldb, k, out);
  }
};
template <class P>
struct Tiles<P, 0> {
  static void run(int, const typename P::S*, In<typename P::S>, size_t, size_t, typename P::S*) {}
};

inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

template <class P>
void product(In<typename P::S> a, In<typename P::S> b, Out<typename P::S> c, size_t m, size_t k, size_t n, size_t col0,
             size_t col1, bool transposed, typename P::S mask) {
  using S = typename P::S;
  constexpr size_t NR = static_cast<size_t>(P::NV) * P::LANES, MR = P::MR;
#ifdef __wasm__
  static S packedA[MC * KC * P::PARTS], packedB[KC * NR], out[MR * NR];
#else
  alignas(64) static thread_local S packedA[MC * KC * P::PARTS], packedB[KC * NR], out[MR * NR];
#endif
  if (k == 0) {
    for (size_t i = 0; i < m; ++i)
      for (size_t j = col0; j < col1; ++j) c.set(i * n + j, 0);
    return;
  }
  for (size_t p0 = 0; p0 < k; p0 += KC) {
    const size_t kc = least(KC, k - p0);
    const bool first = p0 == 0;
    const S reduce = p0 + kc == k ? mask : static_cast<S>(~S(0));
    for (size_t i0 = 0; i0 < m; i0 += MC) {
      const size_t mc = least(MC, m - i0);
      S* to = packedA;
      for (size_t i = 0; i < mc; i += MR) {
        const size_t rows = least(MR, mc - i);
        for (size_t p = 0; p < kc; ++p)
          for (size_t r = 0; r < rows; ++r, to += P::PARTS) P::split(to, a[(i0 + i + r) * k + p0 + p]);
      }
      for (size_t j = col0; j < col1; j += NR) {
        const size_t cols = least(NR, col1 - j);
        // Few rows do not pay for a packed panel: B is read where it lies.
        const bool direct = mc <= 4 && cols == NR && !transposed;
        In<S> panel{reinterpret_cast<const u32*>(packedB)};
        if (direct) {
          panel = b + (p0 * n + j);
        } else if (transposed) {
          for (size_t q = 0; q < cols; ++q)
            for (size_t p = 0; p < kc; ++p) packedB[p * NR + q] = b[(j + q) * k + p0 + p];
        } else if (cols == NR) {
          for (size_t p = 0; p < kc; ++p)
            __builtin_memcpy(packedB + p * NR, (b + ((p0 + p) * n + j)).p, NR * sizeof(S));
        } else {
          for (size_t p = 0; p < kc; ++p)
            for (size_t q = 0; q < cols; ++q) packedB[p * NR + q] = b[(p0 + p) * n + j + q];
        }
        const S* from = packedA;
        for (size_t i = 0; i < mc; i += MR) {
          const size_t rows = least(MR, mc - i);
          Tiles<P, P::MR>::run(static_cast<int>(rows), from, panel, direct ? n : NR, kc, out);
          from += rows * kc * P::PARTS;
          for (size_t r = 0; r < rows; ++r) {
            const Out<S> row = c + ((i0 + i + r) * n + j);
            if (first)
              for (size_t q = 0; q < cols; ++q) row.set(q, out[r * NR + q] & reduce);
            else
              for (size_t q = 0; q < cols; ++q) row.set(q, (row[q] + out[r * NR + q]) & reduce);
          }
        }
      }
    }
  }
}

}  // namespace

RING_KERNEL(matmul)(const u32* a, const u32* b, u32* c, u32 m, u32 k, u32 n, u32 col0, u32 col1, u32 transposed, u32 w) {
  if (w <= 32) product<Arith32>({a}, {b}, {c}, m, k, n, col0, col1, transposed, maskOf<u32>(w));
#ifdef RING_HAS_52
  else if (w <= 52) product<Arith52>({a}, {b}, {c}, m, k, n, col0, col1, transposed, maskOf<u64>(w));
#endif
  else if (w <= 64) product<Arith64>({a}, {b}, {c}, m, k, n, col0, col1, transposed, maskOf<u64>(w));
  else product<Arith128>({a}, {b}, {c}, m, k, n, col0, col1, transposed, maskOf<u128>(w));
  return 0;
}

}  // namespace RING_ISA
}  // namespace ring
