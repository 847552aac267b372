// The kernels of Z_2^n, declared once for every build. Words lie as in ring/words.ts: little-endian 32-bit limbs, 1, 2 or 4
// a word for n <= 32, 64, 128, each the representative in [0, 2^n). Lengths count words. Callers check lengths and rings.
// No include guard: the addon includes it once for every instruction set (RING_ISA is the namespace).
#include <stddef.h>
#include <stdint.h>

#ifndef RING_ISA
#error "RING_ISA names the instruction set this unit is compiled for"
#endif

#ifdef __wasm__
#define RING_KERNEL(name) extern "C" __attribute__((export_name(#name))) uint32_t name
#else
#define RING_KERNEL(name) uint32_t name
#endif

namespace ring {
namespace RING_ISA {

/// out = a op s: op 0 a + s, 1 a - s, 2 a * s, 3 s - a, 4 a xor s. a is rows x cols; mode 0: s is rows x cols, 1: one word a row,
/// 2: one word a column, 3: one word.
RING_KERNEL(zip)(uint32_t op, uint32_t mode, const uint32_t* a, const uint32_t* s, uint32_t* out, uint32_t rows,
                 uint32_t cols, uint32_t n);
/// Ring n to ring m: out = sign2 * ((sign1 * a mod 2^n) >> shift) mod 2^m. flags: 1 sign1 = -1, 2 sign2 = -1, 4 the shift
/// is arithmetic on the signed representative (which also sign-extends).
RING_KERNEL(convert)(const uint32_t* a, uint32_t* out, uint32_t length, uint32_t n, uint32_t m, uint32_t shift,
                     uint32_t flags);
/// out = bit ? a : b, without a branch. bits is in ring 1.
RING_KERNEL(choose)(const uint32_t* bits, const uint32_t* a, const uint32_t* b, uint32_t* out, uint32_t length, uint32_t n);
/// Sums of a (rows x cols): axis 0 one word a column, axis 1 one word a row.
RING_KERNEL(sum)(const uint32_t* a, uint32_t* out, uint32_t rows, uint32_t cols, uint32_t axis, uint32_t n);
/// out[i] = a[index[i]]. Returns 1 + the first i whose index is outside a, or 0.
RING_KERNEL(gather)(const uint32_t* a, const uint32_t* index, uint32_t* out, uint32_t count, uint32_t length, uint32_t n);

/// c = a b mod 2^w for columns [col0, col1) of c: a is m x k, b is k x n, c is m x n, row-major.
RING_KERNEL(matmul)(const uint32_t* a, const uint32_t* b, uint32_t* c, uint32_t m, uint32_t k, uint32_t n, uint32_t col0,
                    uint32_t col1, uint32_t w);
/// c_i += a_i b_i mod 2^w, i < count: a_i begins at word i * aStep of a and has rows aRow words apart, likewise b_i; c_i is m x n, one
/// after the other. Rows of b are those of b_i, or where `transposed` of its transpose.
RING_KERNEL(matmulBatch)(const uint32_t* a, const uint32_t* b, uint32_t* c, uint32_t count, uint32_t m, uint32_t k, uint32_t n,
                         uint32_t aStep, uint32_t aRow, uint32_t bStep, uint32_t bRow, uint32_t transposed, uint32_t w);
/// Limbs from p to the next multiple of 64 bytes: packed matrices begin there.
RING_KERNEL(unaligned)(const uint32_t* p);
/// Limbs that b (k x n in ring w) takes once packed, and columns of one of its panels.
RING_KERNEL(packedLimbs)(uint32_t k, uint32_t n, uint32_t w);
RING_KERNEL(panelColumns)(uint32_t w);
/// b (k x n in ring w) in the order in which this instruction set multiplies with it.
RING_KERNEL(packMatrix)(const uint32_t* b, uint32_t* packed, uint32_t k, uint32_t n, uint32_t w);
/// matmul with b packed in ring wb; a and c are in ring w <= wb of the same slot. col0 is the first of a panel.
RING_KERNEL(matmulPacked)(const uint32_t* a, const uint32_t* packed, uint32_t* c, uint32_t m, uint32_t k, uint32_t n,
                          uint32_t col0, uint32_t col1, uint32_t wb, uint32_t w);

/// n bits a word, little-endian bit order, zero padding bits.
RING_KERNEL(pack)(const uint32_t* a, uint8_t* bytes, uint32_t length, uint32_t n);
/// Inverse of pack. Returns 1 if a padding bit is set.
RING_KERNEL(unpack)(const uint8_t* bytes, uint32_t* out, uint32_t length, uint32_t n);
/// Low n bits of little-endian slots of 8, 16, 32, 64 or 128 bits (the least that holds n).
RING_KERNEL(narrow)(const uint8_t* bytes, uint32_t* out, uint32_t length, uint32_t n);

#ifndef __wasm__
/// The first `length` words of ring n of the key stream of a leaf: AES-128 key and initial counter, 16 bytes each. Defined where the
/// processor has AES instructions.
RING_KERNEL(keyStream)(const uint8_t* key, const uint8_t* counter, uint32_t* out, uint32_t length, uint32_t n);
#endif

/// out = x 2^f, rounded to nearest, ties to even. Returns 1 + the first index that is not finite or outside the ring, or 0.
RING_KERNEL(encode)(const double* x, uint32_t* out, uint32_t length, uint32_t f, uint32_t n);
/// x = signed(a) / 2^f, rounded once.
RING_KERNEL(decode)(const uint32_t* a, double* x, uint32_t length, uint32_t f, uint32_t n);

/// pack((x + a + k) mod 2^n), or x - a + k: x in ring nx, a in ring n, k one word of it.
RING_KERNEL(packMasked)(const uint32_t* x, const uint32_t* a, const uint32_t* k, uint8_t* bytes, uint32_t length, uint32_t nx,
                        uint32_t n, uint32_t minus);
/// out = unpack(bytes) + own mod 2^n; returns as unpack does.
RING_KERNEL(unpackAdd)(const uint8_t* bytes, const uint32_t* own, uint32_t* out, uint32_t length, uint32_t n);

/// A party's share of the value of an ext wire in ring N <= lift: c and r in ring n, q and q + m in ring lift - n, as in
/// protocol/gates/ext.ts.
RING_KERNEL(extShare)(const uint32_t* c, const uint32_t* r, const uint32_t* q, const uint32_t* qm, uint32_t* out,
                      uint32_t length, uint32_t n, uint32_t lift, uint32_t N, uint32_t party);
/// A party's share of its square, less the dealt r^2: delta in ring N - n - 1, as in protocol/gates/square.ts.
RING_KERNEL(squareShare)(const uint32_t* c, const uint32_t* r, const uint32_t* q, const uint32_t* qm, const uint32_t* delta,
                         uint32_t* out, uint32_t length, uint32_t n, uint32_t lift, uint32_t N, uint32_t party);
/// A party's share of its product with an operand E + A (ring nw, one word for `cols` of c): mA in ring N - n, rA in ring N, as
/// in protocol/gates/product.ts.
RING_KERNEL(productShare)(const uint32_t* c, const uint32_t* r, const uint32_t* q, const uint32_t* qm, const uint32_t* E,
                          const uint32_t* A, const uint32_t* mA, const uint32_t* rA, uint32_t* out, uint32_t length, uint32_t n,
                          uint32_t lift, uint32_t N, uint32_t nw, uint32_t cols, uint32_t party);

/// The 2^m flags, as a word of ring 2^m, rotated up by bits [nl - m, nl) of each r (ring n >= nl): protocol/gates/guard-cells.ts.
RING_KERNEL(cellTables)(const uint32_t* r, uint32_t* out, uint32_t length, uint32_t n, uint32_t nl, uint32_t m,
                        uint32_t flagsLow, uint32_t flagsHigh);
/// Bit number bits [nl - m, nl) of c - offset of each table, set in `bits` (zero before) from bit `from` on.
RING_KERNEL(cellFlags)(const uint32_t* c, const uint32_t* tables, uint32_t* bits, uint32_t length, uint32_t n, uint32_t nl,
                       uint32_t m, uint32_t offsetLow, uint32_t offsetHigh, uint32_t from);

/// out_r = sum a_i b_i in GF(2)[x] / (x^64 + x^4 + x^3 + x + 1) over run r, runs of sizes[r] words one after the other. All in slots of
/// 64 bits. No branch and no index depends on a word.
RING_KERNEL(gfDots)(const uint32_t* a, const uint32_t* b, const uint32_t* sizes, uint32_t* out, uint32_t runs);

/// A_1..A_K, B_1..B_K (ring 64) at each c of ring b; tables and coefficients as in ring/trig.ts.
RING_KERNEL(fourierPublic)(const uint32_t* c, const int32_t* hiCos, const int32_t* hiSin, const int32_t* loCos,
                           const int32_t* loSin, const int64_t* a, const int64_t* bk, uint32_t* out, uint32_t length,
                           uint32_t K, uint32_t b, uint32_t l);
/// cos_1..cos_K, sin_1..sin_K at scale 2^g1 in ring n at each r of ring b.
RING_KERNEL(fourierSecret)(const uint32_t* r, const int32_t* hiCos, const int32_t* hiSin, const int32_t* loCos,
                           const int32_t* loSin, uint32_t* out, uint32_t length, uint32_t K, uint32_t b, uint32_t l,
                           uint32_t g1, uint32_t n);
/// out = sum_j fourierPublic(c)_j T_j mod 2^n, T with 2K words an element.
RING_KERNEL(fourierDot)(const uint32_t* c, const uint32_t* T, const int32_t* hiCos, const int32_t* hiSin,
                        const int32_t* loCos, const int32_t* loSin, const int64_t* a, const int64_t* bk, uint32_t* out,
                        uint32_t length, uint32_t K, uint32_t b, uint32_t l, uint32_t n);

/// For measurements: runs one multiply instruction `rounds` times in chains that keep the unit busy; returns how many products (of
/// instruction 4: bytes) a round is, 0 where there is no such instruction. 0: 32-bit product, 1: 64-bit product; with AVX-512
/// 2 VPMADD52LUQ, 3 VPDPWSSD, 4 a round of AES; with AVX2 2 VPMULUDQ, 3 VPMADDWD, 4 a round of AES.
RING_KERNEL(peak)(uint32_t instruction, uint32_t rounds);

}  // namespace RING_ISA
}  // namespace ring
