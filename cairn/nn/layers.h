// Linear, Embedding, Dropout. Weights have PyTorch's shapes and default initialisation, fields its
// names; so in the other files of layers: norms.h, convolution.h, feed_forward.h, attention.h.
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

// In training each element is 0 with probability p, else scaled by 1 / (1 - p).
struct Dropout {
  double p = 0;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

}  // namespace cairn
