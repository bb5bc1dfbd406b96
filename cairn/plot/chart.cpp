#include "cairn/plot/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cairn/base/error.h"

namespace cairn::plot {

Series function_series(std::string label, const std::function<double(double)>& f, Range range,
                       int points) {
  if (points < 2)
    throw_error(fmt::format("[function_series] {} points: expected 2 or more", points));
  Series series;
  series.label = std::move(label);
  for (int i = 0; i < points; ++i) {
    const double t = static_cast<double>(i) / (points - 1);
    const double x = range.low * (1 - t) + range.high * t;
    series.xs.push_back(x);
    series.ys.push_back(f(x));
  }
  return series;
}

Series smoothed(const Series& series, int window) {
  if (window < 1) throw_error(fmt::format("[smoothed] a window of {}: expected 1 or more", window));
  Series result = series;
  result.faint = false;
  for (size_t i = 0; i < series.ys.size(); ++i) {
    const size_t first =
        i + 1 > static_cast<size_t>(window) ? i + 1 - static_cast<size_t>(window) : 0;
    double sum = 0;
    int finite = 0;
    for (size_t j = first; j <= i; ++j) {
      if (!std::isfinite(series.ys[j])) continue;
      sum += series.ys[j];
      ++finite;
    }
    result.ys[i] = finite ? sum / finite : NAN;
  }
  return result;
}

Axes make_axes(const Chart& chart, double x_margin, double y_margin, int x_ticks, int y_ticks) {
  std::vector<std::span<const double>> xs;
  std::vector<std::span<const double>> ys;
  for (const Series& s : chart.series) {
    if (s.xs.size() != s.ys.size())
      throw_error(
          fmt::format("[chart] series \"{}\" has {} xs and {} ys: expected one y for each x",
                      s.label, s.xs.size(), s.ys.size()));
    xs.push_back(s.xs);
    ys.push_back(s.ys);
  }
  return {make_axis(xs, chart.x_range, chart.log_x, x_margin, x_ticks),
          make_axis(ys, chart.y_range, chart.log_y, y_margin, y_ticks)};
}

std::vector<size_t> thin(const std::vector<double>& xs, const std::vector<double>& ys) {
  std::vector<size_t> kept;
  const auto is_gap = [&](size_t i) { return std::isnan(xs[i]) || std::isnan(ys[i]); };
  for (size_t i = 0; i < xs.size();) {
    size_t end = i + 1;
    if (is_gap(i)) {
      while (end < xs.size() && is_gap(end)) ++end;
      kept.push_back(i);
    } else {
      const double column = std::floor(xs[i]);
      size_t lowest = i;
      size_t highest = i;
      for (; end < xs.size() && !is_gap(end) && std::floor(xs[end]) == column; ++end) {
        if (ys[end] < ys[lowest]) lowest = end;
        if (ys[end] > ys[highest]) highest = end;
      }
      size_t chosen[] = {i, std::min(lowest, highest), std::max(lowest, highest), end - 1};
      for (size_t c : chosen)
        if (kept.empty() || kept.back() != c) kept.push_back(c);
    }
    i = end;
  }
  return kept;
}

}  // namespace cairn::plot
