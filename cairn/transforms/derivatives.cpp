#include "cairn/transforms/derivatives.h"

#include <array>
#include <numbers>

#include "cairn/ops/elementwise.h"

namespace cairn::detail {
namespace {

using E = const Elementwise&;
using T = const Tensor&;
using Rule = Tensor (*)(E, int operand, T t);

Tensor zero(E, int, T) { return {}; }

Tensor through_exp(E e, int, T t) { return t * e.output; }
// exp(x) rather than out + 1, which cancels for very negative x.
Tensor through_expm1(E e, int, T t) { return t * exp(e.inputs[0]); }
Tensor through_log(E e, int, T t) { return t / e.inputs[0]; }
Tensor through_log1p(E e, int, T t) { return t / (1.0 + e.inputs[0]); }
Tensor through_sin(E e, int, T t) { return t * cos(e.inputs[0]); }
Tensor through_cos(E e, int, T t) { return -(t * sin(e.inputs[0])); }
// 1 - out^2 in the form that does not cancel where |out| is near 1.
Tensor through_tanh(E e, int, T t) { return t * ((1.0 - e.output) * (1.0 + e.output)); }
Tensor through_logistic(E e, int, T t) { return t * (e.output * (1.0 - e.output)); }
Tensor through_sqrt(E e, int, T t) { return t * 0.5 / e.output; }
Tensor through_erf(E e, int, T t) {
  return t * (2.0 * std::numbers::inv_sqrtpi) * exp(-(e.inputs[0] * e.inputs[0]));
}
Tensor through_erfc(E e, int operand, T t) { return -through_erf(e, operand, t); }
Tensor through_erf_inv(E e, int, T t) {
  return t * (0.5 / std::numbers::inv_sqrtpi) * exp(e.output * e.output);
}
Tensor through_abs(E e, int, T t) { return t * sign(e.inputs[0]); }

Tensor through_negate(E, int, T t) { return -t; }
Tensor through_add(E, int, T t) { return t; }
Tensor through_subtract(E, int operand, T t) { return operand == 0 ? t : -t; }
Tensor through_multiply(E e, int operand, T t) { return t * e.inputs[1 - operand]; }
Tensor through_divide(E e, int operand, T t) {
  return operand == 0 ? t / e.inputs[1] : -(t * e.output / e.inputs[1]);
}

// x - y * n with the whole number n = trunc(x / y). x - out is n * y exactly, so rounding its
// quotient finds n where truncating x / y may miss it by one.
Tensor through_remainder(E e, int operand, T t) {
  if (operand == 0) return t;
  return -(t * round((e.inputs[0] - e.output) / e.inputs[1]));
}

Tensor through_power(E e, int operand, T t) {
  const Tensor& x = e.inputs[0];
  const Tensor& y = e.inputs[1];
  const Tensor at_zero = equal(x, 0.0);
  if (operand == 1) return t * (e.output * log(where(at_zero, 1.0, x)));
  // y x^(y-1), but 0 * 0^0 instead of 0 * inf at x = y = 0.
  const Tensor exponent = where(bitwise_and(at_zero, equal(y, 0.0)), 0.0, y - 1.0);
  return t * (y * power(x, exponent));
}

// (y, x) -> x / (x^2 + y^2) and -y / (x^2 + y^2), scaled so that no square over- or underflows. The
// quotient does not depend on the scale, which is therefore a constant for derivatives.
Tensor through_atan2(E e, int operand, T t) {
  const Tensor scale = stop_gradient(maximum(abs(e.inputs[0]), abs(e.inputs[1])));
  const Tensor y = e.inputs[0] / scale;
  const Tensor x = e.inputs[1] / scale;
  const Tensor slope = t / ((x * x + y * y) * scale);
  return operand == 0 ? slope * x : -(slope * y);
}

// t where `mine` is the result alone, half of it where both are.
Tensor through_extreme(const Tensor& mine_wins, E e, T t) {
  return where(mine_wins, t, where(equal(e.inputs[0], e.inputs[1]), t * 0.5, 0.0));
}
Tensor through_maximum(E e, int operand, T t) {
  return through_extreme(less(e.inputs[1 - operand], e.inputs[operand]), e, t);
}
Tensor through_minimum(E e, int operand, T t) {
  return through_extreme(less(e.inputs[operand], e.inputs[1 - operand]), e, t);
}

Tensor through_select(E e, int operand, T t) {
  if (operand == 0) return {};
  return operand == 1 ? where(e.inputs[0], t, 0.0) : where(e.inputs[0], 0.0, t);
}

// times_derivative converts to the type that the direction asks for.
Tensor through_cast(E, int, T t) { return t; }

constexpr std::array<Rule, kOpCount> make_table() {
  std::array<Rule, kOpCount> t{};
  const auto set = [&t](Op op, Rule rule) { t[static_cast<int>(op)] = rule; };
  set(Op::negate, through_negate);
  set(Op::abs, through_abs);
  set(Op::sign, zero);
  set(Op::floor, zero);
  set(Op::ceil, zero);
  set(Op::round, zero);
  set(Op::exp, through_exp);
  set(Op::expm1, through_expm1);
  set(Op::log, through_log);
  set(Op::log1p, through_log1p);
  set(Op::sin, through_sin);
  set(Op::cos, through_cos);
  set(Op::tanh, through_tanh);
  set(Op::logistic, through_logistic);
  set(Op::sqrt, through_sqrt);
  set(Op::erf, through_erf);
  set(Op::erfc, through_erfc);
  set(Op::erf_inv, through_erf_inv);
  set(Op::cast, through_cast);
  set(Op::stop_gradient, zero);
  set(Op::add, through_add);
  set(Op::subtract, through_subtract);
  set(Op::multiply, through_multiply);
  set(Op::divide, through_divide);
  set(Op::remainder, through_remainder);
  set(Op::power, through_power);
  set(Op::atan2, through_atan2);
  set(Op::maximum, through_maximum);
  set(Op::minimum, through_minimum);
  // Integers and bool have no tangents.
  for (Op op : {Op::bitwise_and, Op::bitwise_or, Op::bitwise_xor, Op::shift_left, Op::shift_right,
                Op::equal, Op::less, Op::less_equal})
    set(op, zero);
  set(Op::select, through_select);
  return t;
}

constexpr auto kTable = make_table();

}  // namespace

DType tangent_dtype(DType dtype) { return is_float8(dtype) ? DType::f32 : dtype; }

TensorType tangent_type(TensorType type) {
  type.dtype = tangent_dtype(type.dtype);
  return type;
}

bool has_derivative(Op op) { return kTable[static_cast<int>(op)] != nullptr; }

Tensor times_derivative(const Elementwise& e, int operand, const Tensor& t, DType to) {
  const Rule rule = kTable[static_cast<int>(e.output.node().op())];
  CAIRN_ASSERT(rule);
  const Tensor result = rule(e, operand, t);
  return result.defined() ? cast(result, to) : result;
}

}  // namespace cairn::detail
