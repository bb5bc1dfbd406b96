#include "cairn/io/tar.h"

#include <gmock/gmock.h>

#include "cairn/io/gzip.h"
#include "tests/io/golden_values.h"
#include "tests/io/temporary_folder.h"

namespace cairn::io {
namespace {

using testing::HasSubstr;

std::string error_of(const std::string& bytes) {
  const auto file = TarFile::parse(SharedBytes(bytes), "t");
  return file.ok() ? "no error" : file.error().what();
}

// The archive with its first header changed and its checksum made right again.
std::string with_header(std::string bytes, size_t offset, std::string_view field) {
  bytes.replace(offset, field.size(), field);
  bytes.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(bytes[i]);
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", sum);
  bytes.replace(148, 7, digits, 7);
  return bytes;
}

TEST(Tar, LongNamesOfEachFormat) {
  std::string folder = "long";
  for (int i = 1; i < 10; ++i) folder += "long";
  folder = folder + "/" + folder + "/" + folder + "/" + folder;
  for (const char* name : {"ustar.tar", "pax.tar", "gnu.tar"}) {
    SCOPED_TRACE(name);
    const auto file = TarFile::open(golden_file(name)).value();
    const auto text = [&](const std::string& entry) {
      const TarEntry* found = file.find(entry);
      return found ? std::string(file.bytes(*found).text()) : "missing";
    };
    EXPECT_EQ(text("folder/short.txt"), "short");
    EXPECT_EQ(text(folder + "/name.txt"), "a name of 172 characters");
    EXPECT_EQ(text("empty"), "");
    const bool more = name != std::string("ustar.tar");
    if (more) {
      EXPECT_EQ(text(std::string(300, 'x') + "\u00e9"), "a name of 302 bytes");
    }
    // No folders and no links.
    EXPECT_EQ(file.entries().size(), more ? 4u : 3u);
    EXPECT_EQ(file.find("link"), nullptr);
  }
}

TEST(Tar, Compressed) {
  TemporaryFolder folder;
  const std::string tar = read_bytes(golden_file("pax.tar"));
  write_bytes(folder / "a.tar.gz", gzip(std::as_bytes(std::span(tar.data(), tar.size()))));
  EXPECT_EQ(TarFile::open(folder / "a.tar.gz").value().entries().size(), 4u);
  EXPECT_THAT(TarFile::open(folder / "a.tar.gz", 100).error().what(), HasSubstr("more than 100"));
}

TEST(Tar, ALaterEntryReplacesAnEarlierOne) {
  const std::string tar = read_bytes(golden_file("ustar.tar"));
  // From the second header, of folder/short.txt: 512 of header and 512 of data.
  const std::string entry = tar.substr(512, 1024);
  std::string later = entry;
  later.replace(512, 5, "later");
  const auto file =
      TarFile::parse(SharedBytes(entry + later + std::string(1024, '\0')), "t").value();
  EXPECT_EQ(file.entries().size(), 2u);
  EXPECT_EQ(file.bytes(*file.find("folder/short.txt")).text(), "later");
}

TEST(Tar, SizesInBase256) {
  const std::string entry = read_bytes(golden_file("ustar.tar")).substr(512, 1024);
  const std::string wide = with_header(entry, 124, std::string("\x80\0\0\0\0\0\0\0\0\0\0\5", 12));
  const auto file = TarFile::parse(SharedBytes(wide + std::string(512, '\0')), "t").value();
  EXPECT_EQ(file.bytes(file.entries().at(0)).text(), "short");
}

TEST(Tar, LyingFilesAreErrors) {
  const std::string entry = read_bytes(golden_file("ustar.tar")).substr(512, 1024);
  EXPECT_THAT(error_of(""), HasSubstr("ends in its tar headers"));
  EXPECT_THAT(error_of(entry), HasSubstr("ends in its tar headers"));
  EXPECT_THAT(error_of(std::string(1024, 'x')), HasSubstr("not octal"));
  std::string changed = entry;
  changed[3] ^= 1;
  EXPECT_THAT(error_of(changed), HasSubstr("wrong checksum"));
  EXPECT_THAT(error_of(with_header(entry, 124, "77777777777")), HasSubstr("ends in its entries"));
  EXPECT_THAT(error_of(with_header(entry, 124, std::string(1, '\x80') + std::string(11, '\xff'))),
              HasSubstr("beyond 64 bits"));
  EXPECT_THAT(error_of(with_header(entry, 124, std::string(12, '\xff'))), HasSubstr("negative"));
  EXPECT_THAT(error_of(with_header(entry, 156, "S")), HasSubstr("sparse"));
  EXPECT_THAT(error_of(with_header(entry, 156, "x")), HasSubstr("a pax header is damaged"));
  const std::string whole = read_bytes(golden_file("pax.tar"));
  // Up to where its zero blocks begin, no cut archive is whole.
  const size_t end = whole.find_last_not_of('\0') / 512 * 512 + 512;
  for (size_t size = 0; size < end + 512; size += 7)
    ASSERT_FALSE(TarFile::parse(SharedBytes(whole.substr(0, size)), "t").ok()) << size;
}

TEST(Tar, ThePictureSets) {
  CAIRN_REQUIRE_DATA("vision/cifar10-jpg-test1000.tar");
  const auto file = TarFile::open(test::data_path("vision/cifar10-jpg-test1000.tar")).value();
  EXPECT_EQ(file.entries().size(), 1000u);
  EXPECT_EQ(file.bytes(*file.find("test/airplane/0000.jpg")).size(), 888u);
}

}  // namespace
}  // namespace cairn::io
