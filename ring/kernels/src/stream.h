// The key stream of ring/prg.ts, AES-128 in counter mode (FIPS 197; NIST SP 800-38A, 6.5), written as words without passing
// through memory twice. Only where the processor has AES instructions: they take the same time whatever key and data.
#pragma once
#include "wire.h"
#if defined(__AES__)
#include <immintrin.h>

namespace ring {
namespace RING_ISA {
namespace {

struct AesKey {
  __m128i round[11];
};

template <int CONSTANT>
inline __m128i nextRoundKey(__m128i key) {
  const __m128i word = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, CONSTANT), 0xff);
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, word);
}

inline AesKey expandKey(const uint8_t* bytes) {
  AesKey k;
  k.round[0] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  k.round[1] = nextRoundKey<0x01>(k.round[0]);
  k.round[2] = nextRoundKey<0x02>(k.round[1]);
  k.round[3] = nextRoundKey<0x04>(k.round[2]);
  k.round[4] = nextRoundKey<0x08>(k.round[3]);
  k.round[5] = nextRoundKey<0x10>(k.round[4]);
  k.round[6] = nextRoundKey<0x20>(k.round[5]);
  k.round[7] = nextRoundKey<0x40>(k.round[6]);
  k.round[8] = nextRoundKey<0x80>(k.round[7]);
  k.round[9] = nextRoundKey<0x1b>(k.round[8]);
  k.round[10] = nextRoundKey<0x36>(k.round[9]);
  return k;
}

#if defined(__VAES__) && defined(__AVX512F__)

/// Blocks in flight: eight registers of four, for the instructions take several cycles each.
constexpr int WIDTH = 32;

/// Blocks counter, counter + 1, … encrypted into `to`; `blocks` is a multiple of WIDTH.
inline void counterBlocks(const AesKey& key, u128& counter, uint8_t* to, size_t blocks) {
  constexpr int REGISTERS = WIDTH / 4;
  __m512i round[11];
  for (int r = 0; r < 11; ++r) round[r] = _mm512_broadcast_i32x4(key.round[r]);
  // Big-endian bytes of a little-endian integer.
  const __m512i reverse = _mm512_broadcast_i32x4(_mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  for (size_t b = 0; b < blocks; b += WIDTH, counter += WIDTH) {
    __m512i x[REGISTERS];
    const u64 low = static_cast<u64>(counter), high = static_cast<u64>(counter >> 64);
    if (low < ~u64(0) - WIDTH) {
      const __m512i first = _mm512_add_epi64(_mm512_broadcast_i32x4(_mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low))),
                                             _mm512_setr_epi64(0, 0, 1, 0, 2, 0, 3, 0));
      for (int i = 0; i < REGISTERS; ++i) x[i] = _mm512_add_epi64(first, _mm512_setr_epi64(4 * i, 0, 4 * i, 0, 4 * i, 0, 4 * i, 0));
    } else {
      // A carry into the high half, once in 2^64 blocks.
      u128 each[WIDTH];
      for (int i = 0; i < WIDTH; ++i) each[i] = counter + static_cast<u128>(i);
      __builtin_memcpy(x, each, sizeof(each));
    }
    for (int i = 0; i < REGISTERS; ++i) x[i] = _mm512_xor_si512(_mm512_shuffle_epi8(x[i], reverse), round[0]);
    for (int r = 1; r < 10; ++r)
      for (int i = 0; i < REGISTERS; ++i) x[i] = _mm512_aesenc_epi128(x[i], round[r]);
    for (int i = 0; i < REGISTERS; ++i) _mm512_storeu_si512(to + 16 * b + 64 * i, _mm512_aesenclast_epi128(x[i], round[10]));
  }
}

#else

/// Blocks in flight: the instructions take several cycles each, one starts every cycle.
constexpr int WIDTH = 8;

/// Blocks counter, counter + 1, … encrypted into `to`; `blocks` is a multiple of WIDTH.
inline void counterBlocks(const AesKey& key, u128& counter, uint8_t* to, size_t blocks) {
  for (size_t b = 0; b < blocks; b += WIDTH) {
    __m128i x[WIDTH];
    for (int i = 0; i < WIDTH; ++i, ++counter) {
      const u64 high = __builtin_bswap64(static_cast<u64>(counter >> 64)), low = __builtin_bswap64(static_cast<u64>(counter));
      x[i] = _mm_xor_si128(_mm_set_epi64x(static_cast<long long>(low), static_cast<long long>(high)), key.round[0]);
    }
    for (int r = 1; r < 10; ++r)
      for (int i = 0; i < WIDTH; ++i) x[i] = _mm_aesenc_si128(x[i], key.round[r]);
    for (int i = 0; i < WIDTH; ++i)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to) + b + i, _mm_aesenclast_si128(x[i], key.round[10]));
  }
}

#endif

}  // namespace

RING_KERNEL(keyStream)(const uint8_t* key, const uint8_t* counter, u32* out, u32 length, u32 n) {
  const AesKey k = expandKey(key);
  u128 count = 0;
  for (int i = 0; i < 16; ++i) count = count << 8 | counter[i];
  const u32 slot = n <= 8 ? 1 : n <= 16 ? 2 : n <= 32 ? 4 : n <= 64 ? 8 : 16, limbs = n <= 32 ? 1 : n <= 64 ? 2 : 4;
  alignas(64) uint8_t stretch[4096];
  const size_t words = sizeof(stretch) / slot;
  for (size_t at = 0; at < length; at += words) {
    const size_t now = length - at < words ? length - at : words;
    const size_t blocks = (now * slot + 15) / 16;
    counterBlocks(k, count, stretch, (blocks + WIDTH - 1) / WIDTH * WIDTH);
    narrow(stretch, out + at * limbs, static_cast<u32>(now), n);
  }
  return 0;
}

}  // namespace RING_ISA
}  // namespace ring
#endif
