// Node-API addon: { adam, dropout }, what of a training step runs on the host's arrays, on several threads.
//
// adam takes one optimiser step in place, in one pass over memory. What it computes is what `engine/graph/ops/adam.ts` says, operation by operation and rounded after each (no contraction to
// fused multiply-adds), so that its bits are those of the graph's own nodes. One exception: subnormal results count as 0.
// The first moment of a row that no token touches shrinks by β₁ a step and would end among the subnormals for good, where
// processors are a hundred times slower.
#include <node_api.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

#include "dropout.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace {

/// Flushes subnormals to zero in this thread as long as it lives.
class FlushSubnormals {
 public:
#if defined(__SSE2__)
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushSubnormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FlushSubnormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" ::"r"(before_ | (1ull << 24)));
  }
  ~FlushSubnormals() { asm volatile("msr fpcr, %0" ::"r"(before_)); }

 private:
  uint64_t before_;
#endif
};

struct Factors {
  float beta1, beta2, weight1, weight2, rate, epsilon, decay;
};
constexpr size_t FACTORS = sizeof(Factors) / sizeof(float);

struct Tensor {
  float *p, *m, *v;
  /// Gradients: of every element, or of the rows listed.
  const float* g;
  size_t length;
  /// Elements of a row, and for each row its place in g or −1; empty: g holds every element.
  size_t width;
  std::vector<int32_t> place;
  Factors f;
};

void update(float* __restrict p, float* __restrict m, float* __restrict v, const float* __restrict g, size_t n,
            const Factors f) {
  for (size_t i = 0; i < n; ++i) {
    const float mi = m[i] * f.beta1 + g[i] * f.weight1;
    const float vi = v[i] * f.beta2 + (g[i] * g[i]) * f.weight2;
    m[i] = mi;
    v[i] = vi;
    p[i] = p[i] * f.decay - mi / (std::sqrt(vi) + f.epsilon) * f.rate;
  }
}

/// The same where the gradient is 0.
void coast(float* __restrict p, float* __restrict m, float* __restrict v, size_t n, const Factors f) {
  for (size_t i = 0; i < n; ++i) {
    const float mi = m[i] * f.beta1;
    const float vi = v[i] * f.beta2;
    m[i] = mi;
    v[i] = vi;
    p[i] = p[i] * f.decay - mi / (std::sqrt(vi) + f.epsilon) * f.rate;
  }
}

void update(const Tensor& t, size_t from, size_t to) {
  if (t.place.empty()) return update(t.p + from, t.m + from, t.v + from, t.g + from, to - from, t.f);
  for (size_t at = from; at < to;) {
    const int32_t place = t.place[at / t.width];
    if (place >= 0) {
      update(t.p + at, t.m + at, t.v + at, t.g + place * t.width, t.width, t.f);
      at += t.width;
      continue;
    }
    size_t end = at;
    while (end < to && t.place[end / t.width] < 0) end += t.width;
    coast(t.p + at, t.m + at, t.v + at, end - at, t.f);
    at = end;
  }
}

/// f(0), …, f(count − 1), each by whichever thread is free.
template <class F>
void parallel(size_t count, uint32_t threads, F f) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) f(i);
  };
  std::vector<std::thread> others;
  try {
    for (uint32_t i = 1; i < threads && i < count; ++i) others.emplace_back(work);
  } catch (const std::system_error&) {
    // The system has no thread left to give: those there are do the work.
  }
  work();
  for (auto& thread : others) thread.join();
}

struct Piece {
  const Tensor* tensor;
  size_t from, to;
};

/// Every element is computed alone, so the bits do not depend on who takes which piece.
void updateAll(const std::vector<Tensor>& tensors, uint32_t threads) {
  constexpr size_t PIECE = 1u << 16;
  std::vector<Piece> pieces;
  for (const auto& t : tensors) {
    const size_t step = t.place.empty() ? PIECE : std::max<size_t>(1, PIECE / t.width) * t.width;
    for (size_t from = 0; from < t.length; from += step) pieces.push_back({&t, from, std::min(t.length, from + step)});
  }
  parallel(pieces.size(), threads, [&](size_t i) {
    const FlushSubnormals flush;
    update(*pieces[i].tensor, pieces[i].from, pieces[i].to);
  });
}

template <class T>
bool array(napi_env env, napi_value value, napi_typedarray_type wanted, T*& data, size_t& length) {
  bool is = false;
  napi_typedarray_type type;
  void* raw = nullptr;
  if (napi_is_typedarray(env, value, &is) != napi_ok || !is) return false;
  if (napi_get_typedarray_info(env, value, &type, &length, &raw, nullptr, nullptr) != napi_ok || type != wanted) return false;
  data = static_cast<T*>(raw);
  return true;
}

/// [p, m, v, g, factors] or [p, m, v, g, factors, rows, width]; rows are distinct.
const char* read(napi_env env, napi_value list, Tensor& t) {
  uint32_t count = 0;
  napi_get_array_length(env, list, &count);
  if (count != 5 && count != 7) return "adam: a tensor is given by 5 or 7 values";
  napi_value values[7];
  for (uint32_t i = 0; i < count; ++i) napi_get_element(env, list, i, &values[i]);
  float *g, *factors;
  size_t m, v, given, scalars;
  const bool typed = array(env, values[0], napi_float32_array, t.p, t.length) &&
                     array(env, values[1], napi_float32_array, t.m, m) && array(env, values[2], napi_float32_array, t.v, v) &&
                     array(env, values[3], napi_float32_array, g, given) &&
                     array(env, values[4], napi_float32_array, factors, scalars);
  if (!typed || m != t.length || v != t.length || scalars != FACTORS) return "adam: an array has the wrong type or length";
  t.g = g;
  t.f = {factors[0], factors[1], factors[2], factors[3], factors[4], factors[5], factors[6]};
  if (count == 5) return given == t.length ? nullptr : "adam: the gradient has the wrong length";
  int64_t* rows = nullptr;
  size_t listed = 0;
  uint32_t width = 0;
  if (!array(env, values[5], napi_bigint64_array, rows, listed) || napi_get_value_uint32(env, values[6], &width) != napi_ok)
    return "adam: rows and width are int64 and a number";
  t.width = width;
  if (width == 0 || t.length % width != 0 || given != listed * width) return "adam: rows do not fit their table";
  t.place.assign(t.length / width, -1);
  for (size_t i = 0; i < listed; ++i) {
    if (rows[i] < 0 || static_cast<uint64_t>(rows[i]) >= t.place.size()) return "adam: a row outside its table";
    t.place[rows[i]] = static_cast<int32_t>(i);
  }
  return nullptr;
}

/// adam(tensors, threads)
napi_value adam(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  uint32_t count = 0, threads = 1;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  if (argc != 2 || napi_get_array_length(env, argv[0], &count) != napi_ok ||
      napi_get_value_uint32(env, argv[1], &threads) != napi_ok) {
    napi_throw_type_error(env, nullptr, "adam: wants a list of tensors and a number of threads");
    return nullptr;
  }
  std::vector<Tensor> tensors(count);
  for (uint32_t i = 0; i < count; ++i) {
    napi_value list;
    napi_get_element(env, argv[0], i, &list);
    if (const char* problem = read(env, list, tensors[i])) {
      napi_throw_type_error(env, nullptr, problem);
      return nullptr;
    }
  }
  updateAll(tensors, threads);
  return nullptr;
}

/// dropout(sites, threads); a site is [out, [key, key, name, name, threshold], keep].
napi_value fillDropout(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  uint32_t count = 0, threads = 1;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  bool fits = argc == 2 && napi_get_array_length(env, argv[0], &count) == napi_ok &&
              napi_get_value_uint32(env, argv[1], &threads) == napi_ok;
  std::vector<dropout::Site> sites(fits ? count : 0);
  for (uint32_t i = 0; fits && i < count; ++i) {
    napi_value list, values[3];
    uint32_t* words = nullptr;
    size_t named = 0;
    double keep = 0;
    napi_get_element(env, argv[0], i, &list);
    for (uint32_t j = 0; j < 3; ++j) napi_get_element(env, list, j, &values[j]);
    auto& site = sites[i];
    fits = array(env, values[0], napi_float32_array, site.out, site.length) &&
           array(env, values[1], napi_uint32_array, words, named) && named == 5 &&
           napi_get_value_double(env, values[2], &keep) == napi_ok;
    if (!fits) break;
    site = {site.out, site.length, {words[0], words[1]}, {words[2], words[3]}, words[4], static_cast<float>(keep)};
  }
  if (!fits) {
    napi_throw_type_error(env, nullptr, "dropout: wants a list of sites and a number of threads");
    return nullptr;
  }
  parallel(sites.size(), threads, [&](size_t i) { dropout::fill(sites[i]); });
  return nullptr;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "adam", NAPI_AUTO_LENGTH, adam, nullptr, &function);
  napi_set_named_property(env, exports, "adam", function);
  napi_create_function(env, "dropout", NAPI_AUTO_LENGTH, fillDropout, nullptr, &function);
  napi_set_named_property(env, exports, "dropout", function);
  return exports;
}
