#include "cairn/ops/nn.h"

#include <fmt/format.h>

#include <cmath>

#include "cairn/ops/helpers.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/random.h"
#include "cairn/ops/reduce.h"

namespace cairn {

using detail::fail;

namespace {

using detail::as_float;
using detail::widened;

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

Tensor softmax(Operand x, int axis) {
  return detail::in_wide("softmax", x, [axis](const Tensor& w) {
    if (w.size(axis) == 0) return w;
    const Tensor e = exp(w - stop_gradient(max(w, {axis}, true)));
    return e / sum(e, {axis}, true);
  });
}
Tensor log_softmax(Operand x, int axis) {
  return detail::in_wide("log_softmax", x, [axis](const Tensor& w) {
    if (w.size(axis) == 0) return w;
    const Tensor shifted = w - stop_gradient(max(w, {axis}, true));
    return shifted - log(sum(exp(shifted), {axis}, true));
  });
}

Tensor layer_norm(Operand x, const Tensor& weight, const Tensor& bias, double epsilon, int axes) {
  return detail::in_wide("layer_norm", x, [&](const Tensor& w) {
    if (axes < 1 || axes > w.rank())
      fail("layer_norm", fmt::format("the last {} axes of {}", axes, to_string(w.shape())));
    Ints last;
    for (int i = 1; i <= axes; ++i) last.push_back(-i);
    const Tensor centered = w - mean(w, last, true);
    Tensor y = centered * rsqrt(mean(centered * centered, last, true) + epsilon);
    if (weight.defined()) y = y * widened(weight);
    return bias.defined() ? y + widened(bias) : y;
  });
}
Tensor rms_norm(Operand x, const Tensor& weight, double epsilon) {
  return detail::in_wide("rms_norm", x, [&](const Tensor& w) {
    const Tensor y = w * rsqrt(mean(w * w, {-1}, true) + epsilon);
    return weight.defined() ? y * widened(weight) : y;
  });
}
Tensor group_norm(Operand x, int groups, const Tensor& weight, const Tensor& bias, double epsilon) {
  const Provenance provenance(x.where());
  const Tensor t = as_float("group_norm", x);
  if (t.rank() < 2 || groups < 1 || t.size(1) % groups)
    fail("group_norm", fmt::format("{} channels do not divide into {} groups",
                                   t.rank() < 2 ? 0 : t.size(1), groups));
  int64_t together = t.size(1) / groups;
  for (int i = 2; i < t.rank(); ++i) together *= t.size(i);
  const Tensor w = reshape(widened(t), {t.size(0), groups, together});
  const Tensor centered = w - mean(w, {-1}, true);
  const Tensor normal = centered * rsqrt(mean(centered * centered, {-1}, true) + epsilon);
  return cast(affine(reshape(normal, t.shape()), weight, bias, 1), t.dtype());
}
Tensor batch_norm(Operand x, const Tensor& mean, const Tensor& variance, const Tensor& weight,
                  const Tensor& bias, double epsilon) {
  const Provenance provenance(x.where());
  const Tensor t = as_float("batch_norm", x);
  const Tensor scale = rsqrt(widened(variance) + epsilon);
  const Tensor normal =
      (widened(t) - along(widened(mean), 1, t.rank())) * along(scale, 1, t.rank());
  return cast(affine(normal, weight, bias, 1), t.dtype());
}

Tensor dropout(Operand input, double p, const Tensor& key) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  if (p < 0 || p >= 1) fail("dropout", fmt::format("the probability {} is not in [0, 1)", p));
  if (p == 0) return x;
  return where(bernoulli(key, 1 - p, x.shape()), x * (1 / (1 - p)), zeros({}, x.dtype()));
}

Tensor embedding(Operand table, const Tensor& indices) {
  const Provenance provenance(table.where());
  return take(table, indices, 0);
}

Tensor rotary_embedding(Operand input, const Tensor& positions, double theta, bool interleaved,
                        const Tensor& inverse_frequencies) {
  const Provenance provenance(input.where());
  const Tensor x = input.value();
  const int64_t width = x.size(-1);
  if (width % 2) fail("rotary_embedding", fmt::format("the width {} is odd", width));
  const int64_t half = width / 2;
  // exp(-2i/width * ln theta), in f64 so that far positions keep their phase.
  const Tensor frequencies = inverse_frequencies.defined()
                                 ? cast(inverse_frequencies, DType::f64)
                                 : exp(iota({half}, 0, DType::f64) *
                                       (-2.0 * std::log(theta) / static_cast<double>(width)));
  const Tensor angles =
      expand_dims(cast(positions, DType::f64), -1) * frequencies;  // (..., tokens, half)
  const Tensor w = widened(x);
  const Tensor c = cast(cos(angles), w.dtype());
  const Tensor s = cast(sin(angles), w.dtype());
  Shape paired = x.shape();
  if (!interleaved) {
    // Each half with the other one beside it: one kernel, which reads x alone.
    paired.back() = 2;
    paired.push_back(half);
    const Tensor halves = reshape(w, paired);
    const Tensor sign = cast(iota({2, 1}, 0), w.dtype()) * 2 - 1;
    const Tensor turned =
        halves * expand_dims(c, -2) + flip(halves, {-2}) * (expand_dims(s, -2) * sign);
    return cast(reshape(turned, x.shape()), x.dtype());
  }
  paired.back() = half;
  paired.push_back(2);
  const Tensor pairs = reshape(w, paired);
  const Tensor first = squeeze(slice_axis(pairs, -1, 0, 1), {-1});
  const Tensor second = squeeze(slice_axis(pairs, -1, 1, 2), {-1});
  const std::vector<Tensor> rotated{first * c - second * s, second * c + first * s};
  const Tensor joined = reshape(stack(rotated, -1), x.shape());
  return cast(joined, x.dtype());
}

}  // namespace cairn
