#include "cairn/train/lbfgs_step.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/random.h"
#include "cairn/ops/reduce.h"
#include "cairn/train/lbfgs_memory.h"
#include "cairn/transforms/vjp.h"

namespace cairn {

LbfgsStep::LbfgsStep(Runtime& runtime, Module& module, LossFunction loss,
                     const LbfgsOptions& options, uint64_t seed)
    : runtime_(runtime),
      loss_(std::move(loss)),
      options_(options),
      parameters_(fields(module, FieldKind::parameter)),
      states_(fields(module, FieldKind::state)),
      key_(eval(runtime, random_key(seed))),
      function_([this](std::span<const Tensor> args) { return build(args); }) {
  const auto count = static_cast<int64_t>(parameters().size());
  const LbfgsArrays memory = to_arrays({}, count, options.history);
  vectors_ = runtime.upload(memory.vectors);
  scalars_ = runtime.upload(memory.scalars);
}

// (parameters, state, batch..., step, key) to the gradient of the mean loss as one f64 vector, new
// state, mean loss.
std::vector<Tensor> LbfgsStep::build(std::span<const Tensor> args) {
  std::vector<Field> all = parameters_;
  all.insert(all.end(), states_.begin(), states_.end());
  const auto inputs = args.first(parameters_.size());
  Context ctx;
  ctx.training = true;
  ctx.key = fold_in(args.back(), args[args.size() - 2]);
  std::vector<Tensor> values;
  {
    const Bound binding(all, args.first(all.size()));
    const Loss result = loss_(ctx, args.subspan(all.size(), args.size() - all.size() - 2));
    values.push_back(result.total / cast(result.count, result.total.dtype()));
  }
  for (size_t i = 0; i < states_.size(); ++i) {
    values.push_back(args[parameters_.size() + i]);
    for (const auto& [field, value] : ctx.updates)
      if (field == states_[i].tensor) values.back() = value;
  }
  ValuesAndGradients both = value_and_gradients(values, inputs);
  std::vector<Tensor> flat;
  for (const Tensor& g : both.gradients)
    flat.push_back(cast(reshape(g, {g.elements()}), DType::f64));
  std::vector<Tensor> out{concatenate(flat, 0)};
  out.insert(out.end(), both.values.begin() + 1, both.values.end());
  out.push_back(both.values[0]);
  return out;
}

std::vector<double> LbfgsStep::parameters() const {
  std::vector<double> values;
  for (const Field& field : parameters_) {
    const HostArray array = field.tensor->host();
    for (int64_t i = 0; i < array.elements(); ++i) values.push_back(array.at(i));
  }
  return values;
}

void LbfgsStep::set_parameters(std::span<const double> values) {
  for (const Field& field : parameters_) {
    HostArray array(field.tensor->dtype(), field.tensor->shape());
    const auto own = values.first(static_cast<size_t>(array.elements()));
    if (array.dtype() == DType::f64)
      std::copy(own.begin(), own.end(), array.mutable_span<double>().begin());
    else
      std::transform(own.begin(), own.end(), array.mutable_span<float>().begin(),
                     [](double v) { return static_cast<float>(v); });
    *field.tensor = runtime_.upload(array, field.path);
    values = values.subspan(own.size());
  }
}

TrainStep::Result LbfgsStep::step(std::span<const Tensor> batch, double learning_rate, int64_t step,
                                  const EvalOptions& options) {
  TrainStep::Result before{};
  std::vector<Tensor> new_states;
  const Tensor number = Tensor::from<int64_t>({step}, {});
  bool first = true;
  const auto objective = [&](std::span<const double> at, std::span<double> gradient) {
    set_parameters(at);
    std::vector<Tensor> args;
    for (const std::vector<Field>* part : {&parameters_, &states_})
      for (const Field& field : *part) args.push_back(*field.tensor);
    args.insert(args.end(), batch.begin(), batch.end());
    args.push_back(number);
    args.push_back(key_);
    const std::vector<Tensor> out = function_(runtime_, std::move(args), options);
    const auto slope = out[0].to_vector<double>();
    std::copy(slope.begin(), slope.end(), gradient.begin());
    const double loss = out.back().item<double>();
    if (std::exchange(first, false)) {
      double squares = 0;
      for (const double g : slope) squares += g * g;
      before.loss = loss;
      before.gradient_norm = std::sqrt(squares);
      new_states.assign(out.begin() + 1, out.end() - 1);
    }
    return loss;
  };
  LbfgsOptions now = options_;
  now.learning_rate = learning_rate;
  Lbfgs optimizer(now);
  optimizer.restore(from_arrays({vectors_.host(), scalars_.host()}));
  std::vector<double> x = parameters();
  optimizer.step(x, objective);
  set_parameters(x);
  for (size_t i = 0; i < states_.size(); ++i) *states_[i].tensor = new_states[i];
  const LbfgsArrays memory =
      to_arrays(optimizer.memory(), static_cast<int64_t>(x.size()), options_.history);
  vectors_ = runtime_.upload(memory.vectors);
  scalars_ = runtime_.upload(memory.scalars);
  return before;
}

std::shared_ptr<const Plan> LbfgsStep::plan(std::span<const TensorType> batch) {
  std::vector<TensorType> types;
  for (const std::vector<Field>* part : {&parameters_, &states_})
    for (const Field& field : *part) types.push_back(field.tensor->type());
  types.insert(types.end(), batch.begin(), batch.end());
  types.push_back({DType::i64, {}});
  types.push_back(key_.type());
  return function_.plan(runtime_, types, false);
}

std::vector<NamedTensor> LbfgsStep::state() {
  std::vector<NamedTensor> all;
  for (const std::vector<Field>* part : {&parameters_, &states_})
    for (const Field& field : *part) all.push_back({"model." + field.path, field.tensor});
  all.push_back({"optimizer.lbfgs.vectors", &vectors_});
  all.push_back({"optimizer.lbfgs.scalars", &scalars_});
  return all;
}

}  // namespace cairn
