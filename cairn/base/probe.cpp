#include "cairn/base/probe.h"

#include <emmintrin.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <numeric>

#include "cairn/base/clock.h"
#include "cairn/base/error.h"
#include "cairn/base/probe_kernels.h"

namespace cairn {
namespace {

constexpr double kNever = 1e30;

// Of the calling thread.
double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Calls until `seconds` have passed by the clock; at least twice, the first being slow.
template <class F>
void repeat(double seconds, F&& call) {
  const double end = monotonic_seconds() + seconds;
  for (int i = 0; i < 2 || monotonic_seconds() < end; ++i) call();
}

// Seconds of one call at its fastest.
template <class F>
double fastest(int threads, double seconds, F&& call) {
  const auto now = [threads] { return threads == 1 ? thread_seconds() : monotonic_seconds(); };
  double best = kNever;
  repeat(seconds, [&] {
    const double start = now();
    call();
    best = std::min(best, now() - start);
  });
  return std::max(best, 1e-9);
}

const detail::ProbeKernels& kernels_of(CpuTarget target) {
  switch (target) {
    case CpuTarget::avx512: return detail::avx512_probe_kernels();
    case CpuTarget::avx2: return detail::avx2_probe_kernels();
    case CpuTarget::baseline: break;
  }
  return detail::baseline_probe_kernels();
}

struct Chains {
  double (*run)(int64_t rounds);
  int64_t flops;  // of a round
};
Chains chains_for(const detail::ProbeKernels& kernels, bool vector, Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::f64:
      return vector ? Chains{kernels.f64, kernels.f64_flops}
                    : Chains{kernels.scalar_f64, kernels.scalar_flops};
    case Arithmetic::bf16: return {kernels.bf16, kernels.bf16_flops};
    case Arithmetic::i8: return {kernels.i8, kernels.i8_flops};
    case Arithmetic::f32: break;
  }
  return vector ? Chains{kernels.f32, kernels.f32_flops}
                : Chains{kernels.scalar_f32, kernels.scalar_flops};
}

// Zeroed memory by whole huge pages.
class Pages {
 public:
  explicit Pages(uint64_t bytes) : bytes_(bytes) {
    constexpr uint64_t kHugePage = uint64_t{2} << 20;
    const uint64_t size = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    data_ = std::aligned_alloc(kHugePage, size);
    if (!data_)
      throw_error(fmt::format(
          "out of memory: {} bytes to measure memory with could not be allocated", size));
    madvise(data_, size, MADV_HUGEPAGE);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { std::free(data_); }
  float* floats() const { return static_cast<float*>(data_); }
  void* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  uint64_t bytes_;
};

// Keeps results alive that nobody reads.
std::atomic<uint64_t> sink{0};

// Past the caches. SSE2 is all that these take: a store of 16 bytes fills the same line buffers as
// one of 64.
void stream_copy(const float* from, float* to, uint64_t bytes) {
  for (uint64_t i = 0; i < bytes / 4; i += 4) _mm_stream_ps(to + i, _mm_load_ps(from + i));
  _mm_sfence();
}

void stream_triad(const float* b, const float* c, float* a, uint64_t bytes) {
  const __m128 s = _mm_set1_ps(0.5f);
  for (uint64_t i = 0; i < bytes / 4; i += 4)
    _mm_stream_ps(a + i, _mm_add_ps(_mm_load_ps(b + i), _mm_mul_ps(s, _mm_load_ps(c + i))));
  _mm_sfence();
}

}  // namespace

std::string_view name(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::f32: return "f32";
    case Arithmetic::f64: return "f64";
    case Arithmetic::bf16: return "bf16";
    case Arithmetic::i8: break;
  }
  return "i8";
}

bool can_measure(CpuTarget target, bool vector, Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::f32 || arithmetic == Arithmetic::f64) return true;
  if (!vector || target != CpuTarget::avx512) return false;
  return arithmetic == Arithmetic::bf16 ? __builtin_cpu_supports("avx512bf16")
                                        : __builtin_cpu_supports("avx512vnni");
}

double measure_flops(CpuTarget target, bool vector, Arithmetic arithmetic, ThreadPool& pool,
                     double seconds) {
  const Chains chains = chains_for(kernels_of(target), vector, arithmetic);
  // About 5 ms at 4 GHz and 2 per cycle: long enough to wake threads for, short enough to hit a
  // moment without other load.
  constexpr int64_t kRounds = 400'000;
  const auto threads = static_cast<size_t>(pool.threads());
  // Of each thread the fastest piece in its own time: registers are all that threads might share.
  std::vector<double> best(threads, kNever);
  repeat(seconds, [&] {
    pool.parallel_for(pool.threads(), 1, [&](int64_t piece, int64_t) {
      const double start = thread_seconds();
      sink += static_cast<uint64_t>(chains.run(kRounds));
      double& fastest = best[static_cast<size_t>(piece)];
      fastest = std::min(fastest, thread_seconds() - start);
    });
  });
  double total = 0;
  for (const double s : best)
    total += static_cast<double>(chains.flops * kRounds) / std::max(s, 1e-9);
  return total;
}

double measure_bandwidth(Traffic traffic, CpuTarget target, uint64_t bytes, ThreadPool& pool,
                         double seconds) {
  const int threads = pool.threads();
  const int arrays = traffic == Traffic::read ? 1 : traffic == Traffic::copy ? 2 : 3;
  // A part is what one thread walks over of one array.
  const uint64_t part =
      std::max<uint64_t>(bytes / static_cast<uint64_t>(arrays * threads) / 1024 * 1024, 1024);
  const uint64_t array = part * static_cast<uint64_t>(threads);
  std::vector<std::unique_ptr<Pages>> pages;
  for (int i = 0; i < arrays; ++i) pages.push_back(std::make_unique<Pages>(array));
  const auto floats = [&](int i, int64_t piece) {
    return pages[static_cast<size_t>(i)]->floats() + static_cast<uint64_t>(piece) * part / 4;
  };
  pool.parallel_for(threads, 1, [&](int64_t piece, int64_t) {
    for (int i = 0; i < arrays; ++i) std::fill_n(floats(i, piece), part / 4, 1.0f);
  });
  // What fits a cache is walked over many times, so that a run takes about 2 ms at 50 GB/s.
  const auto repeats = std::max<int64_t>(
      1, static_cast<int64_t>(1e8) / static_cast<int64_t>(array * static_cast<uint64_t>(arrays)));
  constexpr uint64_t kBeyondCaches = uint64_t{16} << 20;
  detail::ProbeKernels kernels = kernels_of(target);
  if (bytes >= kBeyondCaches) {
    kernels.copy = stream_copy;
    kernels.triad = stream_triad;
  }
  const double time = fastest(threads, seconds, [&] {
    pool.parallel_for(threads, 1, [&](int64_t piece, int64_t) {
      uint64_t seen = 0;
      for (int64_t r = 0; r < repeats; ++r) {
        switch (traffic) {
          case Traffic::read: seen ^= kernels.read(floats(0, piece), part); break;
          case Traffic::copy: kernels.copy(floats(0, piece), floats(1, piece), part); break;
          case Traffic::triad:
            kernels.triad(floats(0, piece), floats(1, piece), floats(2, piece), part);
            break;
        }
        asm volatile("" ::: "memory");
      }
      sink += seen;
    });
  });
  return static_cast<double>(array) * arrays * static_cast<double>(repeats) / time;
}

double measure_latency(uint64_t bytes, double seconds) {
  constexpr uint64_t kLine = 64;
  const uint64_t lines = std::max<uint64_t>(bytes, 4096) / kLine;
  const Pages pages(lines * kLine);
  // Sattolo's shuffle gives one cycle through all lines. A line's first bytes hold the address of
  // the next.
  std::vector<uint32_t> order(lines);
  std::iota(order.begin(), order.end(), 0u);
  uint64_t random = 0x9e3779b97f4a7c15;
  for (uint64_t i = lines - 1; i > 0; --i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    std::swap(order[i], order[(random >> 33) % i]);
  }
  char* base = static_cast<char*>(pages.data());
  const auto line = [&](uint64_t i) { return reinterpret_cast<void**>(base + i * kLine); };
  for (uint64_t i = 0; i < lines; ++i) *line(i) = static_cast<void*>(line(order[i]));

  constexpr int64_t kSteps = 20'000;
  void** at = line(0);
  const auto walk = [&] {
    for (int64_t i = 0; i < kSteps; ++i) at = static_cast<void**>(*at);
    asm volatile("" : "+r"(at));
  };
  // Once around a working set that fits the caches, so that it is in them.
  constexpr uint64_t kMostLines = uint64_t{1} << 20;
  for (uint64_t i = 0; i < std::min(lines, kMostLines); i += kSteps) walk();
  return fastest(1, seconds, walk) / static_cast<double>(kSteps);
}

}  // namespace cairn
