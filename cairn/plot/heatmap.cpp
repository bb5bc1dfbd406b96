#include "cairn/plot/heatmap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "cairn/plot/pixels.h"

namespace cairn::plot {
namespace {

void check(const Heatmap& map) {
  if (map.rows < 0 || map.columns < 0 ||
      static_cast<int64_t>(map.rows) * map.columns != static_cast<int64_t>(map.values.size()))
    throw_error(fmt::format("[heatmap] {} values do not fill {} rows of {} columns",
                            map.values.size(), map.rows, map.columns));
}

Range range_of(const Heatmap& map) {
  if (map.range) return *map.range;
  double low = INFINITY;
  double high = -INFINITY;
  for (double v : map.values) {
    if (!is_drawable(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  if (low > high) return {0, 1};
  if (map.map == ColorMap::diverging) {
    const double m = std::max(std::abs(low), std::abs(high));
    return m > 0 ? Range{-m, m} : Range{-1, 1};
  }
  return low < high ? Range{low, high} : Range{low - 0.5, high + 0.5};
}

// The map at height x width pixels: of a block of values the mean, of one value several pixels.
HostArray draw(const Heatmap& map, ColorMap colors, int64_t height, int64_t width) {
  const Range range = range_of(map);
  HostArray image(DType::u8, {height, width, 3});
  const auto bytes = image.mutable_span<uint8_t>();
  // At least one value under each pixel.
  const auto block = [](int64_t i, int64_t pixels, int64_t values) {
    const int64_t first = i * values / pixels;
    return std::pair{first, std::max((i + 1) * values / pixels, first + 1)};
  };
  for (int64_t y = 0; y < height; ++y) {
    const auto [top, bottom] = block(y, height, map.rows);
    for (int64_t x = 0; x < width; ++x) {
      const auto [left, right] = block(x, width, map.columns);
      double sum = 0;
      for (int64_t r = top; r < bottom; ++r)
        for (int64_t c = left; c < right; ++c)
          sum += map.values[static_cast<size_t>(r * map.columns + c)];
      const double value = sum / static_cast<double>((bottom - top) * (right - left));
      const Rgb color = color_at(colors, (value - range.low) / (range.high - range.low));
      uint8_t* pixel = &bytes[static_cast<size_t>((y * width + x) * 3)];
      pixel[0] = color.r;
      pixel[1] = color.g;
      pixel[2] = color.b;
    }
  }
  return image;
}

struct Tick {
  double at;  // 0 at the left or top edge, 1 at the other
  std::string label;
};

std::vector<Tick> ticks_of(const std::optional<Range>& range, int count, int at_most, bool down) {
  std::vector<Tick> ticks;
  if (range) {
    const Axis axis = make_axis({}, range, false, 0, at_most);
    for (size_t i = 0; i < axis.ticks.size(); ++i) {
      const double p = axis.position(axis.ticks[i]);
      ticks.push_back({down ? 1 - p : p, axis.labels[i]});
    }
    return ticks;
  }
  if (count == 1) return {{0.5, "0"}};
  for (double t : nice_ticks({0, static_cast<double>(count - 1)}, at_most))
    if (t == std::floor(t)) ticks.push_back({(t + 0.5) / count, fmt::format("{:.0f}", t)});
  return ticks;
}

// The cell of `cells` whose middle is nearest; between two the first, in which a tall cell's label
// then stands.
int cell_of(double at, int cells) {
  return std::clamp(static_cast<int>(std::ceil(at - 1e-9)) - 1, 0, cells - 1);
}

std::string scale_line(const Heatmap& map, int width, const TerminalStyle& style) {
  const Range range = range_of(map);
  const std::string low = short_number(range.low, 3);
  const std::string high = short_number(range.high, 3);
  const int bar = std::clamp(width - display_width(low) - display_width(high) - 2, 4, 24);
  HostArray strip(DType::u8, {2, bar, 3});
  const auto bytes = strip.mutable_span<uint8_t>();
  for (int i = 0; i < 2 * bar; ++i) {
    const double t = static_cast<double>(i % bar) / (bar - 1);
    const Rgb c = color_at(style.color ? map.map : ColorMap::gray, t);
    const uint8_t rgb[3] = {c.r, c.g, c.b};
    std::copy(rgb, rgb + 3, &bytes[3 * static_cast<size_t>(i)]);
  }
  std::string colors = image_to_text(strip, {bar, 1, style.unicode, style.color});
  colors.pop_back();  // the end of the line
  return low + " " + colors + " " + high + "\n";
}

}  // namespace

Heatmap function_heatmap(std::string title, const std::function<double(double, double)>& f, Range x,
                         Range y, int columns, int rows) {
  if (columns < 1 || rows < 1)
    throw_error(fmt::format("[function_heatmap] {} columns and {} rows: expected 1 or more of each",
                            columns, rows));
  Heatmap map;
  map.title = std::move(title);
  map.rows = rows;
  map.columns = columns;
  map.x = x;
  map.y = y;
  for (int r = 0; r < rows; ++r) {
    const double v = y.high - (y.high - y.low) * (r + 0.5) / rows;
    for (int c = 0; c < columns; ++c)
      map.values.push_back(f(x.low + (x.high - x.low) * (c + 0.5) / columns, v));
  }
  return map;
}

Heatmap matrix_heatmap(std::string title, const HostArray& matrix) {
  if (matrix.shape().rank() != 2)
    throw_error(fmt::format("[matrix_heatmap] shape {}: expected a matrix [rows, columns]",
                            to_string(matrix.shape())));
  Heatmap map;
  map.title = std::move(title);
  map.rows = static_cast<int>(matrix.shape()[0]);
  map.columns = static_cast<int>(matrix.shape()[1]);
  for (int64_t i = 0; i < matrix.elements(); ++i) map.values.push_back(matrix.at(i));
  return map;
}

std::string to_text(const Heatmap& map, const TerminalStyle& given) {
  check(map);
  TerminalStyle style = given;
  style.width = std::max(style.width, 24);
  style.height = std::max(style.height, 8);
  const auto dim = [&](std::string_view text) { return painted(text, ansi::kDim, style.color); };
  std::string out;
  if (!map.title.empty())
    out += painted(fit(map.title, std::min(display_width(map.title), style.width), Align::left,
                       style.unicode),
                   ansi::kBold, style.color) +
           "\n";
  if (!map.y_label.empty()) out += dim(map.y_label) + "\n";
  if (map.values.empty()) return out + "(empty)\n";

  int rows = std::max(
      style.height - !map.title.empty() - !map.y_label.empty() - !map.x_label.empty() - 2, 2);
  const std::vector<Tick> y_ticks = ticks_of(map.y, map.rows, (rows + 1) / 2, true);
  int gutter = 0;
  for (const Tick& t : y_ticks) gutter = std::max(gutter, display_width(t.label));
  int columns = std::max(style.width - gutter - 1, 4);
  int pixels = 2 * rows;
  if (!map.x && !map.y) {
    const int cell = std::min(columns / map.columns, pixels / map.rows);
    columns = cell > 0 ? cell * map.columns : std::min(columns, map.columns);
    pixels = cell > 0 ? cell * map.rows : std::min(pixels, map.rows);
    rows = (pixels + 1) / 2;
  }
  const std::vector<Tick> x_ticks =
      ticks_of(map.x, map.columns, std::max(columns / (map.x ? 6 : 4), 2), false);

  std::vector<std::string> left(static_cast<size_t>(rows));
  for (const Tick& t : y_ticks) {
    const int row = cell_of(t.at * pixels / 2, rows);
    if (left[static_cast<size_t>(row)].empty()) left[static_cast<size_t>(row)] = t.label;
  }
  const HostArray image = draw(map, style.color ? map.map : ColorMap::gray, pixels, columns);
  std::string picture = image_to_text(image, {columns, rows, style.unicode, style.color});
  for (const std::string& label : left) {
    const size_t end = picture.find('\n');
    out += dim(fit(label, gutter, Align::right)) + " " + picture.substr(0, end + 1);
    picture.erase(0, end + 1);
  }
  std::string numbers;
  for (const Tick& t : x_ticks) {
    const int size = static_cast<int>(t.label.size());
    const int column = cell_of(t.at * columns, columns);
    const int start = std::clamp(column - (size - 1) / 2, 0, std::max(columns - size, 0));
    if (!numbers.empty() && start <= static_cast<int>(numbers.size())) continue;
    numbers += std::string(static_cast<size_t>(start) - numbers.size(), ' ') + t.label;
  }
  const std::string indent(static_cast<size_t>(gutter) + 1, ' ');
  out += indent + dim(numbers) + "\n";
  if (!map.x_label.empty()) {
    const std::string label = fit(map.x_label, std::max(columns, display_width(map.x_label)),
                                  Align::center, style.unicode);
    out += indent + label.substr(0, label.find_last_not_of(' ') + 1) + "\n";
  }
  return out + indent + scale_line(map, style.width - gutter - 1, style);
}

HostArray to_image(const Heatmap& map, int scale) {
  check(map);
  if (scale < 1) throw_error(fmt::format("[heatmap] a scale of {}: expected 1 or more", scale));
  if (map.values.empty()) return HostArray(DType::u8, {0, 0, 3});
  return draw(map, map.map, static_cast<int64_t>(map.rows) * scale,
              static_cast<int64_t>(map.columns) * scale);
}

}  // namespace cairn::plot
