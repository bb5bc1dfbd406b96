// Heat maps: a matrix, or a function of two variables, as colours.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cairn/core/host_array.h"
#include "cairn/plot/axis.h"
#include "cairn/plot/colors.h"
#include "cairn/plot/terminal.h"

namespace cairn::plot {

struct Heatmap {
  std::string title;
  std::string x_label;
  std::string y_label;
  int rows = 0;
  int columns = 0;
  std::vector<double> values;  // row after row, the first one at the top
  // What the left and right edge, the bottom and the top stand for. Without them the axes count the
  // columns and the rows from 0, as a matrix is written.
  std::optional<Range> x;
  std::optional<Range> y;
  ColorMap map = ColorMap::viridis;
  // The values at the ends of the map; else the smallest and largest finite value, and for the
  // diverging map as far below zero as above.
  std::optional<Range> range;
};

// f(x, y) at the centres of rows x columns cells over the two ranges.
Heatmap function_heatmap(std::string title, const std::function<double(double, double)>& f, Range x,
                         Range y, int columns = 96, int rows = 64);
// A matrix [rows, columns] of any dtype. Throws Error on another rank.
Heatmap matrix_heatmap(std::string title, const HostArray& matrix);

// With axes and a scale of the colours, within style.width x style.height cells (at least 24 x 8).
// A matrix has square cells, as large as fit. Without colour, shades: higher is denser. Throws
// Error when rows x columns is not the number of values.
std::string to_text(const Heatmap& map, const TerminalStyle& style);
// u8 [rows x scale, columns x scale, 3], without axes. Throws Error as above and on a scale
// below 1.
HostArray to_image(const Heatmap& map, int scale = 1);

}  // namespace cairn::plot
