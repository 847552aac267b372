// Node-API addon: { portable: {...}, avx2: {...}, avx512: {...}, neon: {...}, setThreads, detach }, holding only the sets this processor runs.
#include <node_api.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#define RING_ISA portable
#include "kernels.h"
#undef RING_ISA
#ifdef RING_X86
#define RING_ISA avx2
#include "kernels.h"
#undef RING_ISA
#define RING_ISA avx512
#include "kernels.h"
#undef RING_ISA
#endif
#ifdef RING_ARM
#define RING_ISA neon
#include "kernels.h"
#undef RING_ISA
#endif

namespace {

/// Least multiply-adds (or phases of a Fourier kernel) worth a thread.
constexpr uint64_t WORK_PER_THREAD = 4u << 20;
constexpr uint64_t PHASES_PER_THREAD = 1u << 18;

uint32_t maxThreads = 1;

size_t limbs(uint32_t n) { return n <= 32 ? 1 : n <= 64 ? 2 : 4; }

/// Threads that wait for work; they are made when first wanted, and die with the process.
class Pool {
 public:
  /// Calls f(0), …, f(parts - 1), some of them on other threads; all are done on return. One caller at a time gets help.
  void run(uint64_t parts, const std::function<void(uint64_t)>& f) {
    std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (parts <= 1 || !turn.owns_lock()) {
      for (uint64_t i = 0; i < parts; ++i) f(i);
      return;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      try {
        for (; workers_ < parts - 1; ++workers_) std::thread([this] { work(); }).detach();
      } catch (const std::system_error&) {
        // The system has no thread left to give: those there do the rest.
      }
      job_ = &f;
      next_ = 0;
      parts_ = parts;
    }
    wake_.notify_all();
    take(f, parts);
    // A part may still be under way on another thread, which reads the job.
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = nullptr;
    idle_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void take(const std::function<void(uint64_t)>& f, uint64_t parts) {
    for (uint64_t i; (i = next_++) < parts;) f(i);
  }
  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return job_ != nullptr && next_ < parts_; });
      const auto* job = job_;
      const uint64_t parts = parts_;
      ++busy_;
      lock.unlock();
      take(*job, parts);
      lock.lock();
      if (--busy_ == 0) idle_.notify_one();
    }
  }

  std::mutex turn_, mutex_;
  std::condition_variable wake_, idle_;
  const std::function<void(uint64_t)>* job_ = nullptr;
  std::atomic<uint64_t> next_{0};
  uint64_t parts_ = 0, workers_ = 0, busy_ = 0;
};

/// Never destroyed: its threads may outlive every other static of the process.
Pool& pool() {
  static Pool* const made = new Pool;
  return *made;
}

/// Runs f(from, to) over [0, length) cut at multiples of `grain`, on as many threads as `work` pays for.
template <class F>
void parallel(uint32_t length, uint32_t grain, uint64_t work, uint64_t workPerThread, F f) {
  const uint64_t grains = (static_cast<uint64_t>(length) + grain - 1) / grain;
  const uint64_t parts = std::max<uint64_t>(1, std::min<uint64_t>({maxThreads, grains, work / workPerThread}));
  const auto cut = [=](uint64_t i) { return static_cast<uint32_t>(std::min<uint64_t>(length, grains * i / parts * grain)); };
  pool().run(parts, [=](uint64_t i) { f(cut(i), cut(i + 1)); });
}

using Matmul = uint32_t(const uint32_t*, const uint32_t*, uint32_t*, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t,
                        uint32_t);
template <Matmul* F>
uint32_t matmul(const uint32_t* a, const uint32_t* b, uint32_t* c, uint32_t m, uint32_t k, uint32_t n, uint32_t col0,
                uint32_t col1, uint32_t w) {
  const uint64_t work = static_cast<uint64_t>(m) * k * (col1 - col0);
  if (m >= 64 * maxThreads) {
    parallel(m, 8, work, WORK_PER_THREAD, [=](uint32_t from, uint32_t to) {
      const size_t l = limbs(w);
      F(a + l * from * k, b, c + l * from * n, to - from, k, n, col0, col1, w);
    });
  } else {
    parallel(col1 - col0, 48, work, WORK_PER_THREAD, [=](uint32_t from, uint32_t to) {
      F(a, b, c, m, k, n, col0 + from, col0 + to, w);
    });
  }
  return 0;
}

using Batch = uint32_t(const uint32_t*, const uint32_t*, uint32_t*, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t,
                       uint32_t, uint32_t, uint32_t, uint32_t);
template <Batch* F>
uint32_t matmulBatch(const uint32_t* a, const uint32_t* b, uint32_t* c, uint32_t count, uint32_t m, uint32_t k, uint32_t n,
                     uint32_t aStep, uint32_t aRow, uint32_t bStep, uint32_t bRow, uint32_t transposed, uint32_t w) {
  parallel(count, 1, static_cast<uint64_t>(count) * m * k * n, WORK_PER_THREAD, [=](uint32_t from, uint32_t to) {
    const size_t l = limbs(w);
    F(a + l * from * aStep, b + l * from * bStep, c + l * from * m * n, to - from, m, k, n, aStep, aRow, bStep, bRow, transposed, w);
  });
  return 0;
}

using MatmulPacked = uint32_t(const uint32_t*, const uint32_t*, uint32_t*, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t,
                              uint32_t, uint32_t);
/// A packed B is cut between panels.
template <MatmulPacked* F, uint32_t (*Panel)(uint32_t)>
uint32_t matmulPacked(const uint32_t* a, const uint32_t* packed, uint32_t* c, uint32_t m, uint32_t k, uint32_t n,
                      uint32_t col0, uint32_t col1, uint32_t wb, uint32_t w) {
  parallel(col1 - col0, Panel(wb), static_cast<uint64_t>(m) * k * (col1 - col0), WORK_PER_THREAD,
           [=](uint32_t from, uint32_t to) { F(a, packed, c, m, k, n, col0 + from, col0 + to, wb, w); });
  return 0;
}

using Dot = uint32_t(const uint32_t*, const uint32_t*, const int32_t*, const int32_t*, const int32_t*, const int32_t*,
                     const int64_t*, const int64_t*, uint32_t*, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
template <Dot* F>
uint32_t fourierDot(const uint32_t* c, const uint32_t* T, const int32_t* hiCos, const int32_t* hiSin, const int32_t* loCos,
                    const int32_t* loSin, const int64_t* a, const int64_t* bk, uint32_t* out, uint32_t length, uint32_t K,
                    uint32_t b, uint32_t l, uint32_t n) {
  parallel(length, 16, static_cast<uint64_t>(length) * K, PHASES_PER_THREAD, [=](uint32_t from, uint32_t to) {
    F(c + limbs(b) * from, T + limbs(n) * 2 * K * from, hiCos, hiSin, loCos, loSin, a, bk, out + limbs(n) * from, to - from,
      K, b, l, n);
  });
  return 0;
}

template <class T>
struct Argument;
template <>
struct Argument<uint32_t> {
  static uint32_t get(napi_env env, napi_value value) {
    uint32_t v = 0;
    napi_get_value_uint32(env, value, &v);
    return v;
  }
};
template <class T>
struct Argument<T*> {
  static T* get(napi_env env, napi_value value) {
    void* data = nullptr;
    napi_get_typedarray_info(env, value, nullptr, nullptr, &data, nullptr, nullptr);
    return static_cast<T*>(data);
  }
};

/// The kernel F as a JavaScript function of typed arrays and numbers.
template <class... Args, size_t... I>
uint32_t call(uint32_t (*f)(Args...), napi_env env, napi_value* argv, std::index_sequence<I...>) {
  return f(Argument<Args>::get(env, argv[I])...);
}
template <class... Args>
constexpr size_t arity(uint32_t (*)(Args...)) {
  return sizeof...(Args);
}
template <auto F>
napi_value entry(napi_env env, napi_callback_info info) {
  constexpr size_t expected = arity(F);
  size_t argc = expected;
  napi_value argv[expected], result;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  if (argc != expected) {
    napi_throw_error(env, nullptr, "ring kernel called with the wrong number of arguments");
    return nullptr;
  }
  napi_create_uint32(env, call(F, env, argv, std::make_index_sequence<expected>()), &result);
  return result;
}

void define(napi_env env, napi_value object, const char* name, napi_callback f) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, f, nullptr, &function);
  napi_set_named_property(env, object, name, function);
}

napi_value setThreads(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  maxThreads = std::max(1u, Argument<uint32_t>::get(env, argv[0]));
  return nullptr;
}

/// Frees the memory of an ArrayBuffer now; views of it become empty.
napi_value detach(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  napi_detach_arraybuffer(env, argv[0]);
  return nullptr;
}

}  // namespace

#define DEFINE(isa, name) define(env, set, #name, entry<&ring::isa::name>);
#define DEFINE_STREAM(isa)                             \
  {                                                    \
    napi_value set;                                    \
    napi_get_named_property(env, exports, #isa, &set); \
    DEFINE(isa, keyStream)                             \
  }
#define DEFINE_SET(isa)                                                                                          \
  {                                                                                                              \
    napi_value set;                                                                                              \
    napi_create_object(env, &set);                                                                               \
    DEFINE(isa, zip) DEFINE(isa, convert) DEFINE(isa, choose) DEFINE(isa, sum) DEFINE(isa, gather)               \
    DEFINE(isa, pack) DEFINE(isa, unpack) DEFINE(isa, narrow) DEFINE(isa, encode) DEFINE(isa, decode)            \
    DEFINE(isa, fourierPublic) DEFINE(isa, fourierSecret)                                                        \
    DEFINE(isa, packMasked) DEFINE(isa, unpackAdd)                                                               \
    DEFINE(isa, extShare) DEFINE(isa, squareShare) DEFINE(isa, productShare)                                     \
    DEFINE(isa, cellTables) DEFINE(isa, cellFlags) DEFINE(isa, gfDots) DEFINE(isa, peak)                         \
    define(env, set, "fourierDot", entry<&fourierDot<ring::isa::fourierDot>>);                                   \
    DEFINE(isa, unaligned) DEFINE(isa, packedLimbs) DEFINE(isa, packMatrix)                                      \
    define(env, set, "matmul", entry<&matmul<ring::isa::matmul>>);                                               \
    define(env, set, "matmulBatch", entry<&matmulBatch<ring::isa::matmulBatch>>);                                \
    define(env, set, "matmulPacked", entry<&matmulPacked<ring::isa::matmulPacked, ring::isa::panelColumns>>);    \
    napi_set_named_property(env, exports, #isa, set);                                                            \
  }

NAPI_MODULE_INIT() {
  DEFINE_SET(portable)
#ifdef RING_X86
  // Every processor with AVX2 has the AES instructions; a virtual machine may hide them.
  const bool aes = __builtin_cpu_supports("aes");
  if (aes && __builtin_cpu_supports("avx2")) {
    DEFINE_SET(avx2)
    DEFINE_STREAM(avx2)
  }
  if (aes && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512vnni") &&
      __builtin_cpu_supports("vaes")) {
    DEFINE_SET(avx512)
    DEFINE_STREAM(avx512)
  }
#endif
#ifdef RING_ARM
  DEFINE_SET(neon)
#endif
  define(env, exports, "setThreads", setThreads);
  define(env, exports, "detach", detach);
  return exports;
}
