// What the gates do to a word between two matrix products, in one pass: a block of words is widened to the slot of the result,
// worked on there and written once. Operands may be in narrower slots.
#pragma once
#include "wire.h"

namespace ring {
namespace RING_ISA {
namespace {

/// Words of a block: a multiple of 8, so that every block begins on a byte when packed.
constexpr size_t BLOCK = 256;

/// Words [at, at + count) of ring n in a slot of T, zero-extended or cut.
template <class T>
inline void load(const u32* a, u32 n, size_t at, size_t count, T* to) {
  if (n <= 32) for (size_t i = 0; i < count; ++i) to[i] = static_cast<T>(a[at + i]);
  else if (n <= 64) for (size_t i = 0; i < count; ++i) to[i] = static_cast<T>(In<u64>{a}[at + i]);
  else for (size_t i = 0; i < count; ++i) to[i] = static_cast<T>(In<u128>{a}[at + i]);
}

/// Calls f(at, count) block by block.
template <class F>
inline void eachBlock(size_t length, F f) {
  for (size_t at = 0; at < length; at += BLOCK) f(at, length - at < BLOCK ? length - at : BLOCK);
}

/// Of an ext wire: C = c - 2^(n-2), the share of rho = r - 2^n (msb c ? q : q + m), and all ones where msb c = 0.
template <class T>
struct Ext {
  T C[BLOCK], rho[BLOCK], low[BLOCK];
  void read(const u32* c, const u32* r, const u32* q, const u32* qm, u32 n, u32 lift, size_t at, size_t count) {
    T a[BLOCK], b[BLOCK];
    load(c, n, at, count, C);
    load(r, n, at, count, rho);
    load(q, lift - n, at, count, a);
    load(qm, lift - n, at, count, b);
    for (size_t i = 0; i < count; ++i) {
      low[i] = (C[i] >> (n - 1) & 1) - 1;
      const T wraps = (a[i] & ~low[i]) | (b[i] & low[i]);
      // In two steps: n may be all the bits of T.
      rho[i] -= wraps << (n - 1) << 1;
      C[i] -= T(1) << (n - 2);
    }
  }
};

template <class T>
inline void write(Out<T> out, size_t at, size_t count, const T* from, T mask) {
  for (size_t i = 0; i < count; ++i) out.set(at + i, from[i] & mask);
}

}  // namespace

RING_KERNEL(packMasked)(const u32* x, const u32* a, const u32* k, uint8_t* bytes, u32 length, u32 nx, u32 n, u32 minus) {
  return withSlot(n, [=](auto zero) {
    using T = decltype(zero);
    const T mask = maskOf<T>(n), constant = In<T>{k}[0];
    eachBlock(length, [=](size_t at, size_t count) {
      T v[BLOCK];
      load(x, nx, at, count, v);
      const In<T> b = In<T>{a} + at;
      if (minus) for (size_t i = 0; i < count; ++i) v[i] = (v[i] - b[i] + constant) & mask;
      else for (size_t i = 0; i < count; ++i) v[i] = (v[i] + b[i] + constant) & mask;
      packWords(In<T>{reinterpret_cast<const u32*>(v)}, bytes + at * n / 8, count, n);
    });
    return 0u;
  });
}

RING_KERNEL(unpackAdd)(const uint8_t* bytes, const u32* own, u32* out, u32 length, u32 n) {
  withSlot(n, [=](auto zero) {
    using T = decltype(zero);
    const T mask = maskOf<T>(n);
    eachBlock(length, [=](size_t at, size_t count) {
      T v[BLOCK];
      unpackWords<T>(bytes + at * n / 8, {reinterpret_cast<u32*>(v)}, count, n);
      const In<T> x = In<T>{own} + at;
      for (size_t i = 0; i < count; ++i) v[i] += x[i];
      write<T>({out}, at, count, v, mask);
    });
    return 0u;
  });
  return padded(bytes, length, n);
}

RING_KERNEL(extShare)(const u32* c, const u32* r, const u32* q, const u32* qm, u32* out, u32 length, u32 n, u32 lift, u32 N,
                      u32 party) {
  return withSlot(N, [=](auto zero) {
    using T = decltype(zero);
    const T first = party == 0 ? ~T(0) : T(0);
    eachBlock(length, [=](size_t at, size_t count) {
      Ext<T> x;
      x.read(c, r, q, qm, n, lift, at, count);
      for (size_t i = 0; i < count; ++i) x.C[i] = (x.C[i] & first) - x.rho[i];
      write<T>({out}, at, count, x.C, maskOf<T>(N));
    });
    return 0u;
  });
}

RING_KERNEL(squareShare)(const u32* c, const u32* r, const u32* q, const u32* qm, const u32* delta, u32* out, u32 length, u32 n,
                         u32 lift, u32 N, u32 party) {
  return withSlot(N, [=](auto zero) {
    using T = decltype(zero);
    const T first = party == 0 ? ~T(0) : T(0);
    eachBlock(length, [=](size_t at, size_t count) {
      Ext<T> x;
      T d[BLOCK];
      x.read(c, r, q, qm, n, lift, at, count);
      load(delta, N - n - 1, at, count, d);
      for (size_t i = 0; i < count; ++i) d[i] = x.C[i] * ((x.C[i] & first) - 2 * x.rho[i]) + ((d[i] & x.low[i]) << n << 1);
      write<T>({out}, at, count, d, maskOf<T>(N));
    });
    return 0u;
  });
}

RING_KERNEL(productShare)(const u32* c, const u32* r, const u32* q, const u32* qm, const u32* E, const u32* A, const u32* mA,
                          const u32* rA, u32* out, u32 length, u32 n, u32 lift, u32 N, u32 nw, u32 cols, u32 party) {
  return withSlot(N, [=](auto zero) {
    using T = decltype(zero);
    const T first = party == 0 ? ~T(0) : T(0);
    eachBlock(length, [=](size_t at, size_t count) {
      Ext<T> x;
      T m[BLOCK], s[BLOCK], e[BLOCK], a[BLOCK];
      x.read(c, r, q, qm, n, lift, at, count);
      load(mA, N - n, at, count, m);
      load(rA, N, at, count, s);
      if (cols == 1) {
        load(E, nw, at, count, e);
        load(A, nw, at, count, a);
      } else {
        for (size_t i = 0; i < count;) {
          const size_t row = (at + i) / cols, left = (row + 1) * cols - (at + i);
          T ev, av;
          load(E, nw, row, 1, &ev);
          load(A, nw, row, 1, &av);
          for (const size_t end = i + left < count ? i + left : count; i < end; ++i) e[i] = ev, a[i] = av;
        }
      }
      for (size_t i = 0; i < count; ++i)
        m[i] = x.C[i] * (a[i] + (e[i] & first)) - x.rho[i] * e[i] - s[i] + ((m[i] & x.low[i]) << (n - 1) << 1);
      write<T>({out}, at, count, m, maskOf<T>(N));
    });
    return 0u;
  });
}

RING_KERNEL(cellTables)(const u32* r, u32* out, u32 length, u32 n, u32 nl, u32 m, u32 flagsLow, u32 flagsHigh) {
  const u64 flags = static_cast<u64>(flagsHigh) << 32 | flagsLow;
  const u32 M = u32(1) << m;
  return withSlot(n, [=](auto zero) {
    const In<decltype(zero)> x{r};
    return withSlot(M, [=](auto table) {
      using T = decltype(table);
      const T f = static_cast<T>(flags), mask = maskOf<T>(M);
      for (size_t i = 0; i < length; ++i) {
        const u32 by = static_cast<u32>(x[i] >> (nl - m)) & (M - 1);
        Out<T>{out}.set(i, ((f << by) | (f >> (M - 1 - by) >> 1)) & mask);
      }
      return 0u;
    });
  });
}

RING_KERNEL(cellFlags)(const u32* c, const u32* tables, u32* bits, u32 length, u32 n, u32 nl, u32 m, u32 offsetLow,
                       u32 offsetHigh, u32 from) {
  const int64_t offset = static_cast<int64_t>(static_cast<u64>(offsetHigh) << 32 | offsetLow);
  const u32 M = u32(1) << m;
  return withSlot(n, [=](auto zero) {
    using C = decltype(zero);
    return withSlot(M, [=](auto table) {
      using T = decltype(table);
      const C shift = static_cast<C>(offset);
      size_t at = from;
      eachBlock(length, [=, &at](size_t start, size_t count) {
        u32 flag[BLOCK];
        const In<C> x = In<C>{c} + start;
        const In<T> t = In<T>{tables} + start;
        for (size_t i = 0; i < count; ++i) {
          const u32 cell = static_cast<u32>(static_cast<C>(x[i] - shift) >> (nl - m)) & (M - 1);
          flag[i] = static_cast<u32>(t[i] >> cell) & 1;
        }
        for (size_t i = 0; i < count;) {
          u32 word = 0;
          const size_t room = 32 - at % 32, now = room < count - i ? room : count - i;
          for (size_t j = 0; j < now; ++j) word |= flag[i + j] << j;
          bits[at / 32] |= word << at % 32;
          at += now;
          i += now;
        }
      });
      return 0u;
    });
  });
}

}  // namespace RING_ISA
}  // namespace ring
