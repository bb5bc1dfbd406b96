#include "cairn/train/lbfgs_memory.h"

#include <algorithm>

namespace cairn {
namespace {

constexpr int64_t kVectors = 2, kScalars = 5;  // before those of the corrections

}  // namespace

LbfgsArrays to_arrays(const Lbfgs::Memory& memory, int64_t parameters, int history) {
  LbfgsArrays a{HostArray(DType::f64, {kVectors + 2 * history, parameters}),
                HostArray(DType::f64, {kScalars + history})};
  const auto vectors = a.vectors.mutable_span<double>();
  const auto scalars = a.scalars.mutable_span<double>();
  std::fill(vectors.begin(), vectors.end(), 0.0);
  std::fill(scalars.begin(), scalars.end(), 0.0);
  int64_t row = 0;
  const auto put = [&](const Lbfgs::Vector& v) {
    std::copy(v.begin(), v.end(), vectors.begin() + row++ * parameters);
  };
  put(memory.direction);
  put(memory.previous_gradient);
  const double numbers[] = {memory.scale, memory.step, static_cast<double>(memory.iterations),
                            static_cast<double>(memory.evaluations),
                            static_cast<double>(memory.history.size())};
  auto scalar = std::copy(std::begin(numbers), std::end(numbers), scalars.begin());
  for (const Lbfgs::Correction& c : memory.history) {
    put(c.y);
    put(c.s);
    *scalar++ = c.inverse_ys;
  }
  return a;
}

Lbfgs::Memory from_arrays(const LbfgsArrays& arrays) {
  const auto vectors = arrays.vectors.span<double>();
  const auto scalars = arrays.scalars.span<double>();
  const int64_t parameters = arrays.vectors.shape()[1];
  int64_t row = 0;
  const auto take = [&] {
    const auto from = vectors.begin() + row++ * parameters;
    return Lbfgs::Vector(from, from + parameters);
  };
  Lbfgs::Memory m;
  m.direction = take();
  m.previous_gradient = take();
  m.scale = scalars[0];
  m.step = scalars[1];
  m.iterations = static_cast<int>(scalars[2]);
  m.evaluations = static_cast<int>(scalars[3]);
  const auto most = static_cast<double>(arrays.scalars.shape()[0] - kScalars);
  const auto corrections = static_cast<size_t>(std::clamp(scalars[4], 0.0, most));
  for (size_t i = 0; i < corrections; ++i) {
    Lbfgs::Correction& c = m.history.emplace_back();
    c.y = take();
    c.s = take();
    c.inverse_ys = scalars[static_cast<size_t>(kScalars) + i];
  }
  return m;
}

}  // namespace cairn
