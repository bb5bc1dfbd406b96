#include "cairn/plot/colors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace cairn::plot {
namespace {

constexpr std::array<uint32_t, 17> kViridis = {
    0x440154, 0x48186a, 0x472d7b, 0x424086, 0x3b528b, 0x33638d, 0x2c728e, 0x26828e, 0x21918c,
    0x1fa088, 0x28ae80, 0x3fbc73, 0x5ec962, 0x84d44b, 0xaddc30, 0xd8e219, 0xfde725};
constexpr std::array<uint32_t, 11> kDiverging = {0x053061, 0x2166ac, 0x4393c3, 0x92c5de,
                                                 0xd1e5f0, 0xf7f7f7, 0xfddbc7, 0xf4a582,
                                                 0xd6604d, 0xb2182b, 0x67001f};
constexpr std::array<uint32_t, 2> kGray = {0x000000, 0xffffff};
constexpr Rgb kNotANumber = {0x5b, 0x4f, 0x66};

constexpr int kPalette = 8;
constexpr std::array<std::string_view, kPalette> kLight = {
    "#2563eb", "#ea580c", "#059669", "#9333ea", "#dc2626", "#0891b2", "#a16207", "#db2777"};
constexpr std::array<std::string_view, kPalette> kDark = {
    "#60a5fa", "#fb923c", "#34d399", "#c084fc", "#f87171", "#22d3ee", "#facc15", "#f472b6"};
// Cyan, yellow, green, magenta, red, blue and two bright ones: black and white would vanish on one
// ground or the other, and plain blue is hard to read on black, so it comes late.
constexpr std::array<std::string_view, kPalette> kAnsi = {
    "\033[36m", "\033[33m", "\033[32m", "\033[35m", "\033[31m", "\033[34m", "\033[96m", "\033[93m"};

std::span<const uint32_t> anchors(ColorMap map) {
  switch (map) {
    case ColorMap::viridis: return kViridis;
    case ColorMap::diverging: return kDiverging;
    case ColorMap::gray: break;
  }
  return kGray;
}

}  // namespace

Rgb color_at(ColorMap map, double t) {
  if (std::isnan(t)) return kNotANumber;
  const std::span<const uint32_t> table = anchors(map);
  const double at = std::clamp(t, 0.0, 1.0) * static_cast<double>(table.size() - 1);
  const size_t low = std::min(static_cast<size_t>(at), table.size() - 2);
  const double part = at - static_cast<double>(low);
  auto channel = [&](int shift) {
    const double a = (table[low] >> shift) & 0xff;
    const double b = (table[low + 1] >> shift) & 0xff;
    return static_cast<uint8_t>(std::lround(a + (b - a) * part));
  };
  return {channel(16), channel(8), channel(0)};
}

int luma(Rgb color) { return (299 * color.r + 587 * color.g + 114 * color.b + 500) / 1000; }

std::string_view series_color(int series, bool dark) {
  return (dark ? kDark : kLight)[static_cast<size_t>(series % kPalette)];
}

namespace ansi {
std::string_view series(int series) { return kAnsi[static_cast<size_t>(series % kPalette)]; }
std::string foreground(Rgb c) { return fmt::format("\033[38;2;{};{};{}m", c.r, c.g, c.b); }
std::string background(Rgb c) { return fmt::format("\033[48;2;{};{};{}m", c.r, c.g, c.b); }
}  // namespace ansi

std::string painted(std::string_view text, std::string_view code, bool color) {
  if (!color || text.empty()) return std::string(text);
  return fmt::format("{}{}{}", code, text, ansi::kReset);
}

}  // namespace cairn::plot
