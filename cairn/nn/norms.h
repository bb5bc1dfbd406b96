// Normalisation. Weights start at 1, biases at 0; f16 and bf16 are computed in f32.
#pragma once

#include "cairn/nn/module.h"

namespace cairn {

// Over the last axis.
struct LayerNorm : Module {
  Tensor weight, bias;
  double epsilon;
  explicit LayerNorm(int64_t width, double epsilon = 1e-5, bool with_bias = true);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

// Over the last axis: by the root of the mean square, without a mean or a bias.
struct RmsNorm : Module {
  Tensor weight;
  double epsilon;
  explicit RmsNorm(int64_t width, double epsilon = 1e-6);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

// x [N, C, ...]: over each of `groups` groups of neighbouring channels of each example. As many
// groups as channels make PyTorch's InstanceNorm.
struct GroupNorm : Module {
  Tensor weight, bias;
  int64_t groups;
  double epsilon;
  GroupNorm(int64_t groups, int64_t channels, double epsilon = 1e-5);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

// x [N, C, ...], PyTorch's BatchNorm1d, 2d and 3d: over all axes but the channels. In training
// normalises by the batch and moves the running mean and variance (unbiased) towards its own by
// `momentum`; else normalises by the running ones.
struct BatchNorm : Module {
  Tensor weight, bias, running_mean, running_var;
  double epsilon, momentum;
  explicit BatchNorm(int64_t channels, double epsilon = 1e-5, double momentum = 0.1);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x);
};

}  // namespace cairn
