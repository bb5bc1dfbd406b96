// The searching encoders beside ggml's: error and nanoseconds per element of each block format, on
// one thread, in time on a core, with and without importance.
//
//   encoder_bench PATH/libggml-base.so
//
// Rows of the table in docs/benchmarks.md. Data: five kinds of 64 x 1024 numbers. Errors are sums
// of (importance times) squares over ggml's, the least and the largest of the five; times the best
// of three passes over all.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "cairn/base/shared_library.h"
#include "cairn/io/gguf_types.h"
#include "cairn/quant/encode.h"

namespace {

using cairn::BlockFormat;

constexpr int64_t kRows = 64, kColumns = 1024;
constexpr int kPasses = 3;
using GgmlQuantize = size_t(int type, const float* from, void* to, int64_t start, int64_t rows,
                            int64_t columns, const float* importance);

double core_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Data {
  std::vector<std::vector<float>> kinds;
  std::vector<float> importance;
};

Data make_data() {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::student_t_distribution<float> heavy(4);
  std::bernoulli_distribution rarely(0.005);
  const auto filled = [](auto&& number) {
    std::vector<float> x(static_cast<size_t>(kRows * kColumns));
    for (float& value : x) value = number();
    return x;
  };
  Data data;
  data.kinds = {filled([&] { return 0.02f * normal(random); }),
                filled([&] { return 0.02f * heavy(random); }),
                filled([&] { return 0.02f * (normal(random) + 0.7f); }),
                filled([&] { return (rarely(random) ? 0.24f : 0.02f) * normal(random); }),
                filled([&] { return std::fabs(normal(random)) + 1.0f; })};
  data.importance.resize(static_cast<size_t>(kColumns));
  for (float& value : data.importance) value = std::exp(1.5f * normal(random));
  return data;
}

double error_of(const BlockFormat& format, std::span<const float> x, const uint8_t* bytes,
                std::span<const float> importance) {
  std::vector<float> y(x.size());
  decode_blocks(format, bytes, kRows * kColumns / format.block_elements, y.data());
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double off = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    sum += off * off * (importance.empty() ? 1.0 : static_cast<double>(importance[i % kColumns]));
  }
  return sum;
}

// What one encoder does with all kinds.
struct Result {
  std::vector<double> errors;
  double nanoseconds = 1e9;  // per element
};

template <class Encode>
Result measure(const BlockFormat& format, const Data& data, std::span<const float> importance,
               Encode encode) {
  Result result;
  std::vector<uint8_t> bytes(
      static_cast<size_t>(kRows * kColumns / format.block_elements * format.block_bytes));
  for (int pass = 0; pass < kPasses; ++pass) {
    double seconds = 0;
    for (const std::vector<float>& x : data.kinds) {
      const double start = core_seconds();
      encode(x.data(), bytes.data());
      seconds += core_seconds() - start;
      if (pass == 0) result.errors.push_back(error_of(format, x, bytes.data(), importance));
    }
    const auto elements = static_cast<double>(data.kinds.size()) * kRows * kColumns;
    result.nanoseconds = std::min(result.nanoseconds, 1e9 * seconds / elements);
  }
  return result;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    fmt::print(stderr, "usage: encoder_bench PATH/libggml-base.so\n");
    return 2;
  }
  const cairn::SharedLibrary ggml({arguments[1]});
  auto* const theirs = ggml.find<GgmlQuantize>("ggml_quantize_chunk");
  const Data data = make_data();
  const cairn::CpuTarget target = cairn::detect_cpu_target();
  for (const cairn::io::GgufType& type : cairn::io::gguf_types()) {
    const BlockFormat* format = type.block_format();
    if (!format) continue;
    std::string errors, times;
    for (const bool weighted : {false, true}) {
      const std::span<const float> importance =
          weighted ? std::span<const float>(data.importance) : std::span<const float>();
      const Result own = measure(*format, data, importance, [&](const float* x, uint8_t* bytes) {
        encode_rows(*format, x, kRows, kColumns, importance, bytes, target);
      });
      const Result other = measure(*format, data, importance, [&](const float* x, uint8_t* bytes) {
        theirs(static_cast<int>(type.id), x, bytes, 0, kRows, kColumns,
               weighted ? importance.data() : nullptr);
      });
      std::vector<double> ratios;
      for (size_t i = 0; i < own.errors.size(); ++i)
        ratios.push_back(own.errors[i] / other.errors[i]);
      const auto [least, largest] = std::minmax_element(ratios.begin(), ratios.end());
      errors += fmt::format(" {:.2f} to {:.2f} |", *least, *largest);
      times += fmt::format(" {:.1f} | {:.1f} |", own.nanoseconds, other.nanoseconds);
    }
    fmt::print("| {} |{}{}\n", type.name, errors, times);
  }
  return 0;
}
