// L-BFGS (Nocedal and Wright, chapter 7): the optimizer that evaluates the loss several times a
// step.
//
// It decides by values, so it runs on the host around a compiled loss; for problems of at most some
// millions of parameters. Algorithm, defaults and stopping rules are torch.optim.LBFGS's.
#pragma once

#include <deque>
#include <functional>
#include <span>
#include <vector>

namespace cairn {

struct LbfgsOptions {
  double learning_rate = 1;
  int max_iterations = 20;   // of one step
  int max_evaluations = 25;  // of one step
  double tolerance_gradient = 1e-7;
  double tolerance_change = 1e-9;
  int history = 100;
  bool strong_wolfe = false;  // a line search by the strong Wolfe conditions; else fixed steps
};

class Lbfgs {
 public:
  // The loss at x, and its gradient (of x's size).
  using Objective = std::function<double(std::span<const double> x, std::span<double> gradient)>;

  explicit Lbfgs(const LbfgsOptions& options = {}) : options_(options) {}
  // Moves x; returns the loss before.
  double step(std::vector<double>& x, const Objective& objective);
  // Of the objective, since the start.
  int evaluations() const { return memory_.evaluations; }

  using Vector = std::vector<double>;
  struct Correction {
    Vector y, s;
    double inverse_ys;
  };
  // What one step leaves to the next, for checkpoints.
  struct Memory {
    std::deque<Correction> history;
    Vector direction, previous_gradient;
    double scale = 1, step = 0;
    int iterations = 0, evaluations = 0;
  };
  const Memory& memory() const { return memory_; }
  void restore(Memory memory) { memory_ = std::move(memory); }

 private:
  struct Point {
    double loss;
    Vector gradient;
  };
  Point evaluate(const Vector& x, const Objective& objective);
  void update_direction(const Vector& gradient);
  // A step length by the strong Wolfe conditions from `x` along the direction; `at` becomes the
  // point there. `evaluations` counts the calls.
  double search(const Vector& x, double step, Point& at, double slope, const Objective& objective,
                int& evaluations);

  LbfgsOptions options_;
  Memory memory_;
};

}  // namespace cairn
