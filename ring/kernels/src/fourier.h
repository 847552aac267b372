// Fourier kernels: integer trigonometry by one table split as phase = hi 2^l + lo, exactly as in ring/trig.ts.
#pragma once
#include "words.h"
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace ring {
namespace RING_ISA {
namespace {

constexpr u32 G = 28;  // fraction bits of the trig table

/// Round half up after division by 2^s.
inline int64_t scaled(int64_t x, u32 s) { return (x + (int64_t(1) << s >> 1)) >> s; }

struct Trig {
  const int32_t *hiCos, *hiSin, *loCos, *loSin;
  u32 l;
  u64 periodMask, lowMask;

  void at(u64 phase, int64_t& cosine, int64_t& sine) const {
    const u64 hi = (phase & periodMask) >> l, lo = phase & lowMask;
    const int64_t ch = hiCos[hi], sh = hiSin[hi], cl = loCos[lo], sl = loSin[lo];
    cosine = scaled(ch * cl - sh * sl, G);
    sine = scaled(sh * cl + ch * sl, G);
  }
};

inline Trig trigOf(const int32_t* hiCos, const int32_t* hiSin, const int32_t* loCos, const int32_t* loSin, u32 b, u32 l) {
  return {hiCos, hiSin, loCos, loSin, l, maskOf<u64>(b), (u64(1) << l) - 1};
}

/// Calls f(i, c_i) for every word of ring b, b <= 64.
template <class F>
inline void eachPhase(const u32* c, size_t length, u32 b, F f) {
  if (b <= 32)
    for (size_t i = 0; i < length; ++i) f(i, static_cast<u64>(c[i]));
  else
    for (size_t i = 0; i < length; ++i) f(i, In<u64>{c}[i]);
}

#if defined(__AVX512F__)

/// The same, eight harmonics of one word at a time. Periods of at most 32 bits, tables of at most TABLE entries, rings of at most
/// 64 bits; whatever is beyond goes the plain way.
constexpr u32 TABLE = 4096;

inline bool vectorised(u32 b, u32 l, u32 n) { return b <= 32 && b - l <= 12 && l <= 12 && n <= 64; }

struct VectorTrig {
  const u64 *hi, *lo;  // cosine in the low half, sine in the high half
  u32 l;
  __m512i periodMask, lowMask;

  static __m512i rounded(__m512i x, u32 s) {
    return _mm512_srav_epi64(_mm512_add_epi64(x, _mm512_set1_epi64(int64_t(1) << s >> 1)), _mm512_set1_epi64(s));
  }
  /// Of the phases word (k0 + 1), …, word (k0 + 8).
  void at(u64 word, u32 k0, __m512i& cosine, __m512i& sine) const {
    const __m512i k = _mm512_add_epi64(_mm512_set1_epi64(k0 + 1), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
    const __m512i phase = _mm512_and_si512(_mm512_mul_epu32(_mm512_set1_epi64(static_cast<long long>(word)), k), periodMask);
    const __m512i h = _mm512_i64gather_epi64(_mm512_srlv_epi64(phase, _mm512_set1_epi64(l)), hi, 8);
    const __m512i w = _mm512_i64gather_epi64(_mm512_and_si512(phase, lowMask), lo, 8);
    const __m512i hs = _mm512_srli_epi64(h, 32), ws = _mm512_srli_epi64(w, 32);
    cosine = rounded(_mm512_sub_epi64(_mm512_mul_epi32(h, w), _mm512_mul_epi32(hs, ws)), G);
    sine = rounded(_mm512_add_epi64(_mm512_mul_epi32(hs, w), _mm512_mul_epi32(h, ws)), G);
  }
};

inline VectorTrig vectorTrig(const Trig& t, u32 b) {
  alignas(64) static thread_local u64 hi[TABLE], lo[TABLE];
  const auto join = [](u64* to, const int32_t* cosines, const int32_t* sines, u32 bits) {
    for (u32 i = 0; i < u32(1) << bits; ++i) to[i] = static_cast<u32>(cosines[i]) | static_cast<u64>(static_cast<u32>(sines[i])) << 32;
  };
  join(hi, t.hiCos, t.hiSin, b - t.l);
  join(lo, t.loCos, t.loSin, t.l);
  return {hi, lo, t.l, _mm512_set1_epi64(static_cast<long long>(t.periodMask)), _mm512_set1_epi64(static_cast<long long>(t.lowMask))};
}

inline __mmask8 lanes(u32 count) { return static_cast<__mmask8>(count >= 8 ? 0xff : (1 << count) - 1); }

/// x y of a coefficient and a cosine, |y| <= 2^28.
template <bool WIDE>
inline __m512i times(__m512i x, __m512i y) {
  return WIDE ? _mm512_mullo_epi64(x, y) : _mm512_mul_epi32(x, y);
}

/// Words of slot T as 64-bit lanes.
template <class T>
inline __m512i lanesOf(const u32* p, __mmask8 m) {
  return sizeof(T) == 4 ? _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32(m, p)) : _mm512_maskz_loadu_epi64(m, p);
}

/** Sum of the lanes modulo 2^64 (the intrinsic that adds them all does so in signed numbers, whose overflow C++ leaves undefined). */
inline u64 lanesSum(__m512i v) {
  const __m256i half = _mm256_add_epi64(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
  const __m128i pair = _mm_add_epi64(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  return static_cast<u64>(_mm_cvtsi128_si64(pair)) + static_cast<u64>(_mm_extract_epi64(pair, 1));
}

template <class T, bool WIDE, bool IN52>
void vectorDot(const VectorTrig& trig, u64 word, const u32* t, const int64_t* a, const int64_t* bk, u32* out, u32 K, T mask) {
  __m512i sum = _mm512_setzero_si512();
  for (u32 k = 0; k < K; k += 8) {
    const __mmask8 m = lanes(K - k);
    __m512i co, si;
    trig.at(word, k, co, si);
    const __m512i x = _mm512_maskz_loadu_epi64(m, a + k), y = _mm512_maskz_loadu_epi64(m, bk + k);
    const __m512i A = VectorTrig::rounded(_mm512_add_epi64(times<WIDE>(x, co), times<WIDE>(y, si)), G);
    const __m512i B = VectorTrig::rounded(_mm512_sub_epi64(times<WIDE>(x, si), times<WIDE>(y, co)), G);
    const __m512i u = lanesOf<T>(t + k * (sizeof(T) / 4), m), v = lanesOf<T>(t + (K + k) * (sizeof(T) / 4), m);
    if (IN52) {
      sum = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(sum, A, u), B, v);
    } else {
      sum = _mm512_add_epi64(sum, _mm512_add_epi64(_mm512_mullo_epi64(A, u), _mm512_mullo_epi64(B, v)));
    }
  }
  Out<T>{out}.set(0, static_cast<T>(lanesSum(sum)) & mask);
}

template <class T, bool WIDE, bool IN52>
void vectorDots(const Trig& plain, const u32* c, const u32* t, const int64_t* a, const int64_t* bk, u32* out, size_t length,
                u32 K, u32 b, T mask) {
  const VectorTrig trig = vectorTrig(plain, b);
  constexpr size_t L = sizeof(T) / 4;
  for (size_t i = 0; i < length; ++i) vectorDot<T, WIDE, IN52>(trig, c[i], t + i * 2 * K * L, a, bk, out + i * L, K, mask);
}

inline bool wide(const int64_t* x, u32 K) {
  bool is = false;
  for (u32 k = 0; k < K; ++k) is = is || x[k] != static_cast<int32_t>(x[k]);
  return is;
}

inline void vectorDot(const Trig& trig, const u32* c, const u32* t, const int64_t* a, const int64_t* bk, u32* out, size_t length,
                      u32 K, u32 b, u32 n) {
  const bool w = wide(a, K) || wide(bk, K);
  if (n <= 32) {
    if (w) vectorDots<u32, true, true>(trig, c, t, a, bk, out, length, K, b, maskOf<u32>(n));
    else vectorDots<u32, false, true>(trig, c, t, a, bk, out, length, K, b, maskOf<u32>(n));
  } else if (n <= 52) {
    if (w) vectorDots<u64, true, true>(trig, c, t, a, bk, out, length, K, b, maskOf<u64>(n));
    else vectorDots<u64, false, true>(trig, c, t, a, bk, out, length, K, b, maskOf<u64>(n));
  } else {
    if (w) vectorDots<u64, true, false>(trig, c, t, a, bk, out, length, K, b, maskOf<u64>(n));
    else vectorDots<u64, false, false>(trig, c, t, a, bk, out, length, K, b, maskOf<u64>(n));
  }
}

inline void vectorSecret(const Trig& plain, const u32* r, u32* out, size_t length, u32 K, u32 b, u32 g1, u32 n) {
  const VectorTrig trig = vectorTrig(plain, b);
  const __m512i mask = _mm512_set1_epi64(static_cast<long long>(maskOf<u64>(n)));
  const auto put = [=](u32* to, __mmask8 m, __m512i x) {
    const __m512i words = _mm512_and_si512(VectorTrig::rounded(x, G - g1), mask);
    if (n <= 32) _mm512_mask_cvtepi64_storeu_epi32(to, m, words);
    else _mm512_mask_storeu_epi64(to, m, words);
  };
  const size_t L = n <= 32 ? 1 : 2;
  for (size_t i = 0; i < length; ++i, out += 2 * K * L)
    for (u32 k = 0; k < K; k += 8) {
      __m512i co, si;
      trig.at(r[i], k, co, si);
      put(out + k * L, lanes(K - k), co);
      put(out + (K + k) * L, lanes(K - k), si);
    }
}

#endif

}  // namespace

RING_KERNEL(fourierPublic)(const u32* c, const int32_t* hiCos, const int32_t* hiSin, const int32_t* loCos,
                           const int32_t* loSin, const int64_t* a, const int64_t* bk, u32* out, u32 length, u32 K, u32 b,
                           u32 l) {
  const Trig trig = trigOf(hiCos, hiSin, loCos, loSin, b, l);
  eachPhase(c, length, b, [=](size_t i, u64 word) {
    const Out<u64> z = Out<u64>{out} + i * 2 * K;
    u64 phase = 0;
    for (u32 k = 0; k < K; ++k) {
      int64_t co, si;
      trig.at(phase += word, co, si);
      z.set(k, static_cast<u64>(scaled(a[k] * co + bk[k] * si, G)));
      z.set(K + k, static_cast<u64>(scaled(a[k] * si - bk[k] * co, G)));
    }
  });
  return 0;
}

RING_KERNEL(fourierSecret)(const u32* r, const int32_t* hiCos, const int32_t* hiSin, const int32_t* loCos,
                           const int32_t* loSin, u32* out, u32 length, u32 K, u32 b, u32 l, u32 g1, u32 n) {
  const Trig trig = trigOf(hiCos, hiSin, loCos, loSin, b, l);
#if defined(__AVX512F__)
  if (vectorised(b, l, n)) {
    vectorSecret(trig, r, out, length, K, b, g1, n);
    return 0;
  }
#endif
  return withSlot(n, [=](auto zero) {
    using T = decltype(zero);
    const T mask = maskOf<T>(n);
    eachPhase(r, length, b, [=](size_t i, u64 word) {
      const Out<T> z = Out<T>{out} + i * 2 * K;
      u64 phase = 0;
      for (u32 k = 0; k < K; ++k) {
        int64_t co, si;
        trig.at(phase += word, co, si);
        z.set(k, static_cast<T>(scaled(co, G - g1)) & mask);
        z.set(K + k, static_cast<T>(scaled(si, G - g1)) & mask);
      }
    });
    return 0u;
  });
}

RING_KERNEL(fourierDot)(const u32* c, const u32* T_, const int32_t* hiCos, const int32_t* hiSin, const int32_t* loCos,
                        const int32_t* loSin, const int64_t* a, const int64_t* bk, u32* out, u32 length, u32 K, u32 b,
                        u32 l, u32 n) {
  const Trig trig = trigOf(hiCos, hiSin, loCos, loSin, b, l);
#if defined(__AVX512F__)
  if (vectorised(b, l, n)) {
    vectorDot(trig, c, T_, a, bk, out, length, K, b, n);
    return 0;
  }
#endif
  return withSlot(n, [=](auto zero) {
    using T = decltype(zero);
    const T mask = maskOf<T>(n);
    eachPhase(c, length, b, [=](size_t i, u64 word) {
      const In<T> t = In<T>{T_} + i * 2 * K;
      T total = 0;
      u64 phase = 0;
      for (u32 k = 0; k < K; ++k) {
        int64_t co, si;
        trig.at(phase += word, co, si);
        total += static_cast<T>(scaled(a[k] * co + bk[k] * si, G)) * t[k];
        total += static_cast<T>(scaled(a[k] * si - bk[k] * co, G)) * t[K + k];
      }
      Out<T>{out}.set(i, total & mask);
    });
    return 0u;
  });
}

}  // namespace RING_ISA
}  // namespace ring
