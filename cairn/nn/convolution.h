// Convolutions. Stride, padding, dilation, groups and channels_last are ConvolutionOptions
// (ops/linear.h):
//
//   Conv2d conv(3, 16, 3, {.stride = {2}, .padding = {1}});
#pragma once

#include "cairn/nn/module.h"
#include "cairn/ops/linear.h"

namespace cairn {

// x [N, in, S...] → [N, out, S'...], with as many spatial axes as `kernel` has sizes. weight
// [out, in / groups, kernel...], bias [out]. Throws Error when `groups` does not divide in and out.
struct Conv : Module {
  Tensor weight, bias;
  ConvolutionOptions options;
  Conv(int64_t in, int64_t out, const Ints& kernel, const ConvolutionOptions& options = {},
       bool with_bias = true);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};
struct Conv1d : Conv {
  Conv1d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options = {},
         bool with_bias = true)
      : Conv(in, out, {kernel}, options, with_bias) {}
};
struct Conv2d : Conv {
  Conv2d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options = {},
         bool with_bias = true)
      : Conv(in, out, {kernel, kernel}, options, with_bias) {}
};

// The transposed convolution, which enlarges by the stride: weight [in, out / groups, kernel...].
struct ConvTranspose : Module {
  Tensor weight, bias;
  ConvolutionOptions options;
  ConvTranspose(int64_t in, int64_t out, const Ints& kernel, const ConvolutionOptions& options = {},
                bool with_bias = true);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};
struct ConvTranspose1d : ConvTranspose {
  ConvTranspose1d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options = {},
                  bool with_bias = true)
      : ConvTranspose(in, out, {kernel}, options, with_bias) {}
};
struct ConvTranspose2d : ConvTranspose {
  ConvTranspose2d(int64_t in, int64_t out, int64_t kernel, const ConvolutionOptions& options = {},
                  bool with_bias = true)
      : ConvTranspose(in, out, {kernel, kernel}, options, with_bias) {}
};

}  // namespace cairn
