#include "cairn/plot/pixels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace cairn::plot {
namespace {

// Between tiles: a dull blue, which no gray is and which differs from black, from the middle gray
// and from the ends of the other maps.
constexpr Rgb kBorder = {38, 50, 78};
constexpr int64_t kTarget = 1000;
constexpr int64_t kLargestScale = 24;
constexpr int64_t kLargestTextScale = 4;

// The values as they will be coloured: each in [0, 1] (or NaN), tile after tile.
struct Tiles {
  int64_t count = 0;
  int64_t height = 0;
  int64_t width = 0;
  bool matrix = false;  // its two sides have nothing to do with each other
  std::vector<double> values;
  bool units() const { return height == 1 && width == 1; }
};

Tiles shape_tiles(const Shape& given) {
  Shape shape = given;
  while (shape.rank() > 3 && shape[0] == 1) shape.erase(0);
  if (shape.rank() == 2 && shape[0] == 1) shape.erase(0);
  if (shape.elements() == 0 || shape.rank() < 1 || shape.rank() > 3)
    throw_error(
        fmt::format("[activations] shape {} cannot be drawn: expected [channels, height, "
                    "width], [tokens, width] or [units] with at least one element",
                    to_string(given)));
  if (shape.rank() == 3) return {shape[0], shape[1], shape[2], false, {}};
  if (shape.rank() == 2) return {1, shape[0], shape[1], true, {}};
  return {shape[0], 1, 1, false, {}};
}

// The magnitude that gets the full colour.
double full_scale(std::span<const double> values, bool percentile) {
  std::vector<double> magnitudes;
  for (double v : values)
    if (std::isfinite(v)) magnitudes.push_back(std::abs(v));
  if (magnitudes.empty()) return 0;
  const auto last = std::max_element(magnitudes.begin(), magnitudes.end());
  const double largest = *last;
  if (!percentile) return largest;
  const auto at =
      magnitudes.begin() + std::llround(0.995 * static_cast<double>(magnitudes.size() - 1));
  std::nth_element(magnitudes.begin(), at, magnitudes.end());
  return *at > 0 ? *at : largest;
}

Tiles normalised(const HostArray& activations, ColorMap map) {
  Tiles tiles = shape_tiles(activations.shape());
  tiles.values.resize(static_cast<size_t>(activations.elements()));
  bool is_signed = map == ColorMap::diverging;
  for (size_t i = 0; i < tiles.values.size(); ++i) {
    tiles.values[i] = activations.at(static_cast<int64_t>(i));
    is_signed = is_signed || tiles.values[i] < 0;
  }
  const int64_t group = tiles.units() ? tiles.count : tiles.height * tiles.width;
  for (int64_t first = 0; first < activations.elements(); first += group) {
    const std::span<double> values(tiles.values.data() + first, static_cast<size_t>(group));
    const double scale = full_scale(values, tiles.matrix);
    for (double& v : values) {
      // An infinity is at the end of the map even where all else is zero.
      const double part = std::isinf(v) ? std::copysign(1.0, v) : scale > 0 ? v / scale : v;
      v = std::clamp(is_signed ? 0.5 + 0.5 * part : part, 0.0, 1.0);
    }
  }
  return tiles;
}

// Columns of a grid of `count` tiles of width x height whose bounding box, borders included, can be
// enlarged most (or must be shrunk least) inside max_width x max_height.
int64_t best_columns(const Tiles& t, int64_t border, double max_width, double max_height) {
  int64_t best = 1;
  double best_factor = 0;
  for (int64_t columns = 1; columns <= t.count; ++columns) {
    const int64_t rows = (t.count + columns - 1) / columns;
    const double width = static_cast<double>(columns * (t.width + border) + border);
    const double height = static_cast<double>(rows * (t.height + border) + border);
    const double factor = std::min(max_width / width, max_height / height);
    // A full last row is worth a smaller picture, for mere squares even a much smaller one.
    const double worth = t.count % columns != 0 ? factor : factor * (t.units() ? 1.5 : 1.1);
    if (worth >= best_factor) {  // of equals the widest
      best_factor = worth;
      best = columns;
    }
  }
  return best;
}

HostArray draw(const Tiles& t, ColorMap map, int64_t columns, int64_t border, int64_t scale_y,
               int64_t scale_x) {
  const int64_t rows = (t.count + columns - 1) / columns;
  const int64_t tile_height = t.height * scale_y;
  const int64_t tile_width = t.width * scale_x;
  const int64_t height = rows * (tile_height + border) + border;
  const int64_t width = columns * (tile_width + border) + border;
  HostArray image(DType::u8, {height, width, 3});
  const auto bytes = image.mutable_span<uint8_t>();
  const auto paint = [&](int64_t y, int64_t x, Rgb c) {
    uint8_t* pixel = &bytes[static_cast<size_t>((y * width + x) * 3)];
    pixel[0] = c.r;
    pixel[1] = c.g;
    pixel[2] = c.b;
  };
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) paint(y, x, kBorder);
  for (int64_t i = 0; i < t.count; ++i) {
    const int64_t top = border + i / columns * (tile_height + border);
    const int64_t left = border + i % columns * (tile_width + border);
    for (int64_t y = 0; y < tile_height; ++y) {
      for (int64_t x = 0; x < tile_width; ++x) {
        const int64_t at = (i * t.height + y / scale_y) * t.width + x / scale_x;
        paint(top + y, left + x, color_at(map, t.values[static_cast<size_t>(at)]));
      }
    }
  }
  return image;
}

// A matrix with at most max_height x max_width values: of each block the one that is farthest from
// the colour of zero, so that a single strong value stays visible.
Tiles reduced(const Tiles& t, int64_t max_height, int64_t max_width, double zero) {
  Tiles small{1, std::min(t.height, max_height), std::min(t.width, max_width), true, {}};
  for (int64_t y = 0; y < small.height; ++y) {
    for (int64_t x = 0; x < small.width; ++x) {
      double chosen = NAN;
      for (int64_t v = y * t.height / small.height; v < (y + 1) * t.height / small.height; ++v) {
        for (int64_t u = x * t.width / small.width; u < (x + 1) * t.width / small.width; ++u) {
          const double value = t.values[static_cast<size_t>(v * t.width + u)];
          if (std::isnan(chosen) || std::abs(value - zero) > std::abs(chosen - zero))
            chosen = value;
        }
      }
      small.values.push_back(chosen);
    }
  }
  return small;
}

}  // namespace

HostArray activations_to_image(const HostArray& activations, const ActivationStyle& style) {
  const Tiles tiles = normalised(activations, style.map);
  const int64_t columns = best_columns(tiles, 1, kTarget, kTarget);
  const int64_t rows = (tiles.count + columns - 1) / columns;
  const auto scale_to_target = [&](int64_t values) {
    return style.scale > 0 ? style.scale : std::clamp<int64_t>(kTarget / values, 1, kLargestScale);
  };
  int64_t scale_x = scale_to_target(columns * tiles.width);
  int64_t scale_y = scale_to_target(rows * tiles.height);
  if (!tiles.matrix) scale_x = scale_y = std::min(scale_x, scale_y);
  const int64_t border = std::min(scale_x, scale_y) >= 4 ? 2 : 1;
  return draw(tiles, style.map, columns, border, scale_y, scale_x);
}

std::string activations_to_text(const HostArray& activations, ColorMap map,
                                const TerminalStyle& style) {
  Tiles tiles = normalised(activations, map);
  const int64_t width = std::max(style.width, 1);
  const int64_t height = 2 * static_cast<int64_t>(std::max(style.height, 1));
  if (tiles.matrix) {
    bool is_signed = map == ColorMap::diverging;
    for (int64_t i = 0; i < activations.elements(); ++i)
      is_signed = is_signed || activations.at(i) < 0;
    tiles = reduced(tiles, height, width, is_signed ? 0.5 : 0);
  }
  // Small maps are enlarged, by whole numbers. A border costs a pixel: none between mere squares.
  for (int64_t scale = kLargestTextScale; scale >= 1; --scale) {
    const Tiles large = {tiles.count, tiles.height * scale, tiles.width * scale, tiles.matrix, {}};
    const int64_t border = tiles.matrix || (tiles.units() && scale < 3) ? 0 : 1;
    const int64_t columns =
        best_columns(large, border, static_cast<double>(width), static_cast<double>(height));
    const int64_t rows = (tiles.count + columns - 1) / columns;
    const bool fits = columns * (large.width + border) + border <= width &&
                      rows * (large.height + border) + border <= height;
    if (fits || scale == 1)
      return image_to_text(draw(tiles, map, columns, border, scale, scale), style);
  }
  return "";
}

}  // namespace cairn::plot
