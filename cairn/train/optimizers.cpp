// The optimizers of torch.optim that go parameter by parameter, and Lion, LAMB and LARS. Formulas
// follow PyTorch's single-tensor code; where it deviates from the paper, so do these.
#include <fmt/format.h>

#include <cmath>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/reduce.h"
#include "cairn/train/optimizer_base.h"

namespace cairn::detail {
namespace {

using State = std::span<const Tensor>;

Tensor lerp(const Tensor& a, const Tensor& b, double t) { return a + (b - a) * t; }
// 1 - beta^t for a 0-d step t.
Tensor bias_correction(double beta, const Tensor& t) { return 1.0 - power(beta, t); }
Tensor norm2(const Tensor& x) { return sqrt(sum(x * x)); }

struct Sgd : Common {
  double momentum, dampening;
  bool nesterov;
  explicit Sgd(Options& o)
      : Common(o, 0),
        momentum(o.number("momentum", 0)),
        dampening(o.number("dampening", 0)),
        nesterov(o.flag("nesterov")) {
    if (nesterov && (momentum <= 0 || dampening != 0))
      throw_error("optimizer sgd: nesterov needs a momentum above 0 and no dampening");
  }
  std::vector<std::string> state_names() const override {
    return momentum > 0 ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>{};
  }
  ParameterUpdate update(const StepInputs& in, const Tensor& p, const Tensor& gradient,
                         State state) const override {
    Tensor g = decayed(in, p, signed_gradient(gradient));
    if (momentum <= 0) return {p - in.learning_rate * g, {}};
    // The first buffer is the gradient itself, without dampening.
    const Tensor buffer = where(equal(in.step, 1), g, state[0] * momentum + g * (1 - dampening));
    g = nesterov ? g + buffer * momentum : buffer;
    return {p - in.learning_rate * g, {buffer}};
  }
};

// What Adam and its kin share: two rates of decay, and weight decay that adds to the gradient or,
// decoupled, shrinks the parameter.
struct AdamFamily : Common {
  double beta1, beta2, epsilon;
  bool decoupled = false;
  explicit AdamFamily(Options& o, double default_decay = 0, double default_epsilon = 1e-8)
      : Common(o, default_decay),
        beta1(o.beta(0, 0.9)),
        beta2(o.beta(1, 0.999)),
        epsilon(o.number("epsilon", default_epsilon)) {}
  std::vector<std::string> state_names() const override { return {"exp_avg", "exp_avg_sq"}; }

 protected:
  struct Decayed {
    Tensor parameter, gradient;
  };
  Decayed after_decay(const StepInputs& in, const Tensor& p, const Tensor& gradient) const {
    const Tensor g = signed_gradient(gradient);
    return decoupled ? Decayed{shrunk(in, p), g} : Decayed{p, decayed(in, p, g)};
  }
  Tensor first_moment(State state, const Tensor& g) const { return lerp(state[0], g, 1 - beta1); }
  Tensor second_moment(State state, const Tensor& g) const {
    return state[1] * beta2 + g * g * (1 - beta2);
  }
};

struct Adam : AdamFamily {
  bool amsgrad;
  Adam(Options& o, bool w) : AdamFamily(o, w ? 0.01 : 0), amsgrad(o.flag("amsgrad")) {
    decoupled = o.flag("decoupled_weight_decay") || w;
  }
  std::vector<std::string> state_names() const override {
    std::vector<std::string> names = AdamFamily::state_names();
    if (amsgrad) names.push_back("max_exp_avg_sq");
    return names;
  }
  ParameterUpdate update(const StepInputs& in, const Tensor& p_in, const Tensor& gradient,
                         State state) const override {
    const auto [p, g] = after_decay(in, p_in, gradient);
    const Tensor m = first_moment(state, g);
    const Tensor v = second_moment(state, g);
    const Tensor top = amsgrad ? maximum(state[2], v) : v;
    const Tensor denominator = sqrt(top) / sqrt(bias_correction(beta2, in.step)) + epsilon;
    std::vector<Tensor> next{m, v};
    if (amsgrad) next.push_back(top);
    return {p - in.learning_rate / bias_correction(beta1, in.step) * (m / denominator), next};
  }
};

struct Adamax : AdamFamily {
  explicit Adamax(Options& o) : AdamFamily(o) {}
  std::vector<std::string> state_names() const override { return {"exp_avg", "exp_inf"}; }
  ParameterUpdate update(const StepInputs& in, const Tensor& p_in, const Tensor& gradient,
                         State state) const override {
    const auto [p, g] = after_decay(in, p_in, gradient);
    const Tensor m = first_moment(state, g);
    const Tensor u = maximum(state[1] * beta2, abs(g) + epsilon);
    return {p - in.learning_rate / bias_correction(beta1, in.step) * (m / u), {m, u}};
  }
};

struct NAdam : AdamFamily {
  double momentum_decay;
  explicit NAdam(Options& o) : AdamFamily(o), momentum_decay(o.number("momentum_decay", 4e-3)) {
    decoupled = o.flag("decoupled_weight_decay");
  }
  std::vector<std::string> state_names() const override {
    return {"exp_avg", "exp_avg_sq", "mu_product"};
  }
  std::vector<Tensor> initial_state(const Tensor& p) const override {
    return {zeros(p.shape(), p.dtype()), zeros(p.shape(), p.dtype()), ones({}, p.dtype())};
  }
  ParameterUpdate update(const StepInputs& in, const Tensor& p_in, const Tensor& gradient,
                         State state) const override {
    auto [p, g] = after_decay(in, p_in, gradient);
    const auto mu_at = [&](const Tensor& t) {
      return beta1 * (1.0 - 0.5 * power(0.96, t * momentum_decay));
    };
    const Tensor mu = mu_at(in.step);
    const Tensor mu_next = mu_at(in.step + 1);
    const Tensor product = state[2] * mu;
    const Tensor m = first_moment(state, g);
    const Tensor v = second_moment(state, g);
    const Tensor denominator = sqrt(v / bias_correction(beta2, in.step)) + epsilon;
    p = p - in.learning_rate * (1.0 - mu) / (1.0 - product) * (g / denominator);
    p = p - in.learning_rate * mu_next / (1.0 - product * mu_next) * (m / denominator);
    return {p, {m, v, product}};
  }
};

struct RAdam : AdamFamily {
  explicit RAdam(Options& o) : AdamFamily(o) { decoupled = o.flag("decoupled_weight_decay"); }
  ParameterUpdate update(const StepInputs& in, const Tensor& p_in, const Tensor& gradient,
                         State state) const override {
    const auto [p, g] = after_decay(in, p_in, gradient);
    const Tensor m = first_moment(state, g);
    const Tensor v = second_moment(state, g);
    const Tensor corrected = m / bias_correction(beta1, in.step);
    const double rho_inf = 2 / (1 - beta2) - 1;
    const Tensor correction2 = bias_correction(beta2, in.step);
    const Tensor rho = rho_inf - 2.0 * in.step * power(beta2, in.step) / correction2;
    // Variance is tractable from rho > 5 on; below, the root would be of a negative number.
    const Tensor safe = maximum(rho, 5.0);
    const Tensor rectified =
        sqrt((safe - 4.0) * (safe - 2.0) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * safe));
    const Tensor adaptive = rectified * sqrt(correction2) / (sqrt(v) + epsilon);
    return {p - in.learning_rate * corrected * where(rho > 5.0, adaptive, 1.0), {m, v}};
  }
};

struct Adagrad : Common {
  double lr_decay, initial, epsilon;
  explicit Adagrad(Options& o)
      : Common(o, 0),
        lr_decay(o.number("lr_decay", 0)),
        initial(o.number("initial_accumulator_value", 0)),
        epsilon(o.number("epsilon", 1e-10)) {}
  std::vector<std::string> state_names() const override { return {"sum"}; }
  std::vector<Tensor> initial_state(const Tensor& p) const override {
    return {full(p.shape(), initial, p.dtype())};
  }
  ParameterUpdate update(const StepInputs& in, const Tensor& p, const Tensor& gradient,
                         State state) const override {
    const Tensor g = decayed(in, p, signed_gradient(gradient));
    const Tensor total = state[0] + g * g;
    const Tensor rate = in.learning_rate / (1.0 + (in.step - 1) * lr_decay);
    return {p - rate * (g / (sqrt(total) + epsilon)), {total}};
  }
};

struct Adadelta : Common {
  double rho, epsilon;
  explicit Adadelta(Options& o)
      : Common(o, 0), rho(o.number("rho", 0.9)), epsilon(o.number("epsilon", 1e-6)) {}
  std::vector<std::string> state_names() const override { return {"square_avg", "acc_delta"}; }
  ParameterUpdate update(const StepInputs& in, const Tensor& p, const Tensor& gradient,
                         State state) const override {
    const Tensor g = decayed(in, p, signed_gradient(gradient));
    const Tensor squares = state[0] * rho + g * g * (1 - rho);
    const Tensor delta = sqrt(state[1] + epsilon) / sqrt(squares + epsilon) * g;
    return {p - in.learning_rate * delta, {squares, state[1] * rho + delta * delta * (1 - rho)}};
  }
};

struct RmsProp : Common {
  double alpha, epsilon, momentum;
  bool centered;
  explicit RmsProp(Options& o)
      : Common(o, 0),
        alpha(o.number("alpha", 0.99)),
        epsilon(o.number("epsilon", 1e-8)),
        momentum(o.number("momentum", 0)),
        centered(o.flag("centered")) {}
  std::vector<std::string> state_names() const override {
    std::vector<std::string> names{"square_avg"};
    if (centered) names.push_back("grad_avg");
    if (momentum > 0) names.push_back("momentum_buffer");
    return names;
  }
  ParameterUpdate update(const StepInputs& in, const Tensor& p, const Tensor& gradient,
                         State state) const override {
    const Tensor g = decayed(in, p, signed_gradient(gradient));
    std::vector<Tensor> next{state[0] * alpha + g * g * (1 - alpha)};
    Tensor square = next[0];
    if (centered) {
      next.push_back(lerp(state[1], g, 1 - alpha));
      square = square - next[1] * next[1];
    }
    Tensor change = g / (sqrt(square) + epsilon);
    if (momentum > 0) {
      change = state.back() * momentum + change;
      next.push_back(change);
    }
    return {p - in.learning_rate * change, next};
  }
};

struct Rprop : Common {
  double minus, plus, smallest, largest, learning_rate;
  explicit Rprop(Options& o)
      : Common(o, 0),
        minus(o.number("eta_minus", 0.5)),
        plus(o.number("eta_plus", 1.2)),
        smallest(o.number("step_size_min", 1e-6)),
        largest(o.number("step_size_max", 50)),
        learning_rate(o.config.learning_rate) {}
  std::vector<std::string> state_names() const override { return {"prev", "step_size"}; }
  std::vector<Tensor> initial_state(const Tensor& p) const override {
    return {zeros(p.shape(), p.dtype()), full(p.shape(), learning_rate, p.dtype())};
  }
  ParameterUpdate update(const StepInputs&, const Tensor& p, const Tensor& gradient,
                         State state) const override {
    Tensor g = signed_gradient(gradient);
    const Tensor agreement = g * state[0];
    const Tensor factor =
        where(agreement > 0, plus, where(agreement < 0, minus, ones_like(agreement)));
    const Tensor size = clamp(state[1] * factor, smallest, largest);
    // Where the sign turned, this step is skipped and the next one starts over.
    g = where(agreement < 0, zeros_like(g), g);
    return {p - sign(g) * size, {g, size}};
  }
  static Tensor ones_like(const Tensor& x) { return full_like(x, 1.0); }
};

struct Asgd : Common {
  double lambd, alpha, t0;
  explicit Asgd(Options& o)
      : Common(o, 0),
        lambd(o.number("lambd", 1e-4)),
        alpha(o.number("alpha", 0.75)),
        t0(o.number("t0", 1e6)) {}
  // The average of the iterates is state "ax"; eta and mu follow from the step.
  std::vector<std::string> state_names() const override { return {"ax", "eta", "mu"}; }
  std::vector<Tensor> initial_state(const Tensor& p) const override {
    return {zeros(p.shape(), p.dtype()), zeros({}, p.dtype()), ones({}, p.dtype())};
  }
  ParameterUpdate update(const StepInputs& in, const Tensor& p_in, const Tensor& gradient,
                         State state) const override {
    const Tensor g = decayed(in, p_in, signed_gradient(gradient));
    const Tensor eta = where(equal(in.step, 1), in.learning_rate, state[1]);
    const Tensor p = p_in * (1.0 - lambd * eta) - eta * g;
    const Tensor average = where(equal(state[2], 1), p, state[0] + (p - state[0]) * state[2]);
    const Tensor next_eta =
        in.learning_rate / power(1.0 + lambd * in.learning_rate * in.step, alpha);
    return {p, {average, next_eta, 1.0 / maximum(in.step - t0, 1.0)}};
  }
};

struct Lion : Common {
  double beta1, beta2;
  explicit Lion(Options& o) : Common(o, 0), beta1(o.beta(0, 0.9)), beta2(o.beta(1, 0.99)) {}
  std::vector<std::string> state_names() const override { return {"exp_avg"}; }
  ParameterUpdate update(const StepInputs& in, const Tensor& p, const Tensor& gradient,
                         State state) const override {
    const Tensor g = signed_gradient(gradient);
    const Tensor direction = sign(state[0] * beta1 + g * (1 - beta1));
    return {shrunk(in, p) - in.learning_rate * direction, {state[0] * beta2 + g * (1 - beta2)}};
  }
};

// You et al. 2019, with bias correction; the trust ratio is 1 where a norm is 0.
struct Lamb : AdamFamily {
  explicit Lamb(Options& o) : AdamFamily(o, 0, 1e-6) {}
  ParameterUpdate update(const StepInputs& in, const Tensor& p, const Tensor& gradient,
                         State state) const override {
    const Tensor g = signed_gradient(gradient);
    const Tensor m = first_moment(state, g);
    const Tensor v = second_moment(state, g);
    const Tensor ratio = m / bias_correction(beta1, in.step) /
                             (sqrt(v / bias_correction(beta2, in.step)) + epsilon) +
                         p * in.weight_decay;
    const Tensor size = norm2(p);
    const Tensor change = norm2(ratio);
    const Tensor trust =
        where(bitwise_and(size > 0, change > 0), size / where(change > 0, change, 1.0), 1.0);
    return {p - in.learning_rate * trust * ratio, {m, v}};
  }
};

// You, Gitman, Ginsburg 2017.
struct Lars : Common {
  double momentum, trust_coefficient, epsilon;
  explicit Lars(Options& o)
      : Common(o, 0),
        momentum(o.number("momentum", 0.9)),
        trust_coefficient(o.number("trust_coefficient", 1e-3)),
        epsilon(o.number("epsilon", 1e-8)) {}
  std::vector<std::string> state_names() const override { return {"momentum_buffer"}; }
  ParameterUpdate update(const StepInputs& in, const Tensor& p, const Tensor& gradient,
                         State state) const override {
    const Tensor g = signed_gradient(gradient);
    const Tensor size = norm2(p);
    const Tensor slope = norm2(g);
    const Tensor local = trust_coefficient * size / (slope + in.weight_decay * size + epsilon);
    const Tensor trust = where(bitwise_and(size > 0, slope > 0), local, 1.0);
    const Tensor buffer =
        state[0] * momentum + in.learning_rate * trust * (g + p * in.weight_decay);
    return {p - buffer, {buffer}};
  }
};

}  // namespace

std::unique_ptr<Optimizer> make_elementwise(const std::string& name, Options& o) {
  if (name == "sgd") return std::make_unique<Sgd>(o);
  if (name == "adam") return std::make_unique<Adam>(o, false);
  if (name == "adamw") return std::make_unique<Adam>(o, true);
  if (name == "adamax") return std::make_unique<Adamax>(o);
  if (name == "nadam") return std::make_unique<NAdam>(o);
  if (name == "radam") return std::make_unique<RAdam>(o);
  if (name == "adagrad") return std::make_unique<Adagrad>(o);
  if (name == "adadelta") return std::make_unique<Adadelta>(o);
  if (name == "rmsprop") return std::make_unique<RmsProp>(o);
  if (name == "rprop") return std::make_unique<Rprop>(o);
  if (name == "asgd") return std::make_unique<Asgd>(o);
  if (name == "lion") return std::make_unique<Lion>(o);
  if (name == "lamb") return std::make_unique<Lamb>(o);
  if (name == "lars") return std::make_unique<Lars>(o);
  return nullptr;
}

}  // namespace cairn::detail
