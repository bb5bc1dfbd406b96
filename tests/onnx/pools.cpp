// Pooling. cairn's pools pad both sides alike and have no dilation: other paddings are made
// beforehand, and dilated sums are convolutions with ones.
#include <algorithm>
#include <cmath>

#include "tests/onnx/windows.h"

namespace cairn::test {

OnnxWindows onnx_windows(const OnnxCall& c, const Tensor& x, Ints kernel) {
  const int spatial = x.rank() - 2;
  OnnxWindows w;
  w.kernel = kernel.empty() ? c.ints("kernel_shape") : kernel;
  w.stride = c.has_attribute("strides") ? c.ints("strides") : Ints(spatial, 1);
  w.dilation = c.has_attribute("dilations") ? c.ints("dilations") : Ints(spatial, 1);
  w.low = w.high = w.beyond = Ints(spatial, 0);
  const Ints pads = c.ints("pads");
  const std::string automatic = c.text("auto_pad", "NOTSET");
  for (int i = 0; i < spatial; ++i) {
    const int64_t size = x.size(i + 2), reach = w.dilation[i] * (w.kernel[i] - 1) + 1;
    if (automatic.starts_with("SAME")) {
      // As many windows as strides begin in x.
      const int64_t count = (size + w.stride[i] - 1) / w.stride[i];
      const int64_t total = std::max<int64_t>((count - 1) * w.stride[i] + reach - size, 0);
      const int64_t small = total / 2, large = total - small;
      w.low[i] = automatic == "SAME_UPPER" ? small : large;
      w.high[i] = automatic == "SAME_UPPER" ? large : small;
    } else if (!pads.empty()) {
      w.low[i] = pads[i];
      w.high[i] = pads[i + spatial];
    }
    if (!c.integer("ceil_mode", 0)) continue;
    const int64_t padded = size + w.low[i] + w.high[i];
    int64_t count = (padded - reach + w.stride[i] - 1) / w.stride[i] + 1;
    // No window begins behind x and the padding before it.
    if ((count - 1) * w.stride[i] >= size + w.low[i]) --count;
    w.beyond[i] = std::max<int64_t>((count - 1) * w.stride[i] + reach - padded, 0);
  }
  return w;
}

namespace {

// x[N, C, S...] with `value` around its spatial axes.
Tensor pad_spatial(const Tensor& x, const Ints& low, const Ints& high, Operand value) {
  Ints before(x.rank(), 0), behind(x.rank(), 0);
  for (int i = 0; i < low.size(); ++i) {
    before[i + 2] = low[i];
    behind[i + 2] = high[i];
  }
  return pad(x, before, behind, value);
}

Ints sum_of(Ints a, const Ints& b) {
  for (int i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

Tensor max_pool_of(const OnnxCall& c) {
  const OnnxWindows w = onnx_windows(c, c[0]);
  if (w.is_dilated()) throw Unsupported("cairn's max_pool has no dilation");
  if (c.wants(1)) throw Unsupported("cairn's max_pool gives no indices");
  if (w.is_symmetric()) return max_pool(c[0], w.kernel, {.stride = w.stride, .padding = w.low});
  if (!is_float(c[0].dtype())) throw Unsupported("an uneven padding of integers");
  const Tensor x = pad_spatial(c[0], w.low, sum_of(w.high, w.beyond), -INFINITY);
  return max_pool(x, w.kernel, {.stride = w.stride});
}

// Sums of the windows of x, whose padding is made already.
Tensor window_sums(const Tensor& x, const OnnxWindows& w) {
  Shape alone{x.size(0) * x.size(1), 1}, ones_shape{1, 1};
  int64_t elements = 1;
  for (int i = 0; i < w.kernel.size(); ++i) {
    alone.push_back(x.size(i + 2));
    ones_shape.push_back(w.kernel[i]);
    elements *= w.kernel[i];
  }
  if (!w.is_dilated())
    return avg_pool(x, w.kernel, {.stride = w.stride}) * static_cast<double>(elements);
  const Tensor sums = convolution(reshape(x, alone), ones(ones_shape, x.dtype()), {},
                                  {.stride = w.stride, .dilation = w.dilation});
  Shape shape{x.size(0), x.size(1)};
  for (int i = 2; i < sums.rank(); ++i) shape.push_back(sums.size(i));
  return reshape(sums, shape);
}

Tensor average_pool(const OnnxCall& c) {
  const Tensor& x = c[0];
  const OnnxWindows w = onnx_windows(c, x);
  const bool include = c.integer("count_include_pad", 0);
  if (w.is_symmetric() && !w.is_dilated())
    return avg_pool(x, w.kernel,
                    {.stride = w.stride, .padding = w.low, .count_include_pad = include});
  // What ceil_mode adds never counts.
  const Tensor ones_of_x = ones(x.shape(), x.dtype());
  const Ints none(w.low.size(), 0);
  const Tensor counted =
      pad_spatial(pad_spatial(ones_of_x, w.low, w.high, include ? 1 : 0), none, w.beyond, 0);
  const Tensor padded = pad_spatial(x, w.low, sum_of(w.high, w.beyond), 0);
  return window_sums(padded, w) / window_sums(counted, w);
}

Tensor lp_pool(const OnnxCall& c) {
  const auto p = static_cast<double>(c.integer("p", 2));
  const OnnxWindows w = onnx_windows(c, c[0]);
  const Tensor padded = pad_spatial(c[0], w.low, sum_of(w.high, w.beyond), 0);
  return power(window_sums(power(abs(padded), p), w), 1 / p);
}

Tensor global_max_pool(const OnnxCall& c) {
  Ints axes;
  for (int i = 2; i < c[0].rank(); ++i) axes.push_back(i);
  return max(c[0], axes, true);
}

}  // namespace

void add_pools(OnnxTable& table) {
  table["MaxPool"] = one(max_pool_of);
  table["AveragePool"] = one(average_pool);
  table["LpPool"] = one(lp_pool);
  table["GlobalMaxPool"] = one(global_max_pool);
}

}  // namespace cairn::test
