#include "cairn/io/idx.h"

#include <gmock/gmock.h>

#include "tests/io/golden_values.h"
#include "tests/io/temporary_folder.h"

namespace cairn::io {
namespace {

using testing::HasSubstr;

std::string error_of(std::string text) {
  const auto array = parse_idx(SharedBytes(std::move(text)), "f");
  return array.ok() ? "no error" : array.error().what();
}

TEST(Idx, BytesOfTheFormat) {
  const auto array =
      parse_idx(SharedBytes(std::string("\0\0\x0b\2\0\0\0\2\0\0\0\1\x01\x02\xff\xfe", 16)), "f")
          .value();
  EXPECT_EQ(array.dtype(), DType::i16);
  EXPECT_EQ(to_string(array.shape()), "[2,1]");
  EXPECT_EQ(array.at(0), 0x0102);
  EXPECT_EQ(array.at(1), -2);
}

TEST(Idx, RoundTripOfEveryTypePlainAndCompressed) {
  TemporaryFolder folder;
  for (const DType dtype : {DType::u8, DType::i8, DType::i16, DType::i32, DType::f32, DType::f64}) {
    for (const char* name : {"a.idx", "a.idx.gz"}) {
      for (const Shape& shape : {Shape{}, Shape{7}, Shape{3, 4, 5}, Shape{0, 3}}) {
        ASSERT_TRUE(write_idx(folder / name, golden_array(dtype, shape)));
        expect_equal(read_idx(folder / name).value(), golden_array(dtype, shape));
      }
    }
  }
  EXPECT_EQ(read_bytes(folder / "a.idx.gz").substr(0, 2), "\x1f\x8b");
}

TEST(Idx, TypesAndSizesThatTheFormatLacksThrow) {
  TemporaryFolder folder;
  EXPECT_THROW((void)write_idx(folder / "a", golden_array(DType::i64, {2})), Error);
  EXPECT_THROW((void)write_idx(folder / "a", golden_array(DType::b8, {2})), Error);
  EXPECT_THROW((void)write_idx(folder / "a", HostArray(DType::u8, {int64_t{1} << 33, 0})), Error);
  EXPECT_EQ(folder.files(), 0);
}

TEST(Idx, LyingFilesAreErrors) {
  EXPECT_THAT(error_of(""), HasSubstr("ends in its IDX magic"));
  EXPECT_THAT(error_of("hello world"), HasSubstr("is it an IDX file?"));
  EXPECT_THAT(error_of(std::string("\0\0\x0a\1\0\0\0\1x", 9)), HasSubstr("starts with 00000a01"));
  EXPECT_THAT(error_of(std::string("\0\0\x08\2\0\0\0\1", 8)), HasSubstr("ends in its IDX sizes"));
  EXPECT_THAT(error_of(std::string("\0\0\x08\1\0\0\0\2x", 9)),
              HasSubstr("take 2 bytes and 1 are there"));
  EXPECT_THAT(error_of(std::string("\0\0\x08\1\0\0\0\1xy", 10)),
              HasSubstr("take 1 bytes and 2 are there"));
  EXPECT_THAT(error_of(std::string("\0\0\x08\3", 4) + std::string(12, '\xff')),
              HasSubstr("63 bits"));
  EXPECT_THAT(error_of(std::string("\0\0\x08\xff", 4) + std::string(255 * 4, '\0')),
              HasSubstr("255 dimensions"));
}

TEST(Idx, Mnist) {
  CAIRN_REQUIRE_DATA("vision/mnist/train-labels-idx1-ubyte.gz");
  CAIRN_REQUIRE_DATA("vision/mnist/t10k-images-idx3-ubyte.gz");
  const auto images = read_idx(test::data_path("vision/mnist/t10k-images-idx3-ubyte.gz")).value();
  EXPECT_EQ(to_string(images.shape()), "[10000,28,28]");
  EXPECT_EQ(images.dtype(), DType::u8);
  const auto labels = read_idx(test::data_path("vision/mnist/train-labels-idx1-ubyte.gz")).value();
  EXPECT_EQ(to_string(labels.shape()), "[60000]");
  // The counts of the digits in the training set, known to everyone who has used it.
  int counts[10] = {};
  for (const uint8_t label : labels.span<uint8_t>()) ++counts[label];
  EXPECT_THAT(counts,
              testing::ElementsAre(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949));
  EXPECT_THAT(
      read_idx(test::data_path("vision/mnist/t10k-images-idx3-ubyte.gz"), 1'000'000).error().what(),
      HasSubstr("more than 1000000 bytes"));
}

}  // namespace
}  // namespace cairn::io
