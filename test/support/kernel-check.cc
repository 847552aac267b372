// Holds the matrix kernels of one instruction set to the definition, where they cannot be loaded into Node: a program for an
// emulator. Prints how many words it compared, or the first that differs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define RING_ISA neon
#include "kernels.h"

namespace {

using u128 = unsigned __int128;
using Limbs = std::vector<uint32_t>;

uint64_t state = 88172645463325252u;
uint64_t random64() {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state * 0x9e3779b97f4a7c15u;
}

u128 low(u128 x, uint32_t n) { return n == 128 ? x : x & ((u128(1) << n) - 1); }

struct Matrix {
  uint32_t n, slot;
  Limbs data;
  Matrix(uint32_t n_, size_t words) : n(n_), slot(n_ <= 32 ? 1 : n_ <= 64 ? 2 : 4), data(words * slot) {}
  u128 at(size_t i) const {
    u128 x = 0;
    for (uint32_t j = slot; j-- > 0;) x = x << 32 | data[i * slot + j];
    return x;
  }
  void set(size_t i, u128 x) {
    for (uint32_t j = 0; j < slot; ++j, x >>= 32) data[i * slot + j] = static_cast<uint32_t>(x);
  }
  /// Uniform words, one in four at an edge of its digits.
  void draw() {
    for (size_t i = 0; i < data.size() / slot; ++i) {
      const u128 edges[] = {0, 1, ~u128(0), u128(1) << (n - 1), (u128(1) << (n - 1)) - 1, 0xffffffffu, 0x80000000u, 0x7fffu};
      const uint64_t which = random64();
      set(i, low(which % 4 == 0 ? edges[which / 4 % 8] : u128(random64()) << 64 | random64(), n));
    }
  }
};

size_t compared = 0;

void same(const Matrix& c, const std::vector<u128>& expected, const char* what, uint32_t m, uint32_t k, uint32_t n) {
  for (size_t i = 0; i < expected.size(); ++i, ++compared) {
    if (c.at(i) == expected[i]) continue;
    std::printf("%s of ring %u, %ux%ux%u: word %zu differs\n", what, c.n, m, k, n, i);
    std::exit(1);
  }
}

void check(uint32_t w, uint32_t m, uint32_t k, uint32_t n) {
  Matrix a(w, m * k), b(w, k * n), bT(w, k * n), c(w, m * n);
  a.draw();
  b.draw();
  std::vector<u128> expected(m * n);
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j < n; ++j) {
      u128 sum = 0;
      for (size_t p = 0; p < k; ++p) sum += a.at(i * k + p) * b.at(p * n + j);
      expected[i * n + j] = low(sum, w);
    }
  for (size_t p = 0; p < k; ++p)
    for (size_t j = 0; j < n; ++j) bT.set(j * k + p, b.at(p * n + j));
  ring::neon::matmul(a.data.data(), b.data.data(), c.data.data(), m, k, n, 0, n, w);
  same(c, expected, "matmul", m, k, n);
  // A batch of one adds to what is there.
  Matrix sum(w, m * n);
  ring::neon::matmulBatch(a.data.data(), bT.data.data(), sum.data.data(), 1, m, k, n, 0, k, 0, k, 1, w);
  same(sum, expected, "product with a transpose", m, k, n);
  Limbs packed(ring::neon::packedLimbs(k, n, w));
  ring::neon::packMatrix(b.data.data(), packed.data(), k, n, w);
  ring::neon::matmulPacked(a.data.data(), packed.data(), c.data.data(), m, k, n, 0, n, w, w);
  same(c, expected, "packed matmul", m, k, n);

  // The bytes of packed words, bit by bit.
  std::vector<uint8_t> bytes((static_cast<size_t>(c.data.size() / c.slot) * w + 7) / 8);
  ring::neon::pack(c.data.data(), bytes.data(), m * n, w);
  Matrix back(w, m * n);
  for (size_t i = 0; i < expected.size(); ++i) {
    u128 x = 0;
    for (uint32_t bit = 0; bit < w; ++bit) {
      const size_t at = i * w + bit;
      x |= u128(bytes[at >> 3] >> (at & 7) & 1) << bit;
    }
    back.set(i, x);
  }
  same(back, expected, "pack", m, k, n);
  if (ring::neon::unpack(bytes.data(), back.data.data(), m * n, w) != 0) std::exit(1);
  same(back, expected, "unpack", m, k, n);
}

}  // namespace

int main() {
  const uint32_t rings[] = {1, 8, 19, 31, 32, 33, 43, 48, 52, 53, 63, 64, 65, 100, 128};
  for (const uint32_t w : rings) {
    check(w, 1, 1, 1);
    check(w, 9, 31, 17);
    check(w, 13, 300, 33);
    check(w, 130, 40, 7);
  }
  std::printf("%zu words equal\n", compared);
}
