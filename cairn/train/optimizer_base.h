// What the optimizers share. Not part of the interface.
#pragma once

#include <set>

#include "cairn/train/optimizer.h"

namespace cairn::detail {

// Reads hyper-parameters by name and remembers which were asked for, so that one that nobody reads
// is an error.
class Options {
 public:
  // Throws Error for a number out of its range.
  explicit Options(const OptimizerConfig& of);
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;
  double number(const std::string& name, double otherwise);
  int whole(const std::string& name, int otherwise);
  bool flag(const std::string& name, bool otherwise = false);
  bool is_set(const std::string& name);
  double beta(size_t i, double otherwise);
  // One of `allowed`, the first when not set.
  std::string choice(const std::string& name, std::initializer_list<std::string> allowed);
  // Throws Error naming a hyper-parameter that is set and was not read.
  void check_all_read() const;
  bool has_read(const std::string& name) const { return read_.count(name) > 0; }

  OptimizerConfig config;

 private:
  const OptimizerOption& find(const std::string& name);
  template <class T>
  T get(const std::string& name, const T& otherwise) {
    return std::get<std::optional<T>*>(find(name).value)->value_or(otherwise);
  }
  const std::vector<OptimizerOption> known_ = optimizer_options(config);
  std::set<std::string> read_;
};

// Weight decay, the sign of the gradient, and state of the parameter's shape that starts at zero.
class Common : public Optimizer {
 public:
  Common(Options& options, double default_decay);
  std::vector<Tensor> initial_state(const Tensor& parameter) const override;
  double weight_decay() const override { return weight_decay_; }

 protected:
  Tensor signed_gradient(const Tensor& gradient) const;
  // gradient + decay * parameter: L2 regularisation.
  static Tensor decayed(const StepInputs& inputs, const Tensor& parameter, const Tensor& gradient);
  // parameter * (1 - rate * decay): decoupled weight decay.
  static Tensor shrunk(const StepInputs& inputs, const Tensor& parameter);

 private:
  double weight_decay_;
  bool maximize_;
};

// Null for a name that is not among theirs.
std::unique_ptr<Optimizer> make_elementwise(const std::string& name, Options& options);
std::unique_ptr<Optimizer> make_structured(const std::string& name, Options& options);

}  // namespace cairn::detail
