// Transposes of matrix products and convolutions.
#include "cairn/graph/infer.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/derivatives.h"
#include "cairn/transforms/helpers.h"
#include "cairn/transforms/transposes.h"

namespace cairn::detail {
namespace {

DType joint_dtype(DType a, DType b) {
  const auto joined = promote(tangent_dtype(a), tangent_dtype(b));
  CAIRN_ASSERT(joined);
  return *joined;
}

// Extent of `size` elements that stand `dilation` apart.
int64_t dilated(int64_t size, int64_t dilation) { return size ? (size - 1) * dilation + 1 : 0; }

struct ConvolutionShape {
  explicit ConvolutionShape(const Linear& l)
      : attrs(l.node.attrs()),
        x(l.inputs[0].shape()),
        w(l.inputs[1].shape()),
        out(l.cotangents[0].shape()),
        spatial(x.rank() - 2),
        groups(attrs.integer(Attr::groups)) {}
  int64_t x_extent(int i) const { return dilated(x[i + 2], attrs.ints(Attr::lhs_dilation)[i]); }
  int64_t w_extent(int i) const { return dilated(w[i + 2], attrs.ints(Attr::rhs_dilation)[i]); }
  int64_t out_extent(int i) const { return dilated(out[i + 2], attrs.ints(Attr::strides)[i]); }

  const Attrs& attrs;
  const Shape x, w, out;
  int spatial;
  int64_t groups;
};

// [A, G * B, rest] to [G * A or A * G ...]: splits axis 1 into (groups, rest) and reorders the
// first three axes by `order`, then joins the two that end up at `join` and `join` + 1.
Tensor regroup(const Tensor& x, int split, int64_t groups, std::array<int64_t, 3> order, int join) {
  Shape shape = x.shape();
  shape[split] /= groups;
  shape.insert(split, groups);
  Ints axes{order[0], order[1], order[2]};
  for (int i = 3; i < shape.rank(); ++i) axes.push_back(i);
  const Tensor moved = transpose(reshape(x, shape), axes);
  Shape joined = moved.shape();
  joined[join] *= joined[join + 1];
  joined.erase(join + 1);
  return reshape(moved, joined);
}

// d x: the cotangent, dilated by the strides, meets the reversed kernel with in- and out-channels
// of each group exchanged (XLA's conv_general_dilated transpose).
Tensor convolution_input(const Linear& l, const ConvolutionShape& c) {
  Ints low, high, reversed;
  for (int i = 0; i < c.spatial; ++i) {
    low.push_back(c.w_extent(i) - c.attrs.ints(Attr::low)[i] - 1);
    high.push_back(c.x_extent(i) + c.w_extent(i) - 1 - c.out_extent(i) - low[i]);
    reversed.push_back(i + 2);
  }
  // w[O, C/g, K] to [C, O/g, K].
  const Tensor w = flip(regroup(l.inputs[1], 0, c.groups, {0, 2, 1}, 0), reversed);
  Attrs attrs = c.attrs;
  attrs.set(Attr::strides, c.attrs.ints(Attr::lhs_dilation));
  attrs.set(Attr::lhs_dilation, c.attrs.ints(Attr::strides));
  attrs.set(Attr::low, low);
  attrs.set(Attr::high, high);
  return product(Op::convolution, {l.cotangents[0], w}, attrs, tangent_dtype(l.inputs[0].dtype()));
}

// d w: a convolution whose batch is the channels of a group and whose channels are the batch. A
// group of x keeps to its own output channels, so (N, G, C/G) is ordered (C/G, G, N).
Tensor convolution_kernel(const Linear& l, const ConvolutionShape& c) {
  Ints high;
  for (int i = 0; i < c.spatial; ++i)
    high.push_back(c.out_extent(i) - c.x_extent(i) + c.w_extent(i) - c.attrs.ints(Attr::low)[i] -
                   1);
  const Tensor x = regroup(l.inputs[0], 1, c.groups, {2, 1, 0}, 1);
  const Tensor ct = swapaxes(l.cotangents[0], 0, 1);
  Attrs attrs = c.attrs;
  attrs.set(Attr::strides, c.attrs.ints(Attr::rhs_dilation));
  attrs.set(Attr::rhs_dilation, c.attrs.ints(Attr::strides));
  attrs.set(Attr::high, high);
  const Tensor w = product(Op::convolution, {x, ct}, attrs, tangent_dtype(l.inputs[1].dtype()));
  return swapaxes(w, 0, 1);
}

// mask[g, t]: whether row t belongs to group g.
Tensor group_rows(const Tensor& given, int64_t rows) {
  const Tensor sizes = maximum(given, 0);
  const Tensor ends = cumsum(sizes);
  const Tensor starts = ends - sizes;
  const Tensor row =
      make(Op::iota, {},
           {{Attr::dtype, DType::i32}, {Attr::shape, Ints{1, rows}}, {Attr::axis, int64_t{1}}});
  return bitwise_and(less_equal(expand_dims(starts, 1), row), less(row, expand_dims(ends, 1)));
}

}  // namespace

Tensor product(Op op, std::vector<Tensor> inputs, Attrs attrs, DType to) {
  const DType joint = joint_dtype(inputs[0].dtype(), inputs[1].dtype());
  inputs[0] = cast(inputs[0], joint);
  inputs[1] = cast(inputs[1], joint);
  if (op == Op::convolution) return cast(make(op, std::move(inputs), std::move(attrs)), to);
  Attrs kept;
  if (attrs.has(Attr::accumulate)) {
    const DType sum = attrs.dtype(Attr::accumulate);
    if (sum == DType::f64 || joint != DType::f64) kept.set(Attr::accumulate, sum);
  }
  if (to != default_product_dtype(joint, joint)) kept.set(Attr::dtype, to);
  return make(op, std::move(inputs), std::move(kept));
}

Tensor transpose_matmul(const Linear& l, int operand) {
  const Tensor& ct = l.cotangents[0];
  const DType to = tangent_dtype(l.inputs[operand].dtype());
  if (operand == 0)
    return product(Op::matmul, {ct, swapaxes(l.inputs[1], -1, -2)}, l.node.attrs(), to);
  return product(Op::matmul, {swapaxes(l.inputs[0], -1, -2), ct}, l.node.attrs(), to);
}

Tensor transpose_grouped_matmul(const Linear& l, int operand) {
  const Tensor& x = l.inputs[0];       // (T, K)
  const Tensor& w = l.inputs[1];       // (G, K, N)
  const Tensor& ct = l.cotangents[0];  // (T, N)
  if (operand == 0)
    return product(Op::grouped_matmul, {ct, swapaxes(w, 1, 2), l.inputs[2]}, l.node.attrs(),
                   tangent_dtype(x.dtype()));
  // One product per group, over all rows with those of other groups as zeros: G times the work of
  // the forward product. Both sides are masked so that an inf of another group does not meet a
  // zero.
  const Tensor mask = group_rows(l.inputs[2], x.shape()[0]);           // (G, T)
  const Tensor rows = where(expand_dims(mask, 1), transpose(x), 0.0);  // (G, K, T)
  const Tensor cts = where(expand_dims(mask, 2), ct, 0.0);             // (G, T, N)
  return product(Op::matmul, {rows, cts}, l.node.attrs(), tangent_dtype(w.dtype()));
}

Tensor transpose_convolution(const Linear& l, int operand) {
  if (l.node.attrs().has(Attr::axes))
    fail("grad", l.node, "has `axes`, which only the compiler sets, after derivatives");
  if (l.cotangents[0].elements() == 0 || l.inputs[1 - operand].elements() == 0) return {};
  const ConvolutionShape c(l);
  return operand == 0 ? convolution_input(l, c) : convolution_kernel(l, c);
}

}  // namespace cairn::detail
