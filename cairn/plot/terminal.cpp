#include "cairn/plot/terminal.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace cairn::plot {
namespace {

// A value scaled to one of `units`, each `base` times the one before: one decimal below 100, none
// above, and the unit chosen after rounding, so that 999,960 is "1.0M" and not "1000.0k".
template <size_t N>
std::string scaled(double value, double base, const std::array<std::string_view, N>& units) {
  size_t unit = 0;
  double v = std::abs(value);
  while (unit + 1 < N && v >= base - 0.5) {
    v /= base;
    ++unit;
  }
  const char* sign = value < 0 ? "-" : "";
  if (unit == 0) return fmt::format("{}{:.0f}{}", sign, v, units[0]);
  return v < 99.95 ? fmt::format("{}{:.1f}{}", sign, v, units[unit])
                   : fmt::format("{}{:.0f}{}", sign, v, units[unit]);
}

constexpr std::array<std::string_view, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array<std::string_view, 8> kAsciiBlocks = {"_", ".", ":", "-", "=", "+", "*", "#"};
constexpr std::array<std::string_view, 8> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

std::string repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
  constexpr std::array<std::string_view, 7> kUnits = {" B",   " KiB", " MiB", " GiB",
                                                      " TiB", " PiB", " EiB"};
  return scaled(static_cast<double>(bytes), 1024, kUnits);
}

std::string human_count(double value) {
  if (!std::isfinite(value)) return short_number(value);
  // 999.5 and more would show as 1000 below, so it takes the unit.
  if (std::abs(value) < 999.5) return short_number(value, 3);
  constexpr std::array<std::string_view, 5> kUnits = {"", "k", "M", "B", "T"};
  if (std::abs(value) >= 1e15) return short_number(value, 3);
  return scaled(value, 1000, kUnits);
}

std::string short_number(double value, int digits) {
  if (std::isnan(value)) return "nan";
  if (value == 0) return "0";
  return fmt::format("{:.{}g}", value, digits);
}

std::string human_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "--";
  if (seconds == 0) return "0s";
  if (seconds < 0.9995e-3) return fmt::format("{:.0f}us", seconds * 1e6);
  if (seconds < 0.9995) return fmt::format("{:.0f}ms", seconds * 1e3);
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  if (seconds < 59.5) return fmt::format("{:.0f}s", seconds);
  constexpr double kLongest = 1e15;  // 30 million years; more would not fit an integer
  const int64_t s = static_cast<int64_t>(std::llround(std::min(seconds, kLongest)));
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  const int64_t m = (s + 30) / 60;
  if (m < 24 * 60) return fmt::format("{}h{:02}m", m / 60, m % 60);
  const int64_t h = (s + 1800) / 3600;
  return fmt::format("{}d{:02}h", h / 24, h % 24);
}

std::string eta_text(double elapsed_seconds, double done, double total) {
  if (!(done > 0) || !(total >= 0)) return "ETA --";
  return "ETA " + human_duration(elapsed_seconds * std::max(total - done, 0.0) / done);
}

std::string progress_bar(double fraction, int width, bool unicode) {
  const double filled = std::isnan(fraction) ? 0.0 : std::clamp(fraction, 0.0, 1.0);
  if (width <= 0) return "";
  if (!unicode) {
    const int inner = std::max(width - 2, 0);
    const int full = static_cast<int>(filled * inner + 1e-9);
    return fmt::format("[{}{}]", repeat("#", full), repeat("-", inner - full));
  }
  const int eighths = static_cast<int>(filled * width * 8 + 1e-9);
  const int full = eighths / 8;
  std::string bar = repeat("█", full);
  if (full == width) return bar;
  const std::string_view part = kEighths[static_cast<size_t>(eighths % 8)];
  bar += part;
  return bar + repeat("░", width - full - (part.empty() ? 0 : 1));
}

std::string sparkline(std::span<const double> values, int width, bool unicode) {
  const int64_t count = static_cast<int64_t>(values.size());
  const int64_t cells = std::min<int64_t>(std::max(width, 0), count);
  std::vector<double> means;
  for (int64_t c = 0; c < cells; ++c) {
    double sum = 0;
    int64_t finite = 0;
    for (int64_t i = c * count / cells; i < (c + 1) * count / cells; ++i) {
      if (!std::isfinite(values[static_cast<size_t>(i)])) continue;
      sum += values[static_cast<size_t>(i)];
      ++finite;
    }
    means.push_back(finite ? sum / static_cast<double>(finite) : NAN);
  }
  double low = INFINITY;
  double high = -INFINITY;
  for (double v : means) {
    if (std::isnan(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const auto& blocks = unicode ? kBlocks : kAsciiBlocks;
  std::string line;
  for (double v : means) {
    if (!std::isfinite(v)) {
      line += ' ';
      continue;
    }
    const double t = high > low ? (v - low) / (high - low) : 0.5;
    line += blocks[static_cast<size_t>(std::clamp(t * 8, 0.0, 7.0))];
  }
  return line;
}

}  // namespace cairn::plot
