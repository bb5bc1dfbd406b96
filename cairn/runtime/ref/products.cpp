// Products: nodes as arguments of contraction.h.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "cairn/graph/infer.h"
#include "cairn/runtime/ref/contraction.h"
#include "cairn/runtime/ref/kernels.h"

namespace cairn::ref {
namespace {

DType accumulate_of(const Node& node) {
  return node.attrs().has(Attr::accumulate) ? node.attrs().dtype(Attr::accumulate)
                                            : default_accumulate(node.input(0).dtype());
}

const char* advanced(const void* data, int64_t elements, DType dtype) {
  return static_cast<const char*>(data) + elements * static_cast<int64_t>(size_of(dtype));
}

// A matrix product of contiguous operands.
MatmulArgs row_major(const KernelArgs& args, int64_t batch, int64_t m, int64_t k, int64_t n) {
  MatmulArgs p;
  p.batch = batch;
  p.m = m;
  p.n = n;
  p.k = k;
  p.a = args.inputs[0];
  p.a_dtype = args.node.input(0).dtype();
  p.a_batch_stride = m * k;
  p.a_row_stride = k;
  p.b = args.inputs[1];
  p.b_dtype = args.node.input(1).dtype();
  p.b_batch_stride = k * n;
  p.b_row_stride = n;
  p.c = args.outputs[0];
  p.c_dtype = args.node.output().dtype;
  p.accumulate = accumulate_of(args.node);
  return p;
}

// Element [k, n] of a matrix in panels is element [k / E, n / W, n % W, k % E] of them.
void unpack_panels(const Shape& panels, int64_t depth, int64_t columns, size_t element,
                   const char* from, char* to) {
  const int64_t groups = panels[1], width = panels[2], group = panels[3];
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t n = 0; n < columns; ++n, to += element) {
      const int64_t at = (n / width * groups + k / group) * width + n % width;
      std::memcpy(to, from + static_cast<size_t>(at * group + k % group) * element, element);
    }
}

}  // namespace

size_t matmul_workspace_bytes(const Node& node) {
  if (node.op() != Op::matmul || !node.attrs().has(Attr::columns)) return 0;
  return static_cast<size_t>(node.input(0).shape()[1] * node.output().shape[1]) *
         size_of(node.input(1).dtype());
}

void matmul(const KernelArgs& args) {
  const Shape& a = args.node.input(0).shape();
  const int r = a.rank();
  if (args.node.attrs().has(Attr::columns)) {
    const Tensor& y = args.node.input(1);
    const int64_t columns = args.node.output().shape[1];
    unpack_panels(y.shape(), a[1], columns, size_of(y.dtype()),
                  static_cast<const char*>(args.inputs[1]), args.workspace);
    MatmulArgs p = row_major(args, 1, a[0], a[1], columns);
    p.b = args.workspace;
    return matmul(p, args.target, args.pool);
  }
  const int64_t n = args.node.output().shape[r - 1];
  int64_t batch = 1;
  for (int i = 0; i < r - 2; ++i) batch *= a[i];
  matmul(row_major(args, batch, a[r - 2], a[r - 1], n), args.target, args.pool);
}

void grouped_matmul(const KernelArgs& args) {
  const Shape& x = args.node.input(0).shape();
  const Shape& w = args.node.input(1).shape();
  const auto* sizes = static_cast<const int32_t*>(args.inputs[2]);
  const DType out = args.node.output().dtype;
  int64_t row = 0;
  for (int64_t g = 0; g < w[0]; ++g) {
    const int64_t rows = std::clamp<int64_t>(sizes[g], 0, x[0] - row);
    MatmulArgs p = row_major(args, 1, rows, x[1], w[2]);
    p.a = advanced(p.a, row * x[1], p.a_dtype);
    p.b = advanced(p.b, g * w[1] * w[2], p.b_dtype);
    p.c = const_cast<char*>(advanced(p.c, row * w[2], out));
    matmul(p, args.target, args.pool);
    row += rows;
  }
  const int64_t rest = (x[0] - row) * w[2];
  if (rest)
    std::memset(const_cast<char*>(advanced(args.outputs[0], row * w[2], out)), 0,
                static_cast<size_t>(rest) * size_of(out));
}

namespace {

// The order of the axes of x, w and the result in which they are [N, C, S...] or [N, groups,
// C/groups, S...], [groups, O/groups, C, K...] and [N, groups, O/groups, S...].
struct ConvolutionAxes {
  Ints x, w, result;
};
ConvolutionAxes convolution_axes(const Node& node) {
  const int last = node.output().shape.rank() - 1;
  ConvolutionAxes axes;
  axes.x = node.attrs().ints(Attr::axes);
  axes.w = {0, last};
  axes.result = {1, 0, last};
  if (has_groups_last(node)) {
    axes.x.insert(1, axes.x.back());
    axes.x.pop_back();
    axes.w = {last, 0};
    axes.result = {1, last, 0};
  }
  for (int i = 1; i < last; ++i) axes.w.push_back(i);
  for (int i = 2; i < last; ++i) axes.result.push_back(i);
  return axes;
}

Shape reordered(const Shape& shape, const Ints& axes) {
  Shape result;
  for (const int64_t axis : axes) result.push_back(shape[static_cast<int>(axis)]);
  return result;
}

}  // namespace

size_t convolution_workspace_bytes(const Node& node) {
  if (node.op() != Op::convolution || !node.attrs().has(Attr::axes)) return 0;
  return node.input(0).type().bytes() + node.input(1).type().bytes() + node.output().bytes();
}

void convolution(const KernelArgs& args) {
  const Node& node = args.node;
  const bool is_last = node.attrs().has(Attr::axes);
  Shape x = node.input(0).shape(), w = node.input(1).shape(), y = node.output().shape;
  const void *x_data = args.inputs[0], *w_data = args.inputs[1];
  void* y_data = args.outputs[0];
  ConvolutionAxes axes;
  if (is_last) {
    // In order into the workspace, and the result from there.
    axes = convolution_axes(node);
    char* place = args.workspace;
    const auto reorder = [&](Shape& shape, const Ints& order, DType dtype, const void* data) {
      Ints strides;
      for (const int64_t axis : order) strides.push_back(shape.strides()[static_cast<int>(axis)]);
      shape = reordered(shape, order);
      char* const to = place;
      place += shape.elements() * static_cast<int64_t>(size_of(dtype));
      if (data)
        strided_copy(shape, static_cast<const char*>(data), strides, to, shape.strides(),
                     size_of(dtype), args.pool);
      return to;
    };
    // The largest elements first, so that all are aligned.
    y_data = reorder(y, axes.result, node.output().dtype, nullptr);
    x_data = reorder(x, axes.x, node.input(0).dtype(), x_data);
    w_data = reorder(w, axes.w, node.input(1).dtype(), w_data);
    // [N, C, S...], [O, C/groups, K...] and [N, O, S...].
    if (has_groups_last(node)) {
      x[1] *= x[2];
      x.erase(2);
    }
    w[1] *= w[0];
    w.erase(0);
    y[1] *= y[2];
    y.erase(2);
  }
  ConvArgs p;
  p.spatial = x.rank() - 2;
  if (p.spatial > 3)
    throw_error(fmt::format(
        "[convolution] the reference backend has at most 3 spatial axes, not {}", p.spatial));
  p.batch = x[0];
  p.in_channels = x[1];
  p.out_channels = w[0];
  p.groups = node.attrs().integer(Attr::groups);
  for (int i = 0; i < p.spatial; ++i) {
    const auto at = static_cast<size_t>(i);
    p.in_size[at] = x[i + 2];
    p.kernel_size[at] = w[i + 2];
    p.out_size[at] = y[i + 2];
    p.stride[at] = node.attrs().ints(Attr::strides)[i];
    p.padding_low[at] = node.attrs().ints(Attr::low)[i];
    p.lhs_dilation[at] = node.attrs().ints(Attr::lhs_dilation)[i];
    p.rhs_dilation[at] = node.attrs().ints(Attr::rhs_dilation)[i];
  }
  p.x = x_data;
  p.x_dtype = node.input(0).dtype();
  p.w = w_data;
  p.w_dtype = node.input(1).dtype();
  p.y = y_data;
  p.y_dtype = node.output().dtype;
  p.accumulate = accumulate_of(node);
  convolution(p, args.target, args.pool);
  if (!is_last) return;
  const Shape& result = node.output().shape;
  Ints strides;
  for (const int64_t axis : axes.result)
    strides.push_back(result.strides()[static_cast<int>(axis)]);
  const Shape shape = reordered(result, axes.result);
  strided_copy(shape, static_cast<const char*>(y_data), shape.strides(),
               static_cast<char*>(args.outputs[0]), strides, size_of(node.output().dtype),
               args.pool);
}

}  // namespace cairn::ref
