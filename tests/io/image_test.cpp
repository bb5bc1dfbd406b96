#include "cairn/io/image.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include <fstream>
#include <map>

#include "cairn/io/npy.h"
#include "cairn/io/tar.h"
#include "tests/io/golden_values.h"
#include "tests/io/temporary_folder.h"

namespace cairn::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

Result<HostArray> decode(std::string_view text, const ImageOptions& options = {}) {
  return decode_image(as_bytes(text), "picture", options);
}

std::string error_of(std::string_view text, const ImageOptions& options = {}) {
  const auto image = decode(text, options);
  return image.ok() ? "no error" : image.error().what();
}

HostArray picture(const Shape& shape, uint32_t seed = 1) {
  HostArray image(DType::u8, shape);
  for (uint8_t& v : image.mutable_span<uint8_t>())
    v = static_cast<uint8_t>((seed = seed * 1664525 + 1013904223) >> 24);
  return image;
}

uint32_t crc(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::string big32(uint32_t value) {
  value = byte_swapped(value);
  return {reinterpret_cast<const char*>(&value), 4};
}

std::string chunk(const std::string& type, const std::string& data) {
  return big32(static_cast<uint32_t>(data.size())) + type + data + big32(crc(type + data));
}

// A PNG of the header fields given, with `raw` filtered rows.
std::string png(uint32_t width, uint32_t height, int depth, int colour, const std::string& raw,
                int interlace = 0) {
  std::string packed(compressBound(raw.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size,
           reinterpret_cast<const Bytef*>(raw.data()), raw.size());
  packed.resize(size);
  const std::string header = big32(width) + big32(height) + static_cast<char>(depth) +
                             static_cast<char>(colour) + std::string(2, '\0') +
                             static_cast<char>(interlace);
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunk("IDAT", packed) + chunk("IEND", "");
}

// Expected pixels as another decoder has them (tools/goldens/make_files.py).
TEST(Png, PngSuite) {
  CAIRN_REQUIRE_DATA("vision/codec/pngsuite.tar");
  const auto tar = TarFile::open(test::data_path("vision/codec/pngsuite.tar")).value();
  std::ifstream expected(golden_file("pngsuite.txt"));
  std::string name, crc8, crc16;
  int64_t height, width, channels;
  int pictures = 0;
  while (expected >> name >> height >> width >> channels >> crc8 >> crc16) {
    SCOPED_TRACE(name);
    const TarEntry* entry = tar.find(name);
    ASSERT_NE(entry, nullptr);
    const std::string_view file = tar.bytes(*entry).text();
    const HostArray image = decode(file).value();
    EXPECT_EQ(image.dtype(), DType::u8);
    EXPECT_EQ(to_string(image.shape()), to_string(Shape{height, width, channels}));
    EXPECT_EQ(crc({static_cast<const char*>(image.data()), image.bytes()}),
              std::stoul(crc8, nullptr, 16));
    const HostArray wide = decode(file, {.keep_16_bits = true}).value();
    if (crc16 == "-") {
      expect_equal(wide, image);
    } else {
      ASSERT_EQ(wide.dtype(), DType::i32);
      std::vector<uint16_t> values(wide.span<int32_t>().begin(), wide.span<int32_t>().end());
      EXPECT_EQ(crc({reinterpret_cast<const char*>(values.data()), 2 * values.size()}),
                std::stoul(crc16, nullptr, 16));
    }
    ++pictures;
  }
  EXPECT_EQ(pictures, 60);
}

TEST(Png, RoundTrip) {
  TemporaryFolder folder;
  for (const int64_t channels : {1, 2, 3, 4}) {
    for (const auto& [height, width] : {std::pair(1, 1), std::pair(7, 5), std::pair(64, 33)}) {
      const HostArray image = picture({height, width, channels});
      const std::string encoded = encode_png(image);
      EXPECT_EQ(encoded, encode_png(image));
      expect_equal(decode(encoded).value(), image);
    }
  }
  ASSERT_TRUE(write_png(folder / "a.png", picture({4, 6})));
  expect_equal(read_image(folder / "a.png").value(), picture({4, 6}).reshaped({4, 6, 1}));
}

TEST(Png, WhatIsNoPictureThrows) {
  EXPECT_THROW(encode_png(HostArray(DType::f32, {2, 2})), Error);
  EXPECT_THROW(encode_png(HostArray(DType::u8, {4})), Error);
  EXPECT_THROW(encode_png(HostArray(DType::u8, {2, 2, 5})), Error);
  EXPECT_THROW(encode_png(HostArray(DType::u8, {0, 2})), Error);
  EXPECT_THROW((void)decode("x", {.channels = 2}), Error);
}

// PngSuite's corrupt files (x*.png), made here: each has one thing wrong and right checksums.
TEST(Png, CorruptFilesAreErrors) {
  const std::string good = png(2, 2, 8, 0, std::string("\0ab\0cd", 6));
  EXPECT_THAT(decode(good).value().span<uint8_t>(), ElementsAre('a', 'b', 'c', 'd'));
  const std::string rows(64, '\0');
  for (const auto& [depth, colour] :
       {std::pair(8, 1), std::pair(8, 5), std::pair(8, 9), std::pair(0, 2), std::pair(3, 2),
        std::pair(99, 2), std::pair(4, 2), std::pair(16, 3), std::pair(4, 6)})
    EXPECT_THAT(error_of(png(2, 2, depth, colour, rows)), HasSubstr("PNG: ")) << depth << colour;
  EXPECT_THAT(error_of(png(2, 2, 8, 0, std::string("\0ab\0cd", 6), 2)), HasSubstr("PNG: "));
  EXPECT_THAT(error_of(png(0, 2, 8, 0, "")), HasSubstr("PNG: "));
  EXPECT_THAT(error_of(png(2, 2, 8, 3, std::string("\0ab\0cd", 6))), HasSubstr("PNG: "));
  EXPECT_THAT(error_of(png(2, 2, 8, 0, std::string("\0ab\7cd", 6))), HasSubstr("PNG: "));
  EXPECT_THAT(error_of(png(2, 2, 8, 0, std::string("\0ab", 3))), HasSubstr("PNG: "));
  // Without IDAT; line ends changed on the way; signature cut or wrong.
  std::string no_data = good;
  no_data.erase(33, no_data.size() - 33 - 12);
  EXPECT_THAT(error_of(no_data), HasSubstr("PNG: "));
  // A chunk that says it has 1.3 GiB: found before memory for it is taken.
  std::string lying = good;
  lying.replace(33, 4, big32(0x56000000));
  EXPECT_THAT(error_of(lying), HasSubstr("ends in its PNG chunks"));
  std::string text_mode = good;
  text_mode.erase(4, 1);
  EXPECT_THAT(error_of(text_mode), HasSubstr("does not start like"));
  EXPECT_THAT(error_of("\x89PNG"), HasSubstr("does not start like"));
}

TEST(Png, EveryTruncationAndEveryFlippedByteIsAnError) {
  const std::string good = encode_png(picture({5, 6, 3}));
  for (size_t size = 0; size < good.size(); ++size)
    ASSERT_NE(error_of(good.substr(0, size)), "no error") << size;
  // All bytes are in critical chunks, under their CRCs.
  for (size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] = static_cast<char>(changed[i] ^ 0x20);
    // Bit 5 of a chunk type's first letter makes it ancillary: then the loss shows otherwise.
    ASSERT_NE(error_of(changed), "no error") << i;
  }
}

TEST(Png, SizesAreLimited) {
  EXPECT_THAT(error_of(png(0x7fffffff, 0x7fffffff, 16, 6, "")), HasSubstr("pixels, more than"));
  EXPECT_THAT(error_of(png(9000, 9000, 8, 2, "")), HasSubstr("cannot be in"));
  EXPECT_THAT(error_of(encode_png(picture({10, 10})), {.max_pixels = 99}),
              HasSubstr("10 x 10 pixels, more than the 99 allowed"));
}

TEST(Image, ChannelsOnRequest) {
  const HostArray rgb = picture({3, 4, 3});
  const HostArray rgba = decode(encode_png(rgb), {.channels = 4}).value();
  const HostArray gray = decode(encode_png(rgb), {.channels = 1}).value();
  EXPECT_EQ(to_string(rgba.shape()), "[3,4,4]");
  EXPECT_EQ(to_string(gray.shape()), "[3,4,1]");
  for (int64_t i = 0; i < 12; ++i) {
    for (int64_t c = 0; c < 3; ++c) EXPECT_EQ(rgba.at(4 * i + c), rgb.at(3 * i + c));
    EXPECT_EQ(rgba.at(4 * i + 3), 255);
    const double luma =
        0.299 * rgb.at(3 * i) + 0.587 * rgb.at(3 * i + 1) + 0.114 * rgb.at(3 * i + 2);
    // Half a step of rounding, and weights rounded to 1/65536: 3 * 255 / 2^17.
    EXPECT_NEAR(gray.at(i), luma, 0.5 + 3 * 255.0 / 131072);
  }
  const HostArray gray_alpha = picture({2, 2, 2});
  const HostArray repeated = decode(encode_png(gray_alpha), {.channels = 4}).value();
  for (int64_t i = 0; i < 4; ++i)
    for (int64_t c = 0; c < 4; ++c)
      EXPECT_EQ(repeated.at(4 * i + c), gray_alpha.at(2 * i + (c == 3)));
  expect_equal(decode(encode_png(rgba), {.channels = 3}).value(), rgb);
}

TEST(Pnm, TextAndBinary) {
  EXPECT_THAT(decode("P2 # a comment\n2 2\n#another\n4\n0 1 2\n4\n").value().span<uint8_t>(),
              ElementsAre(0, 64, 128, 255));
  const HostArray colour = decode("P3\n1 2 255\n1 2 3 4 5 6").value();
  EXPECT_EQ(to_string(colour.shape()), "[2,1,3]");
  EXPECT_THAT(colour.span<uint8_t>(), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(decode("P5 2 1 255\nab").value().span<uint8_t>(), ElementsAre('a', 'b'));
  EXPECT_THAT(decode("P6 1 1 255\nabc").value().span<uint8_t>(), ElementsAre('a', 'b', 'c'));
  const std::string wide("P5 2 1 65535\n\x01\x02\xff\xff", 17);
  EXPECT_THAT(decode(wide).value().span<uint8_t>(), ElementsAre(1, 255));
  EXPECT_THAT(decode(wide, {.keep_16_bits = true}).value().span<int32_t>(),
              ElementsAre(0x0102, 65535));
}

TEST(Pnm, LyingFilesAreErrors) {
  EXPECT_THAT(error_of("P5 2 2 255\nabc"), HasSubstr("it was cut off"));
  EXPECT_THAT(error_of("P2 2 2 255\n1 2 3"), HasSubstr("it was cut off"));
  EXPECT_THAT(error_of("P2 2 2 255\n1 2 3      "), HasSubstr("no sample at byte"));
  EXPECT_THAT(error_of("P2 1 1 3\n4"), HasSubstr("sample 0 is 4, more than its maximum 3"));
  EXPECT_THAT(error_of("P5 2 2"), HasSubstr("no maximum"));
  EXPECT_THAT(error_of("P5 2 2 0\n1234"), HasSubstr("its maximum is 0"));
  EXPECT_THAT(error_of("P5 2 2 65536\n"), HasSubstr("more than 65535"));
  EXPECT_THAT(error_of("P5 99999999999999999999 2 255\n"), HasSubstr("width is more than"));
  EXPECT_THAT(error_of("P5 2000000000 2000000000 255\n"), HasSubstr("pixels, more than"));
  EXPECT_THAT(error_of("P5 0 2 255\n"), HasSubstr("neither may be 0"));
  EXPECT_THAT(error_of("P5 1 1 255"), HasSubstr("white space"));
}

double mean_difference(const HostArray& a, const HostArray& b) {
  EXPECT_EQ(to_string(a.shape()), to_string(b.shape()));
  double sum = 0;
  for (int64_t i = 0; i < a.elements(); ++i) sum += std::abs(a.at(i) - b.at(i));
  return sum / static_cast<double>(a.elements());
}

HostArray data_image(const std::string& name, const ImageOptions& options = {}) {
  return read_image(test::data_path("vision/codec/" + name), options).value();
}

double largest_difference(const HostArray& a, const HostArray& b) {
  EXPECT_EQ(to_string(a.shape()), to_string(b.shape()));
  double largest = 0;
  for (int64_t i = 0; i < a.elements(); ++i)
    largest = std::max(largest, std::abs(a.at(i) - b.at(i)));
  return largest;
}

TEST(Jpeg, BaselineAgainstItsReference) {
  CAIRN_REQUIRE_DATA("vision/codec/libjpeg-turbo/testorig.jpg");
  // The standard lets two decoders differ by 1 in each of Y, Cb and Cr; blue is Y + 1.772 Cb, so
  // by 2.77 there, and by 0.5 each in rounding.
  EXPECT_LE(largest_difference(data_image("libjpeg-turbo/testorig.jpg"),
                               data_image("libjpeg-turbo/testorig.ppm")),
            2.772 + 1);
}

TEST(Jpeg, TheSameCoefficientsInTwoCodingsGiveTheSamePicture) {
  CAIRN_REQUIRE_DATA("vision/codec/libjpeg-turbo/testimgari.jpg");
  const HostArray arithmetic = data_image("libjpeg-turbo/testimgari.jpg");
  expect_equal(arithmetic, data_image("libjpeg-turbo/testimgint.jpg"));
  // A second compression of testorig.ppm: its loss is about half a step.
  EXPECT_LT(mean_difference(arithmetic, data_image("libjpeg-turbo/testorig.ppm")), 1.0);
}

TEST(Jpeg, ProgressiveAgainstAnotherDecoder) {
  CAIRN_REQUIRE_DATA("vision/codec/image-rs/3.jpg");
  for (const char* name : {"image-rs/3.jpg", "image-rs/cat.jpg", "image-rs/test.jpg"}) {
    SCOPED_TRACE(name);
    // The other decoder may upsample colour and round its transform otherwise: the mean difference
    // of two good decoders is below one step.
    EXPECT_LT(mean_difference(data_image(name), data_image(std::string(name) + ".png")), 1.0);
  }
}

TEST(Jpeg, CmykAndGrayAsPillowHasThem) {
  for (const char* name : {"cmyk", "cmyk_progressive", "gray"}) {
    SCOPED_TRACE(name);
    const HostArray image = read_image(golden_file(std::string(name) + ".jpg")).value();
    const HostArray expected = read_npy(golden_file(std::string(name) + ".npy")).value();
    expect_equal(image, expected.reshaped(image.shape()));
  }
}

TEST(Jpeg, WhatCannotBeReadIsNamed) {
  CAIRN_REQUIRE_DATA("vision/codec/libjpeg-turbo/monkey12.jpg");
  const auto twelve = read_image(test::data_path("vision/codec/libjpeg-turbo/monkey12.jpg"));
  EXPECT_THAT(twelve.error().what(), HasSubstr("12"));
}

TEST(Jpeg, CutOffOrDamagedFilesAreErrorsNotGrayPictures) {
  for (const char* name : {"cmyk.jpg", "cmyk_progressive.jpg", "gray.jpg"}) {
    const std::string good = read_bytes(golden_file(name));
    for (size_t size = 0; size < good.size(); ++size)
      ASSERT_NE(error_of(good.substr(0, size)), "no error") << name << " " << size;
  }
}

TEST(Jpeg, SizesAreLimited) {
  EXPECT_THAT(error_of(read_bytes(golden_file("gray.jpg")), {.max_pixels = 959}),
              HasSubstr("40 x 24 pixels, more than the 959 allowed"));
}

TEST(Png, SixteenBitsAgainstItsPgm) {
  CAIRN_REQUIRE_DATA("vision/codec/libjpeg-turbo/monkey16.png");
  const HostArray colour = data_image("libjpeg-turbo/monkey16.png", {.keep_16_bits = true});
  const HostArray gray = data_image("libjpeg-turbo/monkey16.pgm", {.keep_16_bits = true});
  EXPECT_EQ(colour.dtype(), DType::i32);
  EXPECT_EQ(gray.dtype(), DType::i32);
  EXPECT_EQ(to_string(colour.shape()), "[227,149,3]");
  EXPECT_EQ(to_string(gray.shape()), "[227,149,1]");
  // The PGM is the luminance of ITU-R BT.709, rounded; its weights are known to 1e-6.
  const auto rgb = colour.span<int32_t>();
  for (int64_t i = 0; i < gray.elements(); ++i) {
    const double luminance =
        0.212656 * rgb[3 * i] + 0.715158 * rgb[3 * i + 1] + 0.072186 * rgb[3 * i + 2];
    ASSERT_NEAR(gray.at(i), luminance, 0.5 + 3 * 65535 * 1e-6);
  }
}

TEST(Image, PhotographsAndPictureSets) {
  CAIRN_REQUIRE_DATA("vision/codec/sklearn/china.jpg");
  EXPECT_EQ(to_string(data_image("sklearn/china.jpg").shape()), "[427,640,3]");
  CAIRN_REQUIRE_DATA("vision/cifar10-jpg-test1000.tar");
  const auto tar = TarFile::open(test::data_path("vision/cifar10-jpg-test1000.tar")).value();
  for (const TarEntry& entry : tar.entries())
    ASSERT_EQ(to_string(decode(tar.bytes(entry).text(), {.channels = 3}).value().shape()),
              "[32,32,3]")
        << entry.name;
}

}  // namespace
}  // namespace cairn::io
