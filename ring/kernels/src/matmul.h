// Matrix product in blocks: KC deep, MC rows of A packed (row tiles, k-major), one panel of B (NR columns) at a time, an MR x NR
// tile of C in registers. C collects the KC blocks modulo 2^bits(S) and is reduced after the last. A packed matrix is all panels
// of B, one after the other, each in units of k; otherwise one block of one panel is packed at a time.
#pragma once
#include "arith.h"

#ifdef __wasm__
#define RING_SCRATCH static
#else
#define RING_SCRATCH alignas(64) static thread_local
#endif

namespace ring {
namespace RING_ISA {
namespace {

constexpr size_t MC = 128;

inline size_t least(size_t a, size_t b) { return a < b ? a : b; }
inline size_t parts(size_t length, size_t of) { return (length + of - 1) / of; }

template <class P>
constexpr size_t columns = static_cast<size_t>(P::NV) * P::LANES;
/// Limbs a unit of a panel takes.
template <class P>
constexpr size_t panelStep = static_cast<size_t>(P::NV) * P::STORED;

/// C tile of ROWS x NR from packed A and a block of a panel as the tile reads it.
template <class P, int ROWS>
void tile(const typename P::AT* a, const u32* b, size_t units, typename P::S* out) {
  typename P::V acc[ROWS][P::NV][P::SUMS] = {};
  for (size_t u = 0; u < units; ++u, a += ROWS * P::PARTS, b += P::NV * P::HELD) {
    typename P::B group[P::NV];
#pragma GCC unroll 16
    for (int v = 0; v < P::NV; ++v) group[v] = P::load(b + v * P::HELD);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      const typename P::Row row = P::row(a + r * P::PARTS);
#pragma GCC unroll 16
      for (int v = 0; v < P::NV; ++v) P::mac(acc[r][v], row, group[v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < P::NV; ++v) P::value(acc[r][v], out + (r * P::NV + v) * P::LANES);
  }
}

/// tile with a run-time number of rows, 1..MR.
template <class P, int ROWS>
struct Tiles {
  static void run(size_t rows, const typename P::AT* a, const u32* b, size_t units, typename P::S* out) {
    if (rows == ROWS) tile<P, ROWS>(a, b, units, out);
    else Tiles<P, ROWS - 1>::run(rows, a, b, units, out);
  }
};
template <class P>
struct Tiles<P, 0> {
  static void run(size_t, const typename P::AT*, const u32*, size_t, typename P::S*) {}
};

/// B as it lies: k x n, or n x k, its rows `step` words apart.
template <class P>
struct Plane {
  In<typename P::S> b;
  size_t step;
  bool transposed;

  /// Steps [p0, p0 + kc) of the panel of columns [j, j + cols) as stored, zeros beyond both.
  void pack(u32* to, size_t p0, size_t kc, size_t j, size_t cols) const {
    using S = typename P::S;
    constexpr size_t L = P::LANES, KU = P::KU;
    RING_SCRATCH S words[(P::KC + KU) * L];
    const size_t units = parts(kc, KU);
    for (size_t v = 0; v < P::NV; ++v) {
      const size_t first = j + v * L, full = v * L < cols ? least(L, cols - v * L) : 0;
      if (full < L) __builtin_memset(words, 0, units * KU * L * sizeof(S));
      if (transposed) {
        for (size_t q = 0; q < full; ++q) {
          const In<S> column = b + ((first + q) * step + p0);
          for (size_t p = 0; p < kc; ++p) words[p * L + q] = column[p];
        }
      } else {
        for (size_t p = 0; p < kc; ++p) __builtin_memcpy(words + p * L, (b + ((p0 + p) * step + first)).p, full * sizeof(S));
      }
      for (size_t p = kc; p < units * KU; ++p)
        for (size_t q = 0; q < L; ++q) words[p * L + q] = 0;
      for (size_t u = 0; u < units; ++u) P::arrange(to + u * panelStep<P> + v * P::STORED, words + u * KU * L);
    }
  }
};

/// Rows [i0, i0 + rows) of A, which lie `step` words apart, steps [p0, p0 + kc): for each unit the parts of every row.
template <class P>
void packRows(typename P::AT* to, In<typename P::S> a, size_t i0, size_t rows, size_t step, size_t p0, size_t kc) {
  using S = typename P::S;
  constexpr size_t KU = P::KU;
  for (size_t r = 0; r < rows; ++r) {
    const In<S> row = a + ((i0 + r) * step + p0);
    typename P::AT* at = to + r * P::PARTS;
    size_t p = 0;
    for (; p + KU <= kc; p += KU, at += rows * P::PARTS) {
      S words[KU];
      for (size_t i = 0; i < KU; ++i) words[i] = row[p + i];
      P::split(at, words);
    }
    if (p < kc) {
      S words[KU] = {};
      for (size_t i = 0; p + i < kc; ++i) words[i] = row[p + i];
      P::split(at, words);
    }
  }
}

template <class S, size_t NR>
void store(const S* out, Out<S> c, size_t rows, size_t cols, size_t n, bool first, S reduce) {
  for (size_t r = 0; r < rows; ++r, out += NR, c = c + n) {
    // With a constant number of columns the loop is a few instructions.
    if (cols == NR) {
      if (first) for (size_t q = 0; q < NR; ++q) c.set(q, out[q] & reduce);
      else for (size_t q = 0; q < NR; ++q) c.set(q, (c[q] + out[q]) & reduce);
    } else {
      if (first) for (size_t q = 0; q < cols; ++q) c.set(q, out[q] & reduce);
      else for (size_t q = 0; q < cols; ++q) c.set(q, (c[q] + out[q]) & reduce);
    }
  }
}

/// Columns [col0, col1) of C, or of what is added to it. Rows of A lie `step` words apart. `block(p0, kc, j, cols)` gives that block of a
/// panel as stored.
template <class P, class Block>
void product(In<typename P::S> a, size_t step, Out<typename P::S> c, size_t m, size_t k, size_t n, size_t col0, size_t col1,
             typename P::S mask, bool added, Block block) {
  using S = typename P::S;
  constexpr size_t NR = columns<P>, MR = P::MR, KC = P::KC;
  RING_SCRATCH typename P::AT packedA[MC * (KC / P::KU) * P::PARTS];
  RING_SCRATCH S out[MR * NR];
  RING_SCRATCH u32 held[P::HOLDS ? KC / P::KU * P::NV * P::HELD : 1];
  if (k == 0 && !added) {
    for (size_t i = 0; i < m; ++i)
      for (size_t j = col0; j < col1; ++j) c.set(i * n + j, 0);
    return;
  }
  for (size_t p0 = 0; p0 < k; p0 += KC) {
    const size_t kc = least(KC, k - p0), units = parts(kc, P::KU);
    const S reduce = p0 + kc == k ? mask : static_cast<S>(~S(0));
    for (size_t i0 = 0; i0 < m; i0 += MC) {
      // Tiles of like height: a last one of a row or two would cost as much as a full one.
      const size_t mc = least(MC, m - i0), tiles = parts(mc, MR);
      const auto top = [=](size_t t) { return t * mc / tiles; };
      for (size_t t = 0; t < tiles; ++t)
        packRows<P>(packedA + top(t) * units * P::PARTS, a, i0 + top(t), top(t + 1) - top(t), step, p0, kc);
      for (size_t j = col0; j < col1; j += NR) {
        const size_t cols = least(NR, col1 - j);
        const u32* panel = block(p0, kc, j, cols);
        if (P::HOLDS) {
          for (size_t g = 0; g < units * P::NV; ++g) P::hold(held + g * P::HELD, panel + g * P::STORED);
          panel = held;
        }
        for (size_t t = 0; t < tiles; ++t) {
          const size_t rows = top(t + 1) - top(t);
          Tiles<P, P::MR>::run(rows, packedA + top(t) * units * P::PARTS, panel, units, out);
          store<S, NR>(out, c + ((i0 + top(t)) * n + j), rows, cols, n, p0 == 0 && !added, reduce);
        }
      }
    }
  }
}

}  // namespace

RING_KERNEL(matmul)(const u32* a, const u32* b, u32* c, u32 m, u32 k, u32 n, u32 col0, u32 col1, u32 w) {
  return withPolicy(w, [=](auto policy) {
    using P = decltype(policy);
    using S = typename P::S;
    RING_SCRATCH u32 packed[P::KC / P::KU * panelStep<P>];
    const Plane<P> plane{{b}, n, false};
    product<P>({a}, k, {c}, m, k, n, col0, col1, maskOf<S>(w), false, [=](size_t p0, size_t kc, size_t j, size_t cols) {
      plane.pack(packed, p0, kc, j, cols);
      return const_cast<const u32*>(packed);
    });
    return 0u;
  });
}

RING_KERNEL(matmulBatch)(const u32* a, const u32* b, u32* c, u32 count, u32 m, u32 k, u32 n, u32 aStep, u32 aRow, u32 bStep, u32 bRow,
                         u32 transposed, u32 w) {
  return withPolicy(w, [=](auto policy) {
    using P = decltype(policy);
    using S = typename P::S;
    RING_SCRATCH u32 packed[P::KC / P::KU * panelStep<P>];
    for (size_t i = 0; i < count; ++i) {
      const Plane<P> plane{In<S>{b} + i * bStep, bRow, transposed != 0};
      product<P>(In<S>{a} + i * aStep, aRow, Out<S>{c} + i * m * n, m, k, n, 0, n, maskOf<S>(w), true,
                 [=](size_t p0, size_t kc, size_t j, size_t cols) {
                   plane.pack(packed, p0, kc, j, cols);
                   return const_cast<const u32*>(packed);
                 });
    }
    return 0u;
  });
}

RING_KERNEL(unaligned)(const u32* p) { return static_cast<u32>((0 - reinterpret_cast<uintptr_t>(p)) % 64 / 4); }

RING_KERNEL(packedLimbs)(u32 k, u32 n, u32 w) {
  return withPolicy(w, [=](auto policy) {
    using P = decltype(policy);
    return static_cast<u32>(parts(n, columns<P>) * parts(k, P::KU) * panelStep<P>);
  });
}

RING_KERNEL(panelColumns)(u32 w) {
  return withPolicy(w, [](auto policy) { return static_cast<u32>(columns<decltype(policy)>); });
}

RING_KERNEL(packMatrix)(const u32* b, u32* packed, u32 k, u32 n, u32 w) {
  return withPolicy(w, [=](auto policy) {
    using P = decltype(policy);
    const Plane<P> plane{{b}, n, false};
    u32* to = packed;
    for (size_t j = 0; j < n; j += columns<P>)
      for (size_t p0 = 0; p0 < k; p0 += P::KC) {
        const size_t kc = least(P::KC, k - p0);
        plane.pack(to, p0, kc, j, least(columns<P>, n - j));
        to += parts(kc, P::KU) * panelStep<P>;
      }
    return 0u;
  });
}

RING_KERNEL(matmulPacked)(const u32* a, const u32* packed, u32* c, u32 m, u32 k, u32 n, u32 col0, u32 col1, u32 wb, u32 w) {
  return withPolicy(wb, [=](auto policy) {
    using P = decltype(policy);
    using S = typename P::S;
    const size_t panel = parts(k, P::KU) * panelStep<P>;
    product<P>({a}, k, {c}, m, k, n, col0, col1, maskOf<S>(w), false, [=](size_t p0, size_t, size_t j, size_t) {
      return packed + j / columns<P> * panel + p0 / P::KU * panelStep<P>;
    });
    return 0u;
  });
}

}  // namespace RING_ISA
}  // namespace ring
