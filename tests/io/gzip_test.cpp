#include "cairn/io/gzip.h"

#include <gmock/gmock.h>

#include "tests/io/temporary_folder.h"
#include "tests/support/test_data.h"

namespace cairn::io {
namespace {

using testing::HasSubstr;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string some_text(size_t size) {
  std::string text(size, '\0');
  uint32_t state = 1;
  for (char& c : text) c = static_cast<char>('a' + (state = state * 1664525 + 1013904223) % 7);
  return text;
}

TEST(Gzip, RoundTrip) {
  for (const size_t size : {0, 1, 100, 100'000, 1'000'000}) {
    const std::string text = some_text(size);
    const std::string packed = gzip(bytes_of(text));
    EXPECT_TRUE(is_gzip(bytes_of(packed)));
    EXPECT_TRUE(gunzip(bytes_of(packed), "f").value().text() == text) << size;
    EXPECT_EQ(packed, gzip(bytes_of(text)));
  }
}

TEST(Gzip, MembersFollowEachOtherAndZerosMayFollow) {
  const std::string two = gzip(bytes_of("one ")) + gzip(bytes_of("two"));
  EXPECT_EQ(gunzip(bytes_of(two), "f").value().text(), "one two");
  EXPECT_EQ(gunzip(bytes_of(two + std::string(7, '\0')), "f").value().text(), "one two");
  EXPECT_THAT(gunzip(bytes_of(two + "rubbish"), "f").error().what(),
              HasSubstr("7 bytes that are no gzip"));
}

TEST(Gzip, TheLimitIsExact) {
  const std::string packed = gzip(bytes_of(std::string(1'000'000, '\0')));
  EXPECT_LT(packed.size(), 2'000u);
  EXPECT_TRUE(gunzip(bytes_of(packed), "f", 1'000'000).ok());
  EXPECT_THAT(gunzip(bytes_of(packed), "f", 999'999).error().what(),
              HasSubstr("more than 999999 bytes"));
}

TEST(Gzip, Head) {
  const std::string text = some_text(100'000);
  const std::string packed = gzip(bytes_of(text));
  EXPECT_EQ(gunzip_head(bytes_of(packed), "f", 100).value().text(), text.substr(0, 100));
  // Enough for the head, cut off after it.
  EXPECT_EQ(gunzip_head(bytes_of(packed.substr(0, packed.size() / 2)), "f", 100).value().text(),
            text.substr(0, 100));
  EXPECT_EQ(gunzip_head(bytes_of(gzip(bytes_of("short"))), "f", 100).value().text(), "short");
}

TEST(Gzip, EveryTruncationAndEveryFlippedByteOfTheDataIsAnError) {
  const std::string text = some_text(200);
  const std::string packed = gzip(bytes_of(text));
  for (size_t size = 0; size < packed.size(); ++size)
    ASSERT_FALSE(gunzip(bytes_of(packed.substr(0, size)), "f").ok()) << size;
  // The header is 10 bytes; its time and system are not checked by anyone.
  for (size_t i = 10; i < packed.size(); ++i) {
    std::string changed = packed;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    ASSERT_FALSE(gunzip(bytes_of(changed), "f").ok()) << i;
  }
}

TEST(Gzip, MapOrGunzip) {
  TemporaryFolder folder;
  write_bytes(folder / "plain", "text");
  write_bytes(folder / "packed", gzip(bytes_of("text")));
  write_bytes(folder / "empty", "");
  EXPECT_EQ(map_or_gunzip(folder / "plain").value().text(), "text");
  EXPECT_EQ(map_or_gunzip(folder / "packed").value().text(), "text");
  EXPECT_EQ(map_or_gunzip(folder / "empty").value().size(), 0u);
  EXPECT_THAT(map_or_gunzip(folder / "plain", 3).error().what(), HasSubstr("the 3 allowed"));
  EXPECT_THAT(map_or_gunzip(folder / "packed", 3).error().what(), HasSubstr("more than 3"));
}

TEST(Gzip, MnistIsWhatItsHeaderSays) {
  CAIRN_REQUIRE_DATA("vision/mnist/t10k-images-idx3-ubyte.gz");
  const auto bytes = map_or_gunzip(test::data_path("vision/mnist/t10k-images-idx3-ubyte.gz"));
  EXPECT_EQ(bytes.value().size(), 16u + 10'000 * 28 * 28);
}

}  // namespace
}  // namespace cairn::io
