// Elementwise functions made of primitives. Where a formula has a branch that overflows, its
// operand is replaced there first: 0 * inf of a branch not taken would be NaN in the derivative.
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "cairn/graph/infer.h"
#include "cairn/ops/helpers.h"

namespace cairn {
namespace detail {

void fail(std::string_view op, const std::string& what) {
  throw_error(error_prefix(op) + what + error_location());
}

Tensor as_float(std::string_view op, const Operand& x) {
  const Tensor t = x.value();
  if (is_float8(t.dtype()))
    fail(op, "8-bit floats take part in cast, quantize and matmul only; cast first");
  return is_float(t.dtype()) ? t : cast(t, DType::f32);
}

Tensor widened(const Tensor& x) { return x.dtype() == DType::f64 ? x : cast(x, DType::f32); }

std::vector<Tensor> floats_together(std::string_view op, const Operand& x, const Operand& y) {
  const Operand operands[] = {x, y};
  const DType dtype = result_dtype(op, operands);
  std::vector<Tensor> t = broadcast_together(op, operands, is_float(dtype) ? dtype : DType::f32);
  as_float(op, t[0]);
  return t;
}

}  // namespace detail

namespace {

using detail::in_wide;

// Above this, asinh(x) = log(2x) - 1/(4x^2) + ... is log(2x) to the last bit of f64, and x^2 does
// not overflow in f32 below.
constexpr double kFar = 1e8;

Tensor to_bool(const Operand& x) { return cast(x.value(), DType::b8); }

// Whether a remainder r of truncating division by y lies on the other side of 0 than y.
Tensor crosses(const Tensor& r, const Tensor& y) {
  return bitwise_and(not_equal(r, 0), bitwise_xor(less(r, 0), less(y, 0)));
}

}  // namespace

Tensor trunc(Operand x) {
  const Provenance provenance(x.where());
  const Tensor t = detail::as_float("trunc", x);
  return where(t < 0.0, ceil(t), floor(t));
}

Tensor tan(Operand x) {
  return in_wide("tan", x, [](const Tensor& v) { return sin(v) / cos(v); });
}
Tensor exp2(Operand x) {
  const Provenance provenance(x.where());
  return power(2.0, x);
}

namespace {

// log(x) / log(base) in f64, with whole results where x is a power of the base.
Tensor log_of(std::string_view op, Operand x, double base) {
  const Provenance provenance(x.where(), op);
  const Tensor t = detail::as_float(op, x);
  const Tensor y = log(cast(t, DType::f64)) / std::log(base);
  const Tensor whole = round(y);
  const Tensor is_power = logical_and(isfinite(y), equal(power(base, whole), cast(t, DType::f64)));
  return cast(y + stop_gradient(where(is_power, whole - y, 0.0)), t.dtype());
}

}  // namespace

Tensor log2(Operand x) { return log_of("log2", x, 2); }
Tensor log10(Operand x) { return log_of("log10", x, 10); }

Tensor asin(Operand x) {
  return in_wide("asin", x, [](const Tensor& v) { return atan2(v, sqrt((1.0 - v) * (1.0 + v))); });
}
Tensor acos(Operand x) {
  return in_wide("acos", x, [](const Tensor& v) { return atan2(sqrt((1.0 - v) * (1.0 + v)), v); });
}
Tensor atan(Operand x) {
  return in_wide("atan", x, [](const Tensor& v) { return atan2(v, 1.0); });
}

// (e^x - e^-x) / 2: near 0 without cancellation, elsewhere from e^(x/2), which overflows only where
// the result does.
Tensor sinh(Operand x) {
  return in_wide("sinh", x, [](const Tensor& v) {
    const Tensor is_near = abs(v) < 1.0;
    const Tensor near = where(is_near, v, 0.0);
    const Tensor up = exp(0.5 * v);
    const Tensor down = exp(-0.5 * v);
    return where(is_near, 0.5 * (expm1(near) - expm1(-near)),
                 (0.5 * up) * up - (0.5 * down) * down);
  });
}
Tensor cosh(Operand x) {
  return in_wide("cosh", x, [](const Tensor& v) {
    const Tensor up = exp(0.5 * v);
    const Tensor down = exp(-0.5 * v);
    return (0.5 * up) * up + (0.5 * down) * down;
  });
}

// log(a + sqrt(a^2 + 1)) of a = |x| as log1p. The sign is taken by select: that of abs is 0 at 0,
// where the derivative is 1.
Tensor asinh(Operand x) {
  return in_wide("asinh", x, [](const Tensor& v) {
    const Tensor is_negative = v < 0.0;
    const Tensor a = where(is_negative, -v, v);
    const Tensor is_far = a > kFar;
    const Tensor near = where(is_far, 0.0, a);
    const Tensor small = log1p(near * (1.0 + near / (1.0 + sqrt(1.0 + near * near))));
    const Tensor result = where(is_far, log(where(is_far, a, 1.0)) + std::numbers::ln2, small);
    return where(is_negative, -result, result);
  });
}
Tensor acosh(Operand x) {
  return in_wide("acosh", x, [](const Tensor& v) {
    const Tensor is_far = v > kFar;
    const Tensor t = where(is_far, 2.0, v) - 1.0;
    const Tensor small = log1p(t + sqrt(t) * sqrt(t + 2.0));
    return where(is_far, log(where(is_far, v, 1.0)) + std::numbers::ln2, small);
  });
}
Tensor atanh(Operand x) {
  return in_wide("atanh", x, [](const Tensor& v) { return 0.5 * (log1p(v) - log1p(-v)); });
}

Tensor rsqrt(Operand x) {
  return in_wide("rsqrt", x, [](const Tensor& v) { return 1.0 / sqrt(v); });
}
Tensor square(Operand x) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  return t * t;
}
Tensor reciprocal(Operand x) {
  const Provenance provenance(x.where());
  return 1.0 / x;
}
// In f64, where 2p - 1 keeps small p.
Tensor ndtri(Operand p) {
  const Provenance provenance(p.where());
  const Tensor t = detail::as_float("ndtri", p);
  return cast(erf_inv(2.0 * cast(t, DType::f64) - 1.0) * std::numbers::sqrt2, t.dtype());
}

Tensor truncate_divide(Operand x, Operand y) {
  const Provenance provenance(x.where());
  const Operand operands[] = {x, y};
  const DType dtype = result_dtype("truncate_divide", operands);
  if (is_float(dtype)) return trunc(divide(x, y));
  return make(Op::divide, broadcast_together("truncate_divide", operands, dtype));
}

Tensor floor_divide(Operand x, Operand y) {
  const Provenance provenance(x.where());
  const Operand operands[] = {x, y};
  const DType dtype = result_dtype("floor_divide", operands);
  if (!is_float(dtype)) {
    const std::vector<Tensor> t = broadcast_together("floor_divide", operands, dtype);
    const Tensor quotient = make(Op::divide, t);
    if (is_unsigned(dtype)) return quotient;
    const Tensor lower = bitwise_and(crosses(make(Op::remainder, t), t[1]), not_equal(t[1], 0));
    return where(lower, quotient - 1, quotient);
  }
  // NumPy's way: x - r is a multiple of y, so that rounding its quotient cannot miss a whole
  // number.
  return in_wide("floor_divide", x, y, [](const Tensor& a, const Tensor& b) {
    const Tensor r = fmod(a, b);
    const Tensor multiple = (a - r) / b;
    const Tensor quotient = where(crosses(r, b), multiple - 1.0, multiple);
    const Tensor down = floor(quotient);
    const Tensor whole = where(quotient - down > 0.5, down + 1.0, down);
    const Tensor exact = a / b;
    const Tensor is_zero = equal(quotient, 0.0);
    return stop_gradient(
        where(equal(b, 0.0), exact, where(is_zero, where(is_zero, exact, 0.0) * 0.0, whole)));
  });
}

Tensor remainder(Operand x, Operand y) {
  const Provenance provenance(x.where());
  const Operand operands[] = {x, y};
  const auto adjusted = [](const Tensor& a, const Tensor& b) {
    const Tensor r = fmod(a, b);
    return where(crosses(r, b), r + b, r);
  };
  const DType dtype = result_dtype("remainder", operands);
  if (is_float(dtype)) return in_wide("remainder", x, y, adjusted);
  const std::vector<Tensor> t = broadcast_together("remainder", operands, dtype);
  return adjusted(t[0], t[1]);
}

Tensor hypot(Operand x, Operand y) {
  return in_wide("hypot", x, y, [](const Tensor& u, const Tensor& v) {
    const Tensor a = abs(u);
    const Tensor b = abs(v);
    const Tensor larger = maximum(a, b);
    const Tensor ratio = minimum(a, b) / where(equal(larger, 0.0), 1.0, larger);
    const Tensor infinite = bitwise_or(equal(a, INFINITY), equal(b, INFINITY));
    return where(infinite, INFINITY, larger * sqrt(1.0 + ratio * ratio));
  });
}

Tensor logaddexp(Operand x, Operand y) {
  return in_wide("logaddexp", x, y, [](const Tensor& a, const Tensor& b) {
    // A choice, not max and abs: where a = b these have no second derivatives. Equal infinities
    // differ by 0, not by NaN.
    const Tensor a_is_larger = a > b;
    const Tensor difference = where(a_is_larger, b - a, a - b);
    const Tensor equal_infinities = logical_and(isinf(a), equal(a, b));
    return where(a_is_larger, a, b) + log1p(exp(where(equal_infinities, 0.0, difference)));
  });
}

Tensor bitwise_not(Operand x) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  switch (t.dtype()) {
    case DType::b8: return bitwise_xor(t, true);
    case DType::u8: return bitwise_xor(t, std::numeric_limits<uint8_t>::max());
    case DType::u32: return bitwise_xor(t, std::numeric_limits<uint32_t>::max());
    default: return bitwise_xor(t, -1);
  }
}

Tensor logical_and(Operand x, Operand y) {
  const Provenance provenance(x.where());
  return bitwise_and(to_bool(x), to_bool(y));
}
Tensor logical_or(Operand x, Operand y) {
  const Provenance provenance(x.where());
  return bitwise_or(to_bool(x), to_bool(y));
}
Tensor logical_xor(Operand x, Operand y) {
  const Provenance provenance(x.where());
  return bitwise_xor(to_bool(x), to_bool(y));
}
Tensor logical_not(Operand x) {
  const Provenance provenance(x.where());
  return bitwise_xor(to_bool(x), true);
}

Tensor isnan(Operand x) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  const Tensor v = is_float8(t.dtype()) ? cast(t, DType::f32) : t;
  return not_equal(v, v);
}
Tensor isinf(Operand x) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  if (!is_float(t.dtype())) return not_equal(t, t);
  return equal(abs(detail::widened(t)), INFINITY);
}
Tensor isfinite(Operand x) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  if (!is_float(t.dtype())) return equal(t, t);
  return less(abs(detail::widened(t)), INFINITY);
}

Tensor isclose(Operand x, Operand y, double relative, double absolute, bool equal_nan) {
  const Provenance provenance(x.where());
  const std::vector<Tensor> t = detail::floats_together("isclose", x, y);
  const Tensor a = detail::widened(t[0]);
  const Tensor b = detail::widened(t[1]);
  const Tensor within = bitwise_and(abs(a - b) <= absolute + relative * abs(b), isfinite(b));
  const Tensor close = bitwise_or(within, equal(a, b));
  return equal_nan ? bitwise_or(close, bitwise_and(isnan(a), isnan(b))) : close;
}

}  // namespace cairn
