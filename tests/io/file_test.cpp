#include "cairn/base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cairn/base/clock.h"
#include "cairn/base/log.h"
#include "tests/io/temporary_folder.h"

namespace cairn {
namespace {

using io::read_bytes;
using io::TemporaryFolder;
using io::write_bytes;
using testing::HasSubstr;

// RLIMIT_FSIZE for the life of the object, with SIGXFSZ ignored as the program does.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_;
  void (*handler_)(int);
};

TEST(ReadFile, InParts) {
  TemporaryFolder folder;
  std::string text(3'000'000, 'x');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i / 7);
  write_bytes(folder / "a", text);
  std::string joined;
  size_t largest = 0;
  const auto use = [&](std::span<const std::byte> part) {
    joined.append(reinterpret_cast<const char*>(part.data()), part.size());
    largest = std::max(largest, part.size());
  };
  ASSERT_TRUE(read_file_in_parts(folder / "a", use).ok());
  EXPECT_EQ(joined, text);
  EXPECT_LT(largest, text.size());
  EXPECT_THAT(read_file_in_parts(folder / "none", use).error().what(), HasSubstr("none"));
  EXPECT_THAT(read_file_in_parts(folder / ".", use).error().what(), HasSubstr("is a folder"));
}

TEST(ReadFile, WholeFileEmptyFileAndLimit) {
  TemporaryFolder folder;
  const std::string text(100'000, 'x');
  write_bytes(folder / "a", text);
  write_bytes(folder / "empty", "");
  EXPECT_EQ(read_file(folder / "a").value(), text);
  EXPECT_EQ(read_file(folder / "a", text.size()).value(), text);
  EXPECT_EQ(read_file(folder / "empty").value(), "");
  const auto limited = read_file(folder / "a", text.size() - 1);
  ASSERT_FALSE(limited);
  EXPECT_THAT(limited.error().what(), HasSubstr("99999 bytes"));
}

TEST(ReadFile, ADeviceWithoutEndStopsAtTheLimit) {
  const auto result = read_file("/dev/zero", 10'000);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().what(), HasSubstr("10000 bytes"));
}

TEST(ReadFile, ErrorsNameThePathTheCauseAndWhatToDo) {
  TemporaryFolder folder;
  const auto missing = read_file(folder / "none");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().what(), HasSubstr(folder / "none"));
  EXPECT_THAT(missing.error().what(), HasSubstr("No such file or directory"));
  EXPECT_THAT(missing.error().what(), HasSubstr("check the name"));
  const auto directory = read_file(folder / "");
  ASSERT_FALSE(directory);
  EXPECT_THAT(directory.error().what(), HasSubstr("it is a folder"));
}

TEST(MapFile, SharesBytesWithItsOwner) {
  TemporaryFolder folder;
  write_bytes(folder / "a", "hello");
  SharedBytes part;
  {
    const SharedBytes all = map_file(folder / "a").value();
    EXPECT_EQ(all.text(), "hello");
    part = all.part(1, 3);
  }
  EXPECT_EQ(part.text(), "ell");
}

TEST(MapFile, EmptyMissingFolderAndDevice) {
  TemporaryFolder folder;
  write_bytes(folder / "empty", "");
  EXPECT_EQ(map_file(folder / "empty").value().size(), 0u);
  EXPECT_THAT(map_file(folder / "none").error().what(), HasSubstr("No such file"));
  EXPECT_THAT(map_file(folder / "").error().what(), HasSubstr("it is a folder"));
  EXPECT_THAT(map_file("/dev/null").error().what(), HasSubstr("copy it to a regular file"));
}

TEST(WriteFileAtomically, ReplacesAndKeepsTheMode) {
  TemporaryFolder folder;
  const std::string path = folder / "a";
  ASSERT_TRUE(write_file_atomically(path, "one"));
  ::chmod(path.c_str(), 0640);
  ASSERT_TRUE(write_file_atomically(path, "two"));
  EXPECT_EQ(read_bytes(path), "two");
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
  EXPECT_EQ(folder.files(), 1);
}

TEST(WriteFileAtomically, SmallAndLargePiecesKeepTheirOrder) {
  TemporaryFolder folder;
  std::string expected;
  const auto status = write_file_atomically(folder / "a", [&](FileWriter& writer) -> Status {
    for (int i = 0; i < 300; i += 3) {
      const std::string piece(static_cast<size_t>(i * i), static_cast<char>('a' + i % 26));
      writer.write(piece);
      expected += piece;
      EXPECT_EQ(writer.position(), expected.size());
    }
    return Nothing{};
  });
  ASSERT_TRUE(status);
  EXPECT_TRUE(read_bytes(folder / "a") == expected);
}

TEST(WriteFileAtomically, TheOldFileStaysUntilTheNewOneIsComplete) {
  TemporaryFolder folder;
  const std::string path = folder / "a";
  ASSERT_TRUE(write_file_atomically(path, "old"));
  const auto refused = write_file_atomically(path, [&](FileWriter& writer) -> Status {
    writer.write("half of the new");
    EXPECT_EQ(read_bytes(path), "old");
    return Error("the source broke");
  });
  EXPECT_STREQ(refused.error().what(), "the source broke");
  EXPECT_THROW((void)write_file_atomically(
                   path, [](FileWriter&) -> Status { throw_error("thrown by the callback"); }),
               Error);
  EXPECT_EQ(read_bytes(path), "old");
  EXPECT_EQ(folder.files(), 1);
}

TEST(WriteFileAtomically, FollowsASymbolicLink) {
  TemporaryFolder folder;
  write_bytes(folder / "real", "old");
  std::filesystem::create_symlink(folder / "real", folder / "link");
  ASSERT_TRUE(write_file_atomically(folder / "link", "new"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_bytes(folder / "real"), "new");
}

TEST(WriteFileAtomically, AFileSizeLimitIsAnErrorAndLeavesTheOldFile) {
  TemporaryFolder folder;
  const std::string path = folder / "a";
  ASSERT_TRUE(write_file_atomically(path, "old"));
  Status status = Nothing{};
  {
    FileSizeLimit limit(10'000);
    status = write_file_atomically(path, std::string(1'000'000, 'x'));
  }
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().what(), HasSubstr(path));
  EXPECT_THAT(status.error().what(), HasSubstr("File too large"));
  EXPECT_THAT(status.error().what(), HasSubstr("ulimit -f"));
  EXPECT_EQ(read_bytes(path), "old");
  EXPECT_EQ(folder.files(), 1);
}

TEST(WriteFileAtomically, AFullDiskIsNamedAndTheDeviceStays) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "needs /dev/full";
  const auto status = write_file_atomically("/dev/full", "some text");
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().what(), HasSubstr("/dev/full"));
  EXPECT_THAT(status.error().what(), HasSubstr("No space left on device"));
  EXPECT_THAT(status.error().what(), HasSubstr("free some space"));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

TEST(WriteFileAtomically, AFolderAMissingFolderAndAFileAsFolder) {
  TemporaryFolder folder;
  write_bytes(folder / "file", "");
  EXPECT_THAT(write_file_atomically(folder / "", "x").error().what(), HasSubstr("it is a folder"));
  EXPECT_THAT(write_file_atomically(folder / "no/a", "x").error().what(),
              HasSubstr("its folder exists"));
  EXPECT_THAT(write_file_atomically(folder / "file/a", "x").error().what(),
              HasSubstr("a file, not a folder"));
  EXPECT_EQ(folder.files(), 1);
}

TEST(WriteFileAtomically, WithoutPermission) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "closed");
  ::chmod((folder / "closed").c_str(), 0500);
  // Root may write anywhere, so root tries as a user who may not.
  const int before = ::setfsuid(::geteuid() == 0 ? 65534 : ::geteuid());
  const auto status = write_file_atomically(folder / "closed/a", "x");
  ::setfsuid(static_cast<uid_t>(before));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().what(), HasSubstr("Permission denied"));
  EXPECT_THAT(status.error().what(), HasSubstr("check the permissions"));
}

TEST(LineWriter, AppendsAndCutsBack) {
  TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  uint64_t after_first = 0;
  {
    LineWriter writer = LineWriter::open(path).value();
    ASSERT_TRUE(writer.write("{\"step\":1}"));
    after_first = writer.position();
    ASSERT_TRUE(writer.write("{\"step\":2}"));
    EXPECT_EQ(read_bytes(path), "{\"step\":1}\n{\"step\":2}\n");
    ASSERT_TRUE(writer.sync());
  }
  LineWriter writer = LineWriter::open(path, after_first).value();
  ASSERT_TRUE(writer.write("{\"step\":3}"));
  EXPECT_EQ(read_bytes(path), "{\"step\":1}\n{\"step\":3}\n");
  LineWriter moved = std::move(writer);
  ASSERT_TRUE(moved.write("x"));
  EXPECT_EQ(moved.position(), read_bytes(path).size());
  const auto too_far = LineWriter::open(path, 1000);
  ASSERT_FALSE(too_far);
  EXPECT_THAT(too_far.error().what(), HasSubstr("1000 were recorded"));
}

TEST(LineWriter, AFailedLineIsTakenBack) {
  TemporaryFolder folder;
  const std::string path = folder / "a";
  LineWriter writer = LineWriter::open(path).value();
  ASSERT_TRUE(writer.write("whole"));
  Status status = Nothing{};
  {
    FileSizeLimit limit(10);
    status = writer.write("0123456789");
  }
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().what(), HasSubstr("File too large"));
  EXPECT_EQ(read_bytes(path), "whole\n");
  ASSERT_TRUE(writer.write("next"));
  EXPECT_EQ(read_bytes(path), "whole\nnext\n");
}

TEST(LineWriter, AFullDeviceIsAnError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "needs /dev/full";
  LineWriter writer = LineWriter::open("/dev/full").value();
  const auto status = writer.write("x");
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().what(), HasSubstr("No space left on device"));
}

TEST(LogTest, DiscardsByDefaultAndFiltersByLevel) {
  Log().error("goes nowhere");
  std::string seen;
  const Log log(LogLevel::info, [&](LogLevel level, std::string_view message) {
    seen += std::string(name(level)) + ":" + std::string(message) + "\n";
  });
  log.error("a");
  log.info("b");
  log.debug("c");
  EXPECT_EQ(seen, "error:a\ninfo:b\n");
  EXPECT_FALSE(log.enabled(LogLevel::debug));
  EXPECT_EQ(parse_log_level("warning"), LogLevel::warning);
  EXPECT_EQ(parse_log_level("loud"), std::nullopt);
}

TEST(ClockTest, DoesNotGoBack) {
  double last = monotonic_seconds();
  for (int i = 0; i < 1000; ++i) {
    const double now = monotonic_seconds();
    ASSERT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace cairn
