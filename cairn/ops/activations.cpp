// Activation functions. f16 and bf16 are computed in f32 and rounded once.
#include <cmath>

#include "cairn/ops/helpers.h"
#include "cairn/ops/nn.h"

namespace cairn {

using detail::in_wide;

Tensor relu(Operand x) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  // select, not max: the derivative at 0 is 0, as in PyTorch; NaN stays NaN.
  return where(t <= 0, zeros({}, t.dtype()), t);
}

Tensor gelu(Operand x, bool approximate) {
  return in_wide("gelu", x, [approximate](const Tensor& v) {
    if (!approximate) return v * 0.5 * erfc(v * -M_SQRT1_2);
    const double c = 2 * std::sqrt(2 / M_PI);
    return v * sigmoid(c * (v + 0.044715 * (v * v * v)));
  });
}

Tensor silu(Operand x) {
  return in_wide("silu", x, [](const Tensor& v) { return v * sigmoid(v); });
}

Tensor softplus(Operand x) {
  // A choice, not max and abs: at 0 these have derivatives, but not second ones.
  return in_wide("softplus", x, [](const Tensor& v) {
    const Tensor is_positive = v > 0.0;
    return where(is_positive, v, 0.0) + log1p(exp(where(is_positive, -v, v)));
  });
}

Tensor log_sigmoid(Operand x) {
  return in_wide("log_sigmoid", x, [](const Tensor& v) { return -softplus(-v); });
}

Tensor elu(Operand x, double alpha) {
  return in_wide("elu", x, [alpha](const Tensor& v) {
    const Tensor is_positive = v > 0.0;
    return where(is_positive, v, alpha * expm1(where(is_positive, 0.0, v)));
  });
}

Tensor selu(Operand x) {
  return in_wide("selu", x, [](const Tensor& v) {
    return 1.0507009873554804934193349852946 * elu(v, 1.6732632423543772848170429916717);
  });
}

Tensor leaky_relu(Operand x, double slope) {
  return in_wide("leaky_relu", x,
                 [slope](const Tensor& v) { return where(v > 0.0, v, slope * v); });
}

Tensor hardswish(Operand x) {
  return in_wide("hardswish", x,
                 [](const Tensor& v) { return v * clamp(v + 3.0, 0.0, 6.0) / 6.0; });
}

Tensor mish(Operand x) {
  return in_wide("mish", x, [](const Tensor& v) { return v * tanh(softplus(v)); });
}

Tensor clamp(Operand x, Operand low, Operand high) {
  const Provenance provenance(x.where());
  return minimum(maximum(x, low), high);
}

}  // namespace cairn
