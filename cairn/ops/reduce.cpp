#include "cairn/ops/reduce.h"

#include <fmt/format.h>

#include <cmath>

#include "cairn/graph/infer.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"

namespace cairn {
namespace {

Tensor with_ones(const Tensor& reduced, const Shape& before, const Ints& axes) {
  Shape shape = before;
  for (int64_t a : axes) shape[static_cast<int>(a)] = 1;
  return reshape(reduced, shape);
}

Tensor reduce(const char* kind, std::string_view op, const Tensor& x, const Ints& axes, bool keep_dims) {
  const Ints normal = normalize_axes(op, axes, x.rank());
  if (normal.empty()) return x;
  const Tensor result =
      make(Op::reduce, {x}, {{Attr::kind, std::string(kind)}, {Attr::axes, normal}});
  return keep_dims ? with_ones(result, x.shape(), normal) : result;
}

Tensor extreme(const char* kind, std::string_view op, const Tensor& x, const Ints& axes, bool keep) {
  for (int64_t a : normalize_axes(op, axes, x.rank()))
    if (x.shape()[static_cast<int>(a)] == 0)
      throw_error(fmt::format("[{}] axis {} of {} has no elements, so there is no {} (at {})", op, a,
                              to_string(x.shape()), op, locate(Provenance::current())));
  return reduce(kind, op, x, axes, keep);
}

Tensor arg(const char* kind, std::string_view op, const Operand& operand, int axis, bool keep_dims) {
  const Provenance provenance(operand.where());
  const Tensor x = operand.value();
  const int at = normalize_axis(op, axis, x.rank());
  const Tensor result = make(Op::arg_reduce, {x}, {{Attr::kind, std::string(kind)}, {Attr::axis, int64_t{at}}});
  return keep_dims ? with_ones(result, x.shape(), {at}) : result;
}

Tensor running(const char* kind, std::string_view op, const Operand& operand, int axis, bool reverse) {
  const Provenance provenance(operand.where());
  const Tensor x = operand.value();
  Attrs attrs{{Attr::kind, std::string(kind)}, {Attr::axis, int64_t{normalize_axis(op, axis, x.rank())}}};
  if (reverse) attrs.set(Attr::reverse, true);
  return make(Op::cumulative, {x}, std::move(attrs));
}

Tensor to_bool(const Tensor& x) { return cast(x, DType::b8); }

}  // namespace

Tensor sum(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  return reduce("sum", "sum", t.dtype() == DType::b8 ? cast(t, DType::i32) : t, axes, keep_dims);
}
Tensor prod(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  return reduce("prod", "prod", t.dtype() == DType::b8 ? cast(t, DType::i32) : t, axes, keep_dims);
}
Tensor max(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  return extreme("max", "max", x.value(), axes, keep_dims);
}
Tensor min(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  return extreme("min", "min", x.value(), axes, keep_dims);
}

Tensor mean(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  const DType result = is_float(t.dtype()) ? t.dtype() : DType::f32;
  const Tensor wide = cast(t, result == DType::f64 ? DType::f64 : DType::f32);
  double count = 1;
  for (int64_t a : normalize_axes("mean", axes, t.rank()))
    count *= static_cast<double>(t.shape()[static_cast<int>(a)]);
  return cast(sum(wide, axes, keep_dims) / count, result);
}

Tensor variance(Operand x, Ints axes, int correction, bool keep_dims) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  const DType result = is_float(t.dtype()) ? t.dtype() : DType::f32;
  const Tensor wide = cast(t, result == DType::f64 ? DType::f64 : DType::f32);
  double count = 1;
  for (int64_t a : normalize_axes("variance", axes, t.rank()))
    count *= static_cast<double>(t.shape()[static_cast<int>(a)]);
  const Tensor deviation = wide - mean(wide, axes, true);
  return cast(sum(deviation * deviation, axes, keep_dims) / (count - correction), result);
}

Tensor standard_deviation(Operand x, Ints axes, int correction, bool keep_dims) {
  return sqrt(variance(x, axes, correction, keep_dims));
}

Tensor any(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  return reduce("max", "any", to_bool(x.value()), axes, keep_dims);
}
Tensor all(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  return reduce("min", "all", to_bool(x.value()), axes, keep_dims);
}

Tensor logsumexp(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  const DType result = is_float(t.dtype()) ? t.dtype() : DType::f32;
  const Tensor wide = cast(t, result == DType::f64 ? DType::f64 : DType::f32);
  const Tensor top = stop_gradient(max(wide, axes, true));
  // An infinite maximum would give inf - inf; then 0 is subtracted.
  const Tensor shift = where(abs(top) < INFINITY, top, 0.0);
  Tensor total = log(sum(exp(wide - shift), axes, true)) + shift;
  if (!keep_dims) {
    const Ints normal = normalize_axes("logsumexp", axes, t.rank());
    Shape shape;
    for (int i = 0; i < t.rank(); ++i)
      if (!normal.contains(i)) shape.push_back(t.shape()[i]);
    total = reshape(total, shape);
  }
  return cast(total, result);
}

Tensor argmax(Operand x, int axis, bool keep_dims) { return arg("max", "argmax", x, axis, keep_dims); }
Tensor argmin(Operand x, int axis, bool keep_dims) { return arg("min", "argmin", x, axis, keep_dims); }
Tensor cumsum(Operand x, int axis, bool reverse) { return running("sum", "cumsum", x, axis, reverse); }
Tensor cumprod(Operand x, int axis, bool reverse) { return running("prod", "cumprod", x, axis, reverse); }
Tensor cummax(Operand x, int axis, bool reverse) { return running("max", "cummax", x, axis, reverse); }
Tensor cummin(Operand x, int axis, bool reverse) { return running("min", "cummin", x, axis, reverse); }

}  // namespace cairn
