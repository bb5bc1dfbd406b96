// Compiled kernels on disk: whole or absent, whatever happens to the files.
#include "cairn/runtime/cpu/disk_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/runtime/cpu/kernel_cache.h"
#include "cairn/tile/builder.h"
#include "cairn/tile/print.h"
#include "tests/io/temporary_folder.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using io::TemporaryFolder;

// The only file of a cache.
std::string only_file(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path().string());
  EXPECT_EQ(files.size(), 1u);
  return files.empty() ? "" : files[0];
}

TEST(DiskCache, GivesBackWhatWasStored) {
  const TemporaryFolder folder;
  const std::string path = folder / "made/when/needed";
  const std::string bytes("\0\n\xff object", 9);
  const DiskCache cache(path);
  EXPECT_EQ(cache.load("key"), std::nullopt);
  EXPECT_FALSE(fs::exists(path));
  cache.store("key", bytes);
  EXPECT_EQ(cache.load("key"), bytes);
  EXPECT_EQ(cache.load("another key"), std::nullopt);
  EXPECT_EQ(DiskCache(path).load("key"), bytes);
  cache.store("key", "");
  EXPECT_EQ(cache.load("key"), "");
  only_file(path);
}

TEST(DiskCache, WithoutAFolderKeepsNothing) {
  const DiskCache cache("");
  cache.store("key", "bytes");
  EXPECT_EQ(cache.load("key"), std::nullopt);
}

TEST(DiskCache, DamagedFilesAreAbsentAndReplaced) {
  const TemporaryFolder folder;
  const DiskCache cache(folder / "kernels");
  const std::string bytes = "some machine code";
  cache.store("key", bytes);
  const std::string file = only_file(cache.folder());
  const std::string whole = io::read_bytes(file);
  std::vector<std::string> damaged = {whole + "x"};
  for (size_t size = 0; size < whole.size(); ++size) damaged.push_back(whole.substr(0, size));
  for (size_t i = 0; i < whole.size(); ++i) {
    damaged.push_back(whole);
    damaged.back()[i] = static_cast<char>(damaged.back()[i] ^ 4);
  }
  for (const std::string& text : damaged) {
    io::write_bytes(file, text);
    EXPECT_EQ(cache.load("key"), std::nullopt);
    cache.store("key", bytes);
    EXPECT_EQ(cache.load("key"), bytes);
  }
}

// Each finds nothing or one of the two values, whole; no file is left beside.
TEST(DiskCache, WritersDoNotMeet) {
  const TemporaryFolder folder;
  const std::string path = folder / "kernels";
  const std::string values[] = {std::string(5000, 'a'), std::string(70, 'b')};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (const std::string& value : values)
    threads.emplace_back([&] {
      const DiskCache cache(path);
      for (int i = 0; i < 200; ++i) {
        cache.store("key", value);
        const auto found = cache.load("key");
        if (!found || (*found != values[0] && *found != values[1])) ++wrong;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  only_file(path);
}

TEST(DiskCache, BeyondItsLimitWhatWasNotUsedGoes) {
  const TemporaryFolder folder;
  const DiskCache cache(folder / "kernels", 12000);
  const auto age = [&] {
    for (const auto& entry : fs::directory_iterator(cache.folder()))
      fs::last_write_time(entry, fs::file_time_type::clock::now() - std::chrono::hours(1));
  };
  cache.store("used", std::string(6000, 'u'));
  cache.store("not used", std::string(6000, 'n'));
  age();
  EXPECT_TRUE(cache.load("used"));
  // Looks at the folder's size are far apart, but not as far as this.
  for (int i = 0; i < 100; ++i) cache.store("small " + std::to_string(i), "x");
  EXPECT_TRUE(cache.load("used"));
  EXPECT_FALSE(cache.load("not used"));
  EXPECT_TRUE(cache.load("small 99"));
}

TEST(DiskCache, AFolderThatCannotBeIsNoError) {
  const TemporaryFolder folder;
  io::write_bytes(folder / "file", "in the way");
  const DiskCache cache(folder / "file/kernels");
  cache.store("key", "bytes");
  EXPECT_EQ(cache.load("key"), std::nullopt);
  EXPECT_EQ(io::read_bytes(folder / "file"), "in the way");
}

TEST(DiskCache, AnEntryThatIsAFolderIsNoError) {
  const TemporaryFolder folder;
  const DiskCache cache(folder / "kernels");
  cache.store("key", "bytes");
  const std::string file = only_file(cache.folder());
  fs::remove(file);
  fs::create_directory(file);
  EXPECT_EQ(cache.load("key"), std::nullopt);
  cache.store("key", "bytes");
  EXPECT_EQ(cache.load("key"), std::nullopt);
  EXPECT_EQ(only_file(cache.folder()), file);
}

// --- kernels -------------------------------------------------------------------------------------

tile::Kernel doubles(const std::string& name) {
  return tile::build(name, [](tile::Builder& k) {
    const tile::Buffer x = k.input("x", DType::f32), y = k.output("y", DType::f32);
    const tile::Tile i = k.arange(8);
    k.store(y, i, k.load(x, i) * 2.0);
  });
}

void expect_doubles(const CompiledKernel& kernel) {
  alignas(64) float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8] = {};
  KernelSlot slots[2];
  slots[0].address = x;
  slots[1].address = y;
  kernel.run(slots, 0, 1);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(y[i], 2 * x[i]);
}

class KernelCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_compile_kernels() || detect_cpu_target() < CpuTarget::avx2)
      GTEST_SKIP() << "needs LLVM and AVX2";
  }
  std::string key_of(const tile::Kernel& kernel) const {
    return compiler_identity(target_) + "\n" + tile::to_text(kernel);
  }
  CpuTarget target_ = CpuTarget::avx2;
  TemporaryFolder folder_;
  DiskCache disk_{folder_ / "kernels"};
};

TEST_F(KernelCacheTest, CompilesOnceAndKeepsIt) {
  KernelCache cache(target_, disk_);
  const auto kernel = cache.get(doubles("k"));
  expect_doubles(*kernel);
  EXPECT_EQ(cache.get(doubles("k")), kernel);
  const auto object = disk_.load(key_of(doubles("k")));
  ASSERT_TRUE(object);
  expect_doubles(link_kernel(*object, "k"));
  KernelCache again(target_, disk_);
  expect_doubles(*again.get(doubles("k")));
  only_file(disk_.folder());
}

TEST_F(KernelCacheTest, CompilesAgainWhatIsWholeAndNoCode) {
  const tile::Kernel kernel = doubles("k");
  const std::string other = compile_kernel(doubles("another"), target_);
  for (const std::string& object : {std::string("garbage"), std::string(), other}) {
    disk_.store(key_of(kernel), object);
    KernelCache cache(target_, disk_);
    expect_doubles(*cache.get(kernel));
    const auto replaced = disk_.load(key_of(kernel));
    ASSERT_TRUE(replaced);
    EXPECT_NE(*replaced, object);
    expect_doubles(link_kernel(*replaced, "k"));
  }
}

// Of threads that ask at once each gets the one kernel.
TEST_F(KernelCacheTest, ThreadsShareAKernel) {
  KernelCache cache(target_, disk_);
  std::vector<std::shared_ptr<const CompiledKernel>> kernels(4);
  std::vector<std::thread> threads;
  for (auto& kernel : kernels) threads.emplace_back([&] { kernel = cache.get(doubles("k")); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& kernel : kernels) EXPECT_EQ(kernel, kernels[0]);
  expect_doubles(*kernels[0]);
}

}  // namespace
}  // namespace cairn
