#include "cairn/train/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cairn/base/error.h"
#include "cairn/base/names.h"

namespace cairn {
namespace {

double cosine_between(double from, double to, double share) {
  return to + 0.5 * (from - to) * (1 + std::cos(M_PI * share));
}

double one_cycle(const ScheduleConfig& c, long step) {
  const double initial = c.learning_rate / c.start_divisor;
  const double final = initial / c.end_divisor;
  const double top = c.peak_share * static_cast<double>(c.total_steps) - 1;
  const double end = static_cast<double>(c.total_steps - 1);
  const auto between = [&](double from, double to, double share) {
    return c.linear_anneal ? from + (to - from) * share : cosine_between(from, to, share);
  };
  const double s = static_cast<double>(std::min(step, c.total_steps - 1));
  return s <= top ? between(initial, c.learning_rate, s / top)
                  : between(c.learning_rate, final, (s - top) / (end - top));
}

}  // namespace

double rate_at(const ScheduleConfig& c, long step) {
  static const std::string kNames[] = {"constant",      "cosine", "linear",    "polynomial",
                                       "exponential",   "step",   "multistep", "one_cycle",
                                       "warm_restarts", "plateau"};
  if (std::find(std::begin(kNames), std::end(kNames), c.name) == std::end(kNames))
    throw_error(fmt::format("'{}' is not a schedule; {}", c.name, suggest(c.name, kNames)));
  if (step < c.warmup_steps)
    return c.learning_rate * static_cast<double>(step + 1) /
           static_cast<double>(c.warmup_steps + 1);
  const double span = static_cast<double>(std::max(c.total_steps - c.warmup_steps, 1L));
  const double s = static_cast<double>(step - c.warmup_steps);
  const double share = std::min(s / span, 1.0);
  if (c.name == "constant" || c.name == "plateau") return c.learning_rate;
  if (c.name == "cosine") return cosine_between(c.learning_rate, c.min_learning_rate, share);
  if (c.name == "linear") return c.learning_rate + (c.min_learning_rate - c.learning_rate) * share;
  if (c.name == "polynomial")
    return (c.learning_rate - c.min_learning_rate) * std::pow(1 - share, c.power) +
           c.min_learning_rate;
  if (c.name == "exponential")
    return std::max(c.learning_rate * std::pow(c.gamma, s), c.min_learning_rate);
  if (c.name == "step")
    return std::max(
        c.learning_rate * std::pow(c.gamma, std::floor(s / static_cast<double>(c.step_size))),
        c.min_learning_rate);
  if (c.name == "multistep") {
    const auto passed =
        std::count_if(c.milestones.begin(), c.milestones.end(), [&](long m) { return m <= step; });
    return std::max(c.learning_rate * std::pow(c.gamma, static_cast<double>(passed)),
                    c.min_learning_rate);
  }
  if (c.name == "one_cycle") return one_cycle(c, step);
  double start = 0;  // warm_restarts
  double length = static_cast<double>(c.step_size);
  while (s >= start + length) {
    start += length;
    length *= c.cycle_growth;
  }
  return cosine_between(c.learning_rate, c.min_learning_rate, (s - start) / length);
}

double Plateau::step(double metric) {
  State& s = state_;
  if (metric < s.best * (1 - threshold_)) {
    s.best = metric;
    s.bad = 0;
  } else {
    ++s.bad;
  }
  if (s.cooling > 0) {
    --s.cooling;
    s.bad = 0;
  }
  if (s.bad > patience_) {
    const double lower = std::max(s.rate * factor_, min_);
    if (s.rate - lower > 1e-8) s.rate = lower;
    s.cooling = cooldown_;
    s.bad = 0;
  }
  return s.rate;
}

}  // namespace cairn
