// The block formats: layout, round trip, error of encoding.
#include "cairn/core/block_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "cairn/core/float_types.h"

namespace cairn {
namespace {

// A block as GGUF lays it out, written down again from the format's definition in ggml-common.h:
// [f16 d] [f16 m] [u32 fifth bits] then codes; 4-bit codes i and i + 16 share byte i.
std::vector<uint8_t> layout(const std::string& name, float d, float m,
                            const std::vector<int>& codes) {
  std::vector<uint8_t> bytes;
  const auto add_f16 = [&](float value) {
    const uint16_t bits = Float16(value).bits;
    bytes.push_back(static_cast<uint8_t>(bits & 255));
    bytes.push_back(static_cast<uint8_t>(bits >> 8));
  };
  add_f16(d);
  if (name == "q4_1" || name == "q5_1") add_f16(m);
  if (name == "q8_0") {
    for (const int code : codes) bytes.push_back(static_cast<uint8_t>(code));
    return bytes;
  }
  if (name == "q5_0" || name == "q5_1") {
    uint32_t high = 0;
    for (int i = 0; i < 32; ++i)
      high |= static_cast<uint32_t>(codes[static_cast<size_t>(i)] >> 4 & 1) << i;
    for (int byte = 0; byte < 4; ++byte) bytes.push_back(static_cast<uint8_t>(high >> (8 * byte)));
  }
  for (size_t i = 0; i < 16; ++i)
    bytes.push_back(static_cast<uint8_t>((codes[i] & 15) | (codes[i + 16] & 15) << 4));
  return bytes;
}

struct Range {
  std::string name;
  int first, last;  // codes that the encoder gives
  int offset;       // added to a code when decoding
};
const Range kRanges[] = {
    {"q8_0", -127, 127, 0}, {"q4_0", 0, 15, -8}, {"q4_1", 0, 15, 0},
    {"q5_0", 0, 31, -16},   {"q5_1", 0, 31, 0},
};

bool has_minimum(const std::string& name) { return name.back() == '1'; }

TEST(BlockFormat, IsFoundByName) {
  for (const BlockFormat& format : block_formats())
    EXPECT_EQ(find_block_format(format.name), &format);
  EXPECT_EQ(find_block_format("q9_9"), nullptr);
}

// The formats that no file has.
TEST(BlockFormat, CodesOfRowsAreNumbers) {
  const BlockFormat& format = *find_block_format(kRowFormat);
  std::vector<float> x(32), y(32);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) * 8 - 127;
  std::vector<uint8_t> bytes(32);
  encode_blocks(format, x.data(), 1, bytes.data());
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(bytes[i], i * 8 + 1);
  decode_blocks(format, bytes.data(), 1, y.data());
  EXPECT_EQ(y, x);
}

TEST(BlockFormat, LongBlocksOfActivationsHaveAnF32AsScale) {
  for (const std::string_view name : {kRowActivations, kGroupActivations}) {
    const BlockFormat& format = *find_block_format(name);
    const auto size = static_cast<size_t>(format.block_elements);
    std::vector<float> x(size), y(size);
    const float half = static_cast<float>(size) / 2;
    for (size_t i = 0; i < size; ++i) x[i] = 1e9f * (static_cast<float>(i) - half) / half;
    std::vector<uint8_t> bytes(static_cast<size_t>(format.block_bytes));
    encode_blocks(format, x.data(), 1, bytes.data());
    decode_blocks(format, bytes.data(), 1, y.data());
    for (size_t i = 0; i < size; ++i) EXPECT_NEAR(y[i], x[i], 1e9f / 127 * 0.501f) << i;
    EXPECT_EQ(y[0], -1e9f);
  }
}

TEST(BlockFormat, DecodesTheLayoutOfGguf) {
  std::mt19937 random(3);
  for (const Range& range : kRanges) {
    const BlockFormat& format = *find_block_format(range.name);
    for (int round = 0; round < 50; ++round) {
      std::vector<int> codes(32);
      for (int& code : codes)
        code = range.first +
               static_cast<int>(random() % static_cast<uint32_t>(range.last - range.first + 1));
      const float d = 0.375f * static_cast<float>(1 + round);
      const float m = has_minimum(range.name) ? -2.5f * static_cast<float>(round) : 0.0f;
      const std::vector<uint8_t> bytes = layout(range.name, d, m, codes);
      ASSERT_EQ(bytes.size(), static_cast<size_t>(format.block_bytes)) << range.name;
      std::vector<float> values(32);
      decode_blocks(format, bytes.data(), 1, values.data());
      // Exact: a few bits times a few bits.
      for (size_t i = 0; i < 32; ++i)
        EXPECT_EQ(values[i], d * static_cast<float>(codes[i] + range.offset) + m)
            << range.name << " element " << i;
    }
  }
}

// Blocks whose values a format holds exactly, and that use its extreme codes so that the encoder
// finds the same scale, come back byte by byte.
TEST(BlockFormat, ExactBlocksRoundTrip) {
  std::mt19937 random(5);
  for (const Range& range : kRanges) {
    const BlockFormat& format = *find_block_format(range.name);
    constexpr int kBlocks = 64;
    std::vector<uint8_t> bytes;
    for (int block = 0; block < kBlocks; ++block) {
      std::vector<int> codes(32);
      for (int& code : codes)
        code = range.first +
               static_cast<int>(random() % static_cast<uint32_t>(range.last - range.first + 1));
      codes[random() % 16] = range.first;
      codes[16 + random() % 16] = range.last;
      const float d = std::ldexp(1.0f, static_cast<int>(random() % 12) - 6);
      const float m =
          has_minimum(range.name) ? std::ldexp(-3.0f, static_cast<int>(random() % 6)) : 0;
      const std::vector<uint8_t> more = layout(range.name, d, m, codes);
      bytes.insert(bytes.end(), more.begin(), more.end());
    }
    std::vector<float> values(32 * kBlocks);
    decode_blocks(format, bytes.data(), kBlocks, values.data());
    std::vector<uint8_t> again(bytes.size());
    encode_blocks(format, values.data(), kBlocks, again.data());
    EXPECT_EQ(again, bytes) << range.name;
  }
}

TEST(BlockFormat, ErrorOfEncodingIsHalfAStep) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0.1f, 1.0f);
  for (const Range& range : kRanges) {
    const BlockFormat& format = *find_block_format(range.name);
    for (int round = 0; round < 200; ++round) {
      std::vector<float> x(32);
      for (float& value : x) value = normal(random);
      std::vector<uint8_t> bytes(static_cast<size_t>(format.block_bytes));
      encode_blocks(format, x.data(), 1, bytes.data());
      std::vector<float> y(32);
      decode_blocks(format, bytes.data(), 1, y.data());
      Float16 stored;
      std::memcpy(&stored.bits, bytes.data(), 2);
      const float d = std::fabs(static_cast<float>(stored));
      const float largest = std::fabs(*std::max_element(
          x.begin(), x.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); }));
      // Half a step; the scale (and minimum) rounded to f16, 2^-11 of at most `span` steps each;
      // and a few roundings to f32.
      const float span = static_cast<float>(range.last - range.first) * d + largest;
      const float bound = 0.5f * d + 2 * 0x1p-11f * span + 8 * 0x1p-23f * span;
      for (size_t i = 0; i < 32; ++i) {
        // Without a minimum, codes end one step before the opposite of the extreme.
        const bool clipped = range.offset < 0 && std::fabs(x[i]) > largest - 1.5f * d;
        EXPECT_LE(std::fabs(x[i] - y[i]), clipped ? bound + 0.5f * d : bound)
            << range.name << " element " << i;
      }
    }
  }
}

// Any format: half a gap between levels, what is cut off at the end that has fewer levels, and what
// rounding the scale and minimum of a group moves.
TEST(BlockFormat, ErrorOfEncodingIsBoundedByTheStepsOfEveryFormat) {
  std::mt19937 random(13);
  std::normal_distribution<float> normal(0.1f, 1.0f);
  for (const BlockFormat& format : block_formats()) {
    SCOPED_TRACE(format.name);
    std::vector<float> levels;
    if (format.codebook.empty()) {
      for (int code = format.codes.smallest(); code <= format.codes.largest(); ++code)
        levels.push_back(static_cast<float>(code));
    } else {
      levels.assign(format.codebook.begin(), format.codebook.end());
    }
    std::sort(levels.begin(), levels.end());
    float gap = 0;
    for (size_t i = 1; i < levels.size(); ++i) gap = std::max(gap, levels[i] - levels[i - 1]);
    const float widest = std::max(-levels.front(), levels.back());
    // A power of two as scale leaves extremes up to twice the level of that exponent.
    const float cut = format.scale_type == ScaleType::e8m0 ? 16 - widest
                      : format.has_minimum()               ? 0
                                             : widest - std::min(-levels.front(), levels.back());
    const auto size = static_cast<size_t>(format.block_elements);
    for (int round = 0; round < 100; ++round) {
      std::vector<float> x(size), y(size);
      for (float& value : x) value = normal(random);
      std::vector<uint8_t> bytes(static_cast<size_t>(format.block_bytes));
      encode_blocks(format, x.data(), 1, bytes.data());
      decode_blocks(format, bytes.data(), 1, y.data());
      UnpackedBlock block;
      unpack_block(format, bytes.data(), block);
      float unit = 0;
      if (format.group_scales.present()) unit += 0.5f * std::fabs(block.scale) * widest;
      if (format.group_minimums.present()) unit += 0.5f * std::fabs(block.minimum);
      for (size_t i = 0; i < size; ++i) {
        const auto group = static_cast<int>(i) / format.elements_of_group();
        const float step = std::fabs(group_factors(format, block, group).scale);
        const float roundings = 2 * 0x1p-11f * (widest * (step + std::fabs(block.scale)) + 4);
        EXPECT_LE(std::fabs(x[i] - y[i]), std::max(0.5f * gap, cut) * step + unit + roundings)
            << "element " << i;
      }
    }
  }
}

TEST(BlockFormat, ZerosConstantsAndNan) {
  for (const Range& range : kRanges) {
    const BlockFormat& format = *find_block_format(range.name);
    std::vector<uint8_t> bytes(static_cast<size_t>(format.block_bytes));
    for (const float constant : {0.0f, 1.0f, -2.0f}) {
      const std::vector<float> x(32, constant);
      std::vector<float> y(32);
      encode_blocks(format, x.data(), 1, bytes.data());
      decode_blocks(format, bytes.data(), 1, y.data());
      for (const float value : y)
        EXPECT_NEAR(value, constant, std::fabs(constant) * 0x1p-10f) << range.name;
    }
    // A NaN becomes some number of the block and leaves the others alone; nothing is undefined.
    for (const size_t place : {size_t{0}, size_t{7}, size_t{31}}) {
      std::vector<float> x(32, 1.0f);
      x[place] = std::nanf("");
      std::vector<float> y(32);
      encode_blocks(format, x.data(), 1, bytes.data());
      decode_blocks(format, bytes.data(), 1, y.data());
      EXPECT_TRUE(std::isfinite(y[place]));
      y[place] = 1.0f;
      for (size_t i = 0; i < 32; ++i)
        EXPECT_NEAR(y[i], 1.0f, 0x1p-10f) << range.name << " element " << i;
    }
    const std::vector<float> nothing(32, std::nanf(""));
    std::vector<float> y(32);
    encode_blocks(format, nothing.data(), 1, bytes.data());
    decode_blocks(format, bytes.data(), 1, y.data());
    for (const float value : y) EXPECT_TRUE(std::isfinite(value)) << range.name;
  }
}

}  // namespace
}  // namespace cairn
