#include "cairn/train/train_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "cairn/graph/graph.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/random.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/precision.h"
#include "cairn/transforms/vjp.h"

namespace cairn {

LossFunction mean_loss(std::function<Tensor(Context&, std::span<const Tensor>)> fn) {
  return [fn = std::move(fn)](Context& ctx, std::span<const Tensor> batch) -> Loss {
    const Tensor loss = fn(ctx, batch);
    return {loss, ones({}, loss.dtype())};
  };
}

namespace {

// Of the loss scale of f16: torch.amp.GradScaler's.
constexpr float kFirstScale = 65536;
constexpr double kStepsToGrow = 2000;

}  // namespace

struct TrainStep::State {
  Runtime& runtime;
  LossFunction loss;
  std::unique_ptr<Optimizer> optimizer;
  TrainStepOptions options;
  std::vector<Field> parameters;
  std::vector<Field> states;
  struct PerParameter {
    double learning_rate_scale;
    double weight_decay;
    size_t first_state;  // among optimizer_state
  };
  std::vector<PerParameter> per_parameter;
  std::vector<Tensor> optimizer_state;
  std::vector<std::string> optimizer_state_names;
  std::vector<Tensor> averages;
  std::vector<Tensor> scaler;  // of f16: the scale, and the steps since it changed; f32, 0-d
  Tensor key;
  Function function;
  // Of the last step.
  std::optional<std::vector<TensorType>> known_batch;
  Tensor rate;
  double rate_value = 0;

  // What a step takes and gives back, in the order of state().
  std::vector<Tensor*> held() {
    std::vector<Tensor*> all;
    all.reserve(parameters.size() + states.size() + optimizer_state.size() + averages.size() +
                scaler.size());
    for (const Field& f : parameters) all.push_back(f.tensor);
    for (const Field& f : states) all.push_back(f.tensor);
    for (auto* list : {&optimizer_state, &averages, &scaler})
      for (Tensor& t : *list) all.push_back(&t);
    return all;
  }

  struct Gradients {
    std::vector<Tensor> of_parameters;  // of the total loss
    Tensor total, count;
    std::vector<Tensor> states;
  };

  // Gradients of one micro-batch for the given parameters and state, times `scale` if there is one.
  Gradients differentiate(std::span<const Tensor> p, std::span<const Tensor> s,
                          std::span<const Tensor> batch, const Tensor& micro_key,
                          const Tensor& scale) {
    std::vector<Field> fields = parameters;
    fields.insert(fields.end(), states.begin(), states.end());
    std::vector<Tensor> bound(p.begin(), p.end());
    bound.insert(bound.end(), s.begin(), s.end());
    Context ctx;
    ctx.training = true;
    ctx.key = micro_key;
    std::vector<Tensor> values;
    {
      const Bound binding(fields, bound);
      const Loss result = loss(ctx, batch);
      if (result.total.rank() != 0 || result.count.rank() != 0)
        throw_error(fmt::format(
            "[train] the loss must be two 0-d tensors, total and count; they are {} and {}",
            to_string(result.total.type()), to_string(result.count.type())));
      const Tensor& total = result.total;
      values = {scale.defined() ? total * cast(scale, total.dtype()) : total, total,
                cast(result.count, total.dtype())};
    }
    std::vector<size_t> updated;
    for (size_t i = 0; i < states.size(); ++i)
      for (const auto& [field, value] : ctx.updates)
        if (field == states[i].tensor) {
          updated.push_back(i);
          values.push_back(value);
        }
    ValuesAndGradients both = value_and_gradients(with_precision(values, options.precision), p);
    Gradients g{std::move(both.gradients), both.values[1], both.values[2], {s.begin(), s.end()}};
    for (size_t u = 0; u < updated.size(); ++u) g.states[updated[u]] = both.values[3 + u];
    return g;
  }

  // Sums over micro-batches: a loop that carries gradients, total, count and state.
  Gradients accumulate(std::span<const Tensor> p, std::span<const Tensor> s,
                       std::span<const Tensor> batch, const Tensor& step_key, const Tensor& scale) {
    if (options.accumulate == 1) return differentiate(p, s, batch, step_key, scale);
    const size_t carried = p.size() + 2 + s.size();
    std::vector<TensorType> types{{DType::i32, {}}};
    for (const Tensor& t : p) types.push_back({t.dtype(), t.shape()});
    for (int i = 0; i < 2; ++i) types.push_back({DType::f32, {}});
    for (const Tensor& t : s) types.push_back(t.type());
    for (const Tensor& t : batch) {
      if (t.rank() == 0 || t.size(0) != options.accumulate)
        throw_error(fmt::format(
            "[train] with accumulate={} batch tensors need a leading axis of that size, not {}",
            options.accumulate, to_string(t.shape())));
      TensorType type = t.type();
      type.shape.erase(0);
      types.push_back(type);
    }
    const Graph open = trace(
        [&](std::span<const Tensor> a) {
          const Gradients g = differentiate(p, a.subspan(1 + p.size() + 2, s.size()),
                                            a.subspan(1 + carried), fold_in(step_key, a[0]), scale);
          std::vector<Tensor> next;
          for (size_t i = 0; i < p.size(); ++i) next.push_back(a[1 + i] + g.of_parameters[i]);
          next.push_back(a[1 + p.size()] + cast(g.total, DType::f32));
          next.push_back(a[2 + p.size()] + cast(g.count, DType::f32));
          next.insert(next.end(), g.states.begin(), g.states.end());
          return next;
        },
        types);
    std::vector<Tensor> captured;
    const Graph body = close_over(open, captured);
    std::vector<Tensor> operands{Tensor::scalar(options.accumulate, DType::i32)};
    for (const Tensor& t : p) operands.push_back(zeros(t.shape(), t.dtype()));
    operands.push_back(zeros({}));
    operands.push_back(zeros({}));
    operands.insert(operands.end(), s.begin(), s.end());
    operands.insert(operands.end(), batch.begin(), batch.end());
    operands.insert(operands.end(), captured.begin(), captured.end());
    const std::vector<Tensor> out =
        make_many(Op::loop, std::move(operands),
                  {{Attr::body, std::make_shared<const Graph>(body)},
                   {Attr::max, int64_t{options.accumulate}},
                   {Attr::carried, static_cast<int64_t>(carried)},
                   {Attr::scanned, static_cast<int64_t>(batch.size())}});
    Gradients g{{out.begin(), out.begin() + static_cast<int64_t>(p.size())},
                out[p.size()],
                out[p.size() + 1],
                {}};
    g.states.assign(out.begin() + static_cast<int64_t>(p.size()) + 2, out.end());
    return g;
  }

  // (parameters, state, optimizer state, averages, scaler; batch..., learning rate, step, key)
  std::vector<Tensor> build(std::span<const Tensor> args) {
    size_t at = 0;
    const auto take = [&](size_t n) {
      at += n;
      return args.subspan(at - n, n);
    };
    const auto p = take(parameters.size());
    const auto s = take(states.size());
    const auto o = take(optimizer_state.size());
    const auto e = take(averages.size());
    const auto scaling = take(scaler.size());
    const Tensor scale = scaling.empty() ? Tensor() : scaling[0];
    const auto batch = take(args.size() - at - 3);
    const Tensor learning_rate = args[args.size() - 3];
    const Tensor step = args[args.size() - 2];
    const Tensor step_key = fold_in(args.back(), cast(step, DType::i64));

    Gradients g = accumulate(p, s, batch, step_key, scale);
    const Scope scope("optimizer");
    const Tensor mean_loss = g.total / g.count;
    const Tensor divisor = scale.defined() ? g.count * cast(scale, g.count.dtype()) : g.count;
    Tensor squares = zeros({});
    for (Tensor& gradient : g.of_parameters) {
      gradient = gradient / cast(divisor, gradient.dtype());
      const Tensor wide = cast(gradient, DType::f32);
      squares = squares + sum(wide * wide);
    }
    const Tensor norm = sqrt(squares);
    // PyTorch's formula, its 1e-6 included.
    const Tensor clip =
        options.clip_norm > 0 ? minimum(options.clip_norm / (norm + 1e-6), 1.0) : Tensor();

    std::vector<Tensor> new_parameters, new_optimizer_state, new_averages;
    for (size_t i = 0; i < p.size(); ++i) {
      Tensor gradient = g.of_parameters[i];
      if (clip.defined()) gradient = gradient * cast(clip, gradient.dtype());
      if (options.clip_value > 0)
        gradient = clamp(gradient, -options.clip_value, options.clip_value);
      const PerParameter& own = per_parameter[i];
      const DType dtype = p[i].dtype();
      const StepInputs inputs{cast(learning_rate, dtype) * own.learning_rate_scale,
                              cast(step, dtype), own.weight_decay};
      const size_t count = optimizer->state_names().size();
      ParameterUpdate update =
          optimizer->update(inputs, p[i], gradient, o.subspan(own.first_state, count));
      if (!averages.empty())
        new_averages.push_back(
            where(equal(step, 1), update.parameter,
                  e[i] * options.ema_decay + update.parameter * (1 - options.ema_decay)));
      new_parameters.push_back(std::move(update.parameter));
      for (Tensor& t : update.state) new_optimizer_state.push_back(std::move(t));
    }
    std::vector<Tensor> out = std::move(new_parameters);
    out.insert(out.end(), g.states.begin(), g.states.end());
    out.insert(out.end(), new_optimizer_state.begin(), new_optimizer_state.end());
    out.insert(out.end(), new_averages.begin(), new_averages.end());
    if (scale.defined()) {
      const Tensor finite = isfinite(norm);
      for (size_t i = 0; i < out.size(); ++i) out[i] = where(finite, out[i], args[i]);
      const Tensor steps = scaling[1] + 1.0;
      const Tensor grows = logical_and(finite, equal(steps, kStepsToGrow));
      out.push_back(where(finite, where(grows, scale * 2.0, scale), scale * 0.5));
      out.push_back(where(logical_and(finite, logical_not(grows)), steps, 0.0));
    }
    out.push_back(mean_loss);
    out.push_back(norm);
    return out;
  }
};

TrainStep::TrainStep(Runtime& runtime, Module& module, LossFunction loss,
                     std::unique_ptr<Optimizer> optimizer, const TrainStepOptions& options)
    : state_(new State{runtime,
                       std::move(loss),
                       std::move(optimizer),
                       options,
                       fields(module, FieldKind::parameter),
                       fields(module, FieldKind::state),
                       {},
                       {},
                       {},
                       {},
                       {},
                       {},
                       {},
                       {},
                       {},
                       {}}) {
  State& s = *state_;
  std::vector<std::string> paths;
  for (const Field& field : s.parameters) paths.push_back(field.path);
  const auto groups = groups_of(paths, s.options.groups);
  std::vector<Tensor> initial;
  for (size_t i = 0; i < s.parameters.size(); ++i) {
    const Field& field = s.parameters[i];
    double decay = field.tensor->rank() >= 2 || options.decay_all ? s.optimizer->weight_decay() : 0;
    if (groups[i] && groups[i]->weight_decay) decay = *groups[i]->weight_decay;
    const double learning_rate_scale = groups[i] ? groups[i]->learning_rate_scale : 1;
    s.per_parameter.push_back({learning_rate_scale, decay, initial.size()});
    for (Tensor& t : s.optimizer->initial_state(*field.tensor)) initial.push_back(std::move(t));
    for (const std::string& name : s.optimizer->state_names())
      s.optimizer_state_names.push_back("optimizer." + field.path + "." + name);
    if (options.ema_decay > 0) s.averages.push_back(runtime.upload(field.tensor->host()));
  }
  s.optimizer_state = eval(runtime, initial);
  runtime.separate(s.optimizer_state);
  if (options.precision == DType::f16)
    for (const float value : {kFirstScale, 0.0f})
      s.scaler.push_back(runtime.upload(HostArray::from<float>(std::span(&value, 1), {})));
  s.key = eval(runtime, random_key(options.seed));
  std::vector<std::string> names;
  for (NamedTensor& t : state()) names.push_back(t.name);
  s.function = Function(
      [state = state_.get()](std::span<const Tensor> args) { return state->build(args); }, names);
}

TrainStep::~TrainStep() = default;

std::vector<NamedTensor> TrainStep::state() {
  State& s = *state_;
  std::vector<NamedTensor> all;
  for (const Field& f : s.parameters) all.push_back({"model." + f.path, f.tensor});
  for (const Field& f : s.states) all.push_back({"model." + f.path, f.tensor});
  for (size_t i = 0; i < s.optimizer_state.size(); ++i)
    all.push_back({s.optimizer_state_names[i], &s.optimizer_state[i]});
  for (size_t i = 0; i < s.averages.size(); ++i)
    all.push_back({"ema." + s.parameters[i].path, &s.averages[i]});
  for (size_t i = 0; i < s.scaler.size(); ++i)
    all.push_back({i == 0 ? "scaler.scale" : "scaler.steps", &s.scaler[i]});
  return all;
}

void TrainStep::swap_averages() {
  for (size_t i = 0; i < state_->averages.size(); ++i)
    std::swap(*state_->parameters[i].tensor, state_->averages[i]);
}

std::shared_ptr<const Plan> TrainStep::plan() const { return state_->function.last_plan(); }

std::shared_ptr<const Plan> TrainStep::plan(std::span<const TensorType> batch) {
  State& s = *state_;
  std::vector<TensorType> types;
  for (const NamedTensor& t : state()) types.push_back(t.tensor->type());
  // As step() calls it: the state is given away; the numbers are arrays of the host, which stay.
  std::vector<bool> donated(types.size(), true);
  types.insert(types.end(), batch.begin(), batch.end());
  types.insert(types.end(), 2, {DType::f32, {}});
  types.push_back(s.key.type());
  donated.resize(types.size(), false);
  return s.runtime.plan(s.function.graph(types), donated, false);
}

TrainStep::Result TrainStep::step(std::span<const Tensor> batch, double learning_rate, int64_t step,
                                  const EvalOptions& options) {
  State& s = *state_;
  const std::vector<Tensor*> held = s.held();
  std::vector<Tensor> rest(batch.begin(), batch.end());
  if (!s.rate.defined() || s.rate_value != learning_rate) {
    s.rate = Tensor::from<float>({static_cast<float>(learning_rate)}, {});
    s.rate_value = learning_rate;
  }
  rest.push_back(s.rate);
  rest.push_back(Tensor::from<float>({static_cast<float>(step)}, {}));
  rest.push_back(s.key);
  // A batch that the loss cannot take is found out while the state is still in its place.
  const auto is_known = [](const TensorType& known, const Tensor& t) { return known == t.type(); };
  if (!s.known_batch || !std::equal(s.known_batch->begin(), s.known_batch->end(), batch.begin(),
                                    batch.end(), is_known)) {
    std::vector<TensorType> types;
    for (const Tensor* t : held) types.push_back(t->type());
    for (const Tensor& t : rest) types.push_back(t.type());
    s.function.graph(types);
    s.known_batch.emplace();
    for (const Tensor& t : batch) s.known_batch->push_back(t.type());
  }
  std::vector<Tensor> args;
  args.reserve(held.size() + rest.size());
  for (Tensor* t : held) args.push_back(std::move(*t));
  for (Tensor& t : rest) args.push_back(std::move(t));
  std::vector<Tensor> results = s.function(s.runtime, std::move(args), options);
  for (size_t i = 0; i < held.size(); ++i) *held[i] = std::move(results[i]);
  Result result{results[held.size()].item<double>(), results[held.size() + 1].item<double>()};
  // A scale below 1 means that smaller ones do not help: the numbers are not finite by themselves.
  if (!s.scaler.empty() && !std::isfinite(result.gradient_norm))
    result.skipped = s.scaler[0].item<float>() >= 1;
  return result;
}

}  // namespace cairn
