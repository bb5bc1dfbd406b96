// Matrix products and convolutions of the reference backend: GFLOP/s (GB/s of the second operand
// for one row) by target and number of threads.
//
//   contraction_bench [filter]      lines whose name contains the filter
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "cairn/base/cpu_features.h"
#include "cairn/base/philox.h"
#include "cairn/base/thread_pool.h"
#include "cairn/runtime/ref/contraction.h"

namespace {

using namespace cairn;

std::vector<float> random_floats(int64_t count) {
  std::vector<uint32_t> bits(static_cast<size_t>(count));
  philox_fill({1, 2}, 0, bits);
  std::vector<float> values(bits.size());
  std::transform(bits.begin(), bits.end(), values.begin(),
                 [](uint32_t b) { return static_cast<float>(b >> 8) * 0x1p-23f - 1; });
  return values;
}

// Seconds of one call: the fastest of calls that fill about 0.3 s. One thread is measured in time
// on a core, which other load on the machine disturbs less; more threads by the clock.
template <class F>
double seconds(int threads, F&& call) {
  const auto now = [&] {
    timespec t{};
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  double best = 1e30, total = 0;
  int calls = 1;  // in one measurement: as many as take 20 us, for the clock's own cost
  for (int i = 0; i < 3 || total < 0.3; ++i) {
    const double start = now();
    for (int c = 0; c < calls; ++c) call();
    const double s = now() - start;
    total += s;
    if (s < 2e-5 && calls < 100'000) {
      calls *= 4;
    } else {
      best = std::min(best, s / calls);
    }
  }
  return best;
}

std::string filter;

// Prints one line of figures: all targets of this processor by 1, 2, 4 ... threads.
template <class Call>
void report(const std::string& name, double flops, double bytes, Call call) {
  if (name.find(filter) == std::string::npos) return;
  for (CpuTarget target : kCpuTargets) {
    if (target > detect_cpu_target()) continue;
    std::string line = fmt::format("{:34} {:9}", name, cairn::name(target));
    for (int threads = 1; threads <= physical_cores(); threads *= 2) {
      ThreadPool pool(threads);
      const double s = seconds(threads, [&] { call(target, pool); });
      line += bytes > 0 ? fmt::format("  {:2} thr {:7.1f} GB/s", threads, bytes / s * 1e-9)
                        : fmt::format("  {:2} thr {:7.1f} GFLOP/s", threads, flops / s * 1e-9);
    }
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }
}

struct Product {
  int64_t batch, m, n, k;
  bool transposed_b = false;
};

void bench_matmul(Product p) {
  const auto a = random_floats(p.batch * p.m * p.k), b = random_floats(p.batch * p.k * p.n);
  std::vector<float> c(static_cast<size_t>(p.batch * p.m * p.n));
  ref::MatmulArgs args;
  args.batch = p.batch, args.m = p.m, args.n = p.n, args.k = p.k;
  args.a = a.data(), args.b = b.data(), args.c = c.data();
  args.a_batch_stride = p.m * p.k, args.a_row_stride = p.k;
  args.b_batch_stride = p.k * p.n;
  args.b_row_stride = p.transposed_b ? 1 : p.n;
  args.b_column_stride = p.transposed_b ? p.k : 1;
  const double flops = 2.0 * static_cast<double>(p.batch * p.m * p.n) * static_cast<double>(p.k);
  const double bytes = p.m == 1 ? 4.0 * static_cast<double>(p.batch * p.k * p.n) : 0;
  report(fmt::format("matmul {}x{}x{}{}{}", p.m, p.k, p.n, p.transposed_b ? " B^T" : "",
                     p.batch > 1 ? fmt::format(" batch {}", p.batch) : ""),
         flops, bytes, [&](CpuTarget target, ThreadPool& pool) { matmul(args, target, pool); });
}

struct Conv {
  int64_t batch, in, out, size, kernel, stride = 1, groups = 1;
};

void bench_convolution(Conv v) {
  ref::ConvArgs args;
  const int64_t out_size = (v.size - 1) / v.stride + 1;  // "same" padding
  args.batch = v.batch, args.in_channels = v.in, args.out_channels = v.out, args.groups = v.groups;
  args.in_size = {v.size, v.size, 1}, args.kernel_size = {v.kernel, v.kernel, 1};
  args.out_size = {out_size, out_size, 1}, args.stride = {v.stride, v.stride, 1};
  args.padding_low = {v.kernel / 2, v.kernel / 2, 0};
  const int64_t terms = v.in / v.groups * v.kernel * v.kernel;
  const auto x = random_floats(v.batch * v.in * v.size * v.size);
  const auto w = random_floats(v.out * terms);
  std::vector<float> y(static_cast<size_t>(v.batch * v.out * out_size * out_size));
  args.x = x.data(), args.w = w.data(), args.y = y.data();
  const double flops = 2.0 * static_cast<double>(y.size()) * static_cast<double>(terms);
  report(fmt::format("conv {}x{} {}->{} {}x{}{}{} batch {}", v.kernel, v.kernel, v.in, v.out,
                     v.size, v.size, v.stride > 1 ? fmt::format(" stride {}", v.stride) : "",
                     v.groups > 1 ? fmt::format(" groups {}", v.groups) : "", v.batch),
         flops, 0, [&](CpuTarget target, ThreadPool& pool) { convolution(args, target, pool); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) filter = argv[1];
  for (int64_t size : {64, 128, 256, 512, 1024}) bench_matmul({1, size, size, size});
  bench_matmul({1, 512, 512, 512, true});
  bench_matmul({1, 768, 2304, 768});
  for (int64_t rows : {1, 2, 4, 8, 16, 64})
    for (bool transposed : {false, true}) bench_matmul({1, rows, 4096, 4096, transposed});
  bench_matmul({1, 4096, 8, 512});
  bench_matmul({1, 4096, 1, 512});
  bench_matmul({64, 64, 64, 32, true});
  bench_matmul({64, 64, 32, 64});
  bench_matmul({1000, 8, 8, 8});
  for (bool tr : {false, true}) bench_matmul({1, 1, 1024, 1024, tr});
  for (bool tr : {false, true}) bench_matmul({1, 1, 384, 384, tr});
  bench_matmul({1, 2, 2, 2});
  for (int64_t channels : {3, 16, 64})
    bench_convolution({8, channels, std::max<int64_t>(channels, 16), 32, 3});
  bench_convolution({8, 256, 256, 8, 3});
  bench_convolution({8, 64, 128, 32, 3, 2});
  bench_convolution({32, 1, 32, 28, 5});
  bench_convolution({8, 64, 64, 32, 1});
  bench_convolution({8, 64, 64, 32, 3, 1, 64});
  bench_convolution({8, 64, 64, 32, 3, 1, 4});
  return 0;
}
