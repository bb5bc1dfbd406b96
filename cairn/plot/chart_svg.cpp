// A chart as one self-contained <svg>.
//
// Colours are CSS variables with a light and a dark set; the classes start with "cp-" since the
// style of an inline SVG reaches the whole page. The plot area is a nested <svg>, which clips
// without an id that another chart of the same page might also use. Values appear without a script:
// the plot is covered by narrow strips, each with the values of its place in a <title>.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "cairn/plot/chart.h"
#include "cairn/plot/colors.h"
#include "cairn/plot/markup.h"

namespace cairn::plot {
namespace {

constexpr int kFontSize = 12;
// Width of a digit or an average letter of the sans-serif fonts, in parts of their size.
constexpr double kLetter = 0.58;
constexpr int kStrips = 90;
// A line of few points shows where they are; a scatter of many has no tooltips for each.
constexpr size_t kDottedLine = 40;
constexpr size_t kTooltips = 500;

std::string number(double v) {
  std::string text = fmt::format("{:.1f}", v);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

double text_width(std::string_view text) { return display_width(text) * kLetter * kFontSize; }

std::string style_element(int colors) {
  std::string light;
  std::string dark;
  std::string classes;
  for (int i = 0; i < colors; ++i) {
    light += fmt::format("--s{}:{};", i, series_color(i, false));
    dark += fmt::format("--s{}:{};", i, series_color(i, true));
    classes += fmt::format(".cp-s{0}{{color:var(--s{0})}}", i);
  }
  return fmt::format(
      "<style>"
      ".cp{{--paper:#fff;--ink:#1f2933;--soft:#6b7684;--grid:#e6e9ed;{}"
      "font:{}px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
      "max-width:100%;height:auto}}"
      "@media(prefers-color-scheme:dark){{.cp{{--paper:#16191f;--ink:#e6e9ed;--soft:#98a2b0;"
      "--grid:#2a2f38;{}}}}}"
      ".cp text{{fill:var(--soft)}}.cp .cp-title{{fill:var(--ink);font-weight:600;font-size:14px}}"
      ".cp .cp-name{{fill:var(--ink)}}"
      ".cp-grid{{stroke:var(--grid);fill:none}}.cp-axis{{stroke:var(--soft);fill:none}}"
      ".cp-line{{stroke:currentColor;stroke-width:1.8;fill:none;stroke-linejoin:round;"
      "stroke-linecap:round}}"
      ".cp-faint{{stroke-width:1;opacity:.28}}.cp-dot{{fill:currentColor;stroke:var(--paper)}}"
      ".cp-strip{{fill:transparent}}.cp-strip:hover{{fill:var(--soft);fill-opacity:.15}}{}"
      "</style>",
      light, kFontSize, dark, classes);
}

struct Pixels {
  std::vector<double> xs, ys;  // NaN: a gap
};

Pixels to_pixels(const Series& s, const Axes& axes, double width, double height) {
  Pixels p;
  for (size_t i = 0; i < s.xs.size(); ++i) {
    // Four heights outside are enough to look vertical, and keep the numbers short.
    p.xs.push_back(std::clamp(axes.x.position(s.xs[i]), -4.0, 5.0) * width);
    p.ys.push_back((1 - std::clamp(axes.y.position(s.ys[i]), -4.0, 5.0)) * height);
  }
  return p;
}

std::string tooltip(const Series& s, size_t i, bool with_x) {
  const std::string& what = i < s.names.size() ? s.names[i] : s.label;
  std::string text = what.empty() ? "" : what + ": ";
  if (with_x) text += short_number(s.xs[i], 6) + ", ";
  return escaped(text + short_number(s.ys[i], 6));
}

std::string line_path(const Pixels& p) {
  std::string path;
  bool open = false;
  const std::vector<size_t> kept = thin(p.xs, p.ys);
  for (size_t k = 0; k < kept.size(); ++k) {
    const size_t i = kept[k];
    if (std::isnan(p.xs[i]) || std::isnan(p.ys[i])) {
      open = false;
      continue;
    }
    path += fmt::format("{}{} {}", open ? "L" : "M", number(p.xs[i]), number(p.ys[i]));
    // A point between two gaps is a line of no length; round caps make it a dot.
    const size_t next = k + 1 < kept.size() ? kept[k + 1] : 0;
    if (!open && (next == 0 || std::isnan(p.xs[next]) || std::isnan(p.ys[next]))) path += "h0";
    open = true;
  }
  return path;
}

// One circle a point, of those in the same half pixel only the first.
std::string circles(const Series& s, const Pixels& p, double radius) {
  std::string out;
  std::set<std::pair<int64_t, int64_t>> places;
  std::vector<size_t> kept;
  for (size_t i = 0; i < p.xs.size(); ++i) {
    if (std::isnan(p.xs[i]) || std::isnan(p.ys[i])) continue;
    if (places.emplace(std::llround(p.xs[i] * 2), std::llround(p.ys[i] * 2)).second)
      kept.push_back(i);
  }
  const bool titles = kept.size() <= kTooltips;
  for (size_t i : kept) {
    out += fmt::format("<circle class=\"cp-dot\" cx=\"{}\" cy=\"{}\" r=\"{}\"", number(p.xs[i]),
                       number(p.ys[i]), radius);
    out += titles ? fmt::format("><title>{}</title></circle>", tooltip(s, i, true)) : "/>";
  }
  return out;
}

// The strips with the values of every line near them; one without values is left out.
std::string strips(const Chart& chart, const std::vector<Pixels>& pixels, double width,
                   double height) {
  const double step = width / kStrips;
  std::vector<std::string> texts(kStrips);
  for (size_t s = 0; s < chart.series.size(); ++s) {
    const Series& series = chart.series[s];
    if (series.kind != Series::Kind::line || series.faint) continue;
    // The point nearest to the middle of each strip.
    std::vector<size_t> nearest(kStrips, series.xs.size());
    const auto distance = [&](size_t i, size_t k) {
      return std::abs(pixels[s].xs[i] - (static_cast<double>(k) + 0.5) * step);
    };
    for (size_t i = 0; i < series.xs.size(); ++i) {
      const double x = pixels[s].xs[i];
      if (std::isnan(x) || std::isnan(pixels[s].ys[i]) || x < 0 || x > width) continue;
      const size_t k = std::min(static_cast<size_t>(x / step), static_cast<size_t>(kStrips - 1));
      if (nearest[k] == series.xs.size() || distance(i, k) < distance(nearest[k], k))
        nearest[k] = i;
    }
    for (size_t k = 0; k < kStrips; ++k) {
      if (nearest[k] == series.xs.size()) continue;
      if (texts[k].empty())
        texts[k] = escaped((chart.x_label.empty() ? "x" : chart.x_label) + " " +
                           short_number(series.xs[nearest[k]], 6));
      texts[k] += "\n" + tooltip(series, nearest[k], false);
    }
  }
  std::string out;
  for (size_t k = 0; k < kStrips; ++k) {
    if (texts[k].empty()) continue;
    out += fmt::format(
        "<rect class=\"cp-strip\" x=\"{}\" y=\"0\" width=\"{}\" "
        "height=\"{}\"><title>{}</title></rect>",
        number(static_cast<double>(k) * step), number(step), number(height), texts[k]);
  }
  return out;
}

std::string text_at(double x, double y, std::string_view text, std::string_view attributes) {
  return fmt::format("<text x=\"{}\" y=\"{}\"{}>{}</text>", number(x), number(y), attributes,
                     escaped(text));
}

}  // namespace

std::string to_svg(const Chart& chart, const SvgStyle& style) {
  const double full_width = std::max(style.width, 160);
  const double full_height = std::max(style.height, 120);
  // A faint series has the colour of the next one that is not.
  std::vector<int> color;
  int colors = 0;
  for (const Series& s : chart.series) color.push_back(s.faint ? colors : colors++);
  colors = std::max(colors, color.empty() ? 1 : color.back() + 1);

  std::string head;
  double top = 12;
  if (!chart.title.empty()) {
    head += text_at(14, top + 12, chart.title, " class=\"cp-title\"");
    top += 24;
  }
  // The legend, in as many lines as it needs; the label of y stands before it, where it is read
  // without turning the head.
  double x = 14;
  bool used = false;
  if (!chart.y_label.empty()) {
    head += text_at(x, top + 10, chart.y_label, "");
    x += text_width(chart.y_label) + 22;
    used = true;
  }
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& s = chart.series[i];
    if (s.label.empty()) continue;
    const double needed = 24 + text_width(s.label);
    if (x + needed > full_width - 10 && x > 14) {
      x = 14;
      top += 18;
    }
    head += fmt::format("<g class=\"cp-s{}\">", color[i] % 8);
    head += s.kind == Series::Kind::line
                ? fmt::format("<path class=\"cp-line{}\" d=\"M{} {}h14\"/>",
                              s.faint ? " cp-faint" : "", number(x), number(top + 6))
                : fmt::format("<circle class=\"cp-dot\" cx=\"{}\" cy=\"{}\" r=\"4\"/>",
                              number(x + 7), number(top + 6));
    head += "</g>" + text_at(x + 20, top + 10, s.label, " class=\"cp-name\"");
    x += needed + 18;
    used = true;
  }
  if (used) top += 20;
  top += 4;

  const double bottom = full_height - (chart.x_label.empty() ? 28 : 46);
  const double height = std::max(bottom - top, 20.0);
  Axes axes = make_axes(chart, 0.015, 0.05, std::max(style.width / 80, 3),
                        std::max(static_cast<int>(height / 36), 3));
  double left = 0;
  for (const std::string& label : axes.y.labels) left = std::max(left, text_width(label));
  left += 22;
  const double width = full_width - left - 16;

  std::string grid;
  std::string labels;
  for (size_t i = 0; i < axes.y.ticks.size(); ++i) {
    const double y = top + (1 - axes.y.position(axes.y.ticks[i])) * height;
    grid += fmt::format("M{} {}h{}", number(left), number(y), number(width));
    labels += text_at(left - 8, y + 4, axes.y.labels[i], " text-anchor=\"end\"");
  }
  for (size_t i = 0; i < axes.x.ticks.size(); ++i) {
    const double tick = left + axes.x.position(axes.x.ticks[i]) * width;
    grid += fmt::format("M{} {}v{}", number(tick), number(top), number(height));
    labels += text_at(tick, top + height + 17, axes.x.labels[i], " text-anchor=\"middle\"");
  }
  if (!chart.x_label.empty())
    labels +=
        text_at(left + width / 2, top + height + 36, chart.x_label, " text-anchor=\"middle\"");

  std::vector<Pixels> pixels;
  for (const Series& s : chart.series) pixels.push_back(to_pixels(s, axes, width, height));
  std::string marks;
  std::string points;  // above the strips, so that each can show its own tooltip
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& s = chart.series[i];
    const std::string group = fmt::format("<g class=\"cp-s{}\">", color[i] % 8);
    const bool scatter = s.kind == Series::Kind::scatter;
    if (!scatter)
      marks += fmt::format("{}<path class=\"cp-line{}\" d=\"{}\"/></g>", group,
                           s.faint ? " cp-faint" : "", line_path(pixels[i]));
    if (scatter || (s.xs.size() <= kDottedLine && !s.faint))
      points +=
          group + circles(s, pixels[i], scatter && s.xs.size() > kTooltips ? 2 : 3.5) + "</g>";
  }

  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"cp\" viewBox=\"0 0 {0} {1}\" "
      "width=\"{0}\" "
      "height=\"{1}\" role=\"img\" aria-label=\"{2}\">{3}"
      "<rect width=\"{0}\" height=\"{1}\" rx=\"10\" fill=\"var(--paper)\"/>"
      "{4}<path class=\"cp-grid\" d=\"{5}\"/>{6}"
      "<svg x=\"{7}\" y=\"{8}\" width=\"{9}\" height=\"{10}\" "
      "overflow=\"hidden\">{11}{12}{13}</svg>"
      "<path class=\"cp-axis\" d=\"M{7} {8}v{10}h{9}\"/></svg>",
      number(full_width), number(full_height),
      escaped(chart.title.empty() ? std::string("chart") : chart.title),
      style_element(std::min(colors, 8)), head, grid, labels, number(left), number(top),
      number(width), number(height), marks, strips(chart, pixels, width, height), points);
}

}  // namespace cairn::plot
