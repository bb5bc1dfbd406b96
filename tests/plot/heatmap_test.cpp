#include "cairn/plot/heatmap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "cairn/plot/colors.h"

namespace cairn::plot {
namespace {

Rgb pixel(const HostArray& image, int64_t y, int64_t x) {
  const auto b = image.span<uint8_t>();
  const size_t at = static_cast<size_t>((y * image.shape()[1] + x) * 3);
  return {b[at], b[at + 1], b[at + 2]};
}

HostArray matrix(std::vector<float> values, Shape shape) {
  return HostArray::from<float>(values, shape);
}

TEST(Colors, MapsGoThroughTheirKnownColors) {
  EXPECT_EQ(color_at(ColorMap::viridis, 0), (Rgb{0x44, 0x01, 0x54}));
  EXPECT_EQ(color_at(ColorMap::viridis, 0.5), (Rgb{0x21, 0x91, 0x8c}));
  EXPECT_EQ(color_at(ColorMap::viridis, 1), (Rgb{0xfd, 0xe7, 0x25}));
  EXPECT_EQ(color_at(ColorMap::diverging, 0), (Rgb{0x05, 0x30, 0x61}));
  EXPECT_EQ(color_at(ColorMap::diverging, 0.5), (Rgb{0xf7, 0xf7, 0xf7}));
  EXPECT_EQ(color_at(ColorMap::diverging, 1), (Rgb{0x67, 0x00, 0x1f}));
  EXPECT_EQ(color_at(ColorMap::gray, 0.5), (Rgb{128, 128, 128}));
  EXPECT_EQ(color_at(ColorMap::gray, -3), (Rgb{0, 0, 0}));
  EXPECT_EQ(color_at(ColorMap::gray, INFINITY), (Rgb{255, 255, 255}));
}

TEST(Colors, ViridisAndGrayGrowBrighter) {
  for (ColorMap map : {ColorMap::viridis, ColorMap::gray})
    for (int i = 0; i < 255; ++i)
      EXPECT_LE(luma(color_at(map, i / 255.0)), luma(color_at(map, (i + 1) / 255.0)));
}

TEST(Colors, NanIsInNoMap) {
  const Rgb nan = color_at(ColorMap::viridis, NAN);
  for (ColorMap map : {ColorMap::viridis, ColorMap::diverging, ColorMap::gray}) {
    EXPECT_EQ(color_at(map, NAN), nan);
    for (int i = 0; i <= 1000; ++i) EXPECT_NE(color_at(map, i / 1000.0), nan);
  }
}

TEST(Heatmap, FunctionIsSampledAtCellCentresTopDown) {
  const Heatmap map =
      function_heatmap("", [](double x, double y) { return x + 10 * y; }, {0, 4}, {0, 2}, 4, 2);
  EXPECT_EQ(map.values, (std::vector<double>{15.5, 16.5, 17.5, 18.5, 5.5, 6.5, 7.5, 8.5}));
}

TEST(Heatmap, ImageSpansTheMap) {
  Heatmap map = matrix_heatmap("", matrix({0, 1, 2, 4}, {2, 2}));
  map.map = ColorMap::gray;
  const HostArray image = to_image(map, 3);
  EXPECT_EQ(image.shape(), Shape({6, 6, 3}));
  EXPECT_EQ(pixel(image, 0, 0), (Rgb{0, 0, 0}));
  EXPECT_EQ(pixel(image, 2, 2), (Rgb{0, 0, 0}));
  EXPECT_EQ(pixel(image, 3, 2), (Rgb{128, 128, 128}));
  EXPECT_EQ(pixel(image, 5, 5), (Rgb{255, 255, 255}));
}

TEST(Heatmap, DivergingIsSymmetricAroundZero) {
  Heatmap map = matrix_heatmap("", matrix({-1, 0, 4}, {1, 3}));
  map.map = ColorMap::diverging;
  const HostArray image = to_image(map);
  EXPECT_EQ(pixel(image, 0, 0), color_at(ColorMap::diverging, 0.375));
  EXPECT_EQ(pixel(image, 0, 1), color_at(ColorMap::diverging, 0.5));
  EXPECT_EQ(pixel(image, 0, 2), color_at(ColorMap::diverging, 1));
}

TEST(Heatmap, NonFiniteAndConstantValues) {
  Heatmap map = matrix_heatmap("", matrix({NAN, 1, 3, INFINITY}, {2, 2}));
  map.map = ColorMap::gray;
  HostArray image = to_image(map);
  EXPECT_EQ(pixel(image, 0, 0), color_at(ColorMap::gray, NAN));
  EXPECT_EQ(pixel(image, 0, 1), (Rgb{0, 0, 0}));
  EXPECT_EQ(pixel(image, 1, 1), (Rgb{255, 255, 255}));
  image = to_image(matrix_heatmap("", matrix({7, 7}, {1, 2})));
  EXPECT_EQ(pixel(image, 0, 0), color_at(ColorMap::viridis, 0.5));
  image = to_image(matrix_heatmap("", matrix({NAN, NAN}, {1, 2})));
  EXPECT_EQ(pixel(image, 0, 0), color_at(ColorMap::gray, NAN));
}

TEST(HeatmapText, MatrixGolden) {
  Heatmap map = matrix_heatmap("A", matrix({0, 1, 0, 1, 0, 1, 0, 1, 0}, {3, 3}));
  EXPECT_EQ(to_text(map, {24, 9, false, false}),
            "A\n"
            "0     @@@@\n"
            "      @@@@\n"
            "1 @@@@    @@@@\n"
            "  @@@@    @@@@\n"
            "2     @@@@\n"
            "      @@@@\n"
            "   0   1   2\n"
            "  0   ..::-==++*##%%@@ 1\n");
}

TEST(HeatmapText, FunctionGolden) {
  Heatmap map = function_heatmap("z = x", [](double x, double) { return x; }, {0, 10}, {-1, 1});
  map.x_label = "x";
  map.y_label = "y";
  EXPECT_EQ(to_text(map, {24, 10, true, false}),
            "z = x\n"
            "y\n"
            " 1     ░░░░░▒▒▒▒▓▓▓▓████\n"
            "       ░░░░░▒▒▒▒▓▓▓▓████\n"
            " 0     ░░░░░▒▒▒▒▓▓▓▓████\n"
            "       ░░░░░▒▒▒▒▓▓▓▓████\n"
            "-1     ░░░░░▒▒▒▒▓▓▓▓████\n"
            "   0         5        10\n"
            "             x\n"
            "   0.0521   ░░▒▓▓██ 9.95\n");
}

TEST(HeatmapText, ColorUsesHalfBlocks) {
  Heatmap map = matrix_heatmap("", matrix({0, 1}, {2, 1}));
  map.map = ColorMap::gray;
  const std::string text = to_text(map, {24, 8, true, true});
  // A cell that is 6 pixels wide: the first three lines black, the next three white.
  const std::string black = "\033[48;2;0;0;0m\033[38;2;0;0;0m▀▀▀▀▀▀\033[0m\n";
  const std::string white = "\033[48;2;255;255;255m\033[38;2;255;255;255m▀▀▀▀▀▀\033[0m\n";
  EXPECT_NE(text.find(black), std::string::npos) << text;
  EXPECT_NE(text.find(white), std::string::npos) << text;
}

TEST(HeatmapText, StaysInItsBox) {
  Heatmap map = function_heatmap(std::string(99, 't'), [](double x, double y) { return x * y; },
                                 {-1e6, 1e6}, {0, 1e-7});
  const Heatmap wide =
      matrix_heatmap("wide", HostArray::from<float>(std::vector<float>(3000), {3, 1000}));
  const Heatmap tall =
      matrix_heatmap("tall", HostArray::from<float>(std::vector<float>(3000), {1000, 3}));
  for (const Heatmap* m : std::initializer_list<const Heatmap*>{&map, &wide, &tall}) {
    for (int width : {24, 60, 100}) {
      for (int height : {8, 20}) {
        for (bool color : {false, true}) {
          const std::string text = to_text(*m, {width, height, true, color});
          std::istringstream lines(text);
          std::string line;
          int count = 0;
          for (; std::getline(lines, line); ++count) EXPECT_LE(display_width(line), width) << line;
          EXPECT_LE(count, height) << text;
        }
      }
    }
  }
}

TEST(Heatmap, MistakesAreNamed) {
  Heatmap map;
  map.rows = 2;
  map.columns = 3;
  map.values = {1, 2};
  EXPECT_THROW(to_image(map), Error);
  EXPECT_THROW(to_text(map, {}), Error);
  EXPECT_THROW(matrix_heatmap("", matrix({1, 2}, {2})), Error);
  EXPECT_THROW(to_image(matrix_heatmap("", matrix({1}, {1, 1})), 0), Error);
  EXPECT_EQ(to_image(Heatmap{}).elements(), 0);
  EXPECT_EQ(to_text(Heatmap{}, {}), "(empty)\n");
}

}  // namespace
}  // namespace cairn::plot
