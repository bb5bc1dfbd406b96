// Batching of matrix products and convolutions.
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/batching.h"
#include "cairn/transforms/helpers.h"

namespace cairn::detail {
namespace {

// Joins axes i and i + 1.
Tensor join(const Tensor& x, int i) {
  Shape shape = x.shape();
  shape[i] *= shape[i + 1];
  shape.erase(i + 1);
  return reshape(x, shape);
}

// Splits axis i into (first, rest).
Tensor split_axis(const Tensor& x, int i, int64_t first, int64_t rest) {
  Shape shape = x.shape();
  shape[i] = rest;
  shape.insert(i, first);
  return reshape(x, shape);
}

// One example of zeros, made of none.
Tensor an_example(const Tensor& none) {
  Ints low(none.rank(), 0);
  low[0] = 1;
  return squeeze(pad(none, low, Ints(none.rank(), 0)), {0});
}

}  // namespace

std::vector<Batched> batch_matmul(const BatchContext& c) {
  // Examples that share the right operand are more rows of one product; each element is the same
  // chain of sums, so the bits are too.
  if (!c.batched(1) && c.example(0).rank() == 2) {
    const Tensor rows = rebuild(c.node, {join(c.value(0), 0), c.value(1)})[0];
    return {{split_axis(rows, 0, c.size, c.example(0)[0]), true}};
  }
  return all_batched(rebuild(c.node, c.all_with_batch()));
}

// The groups of all examples become groups of one product. A group of its own takes the rows past
// the sum of an example's sizes; its results are set to zero.
std::vector<Batched> batch_grouped_matmul(const BatchContext& c) {
  const Tensor x = c.with_batch(0);      // (B, T, K)
  const Tensor w = c.with_batch(1);      // (B, G, K, N)
  const Tensor sizes = c.with_batch(2);  // (B, G)
  const int64_t rows = x.shape()[1];
  // An example's sizes may add up to more than its rows; clip so that no group reaches into the
  // next.
  const Tensor ends = minimum(cumsum(maximum(sizes, 0), 1), static_cast<int32_t>(rows));
  const int64_t groups = ends.shape()[1];
  const Tensor bounds = pad(ends, {0, 1}, {0, 0});  // (B, G + 1), from 0
  const Tensor starts = slice_axis(bounds, 1, 0, groups);
  const Tensor total = slice_axis(bounds, 1, groups, groups + 1);  // (B, 1)
  const Tensor all_sizes[] = {ends - starts, static_cast<int32_t>(rows) - total};
  const Tensor rest = pad(w, {0, 0, 0, 0}, {0, 1, 0, 0});
  const Tensor product =
      rebuild(c.node, {join(x, 0), join(rest, 0), reshape(concatenate(all_sizes, 1), {-1})})[0];
  const Tensor out = split_axis(product, 0, c.size, rows);
  const Tensor row =
      make(Op::iota, {},
           {{Attr::dtype, DType::i32}, {Attr::shape, Ints{1, rows}}, {Attr::axis, int64_t{1}}});
  return {{where(expand_dims(less(row, total), 2), out, 0), true}};
}

std::vector<Batched> batch_convolution(const BatchContext& c) {
  if (c.attrs().has(Attr::axes))
    fail("vmap", c.node, "has `axes`, which only the compiler sets, after batching");
  const int64_t groups = c.attrs().integer(Attr::groups);
  const int64_t n = c.example(0)[0];
  const int64_t outputs = c.example(1)[0];
  if (!c.batched(1) || (c.size == 0 && c.batched(0))) {
    // More images. Where there are no examples any weights do, and there cannot be 0 groups.
    const Tensor w = c.batched(1) ? an_example(c.value(1)) : c.value(1);
    const Tensor out = rebuild(c.node, {join(c.value(0), 0), w})[0];
    return {{split_axis(out, 0, c.size, n), true}};
  }
  if (!c.batched(0)) {
    // More output channels, within each group: (B, G, O/G) to (G, B, O/G).
    const Tensor w =
        join(join(moveaxis(split_axis(c.value(1), 1, groups, outputs / groups), 0, 1), 0), 0);
    const Tensor out = rebuild(c.node, {c.value(0), w})[0];  // (N, G B O/G, S)
    const Tensor parts = split_axis(split_axis(out, 1, groups, c.size * outputs / groups), 2,
                                    c.size, outputs / groups);
    return {{join(moveaxis(parts, 2, 0), 2), true}};
  }
  // Every example is a group of its own (or several).
  const Tensor x = join(moveaxis(c.value(0), 0, 1), 1);  // (N, B C, S)
  Attrs attrs = c.attrs();
  attrs.set(Attr::groups, groups * c.size);
  const Tensor out = rebuild(c.node, {x, join(c.value(1), 0)}, std::move(attrs))[0];  // (N, B O, S)
  return {{moveaxis(split_axis(out, 1, c.size, outputs), 1, 0), true}};
}

}  // namespace cairn::detail
