// Batching of operations whose places are data.
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/transforms/batching.h"
#include "cairn/transforms/helpers.h"

namespace cairn::detail {
namespace {

bool any_batched(const BatchContext& c, int first) {
  for (int i = first; i < static_cast<int>(c.inputs.size()); ++i)
    if (c.batched(i)) return true;
  return false;
}

// Starts that are the same for all examples; the batch axis starts at 0.
std::vector<Tensor> shared_starts(const BatchContext& c, int first) {
  TensorType zero = c.value(0).type();
  zero.dtype = DType::i32;
  zero.shape = {};
  std::vector<Tensor> starts{zeros_of(zero)};
  for (int i = first; i < static_cast<int>(c.inputs.size()); ++i) starts.push_back(c.value(i));
  return starts;
}

// Start of each example as i64 (B, 1), clamped as dynamic_slice does: `room` is the last that fits.
Tensor clamped_start(const BatchContext& c, int operand, int64_t room) {
  const Tensor start = cast(c.with_batch(operand), DType::i64);
  return expand_dims(minimum(maximum(start, 0), room), 1);
}

Tensor count_to(int64_t n) {
  return make(Op::iota, {},
              {{Attr::dtype, DType::i64}, {Attr::shape, Ints{1, n}}, {Attr::axis, int64_t{1}}});
}

// gather(x, indices[B, n]) along an axis of the examples.
Batched take_along(const Batched& x, const Tensor& indices, int axis) {
  if (x.batched)
    return {make(Op::gather, {x.value, indices},
                 {{Attr::axis, int64_t{axis + 1}}, {Attr::batch_dims, int64_t{1}}}),
            true};
  const Tensor taken = make(Op::gather, {x.value, indices},
                            {{Attr::axis, int64_t{axis}}, {Attr::batch_dims, int64_t{0}}});
  return {moveaxis(taken, axis, 0), true};
}

}  // namespace

std::vector<Batched> batch_dynamic_slice(const BatchContext& c) {
  const Ints& shape = c.attrs().ints(Attr::shape);
  if (!any_batched(c, 1)) {
    std::vector<Tensor> operands = shared_starts(c, 1);
    operands.insert(operands.begin(), c.value(0));
    return all_batched(
        rebuild(c.node, std::move(operands), {{Attr::shape, prefixed(shape, c.size)}}));
  }
  // One gather per axis that the slice shortens.
  Batched x = c.inputs[0];
  for (int axis = 0; axis < shape.size(); ++axis) {
    const int64_t room = c.example(0)[axis] - shape[axis];
    if (room == 0) continue;
    std::vector<Tensor> parts{clamped_start(c, axis + 1, room), count_to(shape[axis])};
    vary_together(parts);
    x = take_along(x, parts[0] + parts[1], axis);
  }
  if (!x.batched) x = {repeat(x.value, c.size), true};
  return {x};
}

std::vector<Batched> batch_dynamic_update_slice(const BatchContext& c) {
  if (!any_batched(c, 2)) {
    std::vector<Tensor> operands = shared_starts(c, 2);
    operands.insert(operands.begin(), {c.with_batch(0), c.with_batch(1)});
    return all_batched(rebuild(c.node, std::move(operands)));
  }
  // Spread the update over the whole of x by gathers, then select it where it belongs.
  const Shape& x = c.example(0);
  const Shape& update = c.example(1);
  if (update.elements() == 0) return {{c.with_batch(0), true}};
  Batched spread{c.with_batch(1), true};
  Tensor inside;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (x[axis] == update[axis]) continue;
    const Tensor place =
        count_to(x[axis]) - clamped_start(c, axis + 2, x[axis] - update[axis]);  // (B, n)
    spread = take_along(spread, minimum(maximum(place, 0), update[axis] - 1), axis);
    Shape shape(x.rank() + 1, 1);
    shape[0] = c.size;
    shape[axis + 1] = x[axis];
    const Tensor here =
        reshape(bitwise_and(less_equal(0, place), less(place, update[axis])), shape);
    inside = inside.defined() ? bitwise_and(inside, here) : here;
  }
  if (!inside.defined()) return {spread};
  return {{where(inside, spread.value, c.with_batch(0)), true}};
}

std::vector<Batched> batch_gather(const BatchContext& c) {
  const int64_t axis = c.attrs().integer(Attr::axis);
  const int64_t batch_dims = c.attrs().integer(Attr::batch_dims);
  if (batch_dims == 0 && !c.batched(0)) {
    const Tensor taken = rebuild(c.node, {c.value(0), c.value(1)})[0];
    return {{moveaxis(taken, static_cast<int>(axis), 0), true}};
  }
  Attrs attrs{{Attr::axis, axis + 1}, {Attr::batch_dims, batch_dims + 1}};
  if (batch_dims == 0 && !c.batched(1)) {
    attrs.set(Attr::batch_dims, batch_dims);
    return all_batched(rebuild(c.node, {c.value(0), c.value(1)}, std::move(attrs)));
  }
  return all_batched(rebuild(c.node, c.all_with_batch(), std::move(attrs)));
}

std::vector<Batched> batch_scatter(const BatchContext& c) {
  Attrs attrs = c.attrs();
  attrs.set(Attr::axis, c.attrs().integer(Attr::axis) + 1);
  if (const int64_t batch_dims = c.attrs().integer(Attr::batch_dims);
      batch_dims == 0 && !c.batched(1))
    return all_batched(
        rebuild(c.node, {c.with_batch(0), c.value(1), c.with_batch(2)}, std::move(attrs)));
  attrs.set(Attr::batch_dims, c.attrs().integer(Attr::batch_dims) + 1);
  return all_batched(rebuild(c.node, c.all_with_batch(), std::move(attrs)));
}

}  // namespace cairn::detail
