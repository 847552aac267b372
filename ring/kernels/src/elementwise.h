// Elementwise kernels with broadcasting, changes of ring, selection.
#pragma once
#include "words.h"

namespace ring {
namespace RING_ISA {
namespace {

template <u32 OP, class T>
inline T apply(T a, T s) {
  if (OP == 0) return a + s;
  if (OP == 1) return a - s;
  if (OP == 2) return a * s;
  if (OP == 4) return a ^ s;
  return s - a;
}

template <u32 OP, class T>
void zipRows(u32 mode, In<T> a, In<T> s, Out<T> out, size_t rows, size_t cols, T mask) {
  if (mode == 0) {
    for (size_t i = 0; i < rows * cols; ++i) out.set(i, apply<OP, T>(a[i], s[i]) & mask);
  } else if (mode == 2) {
    for (size_t r = 0; r < rows; ++r, a = a + cols, out = out + cols)
      for (size_t i = 0; i < cols; ++i) out.set(i, apply<OP, T>(a[i], s[i]) & mask);
  } else {
    for (size_t r = 0; r < rows; ++r, a = a + cols, out = out + cols) {
      const T w = s[mode == 1 ? r : 0];
      for (size_t i = 0; i < cols; ++i) out.set(i, apply<OP, T>(a[i], w) & mask);
    }
  }
}

/// D from a slot S, through the wider of the two.
template <class S, class D>
void convertSlots(In<S> a, Out<D> out, size_t length, u32 n, u32 m, u32 shift, u32 flags) {
  const S maskN = maskOf<S>(n);
  const D maskM = maskOf<D>(m);
  const S flip1 = (flags & 1) ? ~S(0) : S(0), one1 = flags & 1;
  const D flip2 = (flags & 2) ? ~D(0) : D(0), one2 = (flags >> 1) & 1;
  if (flags & 4) {
    using I = typename SignedOf<S>::type;
    const u32 up = bitsOf<S> - n;
    for (size_t i = 0; i < length; ++i) {
      const I x = static_cast<I>(static_cast<S>(((a[i] ^ flip1) + one1) << up)) >> up;
      out.set(i, ((static_cast<D>(x >> shift) ^ flip2) + one2) & maskM);
    }
  } else {
    for (size_t i = 0; i < length; ++i) {
      const S x = ((a[i] ^ flip1) + one1) & maskN;
      out.set(i, ((static_cast<D>(x >> shift) ^ flip2) + one2) & maskM);
    }
  }
}

}  // namespace

RING_KERNEL(zip)(u32 op, u32 mode, const u32* a, const u32* s, u32* out, u32 rows, u32 cols, u32 n) {
  return withSlot(n, [=](auto zero) {
    using T = decltype(zero);
    const T mask = maskOf<T>(n);
    if (op == 0) zipRows<0, T>(mode, {a}, {s}, {out}, rows, cols, mask);
    else if (op == 1) zipRows<1, T>(mode, {a}, {s}, {out}, rows, cols, mask);
    else if (op == 2) zipRows<2, T>(mode, {a}, {s}, {out}, rows, cols, mask);
    else if (op == 4) zipRows<4, T>(mode, {a}, {s}, {out}, rows, cols, mask);
    else zipRows<3, T>(mode, {a}, {s}, {out}, rows, cols, mask);
    return 0u;
  });
}

RING_KERNEL(convert)(const u32* a, u32* out, u32 length, u32 n, u32 m, u32 shift, u32 flags) {
  return withSlot(n, [=](auto from) {
    return withSlot(m, [=](auto to) {
      convertSlots<decltype(from), decltype(to)>({a}, {out}, length, n, m, shift, flags);
      return 0u;
    });
  });
}

RING_KERNEL(choose)(const u32* bits, const u32* a, const u32* b, u32* out, u32 length, u32 n) {
  return withSlot(n, [=](auto zero) {
    using T = decltype(zero);
    const In<T> x{a}, y{b};
    const Out<T> z{out};
    for (size_t i = 0; i < length; ++i) {
      const T m = T(0) - static_cast<T>(bits[i] & 1);
      z.set(i, (x[i] & m) | (y[i] & ~m));
    }
    return 0u;
  });
}

RING_KERNEL(sum)(const u32* a, u32* out, u32 rows, u32 cols, u32 axis, u32 n) {
  return withSlot(n, [=](auto zero) {
    using T = decltype(zero);
    const T mask = maskOf<T>(n);
    In<T> x{a};
    const Out<T> z{out};
    if (axis == 1) {
      for (size_t r = 0; r < rows; ++r, x = x + cols) {
        T total = 0;
        for (size_t i = 0; i < cols; ++i) total += x[i];
        z.set(r, total & mask);
      }
    } else {
      for (size_t i = 0; i < cols; ++i) z.set(i, 0);
      for (size_t r = 0; r < rows; ++r, x = x + cols)
        for (size_t i = 0; i < cols; ++i) z.set(i, (z[i] + x[i]) & mask);
    }
    return 0u;
  });
}

RING_KERNEL(gather)(const u32* a, const u32* index, u32* out, u32 count, u32 length, u32 n) {
  return withSlot(n, [=](auto zero) {
    using T = decltype(zero);
    const In<T> x{a};
    const Out<T> z{out};
    for (size_t i = 0; i < count; ++i) {
      if (index[i] >= length) return static_cast<u32>(i + 1);
      z.set(i, x[index[i]]);
    }
    return 0u;
  });
}

}  // namespace RING_ISA
}  // namespace ring
