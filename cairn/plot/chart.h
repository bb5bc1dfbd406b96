// Charts: lines and points over two axes, as text for a terminal or as SVG.
//
// A chart is data; the two renderings share its axes (axis.h) and nothing else. The SVG needs no
// script and no font: it carries its own style, follows the reader's light or dark scheme, and
// shows values through <title> elements when the pointer rests on it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cairn/plot/axis.h"
#include "cairn/plot/terminal.h"

namespace cairn::plot {

// xs and ys have the same length. A point that an axis cannot show (NaN, infinity; zero and less on
// a logarithmic axis) is a gap: the line breaks there.
struct Series {
  enum class Kind { line, scatter };
  std::string label;  // in the legend; may be empty
  std::vector<double> xs;
  std::vector<double> ys;
  Kind kind = Kind::line;
  // Raw values behind a smoothed line: thin and pale in SVG, in the colour of the next series that
  // is not faint; left out of a terminal, whose cells are too coarse for lines that overlap.
  bool faint = false;
  // What each point of a scatter is, in its tooltip before the numbers; empty, or one per point.
  std::vector<std::string> names = {};
};

struct Chart {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<Series> series;
  bool log_x = false;
  bool log_y = false;
  std::optional<Range> x_range;  // else what the data covers
  std::optional<Range> y_range;
};

// f at `points` equal steps over the range, both ends included.
Series function_series(std::string label, const std::function<double(double)>& f, Range range,
                       int points = 200);
// The same xs with each y the mean of the finite values among the `window` points that end there:
// no look ahead, so that the last point is what was known then.
Series smoothed(const Series& series, int window);

// Lines of text, each ended by '\n', within style.width x style.height cells (at least 24 x 8). In
// Unicode, lines are drawn in braille dots, 2 x 4 to a cell; without colour only the first series
// is, and each other one has a glyph of its own. Throws Error on xs and ys of different lengths.
std::string to_text(const Chart& chart, const TerminalStyle& style);

struct SvgStyle {
  int width = 720;  // of the view box; the picture scales to the space it is given
  int height = 340;
};
// One <svg> element. Throws Error as above.
std::string to_svg(const Chart& chart, const SvgStyle& style = {});

// What the renderings share -----------------------------------------------------------------------

struct Axes {
  Axis x, y;
};
Axes make_axes(const Chart& chart, double x_margin, double y_margin, int x_ticks, int y_ticks);

// The indices of the points to draw, in order, when points are `xs`, `ys` in pixels and NaN is a
// gap: of each run of neighbours in one column of pixels the first, lowest, highest and last. The
// picture is the same, spikes included, with at most four points a column.
std::vector<size_t> thin(const std::vector<double>& xs, const std::vector<double>& ys);

}  // namespace cairn::plot
