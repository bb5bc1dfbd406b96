// The kernels of the named ones, their arguments and their references: private to kernels.cpp.
#pragma once

#include "cairn/base/philox.h"
#include "cairn/tile/builder.h"
#include "cairn/tile/kernels.h"

namespace cairn::tile::detail {

// Fills arrays, each from a key of its own.
class Filler {
 public:
  explicit Filler(uint64_t seed)
      : key_({static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}) {}
  // Even over [low, high); integers are rounded down.
  HostArray even(DType dtype, const Shape& shape, double low = -2, double high = 2);

 private:
  PhiloxKey key_;
  uint64_t next_ = 0;
};
// Bytes 0xff: NaN of a float, -1 of an integer.
HostArray no_result(DType dtype, const Shape& shape);

// --- tolerances ---
// The roundings of a kernel's arithmetic are in units of this; f64 is compared with f64, which errs
// as much.
double unit(DType dtype);
// What rounding to `dtype` once adds, below its normal numbers too.
double rounding(DType dtype, double value);
// Additions that an element goes through in row_sum: lanes, halves, and those of the chunks.
double sum_depth(int64_t n);
// At most `most` of 0..total-1, evenly spread, with the last.
std::vector<int64_t> spread(int64_t total, int64_t most = 1 << 18);
std::vector<double> numbers(const HostArray& array);

// Appends to an expectation.
inline void add(Expected& expected, int64_t element, double value, double tolerance) {
  expected.elements.push_back(element);
  expected.values.push_back(value);
  expected.tolerances.push_back(tolerance);
}

// gelu in the form with tanh: its error is `gelu_error` units for an exact x.
Tile gelu_tanh(const Tile& x);
double gelu_tanh(double x);
double gelu_tanh_error(double x);

void add_elementwise(std::vector<NamedKernel>& kernels);
void add_rows(std::vector<NamedKernel>& kernels);
void add_products(std::vector<NamedKernel>& kernels);
void add_attention(std::vector<NamedKernel>& kernels);

inline const std::vector<DType> kFloats = {DType::f32, DType::f16, DType::bf16, DType::f64};

}  // namespace cairn::tile::detail
