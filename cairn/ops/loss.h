// Losses, with PyTorch's names and formulas. f16 and bf16 are computed in f32 and rounded once.
#pragma once

#include "cairn/ops/operand.h"

namespace cairn {

enum class Reduction : uint8_t {
  none,
  mean,
  sum,
  batch_mean,  // the sum over the size of the first axis (kl_div)
};

// (x - y)^2 and |x - y|.
Tensor mse_loss(Operand x, Operand y, Reduction reduction = Reduction::mean);
Tensor l1_loss(Operand x, Operand y, Reduction reduction = Reduction::mean);
// d = |x - y|: d^2 / 2 up to delta, then delta (d - delta / 2).
Tensor huber_loss(Operand x, Operand y, double delta = 1, Reduction reduction = Reduction::mean);
// Huber's loss over beta; beta = 0 is the l1 loss.
Tensor smooth_l1_loss(Operand x, Operand y, double beta = 1, Reduction reduction = Reduction::mean);
// -t log sigmoid(x) - (1 - t) log sigmoid(-x), without overflow. targets t in [0, 1].
Tensor bce_with_logits(Operand logits, Operand targets, Reduction reduction = Reduction::mean);

struct CrossEntropyOptions {
  Reduction reduction = Reduction::mean;  // over the targets that count
  int64_t ignore_index = -100;            // targets of this value count nothing
  double label_smoothing = 0;             // this share of the target is spread over all classes
  int axis = -1;                          // of the classes; PyTorch's is 1
};
// -log softmax(logits)[target]: integer targets have the logits' shape without the axis of the
// classes. A target that is no class is an Error at the evaluation. Reduction::mean is NaN when
// none counts.
Tensor cross_entropy(Operand logits, const Tensor& targets,
                     const CrossEntropyOptions& options = {});
// The same for log probabilities instead of logits.
Tensor nll_loss(Operand log_probabilities, const Tensor& targets,
                const CrossEntropyOptions& options = {});

// target (log target - x) with log probabilities x; 0 log 0 is 0. log_target: the target is a
// logarithm.
Tensor kl_div(Operand x, Operand target, bool log_target = false,
              Reduction reduction = Reduction::mean);
// x y / (max(|x|, epsilon) max(|y|, epsilon)) along axis.
Tensor cosine_similarity(Operand x, Operand y, int axis = -1, double epsilon = 1e-8);

}  // namespace cairn
