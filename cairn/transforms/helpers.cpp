#include "cairn/transforms/helpers.h"

#include <fmt/format.h>

#include "cairn/graph/infer.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"

namespace cairn::detail {

Tensor constant_of(const TensorType& type, Number value) {
  Tensor constant = full(type.shape, value, type.dtype);
  for (const std::string& axis : type.varying)
    constant = make(Op::vary, {constant}, {{Attr::mesh_axis, axis}});
  return constant;
}

Tensor add_defined(const Tensor& a, const Tensor& b) {
  if (!a.defined()) return b;
  if (!b.defined()) return a;
  return make(Op::add, {a, b});
}

Tensor take_last(const Tensor& x, const Tensor& indices) {
  const int64_t last = x.rank() - 1;
  return make(Op::gather, {x, indices}, {{Attr::axis, last}, {Attr::batch_dims, last}});
}

Tensor add_at_last(const Tensor& updates, const Tensor& indices, int64_t size) {
  const int64_t last = updates.rank() - 1;
  TensorType type = updates.type();
  type.shape.back() = size;
  return make(Op::scatter, {zeros_of(type), indices, updates},
              {{Attr::kind, std::string("add")}, {Attr::axis, last}, {Attr::batch_dims, last}});
}

Tensor shift(const Tensor& x, int axis, int64_t by, double fill) {
  Ints low(x.rank(), 0);
  Ints high(x.rank(), 0);
  low[axis] = by;
  high[axis] = -by;
  return pad(x, low, high, fill);
}

Tensor linear_recurrence(Tensor a, Tensor b, int axis) {
  const int64_t size = b.shape()[axis];
  for (int64_t step = 1; step < size; step *= 2) {
    b = b + a * shift(b, axis, step, 0.0);
    if (2 * step < size) a = a * shift(a, axis, step, 0.0);
  }
  return b;
}

Tensor restore_axes(const Tensor& reduced, const Shape& shape, const Ints& axes) {
  if (axes.empty()) return reduced;
  return make(Op::broadcast, {reduced},
              {{Attr::shape, Ints(shape)}, {Attr::axes, other_axes(shape.rank(), axes)}});
}

Ints other_axes(int rank, const Ints& without) {
  Ints axes;
  for (int i = 0; i < rank; ++i)
    if (!without.contains(i)) axes.push_back(i);
  return axes;
}

Ints inverse_permutation(const Ints& axes) {
  Ints inverse(axes.size(), 0);
  for (int i = 0; i < axes.size(); ++i) inverse[static_cast<int>(axes[i])] = i;
  return inverse;
}

void fail(std::string_view transform, const Node& node, std::string_view reason) {
  std::string text = fmt::format("[{}] {}: {}", transform, name(node.op()), reason);
  if (node.location().line()) text += fmt::format(" (at {})", locate(node.location()));
  if (node.scope()) text += fmt::format(" in '{}'", *node.scope());
  throw_error(std::move(text));
}

}  // namespace cairn::detail
