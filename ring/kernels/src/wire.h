// Words as bytes: packed to n bits for the wire, and slots of the key stream.
#pragma once
#include "words.h"

namespace ring {
namespace RING_ISA {
namespace {

/// Appends fields of at most 32 bits.
struct BitWriter {
  uint8_t* p;
  u64 buffer = 0;
  u32 held = 0;
  void put(u32 value, u32 bits) {
    buffer |= static_cast<u64>(value) << held;
    held += bits;
    if (held >= 32) {
      const u32 low = static_cast<u32>(buffer);
      __builtin_memcpy(p, &low, 4);
      p += 4;
      buffer >>= 32;
      held -= 32;
    }
  }
  void flush() {
    for (; held > 0; held = held > 8 ? held - 8 : 0, buffer >>= 8) *p++ = static_cast<uint8_t>(buffer);
  }
};

struct BitReader {
  const uint8_t* p;
  const uint8_t* end;
  u64 buffer = 0;
  u32 held = 0;
  u32 take(u32 bits) {
    if (held < bits) {
      u32 next = 0;
      if (end - p >= 4) {
        __builtin_memcpy(&next, p, 4);
        p += 4;
      } else {
        for (u32 at = 0; p < end; at += 8) next |= static_cast<u32>(*p++) << at;
      }
      buffer |= static_cast<u64>(next) << held;
      held += 32;
    }
    const u32 value = static_cast<u32>(buffer) & maskOf<u32>(bits);
    buffer >>= bits;
    held -= bits;
    return value;
  }
};

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
  BitWriter w{bytes};
  const u32 limbs = n <= 32 ? 1 : n <= 64 ? 2 : 4;
  for (size_t i = 0; i < length; ++i) {
    const u32* word = a + i * limbs;
    u32 left = n;
    for (; left > 32; left -= 32) w.put(*word++, 32);
    w.put(*word, left);
  }
  w.flush();
  return 0;
}

RING_KERNEL(unpack)(const uint8_t* bytes, u32* out, u32 length, u32 n) {
  BitReader r{bytes, bytes + (static_cast<u64>(length) * n + 7) / 8};
  const u32 limbs = n <= 32 ? 1 : n <= 64 ? 2 : 4;
  for (size_t i = 0; i < length; ++i) {
    u32* word = out + i * limbs;
    u32 left = n, at = 0;
    for (; left > 32; left -= 32) word[at++] = r.take(32);
    word[at++] = r.take(left);
    for (; at < limbs; ++at) word[at] = 0;
  }
  // Fewer than 8 padding bits can be left, and all that is left lies in the buffer or in the last byte read into it.
  return r.buffer != 0 || r.p != r.end ? 1 : 0;
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
