// Slots, masks and dispatch on the ring width.
#pragma once
#include "kernels.h"

namespace ring {
namespace RING_ISA {
namespace {

using u32 = uint32_t;
using u64 = uint64_t;
using u128 = unsigned __int128;

template <class T>
struct SignedOf;
template <>
struct SignedOf<u32> {
  using type = int32_t;
};
template <>
struct SignedOf<u64> {
  using type = int64_t;
};
template <>
struct SignedOf<u128> {
  using type = __int128;
};

template <class T>
constexpr u32 bitsOf = 8 * sizeof(T);

/// 2^n - 1 in a slot of T, 1 <= n <= bits.
template <class T>
inline T maskOf(u32 n) {
  return static_cast<T>(~T(0)) >> (bitsOf<T> - n);
}

/// Words of slot T behind limbs that are only 4-byte aligned.
template <class T>
struct In {
  const u32* p;
  T operator[](size_t i) const {
    T v;
    __builtin_memcpy(&v, p + i * (sizeof(T) / 4), sizeof(T));
    return v;
  }
  In operator+(size_t i) const { return {p + i * (sizeof(T) / 4)}; }
};
template <class T>
struct Out {
  u32* p;
  void set(size_t i, T v) const { __builtin_memcpy(p + i * (sizeof(T) / 4), &v, sizeof(T)); }
  T operator[](size_t i) const { return In<T>{p}[i]; }
  Out operator+(size_t i) const { return {p + i * (sizeof(T) / 4)}; }
};

/// Calls f with a zero of the slot type of ring n.
template <class F>
inline u32 withSlot(u32 n, F f) {
  if (n <= 32) return f(u32(0));
  if (n <= 64) return f(u64(0));
  return f(u128(0));
}

}  // namespace
}  // namespace RING_ISA
}  // namespace ring
