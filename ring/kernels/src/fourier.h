// Fourier kernels: integer trigonometry by one table split as phase = hi 2^l + lo, exactly as in ring/trig.ts.
#pragma once
#include "words.h"

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
