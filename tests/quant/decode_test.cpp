// Block formats against the gguf package, bit for bit (tools/goldens/make_blocks.py).
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "cairn/core/block_format.h"
#include "cairn/io/safetensors.h"

namespace cairn {
namespace {

TEST(DecodeBlocks, GivesTheNumbersOfTheGgufPackage) {
  const auto golden = io::SafetensorsFile::open(std::string(CAIRN_SOURCE_DIR) +
                                                "/tests/golden/blocks/decoded.safetensors")
                          .value();
  EXPECT_EQ(golden.entries().size(), 2 * block_formats().size());
  for (const BlockFormat& format : block_formats()) {
    SCOPED_TRACE(format.name);
    const std::string name(format.name);
    const HostArray bytes = golden.read(name + ".bytes").value();
    const HostArray values = golden.read(name + ".values").value();
    ASSERT_EQ(bytes.shape()[1], format.block_bytes);
    ASSERT_EQ(values.shape()[1], format.block_elements);
    const int64_t blocks = bytes.shape()[0];
    std::vector<float> decoded(static_cast<size_t>(values.elements()));
    decode_blocks(format, bytes.span<uint8_t>().data(), blocks, decoded.data());
    for (size_t i = 0; i < decoded.size(); ++i) {
      const float expected = values.span<float>()[i];
      if (std::isnan(expected)) {  // infinity times code 0
        EXPECT_TRUE(std::isnan(decoded[i])) << "element " << i;
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(decoded[i]), std::bit_cast<uint32_t>(expected))
            << "element " << i << ": " << decoded[i] << " and " << expected;
      }
    }
  }
}

// Every bit of a block belongs to one number: what is taken apart and put together is the same.
TEST(PackBlock, UndoesUnpackBlock) {
  const auto golden = io::SafetensorsFile::open(std::string(CAIRN_SOURCE_DIR) +
                                                "/tests/golden/blocks/decoded.safetensors")
                          .value();
  for (const BlockFormat& format : block_formats()) {
    SCOPED_TRACE(format.name);
    const HostArray bytes = golden.read(std::string(format.name) + ".bytes").value();
    const auto size = static_cast<size_t>(format.block_bytes);
    for (size_t begin = 0; begin < bytes.bytes(); begin += size) {
      const auto block = bytes.span<uint8_t>().subspan(begin, size);
      UnpackedBlock numbers;
      unpack_block(format, block.data(), numbers);
      std::vector<uint8_t> again(size, 0xaa);
      pack_block(format, numbers, again.data());
      EXPECT_TRUE(std::equal(block.begin(), block.end(), again.begin())) << "byte " << begin;
    }
  }
}

// What a kernel's generator relies on.
TEST(BlockFormat, FieldsLieInsideTheirBytes) {
  for (const BlockFormat& format : block_formats()) {
    SCOPED_TRACE(format.name);
    EXPECT_LE(format.block_elements, kMaxBlockElements);
    EXPECT_LE(format.groups(), kMaxBlockGroups);
    const auto check = [&](const PackedNumbers& numbers, int count) {
      for (const BitField* field : {&numbers.low, &numbers.high}) {
        if (field->width == 0) continue;
        EXPECT_EQ(field->count(), count);
        int last = field->bit;
        for (const BitAxis& axis : field->axes) last += (axis.size - 1) * axis.stride;
        EXPECT_LE(last + field->width, 8 * format.block_bytes);
        for (int i = 0, rest = 0; i < count; ++i) {
          int bit = field->bit;
          rest = i;
          for (const BitAxis& axis : field->axes) {
            bit += rest % axis.size * axis.stride;
            rest /= axis.size;
          }
          EXPECT_LE(bit % 8 + field->width, 8) << "number " << i;
        }
      }
    };
    check(format.codes, format.block_elements);
    check(format.group_scales, format.groups());
    check(format.group_minimums, format.groups());
    EXPECT_EQ(format.group_scales.present(), format.group_elements > 0);
    const size_t levels = format.codebook.size();
    EXPECT_TRUE(levels == 0 || levels == size_t{1} << format.codes.width());
  }
}

}  // namespace
}  // namespace cairn
