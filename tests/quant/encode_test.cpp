// The searching encoders: error against ggml's on fixed data
// (tools/goldens/make_encoder_errors.py), same bits on every target, odd data.
#include "cairn/quant/encode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "cairn/base/file.h"
#include "cairn/io/safetensors.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

std::vector<float> normal_numbers(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> x(count);
  for (float& value : x) value = normal(random);
  return x;
}

std::vector<uint8_t> encode(const BlockFormat& format, std::span<const float> x, int64_t row,
                            std::span<const float> importance = {},
                            CpuTarget target = detect_cpu_target()) {
  const auto blocks = x.size() / static_cast<size_t>(format.block_elements);
  std::vector<uint8_t> bytes(blocks * static_cast<size_t>(format.block_bytes));
  encode_rows(format, x.data(), static_cast<int64_t>(x.size()) / row, row, importance, bytes.data(),
              target);
  return bytes;
}

std::vector<float> decode(const BlockFormat& format, std::span<const uint8_t> bytes) {
  const auto blocks = bytes.size() / static_cast<size_t>(format.block_bytes);
  std::vector<float> y(blocks * static_cast<size_t>(format.block_elements));
  decode_blocks(format, bytes.data(), static_cast<int64_t>(blocks), y.data());
  return y;
}

// Sum of importance (x - y)^2; importance is that of a row, or empty.
double error_of(std::span<const float> x, std::span<const float> y,
                std::span<const float> importance = {}) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double d = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    sum +=
        d * d * (importance.empty() ? 1.0 : static_cast<double>(importance[i % importance.size()]));
  }
  return sum;
}

TEST(EncodeRows, ErrorIsAtMostOnePercentAboveThatOfGgml) {
  const auto data =
      io::SafetensorsFile::open(test::golden_path("blocks/encoders.safetensors").string()).value();
  const auto golden =
      nlohmann::json::parse(read_file(test::golden_path("blocks/encoders.json").string()).value());
  const HostArray weights = data.read("importance").value();
  const auto importance = weights.span<float>();
  size_t compared = 0;
  for (const auto& row : golden["errors"]) {
    const BlockFormat& format = *find_block_format(row["format"].get<std::string>());
    const HostArray array = data.read(row["data"].get<std::string>()).value();
    const auto x = array.span<float>();
    SCOPED_TRACE(row.dump());
    const auto plain = decode(format, encode(format, x, array.shape()[1]));
    EXPECT_LE(error_of(x, plain), 1.01 * row["error"].get<double>());
    const auto weighted = decode(format, encode(format, x, array.shape()[1], importance));
    EXPECT_LE(error_of(x, weighted, importance), 1.01 * row["error_with_importance"].get<double>());
    ++compared;
  }
  EXPECT_EQ(compared, 8 * block_formats().size());
}

TEST(EncodeRows, SearchingBeatsThePlainEncoder) {
  const auto x = normal_numbers(16 * 256, 1);
  for (const BlockFormat& format : block_formats()) {
    std::vector<uint8_t> plain(x.size() / static_cast<size_t>(format.block_elements) *
                               static_cast<size_t>(format.block_bytes));
    encode_blocks(format, x.data(), static_cast<int64_t>(x.size()) / format.block_elements,
                  plain.data());
    EXPECT_LT(error_of(x, decode(format, encode(format, x, 256))),
              error_of(x, decode(format, plain)))
        << format.name;
  }
}

TEST(EncodeRows, TheImportanceMatrixMovesErrorToWhatMattersLess) {
  const auto x = normal_numbers(8 * 512, 2);
  std::vector<float> importance(512);
  for (size_t i = 0; i < importance.size(); ++i) importance[i] = i % 3 == 0 ? 20.0f : 0.1f;
  for (const BlockFormat& format : block_formats())
    EXPECT_LT(error_of(x, decode(format, encode(format, x, 512, importance)), importance),
              error_of(x, decode(format, encode(format, x, 512)), importance))
        << format.name;
}

TEST(EncodeRows, EveryTargetGivesTheSameBytes) {
  const auto x = normal_numbers(3 * 768, 3);
  const auto importance = normal_numbers(768, 4);
  std::vector<float> squares(importance);
  for (float& value : squares) value *= value;
  for (const BlockFormat& format : block_formats()) {
    for (const auto& weights : {std::span<const float>(), std::span<const float>(squares)}) {
      const auto expected = encode(format, x, 768, weights, CpuTarget::baseline);
      for (const CpuTarget target : {CpuTarget::avx2, CpuTarget::avx512}) {
        if (target > detect_cpu_target()) continue;
        EXPECT_TRUE(encode(format, x, 768, weights, target) == expected)
            << format.name << " on " << name(target);
      }
    }
  }
}

// Batches of sixteen groups do not show: rows alone, blocks alone, and together.
TEST(EncodeRows, DoesNotDependOnWhatLiesBeside) {
  const auto x = normal_numbers(5 * 256, 5);
  for (const BlockFormat& format : block_formats()) {
    const auto together = encode(format, x, 5 * 256);
    EXPECT_TRUE(encode(format, x, 256) == together) << format.name;
    EXPECT_TRUE(encode(format, x, format.block_elements) == together) << format.name;
  }
}

TEST(EncodeRows, ZerosConstantsAndNumbersThatAreNotFinite) {
  for (const BlockFormat& format : block_formats()) {
    SCOPED_TRACE(format.name);
    const auto size = static_cast<size_t>(format.block_elements);
    for (const float constant : {0.0f, 1.0f, -2.0f, 1e-3f, 300.0f}) {
      const std::vector<float> x(size, constant);
      const auto y = decode(format, encode(format, x, format.block_elements));
      // Levels of mxfp4 are up to 1.5 times the one before, so within a fifth; others, an f16's of
      // scale and minimum, which below 2^-14 are multiples of 2^-24.
      const float relative = format.scale_type == ScaleType::e8m0 ? 0.2f : 0x1p-9f;
      const auto factor =
          static_cast<float>((1 << format.codes.width()) * (1 << format.group_scales.width()));
      const float bound = std::fabs(constant) * relative + 0x1p-25f * factor;
      for (const float value : y) EXPECT_NEAR(value, constant, bound);
    }
    auto x = normal_numbers(size, 6);
    x[1] = std::nanf("");
    x[2] = std::numeric_limits<float>::infinity();
    x[3] = -x[2];
    auto zeroed = x;
    zeroed[1] = zeroed[2] = zeroed[3] = 0;
    EXPECT_TRUE(encode(format, x, format.block_elements) ==
                encode(format, zeroed, format.block_elements));
    // Beyond what f16 holds and below it: finite, and nothing undefined.
    for (const float extreme : {3e38f, 1e30f, 1e-30f, 1e-44f}) {
      auto far = normal_numbers(size, 7);
      for (float& value : far) value *= extreme;
      for (const float value : decode(format, encode(format, far, format.block_elements)))
        EXPECT_TRUE(std::isfinite(value)) << extreme;
    }
    // Weights matter by their ratios only.
    auto weights = normal_numbers(size, 8);
    for (float& value : weights) value *= value;
    const auto weighted = encode(format, zeroed, format.block_elements, weights);
    for (float& value : weights) value *= 0x1p100f;
    EXPECT_TRUE(encode(format, zeroed, format.block_elements, weights) == weighted);
    const std::vector<float> nothing(size, 0.0f);
    const std::vector<float> ones(size, 1.0f);
    EXPECT_TRUE(encode(format, zeroed, format.block_elements, nothing) ==
                encode(format, zeroed, format.block_elements, ones))
        << "where nothing matters, everything does alike";
  }
}

TEST(EncodeScaledRow, TheExtremeIsTheLargestCode) {
  auto x = normal_numbers(96, 7);
  x[5] = -0.25f;
  std::vector<uint8_t> codes(x.size());
  const float scale = encode_scaled_row(x.data(), 96, codes.data());
  EXPECT_EQ(scale, 0.25f / 127);
  EXPECT_EQ(codes[5], 1);
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(scale * static_cast<float>(codes[i] - 128), x[i], scale * 0.5001f) << i;
}

TEST(EncodeScaledRow, ZerosAndNumbersThatAreNotFinite) {
  std::vector<float> x(32, 0.0f);
  std::vector<uint8_t> codes(32);
  EXPECT_EQ(encode_scaled_row(x.data(), 32, codes.data()), 0.0f);
  EXPECT_EQ(codes, std::vector<uint8_t>(32, 128));
  x[0] = std::nanf("");
  x[1] = 2;
  EXPECT_EQ(encode_scaled_row(x.data(), 32, codes.data()), 2.0f / 127);
  EXPECT_EQ(codes[0], 128);
  EXPECT_EQ(codes[1], 255);
  x[2] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(encode_scaled_row(x.data(), 32, codes.data()), x[2]);
}

}  // namespace
}  // namespace cairn
