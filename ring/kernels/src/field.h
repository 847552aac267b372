// GF(2^64), words of ring 64: bit i is the coefficient of x^i (protocol/gf64.ts).
#pragma once
#include "words.h"

namespace ring {
namespace RING_ISA {
namespace {

/// Words multiplied side by side, enough for any vector.
constexpr size_t FIELD_LANES = 16;
/// x^64 modulo the polynomial.
constexpr u64 FIELD_REDUCTION = 0x1b;

/// sum[l] ^= a_l b_l.
inline void fieldMultiplyAdd(u64* a, u64* b, u64* sum) {
  for (int bit = 0; bit < 64; ++bit)
    for (size_t l = 0; l < FIELD_LANES; ++l) {
      sum[l] ^= a[l] & (0 - (b[l] & 1));
      b[l] >>= 1;
      a[l] = (a[l] << 1) ^ ((0 - (a[l] >> 63)) & FIELD_REDUCTION);
    }
}

}  // namespace

RING_KERNEL(gfDots)(const u32* a, const u32* b, const u32* sizes, u32* out, u32 runs) {
  In<u64> x{a}, y{b};
  for (size_t r = 0; r < runs; x = x + sizes[r], y = y + sizes[r], ++r) {
    u64 sum[FIELD_LANES] = {};
    for (size_t i = 0; i < sizes[r]; i += FIELD_LANES) {
      u64 left[FIELD_LANES] = {}, right[FIELD_LANES] = {};
      const size_t count = sizes[r] - i < FIELD_LANES ? sizes[r] - i : FIELD_LANES;
      for (size_t l = 0; l < count; ++l) left[l] = x[i + l], right[l] = y[i + l];
      fieldMultiplyAdd(left, right, sum);
    }
    u64 total = 0;
    for (size_t l = 0; l < FIELD_LANES; ++l) total ^= sum[l];
    Out<u64>{out}.set(r, total);
  }
  return 0u;
}

}  // namespace RING_ISA
}  // namespace ring
