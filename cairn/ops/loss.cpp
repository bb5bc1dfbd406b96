#include "cairn/ops/loss.h"

#include <fmt/format.h>

#include "cairn/ops/helpers.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"

namespace cairn {

using detail::fail;
using detail::in_wide;

namespace {

Tensor reduced(std::string_view op, const Tensor& loss, Reduction reduction) {
  switch (reduction) {
    case Reduction::none: return loss;
    case Reduction::mean: return mean(loss);
    case Reduction::sum: return sum(loss);
    case Reduction::batch_mean: break;
  }
  if (loss.rank() == 0) fail(op, "batch_mean needs a first axis");
  return sum(loss) / static_cast<double>(loss.size(0));
}

// Cross entropy of log probabilities; `logits` when they are not normalised yet.
Tensor classification(std::string_view op, const Tensor& x, const Tensor& targets,
                      const CrossEntropyOptions& options, bool logits) {
  const int axis = normalize_axis(op, options.axis, x.rank());
  Shape shape = x.shape();
  shape.erase(axis);
  if (targets.shape() != shape || !is_integer(targets.dtype()))
    fail(op, fmt::format("targets of shape {} need integers of shape {}, not {}",
                         to_string(x.shape()), to_string(shape), to_string(targets.type())));
  if (options.label_smoothing < 0 || options.label_smoothing > 1)
    fail(op, fmt::format("label_smoothing {} is not in [0, 1]", options.label_smoothing));
  const Tensor wide = cast(targets, DType::i64);
  const Tensor counts = not_equal(wide, options.ignore_index);
  // gather rather than take_along_axis, for which -1 would be the last class.
  std::vector<Tensor> operands{moveaxis(x, axis, -1), expand_dims(where(counts, wide, 0), -1)};
  vary_together(operands);
  const int64_t last = x.rank() - 1;
  const Tensor chosen = squeeze(
      make(Op::gather, std::move(operands), {{Attr::axis, last}, {Attr::batch_dims, last}}), {-1});
  const double smoothing = options.label_smoothing;
  Tensor loss = smoothing == 0 ? -chosen : (smoothing - 1) * chosen - smoothing * mean(x, {axis});
  if (logits) loss = logsumexp(x, {axis}) + loss;
  loss = where(counts, loss, 0.0);
  if (options.reduction == Reduction::mean) return sum(loss) / sum(cast(counts, loss.dtype()));
  return reduced(op, loss, options.reduction);
}

}  // namespace

Tensor mse_loss(Operand x, Operand y, Reduction reduction) {
  return in_wide("mse_loss", x, y, [&](const Tensor& a, const Tensor& b) {
    return reduced("mse_loss", square(a - b), reduction);
  });
}

Tensor l1_loss(Operand x, Operand y, Reduction reduction) {
  return in_wide("l1_loss", x, y, [&](const Tensor& a, const Tensor& b) {
    return reduced("l1_loss", abs(a - b), reduction);
  });
}

Tensor huber_loss(Operand x, Operand y, double delta, Reduction reduction) {
  return in_wide("huber_loss", x, y, [&](const Tensor& a, const Tensor& b) {
    if (!(delta > 0)) fail("huber_loss", fmt::format("delta {} is not above 0", delta));
    // Squares the difference itself: |d| has no second derivative at 0.
    const Tensor d = a - b, size = abs(d);
    return reduced("huber_loss", where(size < delta, 0.5 * (d * d), delta * (size - 0.5 * delta)),
                   reduction);
  });
}

Tensor smooth_l1_loss(Operand x, Operand y, double beta, Reduction reduction) {
  const Provenance provenance(x.where());
  if (beta == 0) return l1_loss(x, y, reduction);
  return in_wide("smooth_l1_loss", x, y, [&](const Tensor& a, const Tensor& b) {
    if (!(beta > 0)) fail("smooth_l1_loss", fmt::format("beta {} is below 0", beta));
    const Tensor d = a - b, size = abs(d);
    return reduced("smooth_l1_loss", where(size < beta, 0.5 * (d * d) / beta, size - 0.5 * beta),
                   reduction);
  });
}

Tensor bce_with_logits(Operand logits, Operand targets, Reduction reduction) {
  return in_wide("bce_with_logits", logits, targets, [&](const Tensor& x, const Tensor& t) {
    // softplus(x) - x t, in the order that cancels nothing.
    const Tensor is_positive = x > 0.0;
    const Tensor loss = where(is_positive, x, 0.0) - x * t + log1p(exp(where(is_positive, -x, x)));
    return reduced("bce_with_logits", loss, reduction);
  });
}

Tensor cross_entropy(Operand logits, const Tensor& targets, const CrossEntropyOptions& options) {
  return in_wide("cross_entropy", logits, [&](const Tensor& x) {
    return classification("cross_entropy", x, targets, options, true);
  });
}

Tensor nll_loss(Operand log_probabilities, const Tensor& targets,
                const CrossEntropyOptions& options) {
  return in_wide("nll_loss", log_probabilities, [&](const Tensor& x) {
    return classification("nll_loss", x, targets, options, false);
  });
}

Tensor kl_div(Operand x, Operand target, bool log_target, Reduction reduction) {
  return in_wide("kl_div", x, target, [&](const Tensor& a, const Tensor& t) {
    if (log_target) return reduced("kl_div", exp(t) * (t - a), reduction);
    const Tensor is_zero = equal(t, 0.0);
    const Tensor entropy = where(is_zero, 0.0, t * log(where(is_zero, 1.0, t)));
    return reduced("kl_div", entropy - t * a, reduction);
  });
}

Tensor cosine_similarity(Operand x, Operand y, int axis, double epsilon) {
  return in_wide("cosine_similarity", x, y, [&](const Tensor& a, const Tensor& b) {
    const Tensor lengths =
        maximum(norm(a, 2, {axis}), epsilon) * maximum(norm(b, 2, {axis}), epsilon);
    return sum(a * b, {axis}) / lengths;
  });
}

}  // namespace cairn
