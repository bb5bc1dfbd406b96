#include "cairn/nn/feed_forward.h"

#include "cairn/ops/elementwise.h"

namespace cairn {

Mlp::Mlp(int64_t in, int64_t hidden, int64_t out, Activation activation_, bool biases)
    : up(in, hidden, biases), down(hidden, out, biases), activation(std::move(activation_)) {}
void Mlp::visit(Visitor& v) {
  v.module("up", up);
  v.module("down", down);
}
Tensor Mlp::forward(Context& ctx, const Tensor& x) const {
  return down.forward(ctx, activation(up.forward(ctx, x)));
}

GatedMlp::GatedMlp(int64_t width, int64_t hidden, Activation activation_, bool biases)
    : gate(width, hidden, biases),
      up(width, hidden, biases),
      down(hidden, width, biases),
      activation(std::move(activation_)) {}
void GatedMlp::visit(Visitor& v) {
  v.module("gate", gate);
  v.module("up", up);
  v.module("down", down);
}
Tensor GatedMlp::forward(Context& ctx, const Tensor& x) const {
  return down.forward(ctx, activation(gate.forward(ctx, x)) * up.forward(ctx, x));
}

}  // namespace cairn
