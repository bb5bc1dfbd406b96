#include "cairn/ops/elementwise.h"

#include "cairn/graph/infer.h"

namespace cairn {
namespace {

Tensor unary(Op op, const Operand& x) {
  const Provenance provenance(x.where(), name(op));
  return make(op, {x.value()});
}

// A function of real numbers: integers and bool become f32.
Tensor real_unary(Op op, const Operand& x) {
  const Provenance provenance(x.where(), name(op));
  const Tensor value = x.value();
  return make(op, {is_float(value.dtype()) ? value : cast(value, DType::f32)});
}

Tensor binary(Op op, const Operand& x, const Operand& y) {
  const Provenance provenance(x.where(), name(op));
  const Operand operands[] = {x, y};
  return make(op, broadcast_together(name(op), operands));
}

// Of two bool, logic: the larger is `or`.
Tensor extreme(Op op, Op logic, const Operand& x, const Operand& y) {
  const Provenance provenance(x.where(), name(op));
  const Operand operands[] = {x, y};
  return binary(result_dtype(name(op), operands) == DType::b8 ? logic : op, x, y);
}

Tensor real_binary(Op op, const Operand& x, const Operand& y) {
  const Provenance provenance(x.where(), name(op));
  const Operand operands[] = {x, y};
  DType dtype = result_dtype(name(op), operands);
  if (!is_float(dtype)) dtype = DType::f32;
  return make(op, broadcast_together(name(op), operands, dtype));
}

}  // namespace

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return make(Op::cast, {x}, {{Attr::dtype, dtype}});
}

Tensor negate(Operand x) { return unary(Op::negate, x); }
Tensor abs(Operand x) { return unary(Op::abs, x); }
Tensor sign(Operand x) { return unary(Op::sign, x); }
Tensor floor(Operand x) { return real_unary(Op::floor, x); }
Tensor ceil(Operand x) { return real_unary(Op::ceil, x); }
Tensor round(Operand x) { return real_unary(Op::round, x); }
Tensor exp(Operand x) { return real_unary(Op::exp, x); }
Tensor expm1(Operand x) { return real_unary(Op::expm1, x); }
Tensor log(Operand x) { return real_unary(Op::log, x); }
Tensor log1p(Operand x) { return real_unary(Op::log1p, x); }
Tensor sin(Operand x) { return real_unary(Op::sin, x); }
Tensor cos(Operand x) { return real_unary(Op::cos, x); }
Tensor tanh(Operand x) { return real_unary(Op::tanh, x); }
Tensor sigmoid(Operand x) { return real_unary(Op::logistic, x); }
Tensor sqrt(Operand x) { return real_unary(Op::sqrt, x); }
Tensor erf(Operand x) { return real_unary(Op::erf, x); }
Tensor erfc(Operand x) { return real_unary(Op::erfc, x); }
Tensor erf_inv(Operand x) { return real_unary(Op::erf_inv, x); }
Tensor stop_gradient(Operand x) { return unary(Op::stop_gradient, x); }

Tensor add(Operand x, Operand y) { return binary(Op::add, x, y); }
Tensor subtract(Operand x, Operand y) { return binary(Op::subtract, x, y); }
Tensor multiply(Operand x, Operand y) { return binary(Op::multiply, x, y); }
Tensor divide(Operand x, Operand y) { return real_binary(Op::divide, x, y); }
Tensor fmod(Operand x, Operand y) { return binary(Op::remainder, x, y); }
Tensor power(Operand x, Operand y) { return binary(Op::power, x, y); }
Tensor atan2(Operand y, Operand x) { return real_binary(Op::atan2, y, x); }
Tensor maximum(Operand x, Operand y) { return extreme(Op::maximum, Op::bitwise_or, x, y); }
Tensor minimum(Operand x, Operand y) { return extreme(Op::minimum, Op::bitwise_and, x, y); }
Tensor bitwise_and(Operand x, Operand y) { return binary(Op::bitwise_and, x, y); }
Tensor bitwise_or(Operand x, Operand y) { return binary(Op::bitwise_or, x, y); }
Tensor bitwise_xor(Operand x, Operand y) { return binary(Op::bitwise_xor, x, y); }
Tensor shift_left(Operand x, Operand y) { return binary(Op::shift_left, x, y); }
Tensor shift_right(Operand x, Operand y) { return binary(Op::shift_right, x, y); }

Tensor equal(Operand x, Operand y) { return binary(Op::equal, x, y); }
Tensor not_equal(Operand x, Operand y) {
  const Provenance provenance(x.where());
  return bitwise_xor(equal(x, y), true);
}
Tensor less(Operand x, Operand y) { return binary(Op::less, x, y); }
Tensor less_equal(Operand x, Operand y) { return binary(Op::less_equal, x, y); }
Tensor greater(Operand x, Operand y) { return less(y, x); }
Tensor greater_equal(Operand x, Operand y) { return less_equal(y, x); }

Tensor where(Operand condition, Operand x, Operand y) {
  const Provenance provenance(condition.where());
  const Operand values[] = {x, y};
  const DType dtype = result_dtype("where", values);
  std::vector<Tensor> t{condition.value(), x.is_number() ? x.as(dtype) : cast(x.tensor(), dtype),
                        y.is_number() ? y.as(dtype) : cast(y.tensor(), dtype)};
  if (t[0].dtype() != DType::b8) t[0] = cast(t[0], DType::b8);
  const Shape shapes[] = {t[0].shape(), t[1].shape(), t[2].shape()};
  const Shape shape = broadcast_shapes("where", shapes);
  for (Tensor& v : t) v = broadcast_to(v, shape);
  vary_together(t);
  return make(Op::select, std::move(t));
}

Tensor full(const Shape& shape, Number value, DType dtype, const std::source_location& where) {
  const Provenance provenance(where);
  const Number typed = is_float(dtype) ? Number(value.as_double()) : value;
  return make(Op::full, {},
              {{Attr::value, typed}, {Attr::dtype, dtype}, {Attr::shape, Ints(shape)}});
}
Tensor zeros(const Shape& shape, DType dtype, const std::source_location& where) {
  const Provenance provenance(where);
  return full(shape, 0, dtype);
}
Tensor ones(const Shape& shape, DType dtype, const std::source_location& where) {
  const Provenance provenance(where);
  return full(shape, 1, dtype);
}
Tensor zeros_like(const Tensor& x, const std::source_location& where) {
  const Provenance provenance(where);
  return full_like(x, 0);
}
Tensor full_like(const Tensor& x, Number value, const std::source_location& where) {
  const Provenance provenance(where);
  std::vector<Tensor> both{full(x.shape(), value, x.dtype()), x};
  vary_together(both);
  return both[0];
}

}  // namespace cairn
