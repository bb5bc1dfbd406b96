// What vjp and jvp of an operation share: factors of the derivative that depend on values only.
#include <cmath>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/rules.h"

namespace cairn::detail {

Tensor exclusive_product(const Tensor& x, int axis) {
  return cumprod(shift(x, axis, 1, 1.0), axis);
}

Tensor product_of_others(const Tensor& x, const Ints& axes) {
  // The reduced axes become one, the last.
  Ints order = other_axes(x.rank(), axes);
  Shape flat;
  for (int64_t a : order) flat.push_back(x.shape()[static_cast<int>(a)]);
  int64_t reduced = 1;
  for (int64_t a : axes) {
    order.push_back(a);
    reduced *= x.shape()[static_cast<int>(a)];
  }
  flat.push_back(reduced);
  const Tensor moved = transpose(x, order);
  const Tensor rows = reshape(moved, flat);
  const int last = rows.rank() - 1;
  const Tensor before = exclusive_product(rows, last);
  const Tensor after = cumprod(shift(rows, last, -1, 1.0), last, true);
  return transpose(reshape(before * after, moved.shape()), inverse_permutation(order));
}

Tensor tie_shares(const Tensor& x, const Tensor& result, const Ints& axes) {
  const Tensor hit = cast(equal(x, restore_axes(result, x.shape(), axes)), x.dtype());
  if (axes.empty()) return hit;
  return hit / restore_axes(sum(hit, axes), x.shape(), axes);
}

Tensor running_index(const Tensor& x, const Tensor& result, bool is_max) {
  const int last = x.rank() - 1;
  const Tensor before = shift(result, last, 1, is_max ? -INFINITY : INFINITY);
  const Tensor as_before = is_max ? less_equal(x, before) : less_equal(before, x);
  const Tensor place = make(
      Op::iota, {},
      {{Attr::dtype, DType::i32}, {Attr::shape, Ints(x.shape())}, {Attr::axis, int64_t{last}}});
  return cummax(where(as_before, 0, place), last);
}

ScatterShares scatter_shares(const Node& node, const std::vector<Tensor>& inputs,
                             const Tensor& output) {
  const Attrs take{{Attr::axis, node.attrs().integer(Attr::axis)},
                   {Attr::batch_dims, node.attrs().integer(Attr::batch_dims)}};
  Attrs count = node.attrs();
  count.set(Attr::kind, std::string("add"));
  const DType dtype = output.dtype();
  const Tensor& indices = inputs[1];
  const Tensor x = cast(equal(inputs[0], output), dtype);
  const Tensor u = cast(equal(inputs[2], make(Op::gather, {output, indices}, take)), dtype);
  const Tensor hits = make(Op::scatter, {x, indices, u}, count);
  // An untouched element counts itself; `hits` is 0 only beside a NaN.
  return {x / hits, u / make(Op::gather, {hits, indices}, take)};
}

}  // namespace cairn::detail
