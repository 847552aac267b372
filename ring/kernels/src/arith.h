// How each instruction set multiplies and adds rows of words. A policy has:
//   S            the slot it computes in               LANES, NV  columns of a group, groups of a tile
//   MR, KC       rows of a tile, depth of a block      KU         steps of k taken together (a unit)
//   AT, PARTS    packed A: PARTS of AT a row and unit  split      KU words of A into its parts
//   STORED       limbs a unit of a group takes in a packed matrix, as many as the words themselves
//   arrange      KU x LANES words of B as stored       HELD, hold  the same as the tile reads it, if that is not as stored
//   Row, row; B, load                                  one unit of a row of A, of a group of B
//   V, SUMS, mac, value                                the registers in which their products are summed, and the words these make
// modulo 2^bits(S) (or 2^52, 2^48). B may be of a wider ring than the result.
#pragma once
#include "words.h"
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(RING_NEON)
#include <arm_neon.h>
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

template <class V>
inline V loadVector(const void* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof(V));
  return v;
}

/// One multiply and one add of V's own elements.
template <class S_, class V_, int MR_, int NV_>
struct Plain {
  using S = S_;
  using AT = S_;
  using Row = S_;
  using B = V_;
  using V = V_;
  static constexpr int LANES = sizeof(V_) / sizeof(S_), NV = NV_, MR = MR_, KC = 256, KU = 1, PARTS = 1;
  static constexpr int STORED = sizeof(V_) / 4, HELD = STORED, SUMS = 1;
  static constexpr bool HOLDS = false;
  static void split(AT* to, const S* a) { *to = *a; }
  static void arrange(u32* to, const S* words) { __builtin_memcpy(to, words, sizeof(V_)); }
  static void hold(u32*, const u32*) {}
  static Row row(const AT* a) { return *a; }
  static B load(const u32* p) { return loadVector<V_>(p); }
  static void mac(V* acc, Row a, B b) { *acc += b * a; }
  static void value(const V* acc, S* to) { __builtin_memcpy(to, acc, sizeof(V_)); }
};

#if defined(__AVX512F__)

/// Rings of at most 32 bits by VPDPWSSD, which adds two products of signed 16-bit words to a 32-bit lane. With x = lo + 2^16 hi,
/// lo signed, two steps of k take three of them: lo lo' exactly, lo hi' + hi lo' modulo 2^16, shifted once at the end.
struct Arith32 {
  using S = u32;
  using AT = u32;
  struct Row {
    __m512i low, high;
  };
  using B = Row;
  using V = V32;  // lanes as the instruction has them: through __m512i GCC 12 copies every sum in memory
  static constexpr int LANES = 16, NV = 2, MR = 6, KC = 256, KU = 2, PARTS = 2, STORED = 32, HELD = STORED;
  static constexpr int SUMS = 2;
  static constexpr bool HOLDS = false;
  static u32 lows(u32 x, u32 y) { return (x & 0xffff) | y << 16; }
  // A low half that counts as negative borrows one from its high half.
  static u32 highs(u32 x, u32 y) { return (x + 0x8000) >> 16 | ((y + 0x8000) & 0xffff0000); }
  static void split(AT* to, const S* a) {
    to[0] = lows(a[0], a[1]);
    to[1] = highs(a[0], a[1]);
  }
  static void arrange(u32* to, const S* words) {
    for (int i = 0; i < LANES; ++i) to[i] = lows(words[i], words[LANES + i]);
    for (int i = 0; i < LANES; ++i) to[LANES + i] = highs(words[i], words[LANES + i]);
  }
  static void hold(u32*, const u32*) {}
  static Row row(const AT* a) {
    return {_mm512_set1_epi32(static_cast<int>(a[0])), _mm512_set1_epi32(static_cast<int>(a[1]))};
  }
  static B load(const u32* p) { return {loadVector<__m512i>(p), loadVector<__m512i>(p + LANES)}; }
  static V add(V sum, __m512i a, __m512i b) { return (V)_mm512_dpwssd_epi32((__m512i)sum, a, b); }
  static void mac(V* acc, const Row& a, const B& b) {
    acc[0] = add(acc[0], a.low, b.low);
    acc[1] = add(acc[1], a.low, b.high);
    acc[1] = add(acc[1], a.high, b.low);
  }
  static void value(const V* acc, S* to) {
    const V sum = acc[0] + (acc[1] << 16);
    __builtin_memcpy(to, &sum, sizeof(sum));
  }
};

/// Rings of at most 52 bits: VPMADD52LUQ adds the low 52 bits of a 52-bit product to a 64-bit lane in one instruction. The
/// lane's carry out of bit 52 is wrong, and no ring this narrow looks at it.
struct Arith52 : Plain<u64, V64, 12, 2> {
  using Row = __m512i;
  static Row row(const AT* a) { return _mm512_set1_epi64(static_cast<long long>(*a)); }
  static void mac(V* acc, Row a, B b) { *acc = (V64)_mm512_madd52lo_epu64((__m512i)*acc, a, (__m512i)b); }
};

/// Rings of 53 to 64 bits by three multiply-adds of 52 bits: the low 52 bits of x x', the next 12 of the product of their low
/// 52 bits, and those of l h' + h l' for the low and the high 12 bits l, h. With y = 2^14 h + 2^38 l, floor(y y' / 2^52) is
/// l h' + h l' + 2^24 l l' (2^28 h h' < 2^52 falls away): the last two go to the same sum, of which 12 bits count.
struct Arith64 {
  using S = u64;
  using AT = u64;
  struct Row {
    __m512i word, ends;
  };
  using B = Row;
  using V = __m512i;
  static constexpr int LANES = 8, NV = 2, MR = 6, KC = 128, KU = 1, PARTS = 2, STORED = 16, HELD = 32;
  static constexpr int SUMS = 2;
  static constexpr bool HOLDS = true;
  static u64 ends(u64 x) { return x >> 52 << 14 | (x & 0xfff) << 38; }
  static void split(AT* to, const S* a) {
    to[0] = *a;
    to[1] = ends(*a);
  }
  static void arrange(u32* to, const S* words) { __builtin_memcpy(to, words, 64); }
  static void hold(u32* to, const u32* stored) {
    const V64 x = loadVector<V64>(stored), y = x >> 52 << 14 | (x & 0xfff) << 38;
    __builtin_memcpy(to, &x, 64);
    __builtin_memcpy(to + 16, &y, 64);
  }
  static Row row(const AT* a) {
    return {_mm512_set1_epi64(static_cast<long long>(a[0])), _mm512_set1_epi64(static_cast<long long>(a[1]))};
  }
  static B load(const u32* p) { return {loadVector<__m512i>(p), loadVector<__m512i>(p + 16)}; }
  static void mac(V* acc, const Row& a, const B& b) {
    acc[0] = _mm512_madd52lo_epu64(acc[0], a.word, b.word);
    acc[1] = _mm512_madd52hi_epu64(acc[1], a.word, b.word);
    acc[1] = _mm512_madd52hi_epu64(acc[1], a.ends, b.ends);
  }
  static void value(const V* acc, S* to) {
    const __m512i sum = _mm512_add_epi64(acc[0], _mm512_slli_epi64(acc[1], 52));
    __builtin_memcpy(to, &sum, sizeof(sum));
  }
};

#elif defined(__AVX2__)

using Arith32 = Plain<u32, V32, 4, 3>;

/// No 64-bit multiply: low x low of 32-bit halves in full for the even and the odd lanes of eight columns, the cross products
/// for all eight at once modulo 2^32. Column i of the first four is lane 2 i, of the others lane 2 i + 1.
struct Halves {
  using S = u64;
  using AT = u32;
  struct Row {
    __m256i low, other;
  };
  struct B {
    __m256i even, odd, other;
  };
  using V = __m256i;
  static constexpr int LANES = 8, NV = 1, MR = 3, KC = 256, KU = 1, PARTS = 2, STORED = 16, HELD = STORED;
  static constexpr int SUMS = 3;
  static constexpr bool HOLDS = false;
  static void hold(u32*, const u32*) {}
  static Row row(const AT* a) {
    return {_mm256_set1_epi32(static_cast<int>(a[0])), _mm256_set1_epi32(static_cast<int>(a[1]))};
  }
  static B load(const u32* p) {
    const __m256i low = loadVector<__m256i>(p);
    return {low, _mm256_srli_epi64(low, 32), loadVector<__m256i>(p + 8)};
  }
  static void lows(V* acc, const Row& a, const B& b) {
    acc[0] = _mm256_add_epi64(acc[0], _mm256_mul_epu32(a.low, b.even));
    acc[1] = _mm256_add_epi64(acc[1], _mm256_mul_epu32(a.low, b.odd));
  }
  static void value(const V* acc, S* to) {
    const __m256i even = _mm256_add_epi64(acc[0], _mm256_slli_epi64(acc[2], 32));
    const __m256i odd = _mm256_add_epi64(acc[1], _mm256_slli_epi64(_mm256_srli_epi64(acc[2], 32), 32));
    __builtin_memcpy(to, &even, 32);
    __builtin_memcpy(to + 4, &odd, 32);
  }
  static int lane(int column) { return column < 4 ? 2 * column : 2 * column - 7; }
};

/// Rings of at most 48 bits: the cross products count modulo 2^16, and VPMADDWD adds both of them in one instruction.
struct Arith48 : Halves {
  static void split(AT* to, const S* a) {
    to[0] = static_cast<u32>(*a);
    to[1] = static_cast<u32>(*a >> 32 & 0xffff) | static_cast<u32>(*a) << 16;
  }
  static void arrange(u32* to, const S* words) {
    for (int i = 0; i < LANES; ++i) {
      to[lane(i)] = static_cast<u32>(words[i]);
      to[LANES + lane(i)] = static_cast<u32>(words[i] & 0xffff) | static_cast<u32>(words[i] >> 32) << 16;
    }
  }
  static void mac(V* acc, const Row& a, const B& b) {
    lows(acc, a, b);
    acc[2] = _mm256_add_epi32(acc[2], _mm256_madd_epi16(a.other, b.other));
  }
};

struct Arith64 : Halves {
  static void split(AT* to, const S* a) {
    to[0] = static_cast<u32>(*a);
    to[1] = static_cast<u32>(*a >> 32);
  }
  static void arrange(u32* to, const S* words) {
    for (int i = 0; i < LANES; ++i) {
      to[lane(i)] = static_cast<u32>(words[i]);
      to[LANES + lane(i)] = static_cast<u32>(words[i] >> 32);
    }
  }
  static void mac(V* acc, const Row& a, const B& b) {
    lows(acc, a, b);
    acc[2] = _mm256_add_epi32(acc[2], _mm256_mullo_epi32(a.low, b.other));
    acc[2] = _mm256_add_epi32(acc[2], _mm256_mullo_epi32(a.other, b.even));
  }
};

#elif defined(RING_NEON)

using Arith32 = Plain<u32, V32, 8, 2>;

/// Of 32-bit halves: low x low in full (UMLAL) for two columns at a time, the cross products modulo 2^32 (MLA) for four.
struct Arith64 {
  using S = u64;
  using AT = u32;
  using V = uint32x4_t;
  struct Row {
    u32 low, high;
  };
  struct B {
    uint32x4_t low, high;
  };
  static constexpr int LANES = 4, NV = 2, MR = 4, KC = 256, KU = 1, PARTS = 2, STORED = 8, HELD = STORED, SUMS = 3;
  static constexpr bool HOLDS = false;
  static void hold(u32*, const u32*) {}
  static void split(AT* to, const S* a) {
    to[0] = static_cast<u32>(*a);
    to[1] = static_cast<u32>(*a >> 32);
  }
  static void arrange(u32* to, const S* words) {
    for (int i = 0; i < LANES; ++i) {
      to[i] = static_cast<u32>(words[i]);
      to[LANES + i] = static_cast<u32>(words[i] >> 32);
    }
  }
  static Row row(const AT* a) { return {a[0], a[1]}; }
  static B load(const u32* p) { return {vld1q_u32(p), vld1q_u32(p + LANES)}; }
  static void mac(V* acc, const Row& a, const B& b) {
    acc[0] = vreinterpretq_u32_u64(vmlal_n_u32(vreinterpretq_u64_u32(acc[0]), vget_low_u32(b.low), a.low));
    acc[1] = vreinterpretq_u32_u64(vmlal_high_n_u32(vreinterpretq_u64_u32(acc[1]), b.low, a.low));
    acc[2] = vmlaq_n_u32(vmlaq_n_u32(acc[2], b.high, a.low), b.low, a.high);
  }
  static void value(const V* acc, S* to) {
    const uint64x2_t first = vshlq_n_u64(vmovl_u32(vget_low_u32(acc[2])), 32), last = vshlq_n_u64(vmovl_high_u32(acc[2]), 32);
    vst1q_u64(to, vaddq_u64(vreinterpretq_u64_u32(acc[0]), first));
    vst1q_u64(to + 2, vaddq_u64(vreinterpretq_u64_u32(acc[1]), last));
  }
};

#else

using Arith32 = Plain<u32, V32, 4, 2>;
/// 64-bit lanes are emulated on 128-bit registers of x86 and WebAssembly; the scalar multiplier is faster.
struct Arith64 : Plain<u64, u64, 2, 4> {
  static void mac(V* acc, Row a, B b) {
    u64 product = a * b;
#if defined(__wasm__)
    // LLVM would make vectors of them.
    asm("" : "+r"(product));
#endif
    *acc += product;
  }
};

#endif

using Arith128 = Plain<u128, u128, 1, 2>;

/// Calls f with a value of the policy for ring w.
template <class F>
inline u32 withPolicy(u32 w, F f) {
  if (w <= 32) return f(Arith32());
#if defined(__AVX512F__)
  if (w <= 52) return f(Arith52());
#elif defined(__AVX2__)
  if (w <= 48) return f(Arith48());
#endif
  if (w <= 64) return f(Arith64());
  return f(Arith128());
}

}  // namespace
}  // namespace RING_ISA
}  // namespace ring
