// Words as bytes: packed to n bits for the wire, and slots of the key stream.
#pragma once
#include "words.h"
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace ring {
namespace RING_ISA {
namespace {

/// Appends fields of at most 64 bits, in 64-bit steps.
struct BitWriter {
  uint8_t* p;
  u64 buffer = 0;
  u32 held = 0;
  void put(u64 value, u32 bits) {
    buffer |= value << held;
    held += bits;
    if (held >= 64) {
      __builtin_memcpy(p, &buffer, 8);
      p += 8;
      held -= 64;
      // The bits of value that did not fit; none where it ended with the step.
      buffer = held == 0 ? 0 : value >> (bits - held);
    }
  }
  void flush() {
    for (; held > 0; held = held > 8 ? held - 8 : 0, buffer >>= 8) *p++ = static_cast<uint8_t>(buffer);
  }
};

/// `bits` <= 57 bits at a bit offset; reads 8 bytes.
inline u64 bitsAt(const uint8_t* bytes, u64 offset, u64 mask) {
  u64 v;
  __builtin_memcpy(&v, bytes + (offset >> 3), 8);
  return (v >> (offset & 7)) & mask;
}

/// The same near the end, byte by byte; at most 64 bits.
inline u64 lastBits(const uint8_t* bytes, u64 size, u64 offset, u32 bits) {
  u64 v = 0;
  for (u32 i = 0; i < bits; ++i) {
    const u64 at = offset + i;
    if ((at >> 3) < size) v |= static_cast<u64>(bytes[at >> 3] >> (at & 7) & 1) << i;
  }
  return v;
}

#if defined(__AVX512F__)

/// The least multiple 2^j n of n above 32: so many bits a 64-bit lane takes, of 2^j words.
inline u32 merged(u32 n) { return n > 32 ? n : n > 16 ? 2 * n : 0; }

/// Packs words of 17..63 bits (not 32): 8 lanes of m <= 64 bits make m bytes. Output lane j is made of the at most three fields
/// that meet its 64 bits. Returns the words done, a multiple of 8; writes 64 bytes a step, within `size`.
template <class T>
size_t packVectors(In<T> a, uint8_t* bytes, size_t length, u32 n, u64 size) {
  const u32 m = merged(n);
  if (m == 0 || n == 32 || n >= 64) return 0;
  alignas(64) u64 from[8], down[8], up1[8], up2[8];
  for (u32 j = 0; j < 8; ++j) {
    const u32 bit = 64 * j;
    from[j] = bit / m;
    down[j] = bit - from[j] * m;
    up1[j] = (from[j] + 1) * m - bit;
    up2[j] = up1[j] + m;
  }
  const __m512i f0 = _mm512_load_si512(from), one = _mm512_set1_epi64(1);
  const __m512i f1 = _mm512_add_epi64(f0, one), f2 = _mm512_add_epi64(f1, one);
  const __m512i d = _mm512_load_si512(down), u1 = _mm512_load_si512(up1), u2 = _mm512_load_si512(up2);
  const size_t words = sizeof(T) == 4 ? 16 : 8;
  const __m512i low = _mm512_set1_epi64(0xffffffff), shift = _mm512_set1_epi64(n);
  size_t i = 0;
  for (u64 at = 0; i + words <= length && at + 64 <= size; i += words, at += m) {
    __m512i x = _mm512_loadu_si512((a + i).p);
    if (sizeof(T) == 4) x = _mm512_or_si512(_mm512_and_si512(x, low), _mm512_sllv_epi64(_mm512_srli_epi64(x, 32), shift));
    // A field beyond the eighth comes round as another, but no bit of it is shifted into what is kept.
    const __m512i parts = _mm512_or_si512(_mm512_srlv_epi64(_mm512_permutexvar_epi64(f0, x), d),
                                          _mm512_sllv_epi64(_mm512_permutexvar_epi64(f1, x), u1));
    _mm512_storeu_si512(bytes + at, _mm512_or_si512(parts, _mm512_sllv_epi64(_mm512_permutexvar_epi64(f2, x), u2)));
  }
  return i;
}

/// Unpacks words of 1..63 bits (not 32): 64 bytes hold 16 of at most 32 bits, or 8 of at most 63, each in two neighbouring lanes.
/// Returns the words done, a multiple of 8.
inline size_t unpackVectors(const uint8_t* bytes, u32* out, size_t length, u32 n, u64 size) {
  size_t i = 0;
  if (n < 32) {
    const __m512i k = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i bit = _mm512_mullo_epi32(k, _mm512_set1_epi32(static_cast<int>(n)));
    const __m512i f0 = _mm512_srli_epi32(bit, 5), f1 = _mm512_add_epi32(f0, _mm512_set1_epi32(1));
    const __m512i down = _mm512_and_si512(bit, _mm512_set1_epi32(31)), up = _mm512_sub_epi32(_mm512_set1_epi32(32), down);
    const __m512i mask = _mm512_set1_epi32(static_cast<int>(maskOf<u32>(n)));
    for (u64 at = 0; i + 16 <= length && at + 64 <= size; i += 16, at += 2 * n) {
      const __m512i x = _mm512_loadu_si512(bytes + at);
      const __m512i w = _mm512_or_si512(_mm512_srlv_epi32(_mm512_permutexvar_epi32(f0, x), down),
                                        _mm512_sllv_epi32(_mm512_permutexvar_epi32(f1, x), up));
      _mm512_storeu_si512(out + i, _mm512_and_si512(w, mask));
    }
  } else if (n > 32 && n < 64) {
    const __m512i k = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    const __m512i bit = _mm512_mul_epu32(k, _mm512_set1_epi64(n));
    const __m512i f0 = _mm512_srli_epi64(bit, 6), f1 = _mm512_add_epi64(f0, _mm512_set1_epi64(1));
    const __m512i down = _mm512_and_si512(bit, _mm512_set1_epi64(63)), up = _mm512_sub_epi64(_mm512_set1_epi64(64), down);
    const __m512i mask = _mm512_set1_epi64(static_cast<long long>(maskOf<u64>(n)));
    for (u64 at = 0; i + 8 <= length && at + 64 <= size; i += 8, at += n) {
      const __m512i x = _mm512_loadu_si512(bytes + at);
      const __m512i w = _mm512_or_si512(_mm512_srlv_epi64(_mm512_permutexvar_epi64(f0, x), down),
                                        _mm512_sllv_epi64(_mm512_permutexvar_epi64(f1, x), up));
      _mm512_storeu_si512(out + 2 * i, _mm512_and_si512(w, mask));
    }
  }
  return i;
}

#endif

/// Words of 8, 16, 32 or 64 bits are slots of bytes. N is that slot.
template <class N, class T>
void slotsOut(In<T> a, uint8_t* bytes, size_t length) {
  for (size_t i = 0; i < length; ++i) {
    const N v = static_cast<N>(a[i]);
    __builtin_memcpy(bytes + i * sizeof(N), &v, sizeof(N));
  }
}

template <class T>
void packWords(In<T> a, uint8_t* bytes, size_t length, u32 n) {
  if (n == 8) return slotsOut<uint8_t>(a, bytes, length);
  if (n == 16) return slotsOut<uint16_t>(a, bytes, length);
  if (n == 32) return slotsOut<u32>(a, bytes, length);
  if (n == 64) return slotsOut<u64>(a, bytes, length);
#if defined(__AVX512F__)
  const size_t done = packVectors(a, bytes, length, n, (static_cast<u64>(length) * n + 7) / 8);
  a = a + done;
  bytes += done * n / 8;
  length -= done;
#endif
  BitWriter w{bytes};
  if (n <= 64) {
    for (size_t i = 0; i < length; ++i) w.put(static_cast<u64>(a[i]), n);
  } else {
    for (size_t i = 0; i < length; ++i) {
      w.put(static_cast<u64>(a[i]), 64);
      w.put(static_cast<u64>(static_cast<u128>(a[i]) >> 64), n - 64);
    }
  }
  w.flush();
}

template <class N, class T>
void narrowSlots(const uint8_t* bytes, Out<T> out, size_t length, T mask) {
  for (size_t i = 0; i < length; ++i) {
    N v;
    __builtin_memcpy(&v, bytes + i * sizeof(N), sizeof(N));
    out.set(i, static_cast<T>(v) & mask);
  }
}

/// Words whose 8 bytes all lie inside, then the rest.
template <class T>
void unpackWords(const uint8_t* bytes, Out<T> out, size_t length, u32 n) {
  const u64 size = (static_cast<u64>(length) * n + 7) / 8;
  if (n == 8) return narrowSlots<uint8_t, T>(bytes, out, length, ~T(0));
  if (n == 16) return narrowSlots<uint16_t, T>(bytes, out, length, ~T(0));
  if (n == 32) return narrowSlots<u32, T>(bytes, out, length, ~T(0));
  if (n == 64) return narrowSlots<u64, T>(bytes, out, length, ~T(0));
  size_t i = 0;
#if defined(__AVX512F__)
  i = unpackVectors(bytes, out.p, length, n, size);
#endif
  u64 offset = static_cast<u64>(i) * n;
  if (n <= 57) {
    const u64 mask = maskOf<u64>(n);
    for (; i < length && (offset >> 3) + 8 <= size; ++i, offset += n) out.set(i, static_cast<T>(bitsAt(bytes, offset, mask)));
  } else {
    const u64 low = maskOf<u64>(32);
    for (; i < length && ((offset + n) >> 3) + 8 <= size; ++i, offset += n) {
      T v = 0;
      for (u32 at = 0; at < n; at += 32) {
        const u64 part = bitsAt(bytes, offset + at, n - at < 32 ? maskOf<u64>(n - at) : low);
        v |= static_cast<T>(static_cast<T>(part) << at);
      }
      out.set(i, v);
    }
  }
  for (; i < length; ++i, offset += n) {
    T v = static_cast<T>(lastBits(bytes, size, offset, n < 64 ? n : 64));
    if (n > 64) v |= static_cast<T>(static_cast<u128>(lastBits(bytes, size, offset + 64, n - 64)) << 64);
    out.set(i, v);
  }
}

/// 1 if a bit after the last of `length` words is set.
inline u32 padded(const uint8_t* bytes, size_t length, u32 n) {
  const u64 bits = static_cast<u64>(length) * n;
  return (bits & 7) != 0 && bytes[bits >> 3] >> (bits & 7) != 0 ? 1 : 0;
}

}  // namespace

RING_KERNEL(pack)(const u32* a, uint8_t* bytes, u32 length, u32 n) {
  return withSlot(n, [=](auto zero) {
    packWords<decltype(zero)>({a}, bytes, length, n);
    return 0u;
  });
}

RING_KERNEL(unpack)(const uint8_t* bytes, u32* out, u32 length, u32 n) {
  withSlot(n, [=](auto zero) {
    unpackWords<decltype(zero)>(bytes, {out}, length, n);
    return 0u;
  });
  return padded(bytes, length, n);
}

RING_KERNEL(narrow)(const uint8_t* bytes, u32* out, u32 length, u32 n) {
  if (n <= 8) narrowSlots<uint8_t, u32>(bytes, {out}, length, maskOf<u32>(n));
  else if (n <= 16) narrowSlots<uint16_t, u32>(bytes, {out}, length, maskOf<u32>(n));
  else if (n <= 32) narrowSlots<u32, u32>(bytes, {out}, length, maskOf<u32>(n));
  else if (n <= 64) narrowSlots<u64, u64>(bytes, {out}, length, maskOf<u64>(n));
  else narrowSlots<u128, u128>(bytes, {out}, length, maskOf<u128>(n));
  return 0;
}

}  // namespace RING_ISA
}  // namespace ring
