#include "cairn/plot/pixels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

namespace cairn::plot {
namespace {

constexpr Rgb kBlack = {0, 0, 0};
constexpr Rgb kBlank = {128, 128, 128};
constexpr Rgb kWhite = {255, 255, 255};

Rgb pixel(const HostArray& image, int64_t y, int64_t x) {
  const auto b = image.span<uint8_t>();
  const size_t at = static_cast<size_t>((y * image.shape()[1] + x) * 3);
  return {b[at], b[at + 1], b[at + 2]};
}

HostArray f32(std::vector<float> values, Shape shape) {
  return HostArray::from<float>(values, shape);
}
HostArray u8(std::vector<uint8_t> values, Shape shape) {
  return HostArray::from<uint8_t>(values, shape);
}

TEST(Activations, EachChannelHasItsOwnScaleAndZeroOneColor) {
  // Two channels of 1 x 2, the second a hundred times weaker, and a third that says nothing.
  const HostArray image =
      activations_to_image(f32({4, -2, 0.04f, 0, 0, 0}, {3, 1, 2}), {ColorMap::gray, 1});
  // A tile takes 2 x 1 and a border all around each: two or three to a row.
  ASSERT_EQ(image.shape(), Shape({7, 4, 3}));
  const Rgb border = pixel(image, 0, 0);
  EXPECT_EQ(pixel(image, 1, 1), kWhite);
  EXPECT_EQ(pixel(image, 1, 2), (Rgb{64, 64, 64}));
  EXPECT_EQ(pixel(image, 2, 1), border);
  EXPECT_EQ(pixel(image, 3, 1), kWhite);
  EXPECT_EQ(pixel(image, 3, 2), kBlank);
  EXPECT_EQ(pixel(image, 5, 1), kBlank);
  EXPECT_EQ(pixel(image, 5, 2), kBlank);
  EXPECT_NE(border, kBlank);
  EXPECT_NE(border, kBlack);
}

TEST(Activations, WithoutNegativesZeroIsBlack) {
  const HostArray image = activations_to_image(f32({0, 2, 1, 0}, {1, 2, 2}), {ColorMap::gray, 1});
  EXPECT_EQ(pixel(image, 1, 1), kBlack);
  EXPECT_EQ(pixel(image, 1, 2), kWhite);
  EXPECT_EQ(pixel(image, 2, 1), kBlank);  // half of the largest
  // The diverging map keeps zero in its middle all the same.
  const HostArray signed_image =
      activations_to_image(f32({0, 2, 1, 0}, {1, 2, 2}), {ColorMap::diverging, 1});
  EXPECT_EQ(pixel(signed_image, 1, 1), color_at(ColorMap::diverging, 0.5));
  EXPECT_EQ(pixel(signed_image, 1, 2), color_at(ColorMap::diverging, 1));
}

TEST(Activations, NonFiniteValuesDoNotBlindTheRest) {
  const float inf = std::numeric_limits<float>::infinity();
  const HostArray image =
      activations_to_image(f32({NAN, inf, -inf, 2, -2, 0}, {1, 1, 6}), {ColorMap::gray, 1});
  EXPECT_EQ(pixel(image, 1, 1), color_at(ColorMap::gray, NAN));
  EXPECT_EQ(pixel(image, 1, 2), kWhite);
  EXPECT_EQ(pixel(image, 1, 3), kBlack);
  EXPECT_EQ(pixel(image, 1, 4), kWhite);
  EXPECT_EQ(pixel(image, 1, 5), kBlack);
  EXPECT_EQ(pixel(image, 1, 6), kBlank);
}

TEST(Activations, UnitsBecomeAGridOfSquares) {
  std::vector<float> units(128, 0.0f);
  units[17] = 3;
  const HostArray image = activations_to_image(f32(units, {128}));
  // 16 x 8 squares of 24 pixels and borders of 2.
  ASSERT_EQ(image.shape(), Shape({8 * 26 + 2, 16 * 26 + 2, 3}));
  EXPECT_EQ(pixel(image, 2 + 26, 2 + 26), kWhite);  // unit 17: second row, second column
  EXPECT_EQ(pixel(image, 25 + 26, 25 + 26), kWhite);
  EXPECT_EQ(pixel(image, 2, 2), kBlack);
  // [1, units] is the same picture.
  const HostArray row = activations_to_image(f32(units, {1, 128}));
  EXPECT_EQ(row.shape(), image.shape());
}

TEST(Activations, OutlierFeaturesOfAMatrixSaturate) {
  // 1,000 values of magnitude 1 and one of 1,000 that would make them all blank.
  std::vector<float> values(1000, -1.0f);
  values[500] = 1000;
  const HostArray image = activations_to_image(f32(values, {10, 100}), {ColorMap::gray, 1});
  EXPECT_EQ(image.shape(), Shape({12, 102, 3}));
  EXPECT_EQ(pixel(image, 1, 1), kBlack);
  EXPECT_EQ(pixel(image, 6, 1), kWhite);
  // A single nonzero value is not an outlier of nothing: it gets the full colour.
  std::vector<float> sparse(1000, 0.0f);
  sparse[500] = 0.25f;
  sparse[0] = -0.125f;
  const HostArray one = activations_to_image(f32(sparse, {10, 100}), {ColorMap::gray, 1});
  EXPECT_EQ(pixel(one, 6, 1), kWhite);
  EXPECT_EQ(pixel(one, 1, 1), (Rgb{64, 64, 64}));
}

TEST(Activations, AnyDtypeAndLeadingOnes) {
  std::vector<Float16> halves = {Float16(1.0f), Float16(-1.0f), Float16(0.0f), Float16(0.5f)};
  const HostArray image =
      activations_to_image(HostArray::from<Float16>(halves, {1, 1, 2, 2}), {ColorMap::gray, 1});
  EXPECT_EQ(pixel(image, 1, 1), kWhite);
  EXPECT_EQ(pixel(image, 1, 2), kBlack);
  EXPECT_EQ(pixel(image, 2, 1), kBlank);
}

TEST(Activations, ShapesThatCannotBeDrawnAreErrors) {
  for (Shape shape : {Shape{}, Shape{0}, Shape{3, 0, 2}, Shape{2, 1, 1, 1}})
    EXPECT_THROW(activations_to_image(HostArray(DType::f32, shape)), Error) << to_string(shape);
  try {
    activations_to_image(HostArray(DType::f32, {2, 3, 4, 5}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(
        e.what(),
        "[activations] shape [2,3,4,5] cannot be drawn: expected [channels, height, width], "
        "[tokens, width] or [units] with at least one element");
  }
}

TEST(Activations, TextFitsItsBox) {
  for (Shape shape : {Shape{1}, Shape{300}, Shape{5, 768}, Shape{700, 2}, Shape{16, 26, 26},
                      Shape{512, 1, 1}, Shape{3, 100, 4}}) {
    std::vector<float> values(static_cast<size_t>(shape.elements()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
    for (bool color : {false, true}) {
      const std::string text =
          activations_to_text(f32(values, shape), ColorMap::gray, {60, 15, true, color});
      std::istringstream lines(text);
      std::string line;
      int count = 0;
      for (; std::getline(lines, line); ++count) EXPECT_LE(display_width(line), 60);
      EXPECT_LE(count, 15);
      EXPECT_GE(count, 1);
    }
  }
}

TEST(Activations, AShrunkMatrixKeepsItsStrongestValue) {
  std::vector<float> values(4 * 4000, 0.0f);
  values[1234] = 1;
  const std::string text =
      activations_to_text(f32(values, {4, 4000}), ColorMap::gray, {50, 2, true, true});
  EXPECT_NE(text.find("\033[38;2;255;255;255m"), std::string::npos);
}

TEST(ImageText, HalfBlocksCarryTwoRows) {
  const HostArray image = u8({255, 0, 0, 255, 0, 0,  //
                              0, 0, 255, 0, 0, 255},
                             {2, 2, 3});
  EXPECT_EQ(image_to_text(image, {80, 24, true, true}),
            "\033[48;2;0;0;255m\033[38;2;255;0;0m▀▀\033[0m\n");
  // An odd height ends with upper halves on the terminal's own ground.
  EXPECT_EQ(image_to_text(u8({9, 9, 9}, {3, 1}), {80, 24, true, true}),
            "\033[48;2;9;9;9m\033[38;2;9;9;9m▀\033[0m\n\033[38;2;9;9;9m▀\033[0m\n");
}

TEST(ImageText, AlphaTurnsBlack) {
  EXPECT_EQ(
      image_to_text(u8({200, 100, 50, 255, 200, 100, 50, 51}, {2, 1, 4}), {80, 24, true, true}),
      "\033[48;2;40;20;10m\033[38;2;200;100;50m▀\033[0m\n");
  EXPECT_EQ(image_to_text(u8({200, 0, 200, 255}, {2, 1, 2}), {80, 24, true, true}),
            "\033[48;2;200;200;200m\033[38;2;0;0;0m▀\033[0m\n");
}

TEST(ImageText, ShadesWithoutColor) {
  const HostArray ramp = u8({0, 60, 128, 200, 255, 0, 60, 128, 200, 255}, {2, 5, 1});
  EXPECT_EQ(image_to_text(ramp, {80, 24, true, false}), " ░▒▓█\n");
  EXPECT_EQ(image_to_text(ramp, {80, 24, false, false}), " :+#@\n");
  EXPECT_EQ(image_to_text(u8({0, 0}, {2, 1}), {80, 24, true, false}), "\n");
}

TEST(ImageText, ShrinksByAveragingAndKeepsProportions) {
  std::vector<uint8_t> checks(64 * 64);
  for (size_t i = 0; i < checks.size(); ++i) checks[i] = (i + i / 64) % 2 ? 255 : 0;
  const std::string text = image_to_text(u8(checks, {64, 64}), {16, 100, true, true});
  // 16 x 16 pixels, each the mean of as many black as white ones.
  std::string line = "\033[48;2;128;128;128m\033[38;2;128;128;128m";
  for (int i = 0; i < 16; ++i) line += "▀";
  line += "\033[0m\n";
  std::string all;
  for (int i = 0; i < 8; ++i) all += line;
  EXPECT_EQ(text, all);
}

TEST(ImageText, OnlyImages) {
  EXPECT_THROW(image_to_text(f32({1, 2}, {1, 2}), {}), Error);
  EXPECT_THROW(image_to_text(u8({1, 2, 3, 4, 5}, {1, 1, 5}), {}), Error);
  EXPECT_THROW(image_to_text(u8({1}, {1}), {}), Error);
  EXPECT_EQ(image_to_text(HostArray(DType::u8, {0, 5}), {}), "");
}

}  // namespace
}  // namespace cairn::plot
