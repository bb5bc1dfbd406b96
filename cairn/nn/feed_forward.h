// The feed-forward parts of a transformer.
#pragma once

#include <functional>

#include "cairn/nn/layers.h"
#include "cairn/ops/nn.h"

namespace cairn {

// A function of one tensor: relu, or [](Operand x) { return gelu(x, true); }.
using Activation = std::function<Tensor(Operand)>;

// down(activation(up(x))): (..., in) → (..., hidden) → (..., out).
struct Mlp : Module {
  Linear up, down;
  Activation activation;
  Mlp(int64_t in, int64_t hidden, int64_t out, Activation activation = relu, bool biases = true);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

// down(activation(gate(x)) * up(x)), Shazeer 2020: (..., width) → (..., hidden) → (..., width).
// With silu it is SwiGLU, with gelu GeGLU.
struct GatedMlp : Module {
  Linear gate, up, down;
  Activation activation;
  GatedMlp(int64_t width, int64_t hidden, Activation activation = silu, bool biases = false);
  void visit(Visitor& v) override;
  Tensor forward(Context& ctx, const Tensor& x) const;
};

}  // namespace cairn
