// How each instruction set multiplies and adds rows of words. A policy has:
//   S            the slot it computes in          V, LANES   a register of S
//   MR x NV      the tile: MR rows, NV registers   PARTS      words of packed A per word (what `mac` broadcasts)
//   split        one word of A into its parts      load       a register of B, prepared
//   Acc, mac, value                                the accumulator of one register of C, modulo 2^bits(S) (or 2^52)
#pragma once
#include "words.h"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace ring {
namespace RING_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

typedef u32 V32 __attribute__((vector_size(VECTOR_BYTES)));
typedef u64 V64 __attribute__((vector_size(VECTOR_BYTES)));

/// One multiply and one add of V's own elements.
template <class S_, class V_, int MR_, int NV_>
struct Plain {
  using S = S_;
  using V = V_;
  using B = V;
  using Acc = V;
  static constexpr int LANES = sizeof(V) / sizeof(S), MR = MR_, NV = NV_, PARTS = 1;
  static void split(S* to, S a) { *to = a; }
  static B load(const u32* p) {
    V v;
    __builtin_memcpy(&v, p, sizeof(V));
    return v;
  }
  static void mac(Acc& acc, const S* a, const B& b) { acc += b * a[0]; }
  static V value(const Acc& acc) { return acc; }
};

#if defined(__AVX512F__)

using Arith32 = Plain<u32, V32, 8, 3>;
using Arith64 = Plain<u64, V64, 8, 3>;

/// Rings of at most 52 bits: VPMADD52LUQ adds the low 52 bits of a 52-bit product to a 64-bit lane in one instruction. The
/// lane's carry out of bit 52 is wrong, and no ring this narrow looks at it.
struct Arith52 : Plain<u64, V64, 8, 3> {
  static void mac(Acc& acc, const S* a, const B& b) {
    acc = (V64)_mm512_madd52lo_epu64((__m512i)acc, _mm512_set1_epi64(static_cast<long long>(a[0])), (__m512i)b);
  }
};
#define RING_HAS_52 1

#elif defined(__AVX2__)

using Arith32 = Plain<u32, V32, 4, 3>;

/// No 64-bit multiply: low x low and the cross products of 32-bit halves are summed apart, the shift by 32 comes once.
struct Arith64 {
  using S = u64;
  using V = V64;
  struct B {
    __m256i low, high;
  };
  struct Acc {
    __m256i low, cross;
  };
  static constexpr int LANES = 4, MR = 5, NV = 1, PARTS = 2;
  static void split(S* to, S a) {
    to[0] = a;
    to[1] = a >> 32;
  }
  static B load(const u32* p) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {v, _mm256_srli_epi64(v, 32)};
  }
  static void mac(Acc& acc, const S* a, const B& b) {
    const __m256i low = _mm256_set1_epi64x(static_cast<long long>(a[0]));
    const __m256i high = _mm256_set1_epi64x(static_cast<long long>(a[1]));
    acc.low = _mm256_add_epi64(acc.low, _mm256_mul_epu32(low, b.low));
    acc.cross = _mm256_add_epi64(acc.cross, _mm256_mul_epu32(low, b.high));
    acc.cross = _mm256_add_epi64(acc.cross, _mm256_mul_epu32(high, b.low));
  }
  static V value(const Acc& acc) { return (V)_mm256_add_epi64(acc.low, _mm256_slli_epi64(acc.cross, 32)); }
};

#else

using Arith32 = Plain<u32, V32, 4, 2>;
// 64-bit lanes are emulated on 128-bit registers of x86 and WebAssembly; the scalar multiplier is faster.
using Arith64 = Plain<u64, u64, 2, 4>;

#endif

using Arith128 = Plain<u128, u128, 1, 2>;

}  // namespace
}  // namespace RING_ISA
}  // namespace ring
