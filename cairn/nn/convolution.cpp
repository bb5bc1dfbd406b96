#include "cairn/nn/convolution.h"

#include <fmt/format.h>

#include <cmath>

#include "cairn/nn/init.h"

namespace cairn {
namespace {

// [first, second / groups, kernel...].
Shape weight_shape(int64_t first, int64_t second, const Ints& kernel, int64_t groups) {
  if (groups < 1 || first % groups || second % groups)
    throw_error(
        fmt::format("[convolution] {} groups do not divide channels of {} and {}; choose a number "
                    "that divides both",
                    groups, first, second));
  Shape shape{first, second / groups};
  for (const int64_t size : kernel) shape.push_back(size);
  return shape;
}

// PyTorch's default: uniform within 1 / sqrt(fan_in), fan_in being all sizes but the first.
void initialise(Tensor& weight, Tensor& bias, const Shape& shape, int64_t out, bool with_bias) {
  const double fan_in =
      shape[0] ? static_cast<double>(shape.elements()) / static_cast<double>(shape[0]) : 0;
  const double bound = fan_in > 0 ? 1 / std::sqrt(fan_in) : 0;
  weight = init::uniform(shape, -bound, bound);
  if (with_bias) bias = init::uniform({out}, -bound, bound);
}

}  // namespace

Conv::Conv(int64_t in, int64_t out, const Ints& kernel, const ConvolutionOptions& options_,
           bool with_bias)
    : options(options_) {
  initialise(weight, bias, weight_shape(out, in, kernel, options.groups), out, with_bias);
}
void Conv::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}
Tensor Conv::forward(Context&, const Tensor& x) const {
  return convolution(x, weight, bias, options);
}

ConvTranspose::ConvTranspose(int64_t in, int64_t out, const Ints& kernel,
                             const ConvolutionOptions& options_, bool with_bias)
    : options(options_) {
  initialise(weight, bias, weight_shape(in, out, kernel, options.groups), out, with_bias);
}
void ConvTranspose::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}
Tensor ConvTranspose::forward(Context&, const Tensor& x) const {
  return conv_transpose(x, weight, bias, options);
}

}  // namespace cairn
