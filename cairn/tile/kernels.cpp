#include "cairn/tile/kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cairn/base/error.h"
#include "cairn/base/names.h"
#include "cairn/graph/scalar.h"
#include "cairn/tile/evaluate.h"
#include "cairn/tile/kernel_cases.h"
#include "cairn/tile/rows.h"

namespace cairn::tile {
namespace {

std::vector<NamedKernel> make_table() {
  std::vector<NamedKernel> kernels;
  detail::add_elementwise(kernels);
  detail::add_rows(kernels);
  detail::add_products(kernels);
  detail::add_attention(kernels);
  return kernels;
}

}  // namespace

std::span<const NamedKernel> named_kernels() {
  static const std::vector<NamedKernel> kTable = make_table();
  return kTable;
}

const NamedKernel& named_kernel(std::string_view name) {
  std::vector<std::string> known;
  for (const NamedKernel& kernel : named_kernels()) {
    if (kernel.name == name) return kernel;
    known.emplace_back(kernel.name);
  }
  throw_error(fmt::format("there is no kernel '{}'; {}", name, suggest(name, known)));
}

void check(const NamedKernel& kernel, DType dtype, const Shape& shape) {
  if (std::ranges::find(kernel.dtypes, dtype) == kernel.dtypes.end()) {
    std::string known;
    for (DType d : kernel.dtypes) known += fmt::format("{}{}", known.empty() ? "" : ", ", name(d));
    throw_error(fmt::format("kernel {} has no {} form, only {}", kernel.name, name(dtype), known));
  }
  const auto axes = std::ranges::count(kernel.axes, 'x') + 1;
  if (!kernel.axes.empty() && shape.rank() != axes)
    throw_error(fmt::format("kernel {} takes a shape {}, not {}", kernel.name, kernel.axes,
                            to_string(shape)));
  // Of an array as large as a machine has memory for; beyond, offsets could overflow.
  constexpr int64_t kMost = int64_t{1} << 40;
  double elements = 1;
  for (int64_t size : shape) {
    if (size < 1) throw_error(fmt::format("a size of shape {} is below 1", to_string(shape)));
    elements *= static_cast<double>(size);
  }
  if (elements > static_cast<double>(kMost))
    throw_error(fmt::format("shape {} is too large", to_string(shape)));
}

std::vector<Argument> KernelCall::arguments() {
  std::vector<Argument> result;
  for (auto& value : values) std::visit([&](auto& v) { result.emplace_back(v); }, value);
  return result;
}

std::vector<Number> KernelCall::scalars() const {
  std::vector<Number> result;
  for (const auto& value : values)
    if (const auto* number = std::get_if<Number>(&value)) result.push_back(*number);
  return result;
}

Difference compare(const Expected& expected, const HostArray& result) {
  Difference worst{0, 0, -1, 0};
  for (size_t i = 0; i < expected.elements.size(); ++i) {
    const double tolerance = expected.tolerances[i];
    double error = std::abs(result.at(expected.elements[i]) - expected.values[i]);
    if (!(error >= 0)) error = std::numeric_limits<double>::infinity();  // NaN
    const double ratio = error == 0 ? 0 : error / tolerance;
    worst.error = std::max(worst.error, error);
    if (ratio <= worst.ratio) continue;
    worst = {worst.error, tolerance, ratio, expected.elements[i]};
  }
  worst.ratio = std::max(worst.ratio, 0.0);
  return worst;
}

namespace detail {

HostArray Filler::even(DType dtype, const Shape& shape, double low, double high) {
  HostArray array(dtype, shape);
  const auto n = static_cast<size_t>(array.elements());
  std::vector<uint32_t> bits(n);
  philox_fill(fold_in(key_, next_++), 0, bits);
  visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto elements = array.mutable_span<T>();
    for (size_t i = 0; i < n; ++i) {
      const double x = low + (high - low) * bits[i] * 0x1p-32;
      elements[i] = cast_element<T>(is_float(dtype) ? x : std::floor(x));
    }
  });
  return array;
}

HostArray no_result(DType dtype, const Shape& shape) {
  HostArray array(dtype, shape);
  std::memset(array.mutable_data(), 0xff, array.bytes());
  return array;
}

double unit(DType dtype) {
  return epsilon(compute_type(dtype)) * (compute_type(dtype) == DType::f64 ? 2 : 1);
}

double rounding(DType dtype, double value) {
  const double smallest = dtype == DType::f16 ? 0x1p-24 : dtype == DType::f64 ? 0 : 0x1p-133;
  return 0.51 * epsilon(dtype) * std::abs(value) + smallest;
}

double sum_depth(int64_t n) {
  const auto lanes = static_cast<double>(kReduceLanes);
  const double halves = std::log2(lanes);
  const auto chunk = static_cast<double>(std::min(n, kReduceChunk));
  const double chunks = std::ceil(static_cast<double>(n) / static_cast<double>(kReduceChunk));
  return std::ceil(chunk / lanes) + halves + std::ceil(chunks / lanes) + halves;
}

std::vector<int64_t> spread(int64_t total, int64_t most) {
  std::vector<int64_t> result;
  // Odd, so that it walks through every place of a power of two.
  const int64_t step = total <= most ? 1 : (total / most + 1) | 1;
  for (int64_t i = 0; i < total; i += step) result.push_back(i);
  if (!result.empty() && result.back() != total - 1) result.push_back(total - 1);
  return result;
}

std::vector<double> numbers(const HostArray& array) {
  std::vector<double> result(static_cast<size_t>(array.elements()));
  visit_dtype(array.dtype(), [&](auto tag) {
    const auto elements = array.span<typename decltype(tag)::type>();
    for (size_t i = 0; i < result.size(); ++i) result[i] = cast_element<double>(elements[i]);
  });
  return result;
}

}  // namespace detail
}  // namespace cairn::tile
