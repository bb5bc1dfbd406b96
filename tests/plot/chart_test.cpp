#include "cairn/plot/chart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <random>
#include <sstream>

#include "cairn/base/error.h"
#include "tests/plot/markup_check.h"

namespace cairn::plot {
namespace {

TerminalStyle plain(int width, int height, bool unicode = true, bool color = false) {
  return {width, height, unicode, color};
}

Chart two_lines() {
  Chart chart;
  chart.title = "loss";
  chart.x_label = "step";
  chart.series = {{"a", {0, 1, 2, 3, 4}, {4, 2, 1, 0.5, 0.25}}, {"b", {0, 4}, {0, 4}}};
  return chart;
}

size_t count(std::string_view text, std::string_view part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(ChartText, Golden) {
  EXPECT_EQ(to_text(two_lines(), plain(32, 11)), R"(loss
⠒⠒ a   + b
4┤⠢⢄                       ++++
 │  ⠉⠢⣀               +++++
 │     ⠓⢄       ++++++
2┤       ⠉⠑++++++
 │    +++++    ⠉⠑⠒⠤⠤⠤⣀⣀⣀
0┤++++                  ⠉⠉⠉⠉⠉⠒⠒
 └┬─────────────┬─────────────┬
  0             2             4
              step
)");
  EXPECT_EQ(to_text(two_lines(), plain(32, 11, false)), R"(loss
* a   + b
4+**                       ++++
 |  ***               +++++
 |     **       ++++++
2+       **++++++
 |    +++++    *********
0+++++                  *******
 ++-------------+-------------+
  0             2             4
              step
)");
}

TEST(ChartText, ColorPaintsBothLinesInDots) {
  EXPECT_EQ(to_text(two_lines(), plain(24, 9, true, true)),
            "\033[1mloss\033[0m\n"
            "\033[36m━━\033[0m a   \033[33m━━\033[0m b\n"
            "\033[2m4┤\033[0m\033[36m⠒⠤⡀             \033[33m⢀⣀⠤⠔⠒\033[0m\n"
            "\033[2m │\033[0m  \033[36m⠈⠱⢄     \033[33m⢀⣀⠤⠔⠒⠉⠁\033[0m\n"
            "\033[2m2┤\033[0m    \033[33m⢀⣉⠭⠖⠲⠭⣁\033[36m⣀\033[0m\n"
            "\033[2m0┤\033[0m\033[33m⠤⠔⠒⠉⠁       \033[36m⠉⠉⠉⠒⠒⠒⠒⠒⠢\033[0m\n"
            "\033[2m └┬─────────┬─────────┬\033[0m\n"
            "\033[2m  0         2         4\033[0m\n"
            "          step\n");
}

TEST(ChartText, GapsStayOpenAndOnePointIsADot) {
  Chart chart;
  chart.series = {{"", {0, 1, 2, 3, 4, 5, 6}, {0, 1, NAN, 3, INFINITY, 5, 6}}};
  EXPECT_EQ(to_text(chart, plain(24, 8, false)), R"( |                  ***
5+                 *
 |
 |          *
 |   *
0+***
 ++----------------+---
  0                5
)");
}

TEST(ChartText, EmptyChartHasAxes) {
  EXPECT_EQ(to_text(Chart{}, plain(24, 8)), R"(1.0┤
   │
   │
0.5┤
   │
  0┤
   └┬────────┬────────┬
    0       0.5     1.0
)");
}

TEST(ChartText, PointsLieOnTheLine) {
  Chart chart;
  chart.series = {{"data", {1}, {1}, Series::Kind::scatter}, {"line", {0, 2}, {0, 2}}};
  EXPECT_EQ(to_text(chart, plain(24, 8)), R"(• data   ⠒⠒ line
2┤                 ⢀⡠⠤⠒
 │             ⣀⠤⠒⠊⠁
1┤        ⣀⡠•⠊⠉
 │   ⢀⡠⠤⠒⠉
0┤⠤⠒⠊⠁
 └┬─────────┬─────────┬
  0         1         2
)");
}

TEST(ChartText, FaintSeriesAreLeftOut) {
  Chart chart = two_lines();
  const std::string without = to_text(chart, plain(40, 12));
  Series noise = {"noise", {0, 4}, {-100, 100}};
  noise.faint = true;
  chart.series.insert(chart.series.begin(), noise);
  EXPECT_EQ(to_text(chart, plain(40, 12)), without);
}

TEST(ChartText, StaysInItsBox) {
  Chart chart = two_lines();
  chart.title = std::string(200, 't');
  chart.x_label = std::string(200, 'x');
  chart.y_label = std::string(200, 'y');
  for (int i = 0; i < 12; ++i)
    chart.series.push_back({"a rather long label", {0, 1e6}, {1e-3 * i, 1e9}});
  for (int width : {24, 40, 80, 133}) {
    for (int height : {8, 12, 30}) {
      for (bool unicode : {false, true}) {
        for (bool color : {false, true}) {
          const std::string text = to_text(chart, plain(width, height, unicode, color));
          std::istringstream lines(text);
          std::string line;
          while (std::getline(lines, line)) {
            EXPECT_LE(display_width(line), width) << line;
            EXPECT_TRUE(color || line.empty() || line.back() != ' ') << line;
            for (char c : line) EXPECT_TRUE(unicode || static_cast<unsigned char>(c) < 0x80);
          }
        }
      }
    }
  }
  const std::string modest = to_text(two_lines(), plain(60, 20));
  EXPECT_EQ(count(modest, "\n"), 20u);
}

TEST(ChartText, OutsideAFixedRangeIsClipped) {
  Chart chart;
  chart.y_range = Range{0, 1};
  chart.x_range = Range{0, 1};
  chart.series = {{"", {-1, 2}, {-1, 2}}};  // crosses the box from corner to corner
  Chart inside = chart;
  inside.series = {{"", {0, 1}, {0, 1}}};
  EXPECT_EQ(to_text(chart, plain(30, 10)), to_text(inside, plain(30, 10)));
  chart.series = {{"", {-1, 2}, {5, 5}}};
  inside.series = {};
  EXPECT_EQ(to_text(chart, plain(30, 10)), to_text(inside, plain(30, 10)));
}

TEST(Chart, MismatchedSeriesIsNamed) {
  Chart chart;
  chart.series = {{"train", {1, 2}, {1}}};
  try {
    to_text(chart, {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "[chart] series \"train\" has 2 xs and 1 ys: expected one y for each x");
  }
  EXPECT_THROW(to_svg(chart), Error);
}

TEST(Chart, FunctionSeriesIncludesBothEnds) {
  const Series s = function_series("square", [](double x) { return x * x; }, {-0.3, 0.7}, 11);
  ASSERT_EQ(s.xs.size(), 11u);
  EXPECT_EQ(s.xs.front(), -0.3);
  EXPECT_EQ(s.xs.back(), 0.7);
  for (size_t i = 0; i < s.xs.size(); ++i) EXPECT_EQ(s.ys[i], s.xs[i] * s.xs[i]);
  EXPECT_THROW(function_series("", [](double x) { return x; }, {0, 1}, 1), Error);
}

TEST(Chart, SmoothedLooksBackOnly) {
  Series raw = {"", {0, 1, 2, 3, 4}, {1, 3, NAN, 5, 9}};
  raw.faint = true;
  const Series s = smoothed(raw, 2);
  EXPECT_FALSE(s.faint);
  EXPECT_EQ(s.ys, (std::vector<double>{1, 2, 3, 5, 7}));
  EXPECT_TRUE(std::isnan(smoothed({"", {0}, {NAN}}, 3).ys[0]));
  EXPECT_THROW(smoothed({"", {0}, {1}}, 0), Error);
}

TEST(Thin, KeepsEveryExtremeAndFewPoints) {
  // 100,000 points on 500 columns, with one spike up and one down that last a single point.
  constexpr int kPoints = 100000;
  std::vector<double> xs(kPoints);
  std::vector<double> ys(kPoints);
  for (int i = 0; i < kPoints; ++i) {
    xs[i] = i * 500.0 / kPoints;
    ys[i] = std::sin(i * 0.7);
  }
  ys[12345] = 50;
  ys[77777] = -50;
  const std::vector<size_t> kept = thin(xs, ys);
  EXPECT_LE(kept.size(), 4u * 500u);
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
  EXPECT_TRUE(std::binary_search(kept.begin(), kept.end(), 12345u));
  EXPECT_TRUE(std::binary_search(kept.begin(), kept.end(), 77777u));
  EXPECT_EQ(kept.front(), 0u);
  EXPECT_EQ(kept.back(), kPoints - 1u);
  // Each column keeps its own lowest and highest value.
  for (int column = 0; column < 500; ++column) {
    double low = INFINITY, high = -INFINITY, kept_low = INFINITY, kept_high = -INFINITY;
    for (int i = column * 200; i < (column + 1) * 200; ++i) {
      low = std::min(low, ys[i]);
      high = std::max(high, ys[i]);
      if (!std::binary_search(kept.begin(), kept.end(), static_cast<size_t>(i))) continue;
      kept_low = std::min(kept_low, ys[i]);
      kept_high = std::max(kept_high, ys[i]);
    }
    EXPECT_EQ(low, kept_low);
    EXPECT_EQ(high, kept_high);
  }
}

TEST(Thin, KeepsGapsAndTheOrderOfACurve) {
  const std::vector<double> xs = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6};
  EXPECT_EQ(thin(xs, {1, 2, NAN, NAN, 3, 4}), (std::vector<size_t>{0, 1, 2, 4, 5}));
  // Going back to a column is a new visit.
  EXPECT_EQ(thin({0.5, 1.5, 0.5}, {0, 0, 1}), (std::vector<size_t>{0, 1, 2}));
  EXPECT_TRUE(thin({}, {}).empty());
}

TEST(ChartSvg, IsWellFormedAndSelfContained) {
  Chart chart = two_lines();
  chart.y_label = "nats";
  chart.series.push_back({"points", {1, 2}, {3, NAN}, Series::Kind::scatter});
  const std::string svg = to_svg(chart);
  EXPECT_EQ(test::markup_problem(svg), "");
  EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_NE(svg.find("prefers-color-scheme:dark"), std::string::npos);
  for (const char* absent : {"<script", "href", "url(", "@import", "nan", "inf\""})
    EXPECT_EQ(svg.find(absent), std::string::npos) << absent;
  EXPECT_EQ(count(svg, "http"), 1u);  // the namespace
}

TEST(ChartSvg, PointsMayHaveNames) {
  Series points{"all", {1, 2}, {3, 4}, Series::Kind::scatter};
  points.names = {"first", "<second>"};
  const std::string svg = to_svg({.title = "", .series = {points}});
  EXPECT_NE(svg.find("<title>first: 1, 3</title>"), std::string::npos) << svg;
  EXPECT_NE(svg.find("<title>&lt;second&gt;: 2, 4</title>"), std::string::npos);
}

TEST(ChartSvg, TooltipsNameEachPoint) {
  const std::string svg = to_svg(two_lines());
  // Lines of few points: a dot with its values for each, and strips with those nearby.
  EXPECT_NE(svg.find("<title>a: 3, 0.5</title>"), std::string::npos);
  EXPECT_NE(svg.find("<title>step 0\na: 4\nb: 0</title>"), std::string::npos);
  EXPECT_NE(svg.find("<title>step 2\na: 1</title>"), std::string::npos);
}

TEST(ChartSvg, DrawsWhereTheAxesSay) {
  Chart chart;
  chart.x_range = Range{0, 10};
  chart.y_range = Range{0, 1};
  chart.series = {{"", {0, 5, 10}, {0, 1, 0.5}}};
  const std::string svg = to_svg(chart, {300, 200});
  // Height: 200 less 16 above and 28 below. Width: 300 less 16 at the right, 22 at the left and
  // three characters of 12 x 0.58 for "0.5".
  EXPECT_NE(svg.find("d=\"M0 156L120.6 0L241.1 78\""), std::string::npos) << svg;
}

TEST(ChartSvg, GapsBreakThePathAndOnePointIsADot) {
  Chart chart;
  chart.x_range = Range{0, 4};
  chart.y_range = Range{0, 4};
  chart.series = {{"", {0, 1, 2, 3, 4}, {0, 1, NAN, 3, NAN}}};
  const std::string svg = to_svg(chart, {300, 200});
  const size_t line = svg.find("class=\"cp-line\" d=\"");
  ASSERT_NE(line, std::string::npos);
  const std::string path = svg.substr(line, svg.find("/>", line) - line);
  EXPECT_EQ(count(path, "M"), 2u);
  EXPECT_EQ(count(path, "L"), 1u);
  EXPECT_EQ(count(path, "h0"), 1u);
}

TEST(ChartSvg, EscapesEveryText) {
  Chart chart;
  const std::string evil = "</title><script>alert(\"&'\")</script>";
  chart.title = chart.x_label = chart.y_label = evil;
  chart.series = {{evil, {1, 2}, {1, 2}}, {evil, {1}, {2}, Series::Kind::scatter}};
  const std::string svg = to_svg(chart);
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_EQ(test::markup_problem(svg), "");
  EXPECT_NE(svg.find("&lt;script&gt;alert(&quot;&amp;&#39;&quot;)"), std::string::npos);
}

TEST(ChartSvg, ManyPointsStaySmall) {
  Chart chart;
  chart.series = {
      function_series("wave", [](double x) { return std::sin(1e4 * x); }, {0, 1}, 200000)};
  // 720 columns of at most 4 points of about 12 bytes, and 90 strips of about 150.
  EXPECT_LT(to_svg(chart).size(), 720u * 4 * 12 + 90 * 150 + 4000);
  Series cloud = {"cloud", {}, {}, Series::Kind::scatter};
  for (int i = 0; i < 20000; ++i) {
    cloud.xs.push_back(i % 10);
    cloud.ys.push_back(i % 7);
  }
  chart.series = {cloud};
  EXPECT_EQ(count(to_svg(chart), "<circle"), 70u + 1);  // the distinct places, and the legend
}

TEST(ChartSvg, AnyNumbersGiveAPicture) {
  std::mt19937 random(3);
  const double values[] = {0,      -0.0, 1,        -1,        1e300, -1e300,    1e308, 5e-324,
                           1e-300, NAN,  INFINITY, -INFINITY, 1e-7,  12345.678, 1e16,  -3e-5};
  for (int round = 0; round < 300; ++round) {
    Chart chart;
    chart.log_x = random() % 3 == 0;
    chart.log_y = random() % 3 == 0;
    for (size_t s = random() % 4; s > 0; --s) {
      Series series;
      if (random() % 2) series.kind = Series::Kind::scatter;
      series.faint = random() % 4 == 0;
      for (size_t i = random() % 60; i > 0; --i) {
        series.xs.push_back(values[random() % std::size(values)]);
        series.ys.push_back(values[random() % std::size(values)]);
      }
      chart.series.push_back(series);
    }
    const std::string svg = to_svg(chart, {300, 200});
    EXPECT_EQ(test::markup_problem(svg), "");
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
    EXPECT_EQ(count(to_text(chart, plain(40, 12)), "\n"), 12u);
  }
}

TEST(ChartSvg, FaintSeriesSharesTheColorOfTheNext) {
  Chart chart = two_lines();
  chart.series[0].faint = true;
  const std::string svg = to_svg(chart);
  EXPECT_NE(svg.find("<g class=\"cp-s0\"><path class=\"cp-line cp-faint\" d="), std::string::npos);
  EXPECT_EQ(svg.find("cp-s1"), std::string::npos);
}

TEST(ChartSvg, EmptyAndSmallChartsWork) {
  EXPECT_EQ(test::markup_problem(to_svg(Chart{})), "");
  EXPECT_EQ(test::markup_problem(to_svg(two_lines(), {1, 1})), "");
  Chart faint;
  faint.series = {{"", {1}, {1}}};
  faint.series[0].faint = true;
  EXPECT_EQ(test::markup_problem(to_svg(faint)), "");
}

}  // namespace
}  // namespace cairn::plot
