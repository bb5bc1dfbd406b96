#include "cairn/nn/layers.h"

#include <cmath>

#include "cairn/nn/init.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"

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

Tensor Dropout::forward(Context& ctx, const Tensor& x) const {
  return ctx.training && p > 0 ? dropout(x, p, ctx.next_key()) : x;
}

}  // namespace cairn
