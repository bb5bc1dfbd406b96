#include "cairn/nn/layers.h"

#include <fmt/format.h>

#include <cmath>

#include "cairn/nn/init.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"

namespace cairn {

Linear::Linear(int64_t in, int64_t out, bool with_bias) {
  const double bound = in ? 1 / std::sqrt(static_cast<double>(in)) : 0;
  weight = init::uniform({out, in}, -bound, bound);
  if (with_bias) bias = init::uniform({out}, -bound, bound);
}
void Linear::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}
Tensor Linear::forward(Context&, const Tensor& x) const {
  const Tensor y = matmul(x, transpose(weight));
  return bias.defined() ? y + bias : y;
}

Embedding::Embedding(int64_t rows, int64_t width) : weight(init::normal({rows, width}, 0, 1)) {}
void Embedding::visit(Visitor& v) { v.parameter("weight", weight); }
Tensor Embedding::forward(Context&, const Tensor& indices) const {
  return embedding(weight, indices);
}

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

RMSNorm::RMSNorm(int64_t width, double epsilon_) : weight(init::ones({width})), epsilon(epsilon_) {}
void RMSNorm::visit(Visitor& v) { v.parameter("weight", weight); }
Tensor RMSNorm::forward(Context&, const Tensor& x) const { return rms_norm(x, weight, epsilon); }

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

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride_, int64_t padding_,
               bool with_bias, int64_t groups_)
    : stride(stride_), padding(padding_), groups(groups_) {
  const double bound = 1 / std::sqrt(static_cast<double>(in / groups * kernel * kernel));
  weight = init::uniform({out, in / groups, kernel, kernel}, -bound, bound);
  if (with_bias) bias = init::uniform({out}, -bound, bound);
}
void Conv2d::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}
Tensor Conv2d::forward(Context&, const Tensor& x) const {
  return convolution(x, weight, bias, {.stride = {stride}, .padding = {padding}, .groups = groups});
}

Tensor Dropout::forward(Context& ctx, const Tensor& x) const {
  return ctx.training && p > 0 ? dropout(x, p, ctx.next_key()) : x;
}

}  // namespace cairn
