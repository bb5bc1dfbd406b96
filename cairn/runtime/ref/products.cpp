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

}  // namespace

void matmul(const KernelArgs& args) {
  const Shape& a = args.node.input(0).shape();
  const int r = a.rank();
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

void convolution(const KernelArgs& args) {
  const Node& node = args.node;
  const Shape& x = node.input(0).shape();
  const Shape& w = node.input(1).shape();
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
    p.out_size[at] = node.output().shape[i + 2];
    p.stride[at] = node.attrs().ints(Attr::strides)[i];
    p.padding_low[at] = node.attrs().ints(Attr::low)[i];
    p.lhs_dilation[at] = node.attrs().ints(Attr::lhs_dilation)[i];
    p.rhs_dilation[at] = node.attrs().ints(Attr::rhs_dilation)[i];
  }
  p.x = args.inputs[0];
  p.x_dtype = node.input(0).dtype();
  p.w = args.inputs[1];
  p.w_dtype = node.input(1).dtype();
  p.y = args.outputs[0];
  p.y_dtype = node.output().dtype;
  p.accumulate = accumulate_of(node);
  convolution(p, args.target, args.pool);
}

}  // namespace cairn::ref
