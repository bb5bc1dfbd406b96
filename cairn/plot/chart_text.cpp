// A chart in a terminal: axes in box characters, lines in braille dots.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "cairn/plot/chart.h"
#include "cairn/plot/colors.h"

namespace cairn::plot {
namespace {

constexpr std::array<std::string_view, 8> kGlyphs = {"•", "+", "×", "o", "◆", "*", "□", "#"};
constexpr std::array<std::string_view, 8> kAsciiGlyphs = {"*", "+", "x", "o", "#", "%", "@", "&"};
// A single braille dot is hard to see: a series of few points gets a glyph for each.
constexpr size_t kFewPoints = 150;

std::string braille(uint8_t mask) {
  const uint32_t code = 0x2800u + mask;
  return {static_cast<char>(0xe0 | (code >> 12)), static_cast<char>(0x80 | ((code >> 6) & 0x3f)),
          static_cast<char>(0x80 | (code & 0x3f))};
}

// The cells of the plot. A cell shows a glyph if it has one, else its dots, in the colour of the
// series that touched it last.
class Canvas {
 public:
  Canvas(int columns, int rows)
      : columns_(columns), rows_(rows), cells_(static_cast<size_t>(columns) * rows) {}

  // Dots are numbered from the top left; one outside is ignored.
  void dot(int64_t x, int64_t y, int series) {
    if (Cell* cell = at(x >> 1, y >> 2)) {
      constexpr uint8_t kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
      cell->dots |= kBits[y & 3][x & 1];
      if (cell->glyph.empty()) cell->series = series;
    }
  }
  void glyph(int64_t column, int64_t row, std::string_view text, int series) {
    if (Cell* cell = at(column, row)) {
      cell->glyph = text;
      cell->series = series;
    }
  }
  std::string row(int r, bool color) const {
    std::string line;
    int current = -1;  // the series whose colour is on
    for (int c = 0; c < columns_; ++c) {
      const Cell& cell = cells_[static_cast<size_t>(r) * columns_ + c];
      const bool empty = cell.glyph.empty() && cell.dots == 0;
      if (color && !empty && cell.series != current) {
        current = cell.series;
        line += ansi::series(current);
      }
      if (empty) {
        line += ' ';
      } else {
        line += cell.glyph.empty() ? braille(cell.dots) : std::string(cell.glyph);
      }
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    if (current >= 0) line += ansi::kReset;
    return line;
  }

 private:
  struct Cell {
    uint8_t dots = 0;
    int series = -1;
    std::string_view glyph;
  };
  Cell* at(int64_t column, int64_t row) {
    if (column < 0 || row < 0 || column >= columns_ || row >= rows_) return nullptr;
    return &cells_[static_cast<size_t>(row) * columns_ + static_cast<size_t>(column)];
  }
  int columns_, rows_;
  std::vector<Cell> cells_;
};

struct Point {
  double x, y;
};

// The part of the segment inside [0, 1] x [0, 1] (Liang and Barsky).
std::optional<std::pair<Point, Point>> clip(Point a, Point b) {
  double from = 0;
  double to = 1;
  const double dx = b.x - a.x;
  const double dy = b.y - a.y;
  const double edges[4][2] = {{-dx, a.x}, {dx, 1 - a.x}, {-dy, a.y}, {dy, 1 - a.y}};
  for (const auto& [p, q] : edges) {
    if (p == 0) {
      if (q < 0) return std::nullopt;
    } else if (p < 0) {
      from = std::max(from, q / p);
    } else {
      to = std::min(to, q / p);
    }
  }
  if (from > to) return std::nullopt;
  return std::pair{Point{a.x + from * dx, a.y + from * dy}, Point{a.x + to * dx, a.y + to * dy}};
}

// How one series is drawn: a glyph per cell, or braille dots when it is empty.
using Pen = std::string_view;

// Without colour the first line keeps the fine dots and the others differ by their glyph.
std::vector<Pen> choose_pens(const Chart& chart, const TerminalStyle& style) {
  std::vector<Pen> pens;
  bool dots_taken = false;
  for (const Series& s : chart.series) {
    const size_t i = pens.size() % kGlyphs.size();
    const bool few_points = s.kind == Series::Kind::scatter && s.xs.size() <= kFewPoints;
    if (!style.unicode) {
      pens.push_back(kAsciiGlyphs[i]);
    } else if (few_points) {
      pens.push_back(kGlyphs[style.color ? 0 : i]);
    } else if (style.color || !dots_taken) {
      pens.push_back({});
      dots_taken = true;
    } else {
      pens.push_back(kGlyphs[i]);
    }
  }
  return pens;
}

void draw(Canvas& canvas, const Series& s, int index, const Axes& axes, Pen pen, int columns,
          int rows) {
  const double width = 2 * columns - 1;
  const double height = 4 * rows - 1;
  const auto mark = [&](Point p) {
    const int64_t x = std::llround(p.x * width);
    const int64_t y = std::llround((1 - p.y) * height);
    if (pen.empty()) {
      canvas.dot(x, y, index);
    } else {
      canvas.glyph(x >> 1, y >> 2, pen, index);
    }
  };
  std::optional<Point> before;
  for (size_t i = 0; i < s.xs.size(); ++i) {
    const Point p = {axes.x.position(s.xs[i]), axes.y.position(s.ys[i])};
    if (std::isnan(p.x) || std::isnan(p.y)) {
      before.reset();
      continue;
    }
    const bool first = !before;
    const Point start = s.kind == Series::Kind::scatter || first ? p : *before;
    before = p;
    const auto part = clip(start, p);
    if (!part) continue;
    const auto [a, b] = *part;
    const double steps =
        std::ceil(std::max({std::abs(b.x - a.x) * width, std::abs(b.y - a.y) * height, 1.0}));
    for (double step = 0; step <= steps; ++step) {
      const double t = step / steps;
      mark({a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)});
    }
  }
}

// The y label and the legend, in as many lines as they need.
std::vector<std::string> heading(const Chart& chart, std::span<const Pen> pens,
                                 const TerminalStyle& style) {
  std::vector<std::string> items;
  if (!chart.y_label.empty()) items.push_back(painted(chart.y_label, ansi::kDim, style.color));
  for (size_t i = 0; i < chart.series.size(); ++i) {
    if (chart.series[i].label.empty()) continue;
    const Pen pen = pens[i];
    const std::string_view sample = pen.empty() ? std::string_view(style.color ? "━━" : "⠒⠒") : pen;
    items.push_back(painted(sample, ansi::series(static_cast<int>(i)), style.color) + " " +
                    chart.series[i].label);
  }
  std::vector<std::string> lines;
  int cells = 0;
  for (std::string& item : items) {
    const int width = display_width(item);
    if (!lines.empty() && cells + 3 + width <= style.width) {
      lines.back() += "   " + item;
      cells += 3 + width;
    } else {
      lines.push_back(width > style.width ? fit(item, style.width, Align::left, style.unicode)
                                          : std::move(item));
      cells = std::min(width, style.width);
    }
  }
  return lines;
}

// The cell that a position in [0, 1] falls in along `cells` cells of `dots` dots, as draw() places
// it.
int cell_of(double position, int cells, int dots) {
  return static_cast<int>(std::llround(position * (cells * dots - 1))) / dots;
}

std::string trimmed(std::string line) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

}  // namespace

std::string to_text(const Chart& given_chart, const TerminalStyle& given) {
  Chart chart = given_chart;
  std::erase_if(chart.series, [](const Series& s) { return s.faint; });
  TerminalStyle style = given;
  style.width = std::max(style.width, 24);
  style.height = std::max(style.height, 8);
  const std::vector<Pen> pens = choose_pens(chart, style);
  const std::vector<std::string> head = heading(chart, pens, style);
  const int rows = std::max(style.height - static_cast<int>(head.size()) - !chart.title.empty() -
                                !chart.x_label.empty() - 2,
                            3);
  Axes axes = make_axes(chart, 0, 0.04, std::max(style.width / 9, 3), std::max((rows + 1) / 2, 3));
  int gutter = 0;
  for (const std::string& label : axes.y.labels) gutter = std::max(gutter, display_width(label));
  const int columns = std::max(style.width - gutter - 2, 8);

  Canvas canvas(columns, rows);
  for (const auto kind : {Series::Kind::line, Series::Kind::scatter}) {  // points lie on top
    for (size_t i = 0; i < chart.series.size(); ++i)
      if (chart.series[i].kind == kind)
        draw(canvas, chart.series[i], static_cast<int>(i), axes, pens[i], columns, rows);
  }

  // Where the ticks stand, in cells; those of x that would touch the one before are left out.
  std::vector<std::string> left(static_cast<size_t>(rows),
                                std::string(static_cast<size_t>(gutter), ' '));
  std::vector<bool> marked(static_cast<size_t>(rows), false);
  for (size_t i = 0; i < axes.y.ticks.size(); ++i) {
    const double p = std::clamp(axes.y.position(axes.y.ticks[i]), 0.0, 1.0);
    const size_t row = static_cast<size_t>(cell_of(1 - p, rows, 4));
    left[row] = fit(axes.y.labels[i], gutter, Align::right);
    marked[row] = true;
  }
  std::string rule;
  std::string numbers(static_cast<size_t>(gutter) + 1, ' ');
  std::vector<bool> ticked(static_cast<size_t>(columns), false);
  for (size_t i = 0; i < axes.x.ticks.size(); ++i) {
    const double p = std::clamp(axes.x.position(axes.x.ticks[i]), 0.0, 1.0);
    const int column = cell_of(p, columns, 2);
    const int size = static_cast<int>(axes.x.labels[i].size());
    int start = gutter + 1 + column - (size - 1) / 2;
    start = std::min(start, gutter + 1 + columns - size);
    const bool first = numbers.find_first_not_of(' ') == std::string::npos;
    if (start < static_cast<int>(numbers.size()) + (first ? 0 : 1)) {
      if (!first || start < 0) continue;
      numbers.resize(static_cast<size_t>(start));
    }
    ticked[static_cast<size_t>(column)] = true;
    numbers += std::string(static_cast<size_t>(start) - numbers.size(), ' ') + axes.x.labels[i];
  }
  for (bool t : ticked) rule += style.unicode ? (t ? "┬" : "─") : (t ? "+" : "-");

  const auto dim = [&](std::string_view text) { return painted(text, ansi::kDim, style.color); };
  std::string out;
  if (!chart.title.empty())
    out += painted(trimmed(fit(chart.title, style.width, Align::left, style.unicode)), ansi::kBold,
                   style.color) +
           "\n";
  for (const std::string& line : head) out += line + "\n";
  for (int r = 0; r < rows; ++r) {
    const bool m = marked[static_cast<size_t>(r)];
    const std::string_view edge = style.unicode ? (m ? "┤" : "│") : (m ? "+" : "|");
    out +=
        dim(left[static_cast<size_t>(r)] + std::string(edge)) + canvas.row(r, style.color) + "\n";
  }
  out += dim(std::string(static_cast<size_t>(gutter), ' ') + (style.unicode ? "└" : "+") + rule) +
         "\n";
  out += dim(numbers) + "\n";
  if (!chart.x_label.empty()) {
    const std::string label = fit(chart.x_label, columns, Align::center, style.unicode);
    out += trimmed(std::string(static_cast<size_t>(gutter) + 1, ' ') + label) + "\n";
  }
  return out;
}

}  // namespace cairn::plot
