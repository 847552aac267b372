// Fixed point: reals at scale 2^f.
#pragma once
#include "words.h"

namespace ring {
namespace RING_ISA {
namespace {

/// 2^e as a double, -1022 <= e <= 1023.
inline double powerOfTwo(int e) {
  const u64 bits = static_cast<u64>(1023 + e) << 52;
  double v;
  __builtin_memcpy(&v, &bits, 8);
  return v;
}

}  // namespace

RING_KERNEL(encode)(const double* x, u32* out, u32 length, u32 f, u32 n) {
  // Scaling by 2^f is exact (or overflows, and is refused), so the only rounding is rint's, to nearest, ties to even.
  const double scale = powerOfTwo(static_cast<int>(f)), limit = powerOfTwo(static_cast<int>(n) - 1);
  return withSlot(n, [=](auto zero) {
    using T = decltype(zero);
    using I = typename SignedOf<T>::type;
    const Out<T> z{out};
    for (size_t i = 0; i < length; ++i) {
      const double y = __builtin_rint(x[i] * scale);
      if (!(y >= -limit && y < limit)) return static_cast<u32>(i + 1);
      z.set(i, static_cast<T>(static_cast<I>(y)) & maskOf<T>(n));
    }
    return 0u;
  });
}

RING_KERNEL(decode)(const u32* a, double* x, u32 length, u32 f, u32 n) {
  const double scale = powerOfTwo(-static_cast<int>(f));
  return withSlot(n, [=](auto zero) {
    using T = decltype(zero);
    using I = typename SignedOf<T>::type;
    const u32 up = bitsOf<T> - n;
    const In<T> w{a};
    for (size_t i = 0; i < length; ++i)
      x[i] = static_cast<double>(static_cast<I>(static_cast<T>(w[i] << up)) >> up) * scale;
    return 0u;
  });
}

}  // namespace RING_ISA
}  // namespace ring
