// Layers. Weights have PyTorch's shapes and default initialisation, fields its names.
#pragma once

#include "cairn/nn/module.h"

namespace cairn {

// y = x W^T + b over the last axis. weight [out, in], bias [out].
struct Linear : Module {
  Tensor weight, bias;
  Linear(int64_t in, int64_t out, bool with_bias = true);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

// Rows of weight [rows, width] by index.
struct Embedding : Module {
  Tensor weight;
  Embedding(int64_t rows, int64_t width);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& indices) const;
};

struct LayerNorm : Module {
  Tensor weight, bias;
  double epsilon;
  explicit LayerNorm(int64_t width, double epsilon = 1e-5, bool with_bias = true);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

struct RMSNorm : Module {
  Tensor weight;
  double epsilon;
  explicit RMSNorm(int64_t width, double epsilon = 1e-6);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

// Over [N, C, ...]. In training normalises by the batch and updates the running mean and variance
// (unbiased, momentum 0.1 as PyTorch).
struct BatchNorm : Module {
  Tensor weight, bias, running_mean, running_var;
  double epsilon, momentum;
  explicit BatchNorm(int64_t channels, double epsilon = 1e-5, double momentum = 0.1);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x);
};

// PyTorch's Conv2d: x [N, C, H, W], weight [out, in / groups, kernel, kernel].
struct Conv2d : Module {
  Tensor weight, bias;
  int64_t stride, padding, groups;
  Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1, int64_t padding = 0,
         bool with_bias = true, int64_t groups = 1);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

struct Dropout {
  double p = 0;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

}  // namespace cairn
