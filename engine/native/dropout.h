// Dropout factors: the stream of `common/random.ts` (Philox-4x32-10) and its bit-sliced comparison, word for word.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace dropout {

struct Site {
  float* out;
  size_t length;
  /// Key, and upper half of the counter.
  uint32_t key[2], name[2];
  /// 2^32 times the rate, and the factor of what is kept.
  uint32_t threshold;
  float keep;
};

class Stream {
 public:
  explicit Stream(const Site& site) : key_{site.key[0], site.key[1]}, name_{site.name[0], site.name[1]} {}

  uint32_t next() {
    if (used_ == 4) refill();
    return block_[used_++];
  }

 private:
  void refill() {
    uint32_t a = static_cast<uint32_t>(count_), b = static_cast<uint32_t>(count_ >> 32), c = name_[0], d = name_[1];
    uint32_t k0 = key_[0], k1 = key_[1];
    for (int round = 0; round < 10; ++round) {
      const uint64_t first = uint64_t{0xd2511f53} * a, second = uint64_t{0xcd9e8d57} * c;
      a = static_cast<uint32_t>(second >> 32) ^ b ^ k0;
      b = static_cast<uint32_t>(second);
      c = static_cast<uint32_t>(first >> 32) ^ d ^ k1;
      d = static_cast<uint32_t>(first);
      k0 += 0x9e3779b9;
      k1 += 0xbb67ae85;
    }
    block_[0] = a, block_[1] = b, block_[2] = c, block_[3] = d;
    ++count_;
    used_ = 0;
  }

  uint32_t key_[2], name_[2], block_[4];
  uint64_t count_ = 0;
  unsigned used_ = 4;
};

inline void fill(const Site& site) {
  Stream stream(site);
  float factors[16][4];
  for (unsigned bits = 0; bits < 16; ++bits)
    for (unsigned i = 0; i < 4; ++i) factors[bits][i] = bits >> i & 1 ? site.keep : 0.0f;
  for (size_t at = 0; at < site.length; at += 32) {
    uint32_t undecided = ~0u, kept = 0;
    for (int bit = 31; bit >= 0 && undecided != 0; --bit) {
      const uint32_t word = stream.next();
      if (site.threshold >> bit & 1) {
        undecided &= word;
      } else {
        kept |= undecided & word;
        undecided &= ~word;
      }
    }
    kept |= undecided;
    const size_t end = std::min<size_t>(32, site.length - at);
    for (size_t i = 0; i < end; i += 4)
      std::memcpy(site.out + at + i, factors[kept >> i & 15], std::min<size_t>(4, end - i) * sizeof(float));
  }
}

}  // namespace dropout
