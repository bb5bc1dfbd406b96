// Training a module by L-BFGS: what TrainStep is for the optimizers that go into the graph. Loss
// and gradient of the batch are one compiled function; L-BFGS calls it several times a step and
// decides on the host, in f64. Its memory takes 16 bytes a parameter and step of history.
#pragma once

#include "cairn/train/lbfgs.h"
#include "cairn/train/train_step.h"

namespace cairn {

class LbfgsStep {
 public:
  // `module` must be initialised (f32 or f64) and must outlive this object. `seed`: of dropout,
  // whose mask is the same for all evaluations of a step.
  LbfgsStep(Runtime& runtime, Module& module, LossFunction loss, const LbfgsOptions& options,
            uint64_t seed = 0);

  // Loss and norm are those before the step. `step` counts from 1.
  TrainStep::Result step(std::span<const Tensor> batch, double learning_rate, int64_t step,
                         const EvalOptions& options = {});
  // "model.PATH", "optimizer.lbfgs.vectors", "optimizer.lbfgs.scalars": what a checkpoint holds.
  std::vector<NamedTensor> state();
  // The plan of loss and gradient for a batch of these types; computes nothing.
  std::shared_ptr<const Plan> plan(std::span<const TensorType> batch);

 private:
  std::vector<Tensor> build(std::span<const Tensor> args);
  std::vector<double> parameters() const;
  void set_parameters(std::span<const double> values);

  Runtime& runtime_;
  LossFunction loss_;
  LbfgsOptions options_;
  std::vector<Field> parameters_, states_;
  Tensor vectors_, scalars_, key_;
  Function function_;
};

}  // namespace cairn
