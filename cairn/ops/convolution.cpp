// Convolutions and pooling over the last axes.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "cairn/ops/helpers.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"

namespace cairn {

using detail::fail;

namespace {

// One number per spatial axis from a list that may be empty or have one for all.
Ints per_axis(std::string_view op, std::string_view what, const Ints& given, int spatial,
              int64_t otherwise) {
  if (given.empty()) return Ints(spatial, otherwise);
  if (given.size() == 1) return Ints(spatial, given[0]);
  if (given.size() != spatial)
    fail(op, fmt::format("{} {} needs one number, or one per spatial axis ({})", what,
                         to_string(given), spatial));
  return given;
}

Tensor channels_first(const Tensor& x, bool channels_last) {
  return channels_last ? moveaxis(x, -1, 1) : x;
}
Tensor channels_back(const Tensor& x, bool channels_last) {
  return channels_last ? moveaxis(x, 1, -1) : x;
}

Tensor convolve(std::string_view op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                Attrs attrs, bool channels_last) {
  const Operand both[] = {x, weight};
  std::vector<Tensor> operands{channels_first(x, channels_last), weight};
  const auto is_byte = [](DType t) { return t == DType::i8 || t == DType::u8; };
  const bool as_they_are = (is_float8(x.dtype()) && is_float8(weight.dtype())) ||
                           (is_byte(x.dtype()) && is_byte(weight.dtype()));
  if (!as_they_are)
    for (Tensor& t : operands) t = cast(t, result_dtype(op, both));
  vary_together(operands);
  Tensor out = make(Op::convolution, std::move(operands), std::move(attrs));
  if (bias.defined()) {
    if (bias.rank() != 1 || bias.size(0) != out.size(1))
      fail(op, fmt::format("the bias {} must have one number per output channel ({})",
                           to_string(bias.shape()), out.size(1)));
    Shape shape(Ints(out.rank(), 1));
    shape[1] = out.size(1);
    out = out + reshape(bias, shape);
  }
  return channels_back(out, channels_last);
}

int spatial_axes(std::string_view op, const Tensor& x, const Tensor& weight) {
  if (x.rank() < 3 || weight.rank() != x.rank())
    fail(op, fmt::format("takes x[N, C, S...] and a weight of the same rank, not {} and {}",
                         to_string(x.shape()), to_string(weight.shape())));
  return x.rank() - 2;
}

}  // namespace

Tensor convolution(Operand input, const Tensor& weight, const Tensor& bias,
                   const ConvolutionOptions& options) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const char* op = "convolution";
  const int spatial = spatial_axes(op, x, weight);
  if (!options.output_padding.empty())
    fail("convolution", "output_padding belongs to conv_transpose");
  const Ints low = per_axis(op, "padding", options.padding, spatial, 0);
  const Ints high = options.padding_high.empty()
                        ? low
                        : per_axis(op, "padding_high", options.padding_high, spatial, 0);
  const Ints dilation = per_axis(op, "dilation", options.dilation, spatial, 1);
  for (int i = 0; i < spatial; ++i) {
    if (low[i] < 0 || high[i] < 0)
      fail(op, fmt::format("padding {}, {} is less than 0; slice instead", low[i], high[i]));
    const int axis = options.channels_last ? i + 1 : i + 2;
    // Sizes up to 2^62: the window in double is exact enough to compare.
    const double window = static_cast<double>(dilation[i]) * (weight.size(i + 2) - 1) + 1;
    if (window > static_cast<double>(x.size(axis)) + low[i] + high[i])
      fail(op, fmt::format("the window {} is larger than axis {} of {} with its padding {}, {}",
                           window, axis, to_string(x.shape()), low[i], high[i]));
  }
  return convolve(op, x, weight, bias,
                  {{Attr::strides, per_axis(op, "stride", options.stride, spatial, 1)},
                   {Attr::low, low},
                   {Attr::high, high},
                   {Attr::lhs_dilation, Ints(spatial, 1)},
                   {Attr::rhs_dilation, dilation},
                   {Attr::groups, options.groups}},
                  options.channels_last);
}

Tensor conv_transpose(Operand input, const Tensor& weight, const Tensor& bias,
                      const ConvolutionOptions& options) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const char* op = "conv_transpose";
  const int spatial = spatial_axes(op, x, weight);
  const int64_t groups = options.groups;
  if (groups < 1 || weight.size(0) % groups)
    fail(op, fmt::format("{} input channels do not divide into {} groups", weight.size(0), groups));
  const Ints stride = per_axis(op, "stride", options.stride, spatial, 1);
  const Ints dilation = per_axis(op, "dilation", options.dilation, spatial, 1);
  const Ints more = per_axis(op, "output_padding", options.output_padding, spatial, 0);
  Ints low = per_axis(op, "padding", options.padding, spatial, 0);
  Ints high = options.padding_high.empty()
                  ? low
                  : per_axis(op, "padding_high", options.padding_high, spatial, 0);

  // Weights seen from the result: [O, C / groups, K...], mirrored.
  Shape split{groups, weight.size(0) / groups, weight.size(1)};
  Shape merged{groups * weight.size(1), weight.size(0) / groups};
  Ints mirrored;
  for (int i = 0; i < spatial; ++i) {
    const int64_t reach = dilation[i] * (weight.size(i + 2) - 1);
    low[i] = reach - low[i];
    high[i] = reach - high[i] + more[i];
    split.push_back(weight.size(i + 2));
    merged.push_back(weight.size(i + 2));
    mirrored.push_back(i + 2);
  }
  const Tensor seen = flip(reshape(swapaxes(reshape(weight, split), 1, 2), merged), mirrored);
  return convolve(op, x, seen, bias,
                  {{Attr::strides, Ints(spatial, 1)},
                   {Attr::low, low},
                   {Attr::high, high},
                   {Attr::lhs_dilation, stride},
                   {Attr::rhs_dilation, dilation},
                   {Attr::groups, groups}},
                  options.channels_last);
}

namespace {

struct Windows {
  int axis;
  int64_t size, kernel, stride, padding;
  int64_t count() const { return (size + 2 * padding - kernel) / stride + 1; }
  // Element j of every window of the padded x.
  Tensor element(const Tensor& x, int64_t j) const {
    return slice_axis(x, axis, j, j + (count() - 1) * stride + 1, stride);
  }
  Tensor padded(const Tensor& x, Operand value) const {
    if (padding == 0) return x;
    Ints widths(x.rank(), 0);
    widths[axis] = padding;
    return pad(x, widths, widths, value);
  }
};

std::vector<Windows> windows(std::string_view op, const Tensor& x, const Ints& kernel,
                             const PoolOptions& options) {
  const int spatial = x.rank() - 2;
  if (spatial < 1) fail(op, fmt::format("takes x[N, C, S...], not {}", to_string(x.shape())));
  const Ints sizes = per_axis(op, "kernel", kernel, spatial, 0);
  const Ints strides =
      options.stride.empty() ? sizes : per_axis(op, "stride", options.stride, spatial, 1);
  const Ints paddings = per_axis(op, "padding", options.padding, spatial, 0);
  std::vector<Windows> list;
  for (int i = 0; i < spatial; ++i) {
    const Windows w{i + 2, x.size(i + 2), sizes[i], strides[i], paddings[i]};
    if (w.kernel < 1 || w.stride < 1 || w.padding < 0 || 2 * w.padding > w.kernel)
      fail(op, fmt::format("kernel {}, stride {}, padding {}: kernel and stride are at least 1, "
                           "padding at most half the kernel",
                           w.kernel, w.stride, w.padding));
    if (w.size + 2 * w.padding < w.kernel)
      fail(op, fmt::format("the window {} is larger than axis {} of {}", w.kernel, i + 2,
                           to_string(x.shape())));
    list.push_back(w);
  }
  return list;
}

}  // namespace

// One axis after the other, the last one first: windows share what they have in common, and the
// first of equal elements in row-major order stays.
Tensor max_pool(Operand input, const Ints& kernel, const PoolOptions& options) {
  const Provenance provenance(input.where());
  Tensor x = channels_first(input.value(), options.channels_last);
  const std::vector<Windows> list = windows("max_pool", x, kernel, options);
  const bool is_real = is_float(x.dtype());
  Number lowest(-INFINITY);
  if (!is_real) {
    lowest = is_unsigned(x.dtype())
                 ? Number(0)
                 : Number(std::numeric_limits<int64_t>::min() >> (64 - 8 * size_of(x.dtype())));
  }
  for (size_t i = list.size(); i-- > 0;) {
    const Windows& w = list[i];
    const Tensor padded = w.padded(x, Tensor::scalar(lowest, x.dtype()));
    Tensor best = w.element(padded, 0);
    for (int64_t j = 1; j < w.kernel; ++j) {
      const Tensor next = w.element(padded, j);
      const Tensor larger = less(best, next);
      best = where(is_real ? bitwise_or(larger, isnan(next)) : larger, next, best);
    }
    x = best;
  }
  return channels_back(x, options.channels_last);
}

Tensor avg_pool(Operand input, const Ints& kernel, const PoolOptions& options) {
  const Provenance provenance(input.where());
  const Tensor x = channels_first(detail::as_float("avg_pool", input), options.channels_last);
  const std::vector<Windows> list = windows("avg_pool", x, kernel, options);
  Tensor total = detail::widened(x);
  Tensor count = full({}, 1, total.dtype());
  for (size_t i = list.size(); i-- > 0;) {
    const Windows& w = list[i];
    const Tensor padded = w.padded(total, 0);
    total = w.element(padded, 0);
    for (int64_t j = 1; j < w.kernel; ++j) total = total + w.element(padded, j);
    if (options.count_include_pad) {
      count = count * static_cast<double>(w.kernel);
    } else {
      Shape along(Ints(x.rank(), 1));
      along[w.axis] = w.count();
      const Tensor first = iota(along, w.axis, DType::i64) * w.stride - w.padding;
      count = count * cast(minimum(first + w.kernel, w.size) - maximum(first, 0), total.dtype());
    }
  }
  return channels_back(cast(total / count, x.dtype()), options.channels_last);
}

Tensor global_avg_pool(Operand input, bool channels_last) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  Ints axes;
  for (int i = 2; i < x.rank(); ++i) axes.push_back(channels_last ? i - 1 : i);
  if (axes.empty())
    fail("global_avg_pool", fmt::format("takes x[N, C, S...], not {}", to_string(x.shape())));
  return mean(x, axes, true);
}

}  // namespace cairn
