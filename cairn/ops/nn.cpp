#include "cairn/ops/nn.h"

#include <fmt/format.h>

#include <cmath>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/random.h"
#include "cairn/ops/reduce.h"

namespace cairn {
namespace {

// The operand as a float tensor, and its wide form for sums.
Tensor as_float(const Operand& x) {
  const Tensor t = x.value();
  return is_float(t.dtype()) ? t : cast(t, DType::f32);
}
Tensor widened(const Tensor& t) { return t.dtype() == DType::f64 ? t : cast(t, DType::f32); }

// A vector over `axis` of a tensor of `rank` dimensions.
Tensor along(const Tensor& vector, int axis, int rank) {
  Shape shape(Ints(rank, 1));
  shape[axis] = vector.size(0);
  return reshape(vector, shape);
}

Tensor affine(Tensor y, const Tensor& weight, const Tensor& bias, int axis) {
  if (weight.defined()) y = y * along(widened(weight), axis, y.rank());
  if (bias.defined()) y = y + along(widened(bias), axis, y.rank());
  return y;
}

}  // namespace

Tensor square(Operand x) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  return t * t;
}
Tensor rsqrt(Operand x) {
  const Provenance provenance(x.where());
  return 1.0 / sqrt(x);
}
Tensor reciprocal(Operand x) {
  const Provenance provenance(x.where());
  return 1.0 / x;
}
Tensor relu(Operand x) {
  const Provenance provenance(x.where());
  const Tensor t = x.value();
  // select, not max: the derivative at 0 is 0, as in PyTorch; NaN stays NaN.
  return where(t <= 0, zeros({}, t.dtype()), t);
}
Tensor gelu(Operand x, bool approximate) {
  const Provenance provenance(x.where());
  const Tensor v = as_float(x);
  const Tensor w = widened(v);
  if (approximate) {
    const double c = 2 * std::sqrt(2 / M_PI);
    return cast(w * sigmoid(c * (w + 0.044715 * (w * w * w))), v.dtype());
  }
  // Phi(v) = (1 + erf(v / sqrt 2)) / 2; below 0 through the odd symmetry of erf.
  return cast(w * 0.5 * (1.0 + erf(w * M_SQRT1_2)), v.dtype());
}
Tensor silu(Operand x) {
  const Provenance provenance(x.where());
  const Tensor v = as_float(x);
  return v * sigmoid(v);
}
Tensor softplus(Operand x) {
  const Provenance provenance(x.where());
  const Tensor v = as_float(x);
  return maximum(v, 0) + log1p(exp(negate(abs(v))));
}
Tensor log_sigmoid(Operand x) {
  const Provenance provenance(x.where());
  return negate(softplus(negate(as_float(x))));
}
Tensor elu(Operand x, double alpha) {
  const Provenance provenance(x.where());
  const Tensor v = as_float(x);
  return where(v > 0, v, alpha * expm1(where(v > 0, 0.0, v)));
}
Tensor leaky_relu(Operand x, double slope) {
  const Provenance provenance(x.where());
  const Tensor v = as_float(x);
  return where(v > 0, v, slope * v);
}
Tensor selu(Operand x) {
  const Provenance provenance(x.where());
  return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717);
}
Tensor hardswish(Operand x) {
  const Provenance provenance(x.where());
  const Tensor v = as_float(x);
  return v * clamp(v + 3.0, 0.0, 6.0) / 6.0;
}
Tensor mish(Operand x) {
  const Provenance provenance(x.where());
  const Tensor v = as_float(x);
  return v * tanh(softplus(v));
}
Tensor clamp(Operand x, Operand low, Operand high) { return minimum(maximum(x, low), high); }

Tensor softmax(Operand x, int axis) {
  const Provenance provenance(x.where());
  const Tensor t = as_float(x);
  const Tensor w = widened(t);
  const Tensor e = exp(w - stop_gradient(max(w, {axis}, true)));
  return cast(e / sum(e, {axis}, true), t.dtype());
}
Tensor log_softmax(Operand x, int axis) {
  const Provenance provenance(x.where());
  const Tensor t = as_float(x);
  const Tensor w = widened(t);
  const Tensor shifted = w - stop_gradient(max(w, {axis}, true));
  return cast(shifted - log(sum(exp(shifted), {axis}, true)), t.dtype());
}

Tensor layer_norm(Operand x, const Tensor& weight, const Tensor& bias, double epsilon) {
  const Provenance provenance(x.where());
  const Tensor t = as_float(x);
  const Tensor w = widened(t);
  const Tensor centered = w - mean(w, {-1}, true);
  const Tensor scale = rsqrt(mean(centered * centered, {-1}, true) + epsilon);
  return cast(affine(centered * scale, weight, bias, t.rank() - 1), t.dtype());
}
Tensor rms_norm(Operand x, const Tensor& weight, double epsilon) {
  const Provenance provenance(x.where());
  const Tensor t = as_float(x);
  const Tensor w = widened(t);
  return cast(affine(w * rsqrt(mean(w * w, {-1}, true) + epsilon), weight, {}, t.rank() - 1), t.dtype());
}
Tensor group_norm(Operand x, int groups, const Tensor& weight, const Tensor& bias, double epsilon) {
  const Provenance provenance(x.where());
  const Tensor t = as_float(x);
  if (t.rank() < 2 || groups < 1 || t.size(1) % groups)
    throw_error(fmt::format("[group_norm] {} channels do not divide into {} groups", t.rank() < 2 ? 0 : t.size(1), groups));
  const Tensor w = reshape(widened(t), {t.size(0), groups, -1});
  const Tensor centered = w - mean(w, {-1}, true);
  const Tensor normal = centered * rsqrt(mean(centered * centered, {-1}, true) + epsilon);
  return cast(affine(reshape(normal, t.shape()), weight, bias, 1), t.dtype());
}
Tensor batch_norm(Operand x, const Tensor& mean, const Tensor& variance, const Tensor& weight, const Tensor& bias,
                  double epsilon) {
  const Provenance provenance(x.where());
  const Tensor t = as_float(x);
  const Tensor scale = rsqrt(widened(variance) + epsilon);
  const Tensor normal = (widened(t) - along(widened(mean), 1, t.rank())) * along(scale, 1, t.rank());
  return cast(affine(normal, weight, bias, 1), t.dtype());
}

Tensor dropout(const Tensor& x, double p, const Tensor& key) {
  if (p < 0 || p >= 1) throw_error(fmt::format("[dropout] the probability {} is not in [0, 1)", p));
  if (p == 0) return x;
  return where(bernoulli(key, 1 - p, x.shape()), x * (1 / (1 - p)), zeros({}, x.dtype()));
}

Tensor embedding(const Tensor& table, const Tensor& indices) { return take(table, indices, 0); }

Tensor rotary_embedding(const Tensor& x, const Tensor& positions, double theta, bool interleaved,
                        const Tensor& inverse_frequencies) {
  const int64_t width = x.size(-1);
  if (width % 2) throw_error(fmt::format("[rotary_embedding] the width {} is odd", width));
  const int64_t half = width / 2;
  // exp(-2i/width * ln theta), in f64 so that far positions keep their phase.
  const Tensor frequencies =
      inverse_frequencies.defined()
          ? cast(inverse_frequencies, DType::f64)
          : exp(iota({half}, 0, DType::f64) * (-2.0 * std::log(theta) / static_cast<double>(width)));
  const Tensor angles = expand_dims(cast(positions, DType::f64), -1) * frequencies;  // (..., tokens, half)
  const Tensor w = widened(x);
  const Tensor c = cast(cos(angles), w.dtype());
  const Tensor s = cast(sin(angles), w.dtype());
  Shape paired = x.shape();
  Tensor first, second;
  if (interleaved) {
    paired.back() = half;
    paired.push_back(2);
    const Tensor pairs = reshape(w, paired);
    first = squeeze(slice_axis(pairs, -1, 0, 1), {-1});
    second = squeeze(slice_axis(pairs, -1, 1, 2), {-1});
  } else {
    first = slice_axis(w, -1, 0, half);
    second = slice_axis(w, -1, half, width);
  }
  const std::vector<Tensor> rotated{first * c - second * s, second * c + first * s};
  const Tensor joined = interleaved ? reshape(stack(rotated, -1), x.shape()) : concatenate(rotated, -1);
  return cast(joined, x.dtype());
}

}  // namespace cairn
