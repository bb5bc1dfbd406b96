#include "cairn/ops/reduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/helpers.h"
#include "cairn/ops/movement.h"

namespace cairn {

using detail::fail;

namespace {

Tensor with_ones(const Tensor& reduced, const Shape& before, const Ints& axes) {
  Shape shape = before;
  for (int64_t a : axes) shape[static_cast<int>(a)] = 1;
  return reshape(reduced, shape);
}

Tensor reduce(const char* kind, std::string_view op, const Tensor& x, const Ints& axes,
              bool keep_dims) {
  const Ints normal = normalize_axes(op, axes, x.rank());
  if (normal.empty()) return x;
  const Tensor result =
      make(Op::reduce, {x}, {{Attr::kind, std::string(kind)}, {Attr::axes, normal}});
  return keep_dims ? with_ones(result, x.shape(), normal) : result;
}

Tensor extreme(const char* kind, std::string_view op, const Tensor& x, const Ints& axes,
               bool keep) {
  for (int64_t a : normalize_axes(op, axes, x.rank()))
    if (x.shape()[static_cast<int>(a)] == 0)
      fail(op, fmt::format("axis {} of {} has no elements, so there is no {}", a,
                           to_string(x.shape()), op));
  return reduce(kind, op, x, axes, keep);
}

Tensor arg(const char* kind, std::string_view op, const Operand& operand, int axis,
           bool keep_dims) {
  const Provenance provenance(operand.where(), op);
  const Tensor x = operand.value();
  const int at = normalize_axis(op, axis, x.rank());
  const Tensor result =
      make(Op::arg_reduce, {x}, {{Attr::kind, std::string(kind)}, {Attr::axis, int64_t{at}}});
  return keep_dims ? with_ones(result, x.shape(), {at}) : result;
}

Tensor running(const char* kind, std::string_view op, const Tensor& x, int axis, bool reverse) {
  Attrs attrs{{Attr::kind, std::string(kind)},
              {Attr::axis, int64_t{normalize_axis(op, axis, x.rank())}}};
  if (reverse) attrs.set(Attr::reverse, true);
  return make(Op::cumulative, {x}, std::move(attrs));
}

double reduced_elements(std::string_view op, const Tensor& x, const Ints& axes) {
  double count = 1;
  for (int64_t a : normalize_axes(op, axes, x.rank()))
    count *= static_cast<double>(x.shape()[static_cast<int>(a)]);
  return count;
}

// What sums and products of bool and small integers are taken in: 300 ones of u8 are 300.
Tensor summand(const Operand& x) {
  const Tensor t = x.value();
  const bool is_small = t.dtype() == DType::b8 || (is_integer(t.dtype()) && size_of(t.dtype()) < 4);
  return is_small ? cast(t, DType::i32) : t;
}

// detail::in_wide for functions of differences, which f32 would lose between large integers.
template <class F>
Tensor in_wide(std::string_view op, const Operand& x, F f) {
  const Provenance provenance(x.where(), op);
  const Tensor t = x.value();
  if (is_integer(t.dtype()) && size_of(t.dtype()) >= 4)
    return cast(f(cast(t, DType::f64)), DType::f32);
  return detail::in_wide(op, x, f);
}

Tensor to_bool(const Tensor& x) { return cast(x, DType::b8); }

}  // namespace

Tensor sum(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  return reduce("sum", "sum", summand(x), axes, keep_dims);
}
Tensor prod(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  return reduce("prod", "prod", summand(x), axes, keep_dims);
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
  return in_wide("mean", x, [&](const Tensor& w) {
    return sum(w, axes, keep_dims) / reduced_elements("mean", w, axes);
  });
}

Tensor variance(Operand x, Ints axes, int correction, bool keep_dims) {
  return in_wide("variance", x, [&](const Tensor& w) {
    const Tensor deviation = w - mean(w, axes, true);
    return sum(deviation * deviation, axes, keep_dims) /
           std::max(reduced_elements("variance", w, axes) - correction, 0.0);
  });
}

Tensor standard_deviation(Operand x, Ints axes, int correction, bool keep_dims) {
  return in_wide("standard_deviation", x,
                 [&](const Tensor& w) { return sqrt(variance(w, axes, correction, keep_dims)); });
}

Tensor norm(Operand x, double order, Ints axes, bool keep_dims) {
  return detail::in_wide("norm", x, [&](const Tensor& w) {
    if (order == 1) return sum(abs(w), axes, keep_dims);
    if (order == INFINITY) return max(abs(w), axes, keep_dims);
    if (order != 2) fail("norm", fmt::format("order {} is not 1, 2 or inf", order));
    const Tensor squares = sum(w * w, axes, keep_dims);
    const Tensor is_zero = equal(squares, 0.0);
    return where(is_zero, 0.0, sqrt(where(is_zero, 1.0, squares)));
  });
}

Tensor any(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  return reduce("max", "any", to_bool(x.value()), axes, keep_dims);
}
Tensor all(Operand x, Ints axes, bool keep_dims) {
  const Provenance provenance(x.where());
  return reduce("min", "all", to_bool(x.value()), axes, keep_dims);
}

Tensor allclose(Operand x, Operand y, double relative, double absolute, bool equal_nan) {
  const Provenance provenance(x.where());
  return all(isclose(x, y, relative, absolute, equal_nan));
}

Tensor logsumexp(Operand x, Ints axes, bool keep_dims) {
  return detail::in_wide("logsumexp", x, [&](const Tensor& w) {
    if (reduced_elements("logsumexp", w, axes) == 0) return log(sum(w, axes, keep_dims));
    const Tensor top = stop_gradient(max(w, axes, true));
    // An infinite maximum would give inf - inf; then 0 is subtracted.
    const Tensor shift = where(abs(top) < INFINITY, top, 0.0);
    const Tensor total = log(sum(exp(w - shift), axes, true)) + shift;
    if (keep_dims) return total;
    const Ints normal = normalize_axes("logsumexp", axes, w.rank());
    return normal.empty() ? total : squeeze(total, normal);
  });
}

// Doubling steps: after the one with reach r, every element stands for the 2r elements up to it.
Tensor logcumsumexp(Operand x, int axis, bool reverse) {
  return detail::in_wide("logcumsumexp", x, [&](const Tensor& w) {
    const int at = normalize_axis("logcumsumexp", axis, w.rank());
    const int64_t n = w.size(at);
    Tensor sums = w;
    for (int64_t reach = 1; reach < n; reach *= 2) {
      Ints low(w.rank(), 0), high(w.rank(), 0);
      low[at] = reverse ? -reach : reach;
      high[at] = -low[at];
      sums = logaddexp(sums, pad(sums, low, high, -INFINITY));
    }
    return sums;
  });
}

Tensor argmax(Operand x, int axis, bool keep_dims) {
  return arg("max", "argmax", x, axis, keep_dims);
}
Tensor argmin(Operand x, int axis, bool keep_dims) {
  return arg("min", "argmin", x, axis, keep_dims);
}
Tensor cumsum(Operand x, int axis, bool reverse) {
  const Provenance provenance(x.where());
  return running("sum", "cumsum", summand(x), axis, reverse);
}
Tensor cumprod(Operand x, int axis, bool reverse) {
  const Provenance provenance(x.where());
  return running("prod", "cumprod", summand(x), axis, reverse);
}
Tensor cummax(Operand x, int axis, bool reverse) {
  const Provenance provenance(x.where());
  return running("max", "cummax", x.value(), axis, reverse);
}
Tensor cummin(Operand x, int axis, bool reverse) {
  const Provenance provenance(x.where());
  return running("min", "cummin", x.value(), axis, reverse);
}

}  // namespace cairn
