// Axes: the range of the data, where a value lies in it, and round numbers to mark it with.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cairn::plot {

struct Range {
  double low = 0;
  double high = 1;
};

// Values whose magnitude is above this are not drawn, like infinities and NaN: the differences that
// drawing computes would overflow. A logarithmic axis ends at its inverse.
inline constexpr double kLargest = 1e300;
// True for a value that an axis can show.
bool is_drawable(double value, bool log = false);

// The multiples of 1, 2 or 5 times a power of ten that lie in the range: the finest step that gives
// at most `at_most` of them (which counts as 2 when it is less).
std::vector<double> nice_ticks(Range range, int at_most);
// The same for a logarithmic axis of positive numbers: 1, 2 and 5 in each decade, else 1 and 3,
// else only powers of ten, else every second, fifth, ... of these; where that leaves fewer than
// two, nice_ticks.
std::vector<double> log_ticks(Range range, int at_most);
// One text per tick: "0", "0.5", "1.0"; "20k"; "2e-5". Evenly spaced ticks get as many decimals as
// tell neighbours apart; those of a logarithmic axis each what it needs.
std::vector<std::string> tick_labels(std::span<const double> ticks, bool log);

struct Axis {
  Range range;
  bool log = false;
  std::vector<double> ticks;
  std::vector<std::string> labels;

  // 0 at range.low, 1 at range.high, beyond them outside; NaN for what cannot be drawn.
  double position(double value) const;
};

// An axis for the drawable values of `columns`, widened on both sides by `margin` of its length, or
// for exactly `fixed` where given. No drawable value: 0 to 1 (log: 1 to 10). All equal: some room
// around it. Throws Error when `fixed` is empty, not drawable or upside down.
Axis make_axis(std::span<const std::span<const double>> columns, std::optional<Range> fixed,
               bool log, double margin, int tick_count);

}  // namespace cairn::plot
