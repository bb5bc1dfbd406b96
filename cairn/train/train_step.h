// TrainStep: forward, loss, backward, clipping and the optimizer's update as one compiled function
// of state and data: (parameters, state, optimizer state; batch, learning rate, step, key) → the
// same.
//
// State goes in by move and comes out in the same memory. Learning rate, step and key are data, so
// a thousand steps under a schedule make one plan.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/nn/module.h"
#include "cairn/train/optimizer.h"
#include "cairn/train/parameter_groups.h"

namespace cairn {

// The sum of the losses of a batch's items and how many items count, both 0-d floats. The step's
// loss is total / count over all micro-batches, so gradients are normalised by the real number of
// tokens.
struct Loss {
  Tensor total;
  Tensor count;
};
using LossFunction = std::function<Loss(Context&, std::span<const Tensor> batch)>;

// The mean loss of a batch as a Loss of one item.
LossFunction mean_loss(std::function<Tensor(Context&, std::span<const Tensor>)> fn);

struct TrainStepOptions {
  double clip_norm = 0;   // by the global norm, as torch.nn.utils.clip_grad_norm_; 0: off
  double clip_value = 0;  // each element; 0: off
  // Exponential moving average of the parameters, as torch.optim.swa_utils: it starts as the
  // parameters after the first step, then average * decay + parameter * (1 - decay); 0: off.
  double ema_decay = 0;
  // f16 or bf16: products compute in it, everything else and the weights stay f32 (precision.h).
  // With f16 the loss is scaled so that small gradients do not vanish: by 2^16 at first, half as
  // much after a step whose gradients were not finite, which changes nothing else, and twice as
  // much after 2,000 steps without one (torch.amp.GradScaler's rule).
  DType precision = DType::f32;
  bool decay_all = false;  // weight decay on vectors too (biases, norms), not only on matrices
  int accumulate = 1;      // micro-batches per step: batch tensors have a leading axis of that size
  std::vector<ParameterGroup> groups = {};
  uint64_t seed = 0;  // of dropout
};

// A tensor of the training state by its name in checkpoints.
struct NamedTensor {
  std::string name;
  Tensor* tensor;
};

class TrainStep {
 public:
  // `module` must be initialised and must outlive this object; its fields are updated by each step.
  // Throws Error when a group matches nothing.
  TrainStep(Runtime& runtime, Module& module, LossFunction loss,
            std::unique_ptr<Optimizer> optimizer, const TrainStepOptions& options = {});
  ~TrainStep();

  struct Result {
    double loss;
    double gradient_norm;  // before clipping
    bool skipped = false;  // f16: the gradients were not finite, and nothing changed but the scale
  };
  // `step` counts from 1. Throws Error when the batch's types do not fit the loss function.
  Result step(std::span<const Tensor> batch, double learning_rate, int64_t step,
              const EvalOptions& options = {});

  // "model.PATH", "optimizer.PATH.exp_avg", "ema.PATH", "scaler.scale": what a checkpoint holds.
  std::vector<NamedTensor> state();
  // Puts the averages into the module in place of its parameters, and at the next call back; does
  // nothing without ema_decay. No step may run in between.
  void swap_averages();
  // The plan of the last step; null before the first.
  std::shared_ptr<const Plan> plan() const;
  // The plan of a step on a batch of these types, which the caller keeps. Computes nothing; a step
  // that follows need not search for its schedule again.
  std::shared_ptr<const Plan> plan(std::span<const TensorType> batch);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn
