// Words as bytes: packed to n bits for the wire, and slots of the key stream.
#pragma once
#include "words.h"

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

template <class T>
void packWords(In<T> a, uint8_t* bytes, size_t length, u32 n) {
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

/// Words whose 8 bytes all lie inside, then the rest.
template <class T>
void unpackWords(const uint8_t* bytes, Out<T> out, size_t length, u32 n) {
  const u64 size = (static_cast<u64>(length) * n + 7) / 8;
  size_t i = 0;
  u64 offset = 0;
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

template <class N, class T>
void narrowSlots(const uint8_t* bytes, Out<T> out, size_t length, T mask) {
  for (size_t i = 0; i < length; ++i) {
    N v;
    __builtin_memcpy(&v, bytes + i * sizeof(N), sizeof(N));
    out.set(i, static_cast<T>(v) & mask);
  }
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
  const u64 bits = static_cast<u64>(length) * n;
  return (bits & 7) != 0 && bytes[bits >> 3] >> (bits & 7) != 0 ? 1 : 0;
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
