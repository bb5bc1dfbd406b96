#include "cairn/nn/norms.h"

#include "cairn/nn/init.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"

namespace cairn {

LayerNorm::LayerNorm(int64_t width, double epsilon_, bool with_bias)
    : weight(init::ones({width})), epsilon(epsilon_) {
  if (with_bias) bias = init::zeros({width});
}
void LayerNorm::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}
Tensor LayerNorm::forward(Context&, const Tensor& x) const {
  return layer_norm(x, weight, bias, epsilon);
}

RmsNorm::RmsNorm(int64_t width, double epsilon_) : weight(init::ones({width})), epsilon(epsilon_) {}
void RmsNorm::visit(Visitor& v) { v.parameter("weight", weight); }
Tensor RmsNorm::forward(Context&, const Tensor& x) const { return rms_norm(x, weight, epsilon); }

GroupNorm::GroupNorm(int64_t groups_, int64_t channels, double epsilon_)
    : weight(init::ones({channels})),
      bias(init::zeros({channels})),
      groups(groups_),
      epsilon(epsilon_) {}
void GroupNorm::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}
Tensor GroupNorm::forward(Context&, const Tensor& x) const {
  return group_norm(x, static_cast<int>(groups), weight, bias, epsilon);
}

BatchNorm::BatchNorm(int64_t channels, double epsilon_, double momentum_)
    : weight(init::ones({channels})),
      bias(init::zeros({channels})),
      running_mean(init::zeros({channels})),
      running_var(init::ones({channels})),
      epsilon(epsilon_),
      momentum(momentum_) {}
void BatchNorm::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
  v.state("running_mean", running_mean);
  v.state("running_var", running_var);
}
Tensor BatchNorm::forward(Context& ctx, const Tensor& x) {
  if (!ctx.training) return batch_norm(x, running_mean, running_var, weight, bias, epsilon);
  Ints axes;
  for (int i = 0; i < x.rank(); ++i)
    if (i != 1) axes.push_back(i);
  const int64_t n = x.elements() / std::max<int64_t>(x.size(1), 1);
  const Tensor batch_mean = mean(x, axes);
  const Tensor batch_variance = variance(x, axes);
  const double unbiased = n > 1 ? static_cast<double>(n) / static_cast<double>(n - 1) : 1;
  ctx.update(running_mean, running_mean * (1 - momentum) + stop_gradient(batch_mean) * momentum);
  ctx.update(running_var,
             running_var * (1 - momentum) + stop_gradient(batch_variance) * (momentum * unbiased));
  return batch_norm(x, batch_mean, batch_variance, weight, bias, epsilon);
}

}  // namespace cairn
