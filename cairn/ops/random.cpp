#include "cairn/ops/random.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cairn/base/philox.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/helpers.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"

namespace cairn {

using detail::fail;

namespace {

Tensor bits(const Tensor& key, const Shape& shape, const Tensor& offset, int64_t stream) {
  Attrs attrs{{Attr::shape, Ints(shape)}};
  if (stream) attrs.set(Attr::stream, stream);
  std::vector<Tensor> operands{key, cast(offset, DType::i64)};
  vary_together(operands);
  return make(Op::random_bits, std::move(operands), std::move(attrs));
}

// Bits of a number's significand, the hidden one included.
int significand_bits(DType dtype) {
  switch (dtype) {
    case DType::f64: return 53;
    case DType::f16: return 11;
    case DType::bf16: return 8;
    default: return 24;
  }
}

// The largest number of the type below `high`.
double below(double high, DType dtype) {
  if (high == 0)
    return -0x1p-24;  // f16's smallest; what others could hold beyond it is never drawn
  int exponent;
  const double fraction = std::frexp(high, &exponent);
  // Numbers below a power of two stand twice as close as those above it.
  const int place = exponent - significand_bits(dtype) - (fraction == 0.5 ? 1 : 0);
  const double step = std::ldexp(1, dtype == DType::f16 ? std::max(place, -24) : place);
  const double down = std::floor(high / step) * step;
  return down < high ? down : down - step;
}

void check_drawn(std::string_view op, DType dtype) {
  if (!is_float(dtype) || is_float8(dtype))
    fail(op, fmt::format("draws f64, f32, f16 or bf16, not {}", name(dtype)));
}

}  // namespace

Tensor random_key(uint64_t seed) {
  const uint32_t words[] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  return make(Op::dense, {}, {{Attr::literal, HostArray::from<uint32_t>(words, {2})}});
}

Tensor fold_in(Operand input, Operand number) {
  const Provenance provenance(input.where());
  const Tensor key = input.value();
  // Lanes 0 and 1 of block `number`.
  return bits(
      key, {2},
      multiply(number.is_number() ? number.as(DType::i64) : cast(number.tensor(), DType::i64), 4),
      1);
}

Tensor fold_in_name(Operand input, std::string_view name) {
  const Provenance provenance(input.where(), "fold_in");
  const Tensor key = input.value();
  const PhiloxKey hash = fold_in(PhiloxKey{0, 0}, name);
  const uint64_t number = (hash[0] | static_cast<uint64_t>(hash[1]) << 32) >> 3;
  return bits(key, {2}, Tensor::scalar(static_cast<int64_t>(number << 2), DType::i64), 2);
}

std::vector<Tensor> split_key(Operand input, int count) {
  const Provenance provenance(input.where());
  const Tensor key = input.value();
  std::vector<Tensor> keys;
  for (int i = 0; i < count; ++i) keys.push_back(fold_in(key, i));
  return keys;
}

Tensor random_bits(Operand input, const Shape& shape, Operand offset) {
  const Provenance provenance(input.where());
  const Tensor key = input.value();
  return bits(key, shape, offset.is_number() ? offset.as(DType::i64) : offset.tensor(), 0);
}

Tensor uniform(Operand input, const Shape& shape, DType dtype, double low, double high) {
  const Provenance provenance(input.where());
  const Tensor key = input.value();
  check_drawn("uniform", dtype);
  if (!(low <= high)) fail("uniform", fmt::format("the range {}..{} is empty", low, high));
  Tensor u;
  if (dtype == DType::f64) {
    Shape twice = shape;
    twice.push_back(2);
    const Tensor words = cast(random_bits(key, twice), DType::f64);
    const Tensor first = squeeze(slice_axis(words, -1, 0, 1), {-1});
    const Tensor second = squeeze(slice_axis(words, -1, 1, 2), {-1});
    // 32 bits and 21 bits: 53 in all.
    u = floor(second * 0x1p-11) * 0x1p-53 + first * 0x1p-32;
  } else {
    // As many bits as the type has below 1, so that none is rounded up to it.
    const int bits = significand_bits(dtype);
    u = cast(shift_right(random_bits(key, shape), 32 - bits), DType::f32) * std::ldexp(1, -bits);
  }
  // Rounding may reach `high`, which is not in the range.
  if (low != 0 || high != 1) u = minimum(u * (high - low) + low, std::max(low, below(high, dtype)));
  return cast(u, dtype);
}

Tensor normal(Operand input, const Shape& shape, DType dtype) {
  const Provenance provenance(input.where());
  const Tensor key = input.value();
  check_drawn("normal", dtype);
  const DType wide = dtype == DType::f64 ? DType::f64 : DType::f32;
  // Uniform in (-1, 1): the middle of each of 2^24 (2^53) cells, so that neither end occurs.
  const double half_cell = wide == DType::f64 ? 0x1p-53 : 0x1p-24;
  const Tensor u = uniform(key, shape, wide) * 2.0 - (1.0 - half_cell);
  return cast(erf_inv(u) * std::sqrt(2.0), dtype);
}

Tensor bernoulli(Operand input, Operand p, const Shape& shape) {
  const Provenance provenance(input.where());
  const Tensor key = input.value();
  if (p.is_number() && !(p.number().as_double() >= 0 && p.number().as_double() <= 1))
    fail("bernoulli",
         fmt::format("the probability {} is not between 0 and 1", p.number().as_double()));
  return less(uniform(key, shape), p);
}

Tensor categorical(Operand input, const Tensor& logits) {
  const Provenance provenance(input.where());
  const Tensor key = input.value();
  // u = odd / 2^24 lies inside (0, 1): at 1 the noise would be infinite and its index certain.
  const Tensor odd = bitwise_or(shift_right(random_bits(key, logits.shape()), 8), 1);
  const Tensor u = cast(odd, DType::f32) * 0x1p-24;
  return argmax(cast(logits, DType::f32) - log(negate(log(u))), -1);
}

Tensor permutation(Operand key, int64_t n) {
  const Provenance provenance(key.where());
  return argsort(random_bits(key, {n}));
}

Tensor random_integers(Operand input, const Shape& shape, int64_t low, int64_t high) {
  const Provenance provenance(input.where());
  const Tensor key = input.value();
  if (high <= low) fail("random_integers", fmt::format("the range {}..{} is empty", low, high));
  if (low < INT32_MIN || high - 1 > INT32_MAX)
    fail("random_integers", fmt::format("the range {}..{} does not fit i32", low, high));
  const Tensor u = uniform(key, shape, DType::f64);
  return cast(floor(u * static_cast<double>(high - low)) + static_cast<double>(low), DType::i32);
}

}  // namespace cairn
