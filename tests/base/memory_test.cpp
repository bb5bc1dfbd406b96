#include "cairn/base/memory.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "cairn/base/error.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

// A root with the files of a system that is told what to say.
class MemoryTest : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::optional<uint64_t> available() const { return available_memory(root_); }

 private:
  fs::path root_ = fs::temp_directory_path() / ("cairn-memory-" + std::to_string(getpid()));
};

TEST_F(MemoryTest, IsTheSystemsWithoutLimits) {
  EXPECT_EQ(available(), std::nullopt);
  write("proc/meminfo", "MemTotal:  2000 kB\nMemFree:  500 kB\nMemAvailable:   1000 kB\n");
  EXPECT_EQ(available(), 1000u << 10);
  // A group without a limit, and one whose files are not to be seen here.
  write("proc/self/cgroup", "0::/user/shell\n3:cpuset:/\n");
  write("sys/fs/cgroup/user/memory.max", "max\n");
  write("sys/fs/cgroup/user/memory.current", "5\n");
  EXPECT_EQ(available(), 1000u << 10);
}

TEST_F(MemoryTest, IsWhatTheTightestGroupLeaves) {
  write("proc/meminfo", "MemAvailable:   1000 kB\n");
  write("proc/self/cgroup", "0::/user/shell\n");
  write("sys/fs/cgroup/user/shell/memory.max", "900000\n");
  write("sys/fs/cgroup/user/shell/memory.current", "500000\n");
  write("sys/fs/cgroup/user/shell/memory.stat",
        "anon 300000\ninactive_file 150000\nactive_file 50000\n");
  EXPECT_EQ(available(), 600000u);  // the page cache of 200000 can go
  write("sys/fs/cgroup/user/memory.max", "700000\n");
  write("sys/fs/cgroup/user/memory.current", "600000\n");
  EXPECT_EQ(available(), 100000u);
  write("sys/fs/cgroup/user/memory.current", "800000\n");
  EXPECT_EQ(available(), 0u);
}

TEST_F(MemoryTest, VersionOneInAContainerHasItsLimitAtTheMount) {
  write("proc/meminfo", "MemAvailable:   1000 kB\n");
  write("proc/self/cgroup", "9:cpu,cpuacct:/\n4:hugetlb,memory:/host/path/0123\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "400000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "300000\n");
  write("sys/fs/cgroup/memory/memory.stat",
        "inactive_file 1\ntotal_inactive_file 100000\ntotal_active_file 20000\n");
  EXPECT_EQ(available(), 220000u);
}

TEST(Memory, CheckNamesBothFigures) {
  check_memory(1, "one byte", "");
  try {
    check_memory(0x1p80, "a planet", "take a smaller one");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::MatchesRegex("a planet takes 1125899906842624.0 GiB of memory, "
                                                "and [0-9.]+ GiB are available; take a smaller "
                                                "one"));
  }
}

}  // namespace
}  // namespace cairn
