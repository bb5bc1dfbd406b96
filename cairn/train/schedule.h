// Learning rates by step. Steps count from 0 here: rate_at(config, 0) is that of the first update.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace cairn {

struct ScheduleConfig {
  // constant, cosine, linear, step, multistep, exponential, polynomial, one_cycle, warm_restarts,
  // plateau (constant here; a Plateau lowers learning_rate)
  std::string name = "cosine";
  double learning_rate = 1e-3;
  double min_learning_rate = 0;
  long total_steps = 0;
  // Linear: step i < warmup has rate (i + 1) / (warmup + 1), as nanoGPT.
  long warmup_steps = 0;
  double gamma = 0.1;                            // step, multistep, exponential
  long step_size = 1;                            // step; length of the first cycle of warm_restarts
  std::vector<long> milestones = {};             // multistep
  double power = 1;                              // polynomial
  double cycle_growth = 1;                       // warm_restarts
  double peak_share = 0.3;                       // one_cycle: share of the steps that rise
  double start_divisor = 25, end_divisor = 1e4;  // one_cycle, as PyTorch
  bool linear_anneal = false;                    // one_cycle
};

// Throws Error for a name that is not above, naming the nearest.
double rate_at(const ScheduleConfig& config, long step);

// Lowers the rate when a metric stops falling: torch.optim.lr_scheduler.ReduceLROnPlateau's rule
// with mode "min" and a relative threshold.
class Plateau {
 public:
  Plateau(double learning_rate, double factor = 0.1, int patience = 10, double threshold = 1e-4,
          int cooldown = 0, double min_learning_rate = 0)
      : factor_(factor),
        patience_(patience),
        threshold_(threshold),
        cooldown_(cooldown),
        min_(min_learning_rate),
        state_{learning_rate} {}
  // Takes the metric of one evaluation and gives the rate from then on.
  double step(double metric);
  double rate() const { return state_.rate; }

  // What it has seen, for checkpoints.
  struct State {
    double rate = 0;
    double best = std::numeric_limits<double>::infinity();
    int bad = 0, cooling = 0;
  };
  const State& state() const { return state_; }
  void restore(const State& state) { state_ = state; }

 private:
  double factor_;
  int patience_;
  double threshold_;
  int cooldown_;
  double min_;
  State state_;
};

}  // namespace cairn
