#include "cairn/plot/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "cairn/base/error.h"

namespace cairn::plot {
namespace {

// Ticks are integers times a step: a tick is counted as inside when it misses the range by less
// than this part of a step, so that 0.3 / 0.1 counts as 3.
constexpr double kSlack = 1e-6;

struct Steps {
  double first, last;  // whole numbers
  double count() const { return last - first + 1; }
};

Steps steps_in(Range range, double step) {
  return {std::ceil(range.low / step - kSlack), std::floor(range.high / step + kSlack)};
}

std::string trim_zeros(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

// A number by itself: "0.001", "1e-4", "20k", "3M".
std::string plain_label(double value) {
  const double m = std::abs(value);
  if (m == 0) return "0";
  if (m < 0.99e-3 || m >= 1e15) {
    const int exponent = static_cast<int>(std::floor(std::log10(m) + 1e-9));
    return trim_zeros(fmt::format("{:.2f}", value / std::pow(10, exponent))) +
           fmt::format("e{}", exponent);
  }
  constexpr std::array<std::string_view, 5> kUnits = {"", "k", "M", "B", "T"};
  size_t unit = 0;
  double v = value;
  while (m >= 1e4 && unit + 1 < kUnits.size() && std::abs(v) >= 999.5) {
    v /= 1000;
    ++unit;
  }
  return trim_zeros(fmt::format("{:.{}f}", v, m < 1 ? 6 : 3)) + std::string(kUnits[unit]);
}

}  // namespace

bool is_drawable(double value, bool log) {
  return std::abs(value) <= kLargest && (!log || value >= 1 / kLargest);
}

std::vector<double> nice_ticks(Range range, int at_most) {
  const double span = range.high - range.low;
  CAIRN_ASSERT(span > 0);
  // With two or more, each step of the sequence 1, 2, 5, 10 that is too fine is followed by one
  // that hits the range: three multiples of one step always include a multiple of the next.
  const double wanted = std::max(at_most, 2);
  double power = std::pow(10, std::floor(std::log10(span / wanted)) - 1);
  for (;; power *= 10) {
    for (double m : {1.0, 2.0, 5.0}) {
      const double step = m * power;
      const Steps steps = steps_in(range, step);
      if (steps.count() > wanted) continue;
      std::vector<double> ticks;
      for (double i = steps.first; i <= steps.last; ++i) ticks.push_back(i == 0 ? 0 : i * step);
      return ticks;
    }
  }
}

std::vector<double> log_ticks(Range range, int at_most) {
  const int first = static_cast<int>(std::floor(std::log10(range.low)));
  const int last = static_cast<int>(std::ceil(std::log10(range.high)));
  const auto collect = [&](std::initializer_list<double> multiples, int stride) {
    std::vector<double> ticks;
    for (int e = first; e <= last; ++e) {
      if (e % stride != 0) continue;
      for (double m : multiples) {
        const double tick = e < 0 ? m / std::pow(10, -e) : m * std::pow(10, e);
        if (tick >= range.low * (1 - kSlack) && tick <= range.high * (1 + kSlack))
          ticks.push_back(tick);
      }
    }
    return ticks;
  };
  const size_t limit = static_cast<size_t>(std::max(at_most, 2));
  std::vector<double> ticks = collect({1, 2, 5}, 1);
  if (ticks.size() > limit) ticks = collect({1, 3}, 1);
  for (int stride : {1, 2, 5, 10, 20, 50, 100}) {
    if (ticks.size() <= limit) break;
    ticks = collect({1}, stride);
  }
  return ticks.size() >= 2 ? ticks : nice_ticks(range, at_most);
}

std::vector<std::string> tick_labels(std::span<const double> ticks, bool log) {
  double largest = 0;
  for (double t : ticks) largest = std::max(largest, std::abs(t));
  std::vector<std::string> labels;
  if (log || ticks.size() < 2 || largest >= 1e15 || largest < 0.99e-3) {
    for (double t : ticks) labels.push_back(plain_label(t));
    return labels;
  }
  const double step = ticks[1] - ticks[0];
  constexpr std::array<std::string_view, 5> kUnits = {"", "k", "M", "B", "T"};
  size_t unit = 0;
  double scale = 1;
  while (largest >= 1e4 && unit + 1 < kUnits.size() && largest / scale >= 999.5) {
    scale *= 1000;
    ++unit;
  }
  const int decimals =
      std::clamp(static_cast<int>(std::ceil(-std::log10(std::abs(step) / scale) - kSlack)), 0, 15);
  for (double t : ticks)
    labels.push_back(t == 0 ? "0" : fmt::format("{:.{}f}{}", t / scale, decimals, kUnits[unit]));
  return labels;
}

double Axis::position(double value) const {
  if (!is_drawable(value, log)) return NAN;
  if (!log) return (value - range.low) / (range.high - range.low);
  const double low = std::log(range.low);
  return (std::log(value) - low) / (std::log(range.high) - low);
}

Axis make_axis(std::span<const std::span<const double>> columns, std::optional<Range> fixed,
               bool log, double margin, int tick_count) {
  Axis axis;
  axis.log = log;
  if (fixed) {
    if (!is_drawable(fixed->low, log) || !is_drawable(fixed->high, log) ||
        !(fixed->low < fixed->high))
      throw_error(
          fmt::format("[chart] the range of an axis is {} to {}: expected two finite{} "
                      "numbers, the lower first",
                      fixed->low, fixed->high, log ? " positive" : ""));
    axis.range = *fixed;
  } else {
    double low = INFINITY;
    double high = -INFINITY;
    for (std::span<const double> column : columns) {
      for (double v : column) {
        if (!is_drawable(v, log)) continue;
        low = std::min(low, v);
        high = std::max(high, v);
      }
    }
    if (low > high) {
      low = log ? 1 : 0;
      high = log ? 10 : 1;
    } else if (high - low <= 1e-9 * std::max(std::abs(low), std::abs(high)) ||
               (!log && high - low < 1e-290)) {
      // All equal, to what an axis could label: half as much again around it.
      const double room = low == 0 && high == 0 ? 1 : std::max(std::abs(low) * 0.5, 1e-290);
      if (log) {
        low = std::max(low / 2, 1 / kLargest);
        high = std::min(high * 2, kLargest);
      } else {
        low -= room;
        high += room;
      }
    } else if (log) {
      const double factor = std::exp(margin * (std::log(high) - std::log(low)));
      low = std::max(low / factor, 1 / kLargest);
      high = std::min(high * factor, kLargest);
    } else {
      const double room = (high - low) * margin;
      low -= room;
      high += room;
    }
    axis.range = {low, high};
  }
  axis.ticks = log ? log_ticks(axis.range, tick_count) : nice_ticks(axis.range, tick_count);
  axis.labels = tick_labels(axis.ticks, log);
  return axis;
}

}  // namespace cairn::plot
