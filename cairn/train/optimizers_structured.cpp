// Optimizers that look at a parameter's shape: Adafactor (rows and columns), Muon (singular
// values), SparseAdam (rows that were touched).
#include <algorithm>
#include <cmath>

#include "cairn/graph/infer.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "cairn/train/optimizer_base.h"

namespace cairn::detail {
namespace {

using State = std::span<const Tensor>;

Tensor root_mean_square(const Tensor& x) { return sqrt(mean(x * x)); }

// torch.optim.Adafactor: no momentum, factored second moment for matrices.
struct Adafactor : Common {
  double beta2_decay, d, epsilon2;
  std::optional<double> epsilon1;
  explicit Adafactor(Options& o)
      : Common(o, 0),
        beta2_decay(o.number("beta2_decay", -0.8)),
        d(o.number("d", 1)),
        epsilon2(1e-3) {
    if (o.is_set("epsilon")) epsilon1 = o.number("epsilon", 0);
  }
  std::vector<std::string> state_names() const override {
    return {"row_var", "col_var", "variance"};
  }
  std::vector<Tensor> initial_state(const Tensor& p) const override {
    const DType t = p.dtype();
    if (p.rank() < 2) return {zeros({0}, t), zeros({0}, t), zeros(p.shape(), t)};
    Shape row = p.shape();
    row[row.rank() - 1] = 1;
    Shape column = p.shape();
    column[column.rank() - 2] = 1;
    return {zeros(row, t), zeros(column, t), zeros({0}, t)};
  }
  ParameterUpdate update(const StepInputs& in, const Tensor& p_in, const Tensor& gradient,
                         State state) const override {
    const Tensor g = signed_gradient(gradient);
    const double e1 = epsilon1.value_or(cairn::epsilon(p_in.dtype()));
    const Tensor fresh = power(in.step, beta2_decay);  // 1 - beta2
    const Tensor rho = minimum(in.learning_rate, rsqrt(in.step));
    const Tensor alpha = maximum(root_mean_square(p_in), epsilon2) * rho;
    const Tensor p = shrunk(in, p_in);
    std::vector<Tensor> next(state.begin(), state.end());
    Tensor estimate;
    if (p.rank() >= 2) {
      next[0] = state[0] + (mean(g * g, {-1}, true) - state[0]) * fresh;
      next[1] = state[1] + (mean(g * g, {-2}, true) - state[1]) * fresh;
      estimate = matmul(next[0], next[1]) / maximum(mean(next[0], {-2}, true), e1);
    } else {
      next[2] = state[2] + (g * g - state[2]) * fresh;
      estimate = next[2];
    }
    const Tensor change = g * rsqrt(maximum(estimate, e1 * e1));
    const Tensor scale = alpha / maximum(root_mean_square(change) / d, 1.0);
    return {p - scale * change, next};
  }
};

// torch.optim.Muon: momentum made orthogonal by Newton-Schulz iterations in bf16, as PyTorch runs
// them. PyTorch's takes matrices only and leaves the rest of a model to another optimizer; here
// that is AdamW, with the same learning rate and weight decay.
struct Muon : Common {
  double momentum, epsilon;
  int steps;
  bool match_rms;
  bool nesterov;
  std::unique_ptr<Optimizer> rest;
  explicit Muon(Options& o)
      : Common(o, 0.1),
        momentum(o.number("momentum", 0.95)),
        epsilon(o.number("epsilon", 1e-7)),
        steps(o.whole("ns_steps", 5)),
        match_rms(o.choice("adjust_lr_fn", {"original", "match_rms_adamw"}) == "match_rms_adamw"),
        nesterov(o.flag("nesterov", true)),
        rest(make_elementwise("adamw", o)) {}
  std::vector<std::string> state_names() const override {
    std::vector<std::string> names = rest->state_names();
    names.insert(names.begin(), "momentum_buffer");
    return names;
  }
  // What a parameter does not need is empty.
  std::vector<Tensor> initial_state(const Tensor& p) const override {
    std::vector<Tensor> state(state_names().size(), zeros({0}, p.dtype()));
    if (p.rank() == 2) {
      state[0] = zeros(p.shape(), p.dtype());
    } else {
      const auto others = rest->initial_state(p);
      std::copy(others.begin(), others.end(), state.begin() + 1);
    }
    return state;
  }
  ParameterUpdate update(const StepInputs& in, const Tensor& p, const Tensor& gradient,
                         State state) const override {
    std::vector<Tensor> next(state.begin(), state.end());
    if (p.rank() != 2) {
      ParameterUpdate other = rest->update(in, p, gradient, state.subspan(1));
      std::copy(other.state.begin(), other.state.end(), next.begin() + 1);
      return {other.parameter, next};
    }
    const Tensor g = signed_gradient(gradient);
    const Tensor buffer = state[0] + (g - state[0]) * (1 - momentum);
    const Tensor direction = nesterov ? g + (buffer - g) * momentum : buffer;
    const double rows = static_cast<double>(p.size(0));
    const double columns = static_cast<double>(p.size(1));
    const double adjusted = match_rms ? 0.2 * std::sqrt(std::max(rows, columns))
                                      : std::sqrt(std::max(1.0, rows / columns));
    const Tensor rate = in.learning_rate * adjusted;
    next[0] = buffer;
    return {shrunk(in, p) - rate * cast(orthogonal(cast(direction, DType::bf16)), p.dtype()), next};
  }
  Tensor orthogonal(const Tensor& x_in) const {
    const bool tall = x_in.size(0) > x_in.size(1);
    Tensor x = tall ? transpose(x_in) : x_in;
    const Tensor size = cast(sqrt(sum(square(cast(x, DType::f32)))), x.dtype());
    x = x / maximum(size, epsilon);
    for (int i = 0; i < steps; ++i) {
      const Tensor gram = matmul(x, transpose(x));
      x = x * 3.4445 + matmul(gram * -4.7750 + matmul(gram, gram) * 2.0315, x);
    }
    return tall ? transpose(x) : x;
  }
};

// Adam on the rows of which the gradient is not zero; the others keep value and state. No weight
// decay.
struct SparseAdam : Common {
  double beta1, beta2, epsilon;
  explicit SparseAdam(Options& o)
      : Common(o, 0),
        beta1(o.beta(0, 0.9)),
        beta2(o.beta(1, 0.999)),
        epsilon(o.number("epsilon", 1e-8)) {}
  std::vector<std::string> state_names() const override { return {"exp_avg", "exp_avg_sq"}; }
  ParameterUpdate update(const StepInputs& in, const Tensor& p, const Tensor& gradient,
                         State state) const override {
    const Tensor g = signed_gradient(gradient);
    Ints axes;
    for (int i = 1; i < p.rank(); ++i) axes.push_back(i);
    const Tensor nonzero = not_equal(g, 0);
    const Tensor touched = axes.empty() ? nonzero : any(nonzero, axes, true);
    const Tensor m = state[0] + (g - state[0]) * (1 - beta1);
    const Tensor v = state[1] + (g * g - state[1]) * (1 - beta2);
    const Tensor rate =
        in.learning_rate * sqrt(1.0 - power(beta2, in.step)) / (1.0 - power(beta1, in.step));
    return {where(touched, p - rate * (m / (sqrt(v) + epsilon)), p),
            {where(touched, m, state[0]), where(touched, v, state[1])}};
  }
};

}  // namespace

std::unique_ptr<Optimizer> make_structured(const std::string& name, Options& o) {
  if (name == "adafactor") return std::make_unique<Adafactor>(o);
  if (name == "muon") return std::make_unique<Muon>(o);
  if (name == "sparseadam") return std::make_unique<SparseAdam>(o);
  return nullptr;
}

}  // namespace cairn::detail
