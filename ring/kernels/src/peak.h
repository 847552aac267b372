// Limits of the machine for the kernels, measured by bench/kernels.ts: multiplications on registers alone.
#pragma once
#include "arith.h"

namespace ring {
namespace RING_ISA {
namespace {

/// Chains of dependent instructions: more than any of them takes cycles times those that start in one.
constexpr int CHAINS = 12;

/// rounds x CHAINS times x = step(x, y).
template <class V, class F>
void chains(u32 rounds, V start, F step) {
  // Read anew in every round: products by what is known could be drawn together.
  volatile V by = start;
  V y = by;
  // All different, or the compiler would compute one of them for all.
  V x0 = y + 1, x1 = y + 3, x2 = y + 5, x3 = y + 7, x4 = y + 9, x5 = y + 11;
  V x6 = y + 13, x7 = y + 15, x8 = y + 17, x9 = y + 19, x10 = y + 21, x11 = y + 23;
  for (u32 i = 0; i < rounds; ++i) {
    y = by;
    x0 = step(x0, y), x1 = step(x1, y), x2 = step(x2, y), x3 = step(x3, y), x4 = step(x4, y), x5 = step(x5, y);
    x6 = step(x6, y), x7 = step(x7, y), x8 = step(x8, y), x9 = step(x9, y), x10 = step(x10, y), x11 = step(x11, y);
  }
  const V all = x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9 + x10 + x11;
  volatile u32 kept;
  u32 low;
  __builtin_memcpy(&low, &all, 4);
  kept = low;
  (void)kept;
}

#if defined(__AVX512F__)
typedef V64 Lanes64;
#else
typedef u64 Lanes64;
#endif

}  // namespace

RING_KERNEL(peak)(u32 instruction, u32 rounds) {
  if (instruction == 0) {
    chains<V32>(rounds, V32{} + 0x9e3779b9u, [](V32 x, V32 y) { return x * y; });
    return CHAINS * sizeof(V32) / 4;
  }
  if (instruction == 1) {
    chains<Lanes64>(rounds, Lanes64{} + 0x9e3779b97f4a7c15ull, [](Lanes64 x, Lanes64 y) { return x * y; });
    return CHAINS * sizeof(Lanes64) / 8;
  }
#if defined(__AVX512F__)
  if (instruction == 2) {
    chains<V64>(rounds, V64{} + 0x9e3779b97f4a7ull, [](V64 x, V64 y) {
      return (V64)_mm512_madd52lo_epu64((__m512i)x, (__m512i)y, (__m512i)y);
    });
    return CHAINS * 8;
  }
  if (instruction == 3) {
    chains<V32>(rounds, V32{} + 0x9e3779b9u, [](V32 x, V32 y) { return (V32)_mm512_dpwssd_epi32((__m512i)x, (__m512i)y, (__m512i)y); });
    return CHAINS * 32;
  }
  if (instruction == 4) {
    chains<V64>(rounds, V64{} + 0x9e3779b9ull, [](V64 x, V64 y) { return (V64)_mm512_aesenc_epi128((__m512i)x, (__m512i)y); });
    return CHAINS * 64;
  }
#elif defined(__AVX2__)
  if (instruction == 2) {
    chains<V64>(rounds, V64{} + 0x9e3779b9ull, [](V64 x, V64 y) { return (V64)_mm256_mul_epu32((__m256i)x, (__m256i)y); });
    return CHAINS * 4;
  }
  if (instruction == 3) {
    chains<V32>(rounds, V32{} + 0x9e3779b9u, [](V32 x, V32 y) { return (V32)_mm256_madd_epi16((__m256i)x, (__m256i)y); });
    return CHAINS * 16;
  }
  if (instruction == 4) {
    typedef u64 V16 __attribute__((vector_size(16)));
    chains<V16>(rounds, V16{} + 0x9e3779b9ull, [](V16 x, V16 y) { return (V16)_mm_aesenc_si128((__m128i)x, (__m128i)y); });
    return CHAINS * 16;
  }
#endif
  return 0;
}

}  // namespace RING_ISA
}  // namespace ring
