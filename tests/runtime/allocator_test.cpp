// Large blocks of host memory are used again, within the peak of what was in use.
#include <gtest/gtest.h>

#include "cairn/core/buffer.h"

namespace cairn::test {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

TEST(Allocator, ALargeBlockIsUsedAgain) {
  HostAllocator allocator;
  auto buffer = allocator.allocate(8 * kMiB);
  const void* data = buffer->data;
  buffer.reset();
  EXPECT_EQ(allocator.bytes_in_use(), 0u);
  EXPECT_EQ(allocator.kept_bytes(), 8 * kMiB);
  buffer = allocator.allocate(8 * kMiB);
  EXPECT_EQ(buffer->data, data);
  EXPECT_EQ(allocator.bytes_in_use(), 8 * kMiB);
  EXPECT_EQ(allocator.kept_bytes(), 0u);
  EXPECT_EQ(allocator.peak_bytes(), 8 * kMiB);
}

TEST(Allocator, KeptAndInUseStayWithinThePeak) {
  HostAllocator allocator;
  auto first = allocator.allocate(8 * kMiB), second = allocator.allocate(16 * kMiB);
  first.reset();
  second.reset();
  EXPECT_EQ(allocator.kept_bytes(), 24 * kMiB);
  // Another size takes the place of the oldest.
  const auto third = allocator.allocate(6 * kMiB);
  EXPECT_EQ(allocator.kept_bytes(), 16 * kMiB);
  const auto fourth = allocator.allocate(20 * kMiB);
  EXPECT_EQ(allocator.kept_bytes(), 0u);
  EXPECT_EQ(allocator.peak_bytes(), 26 * kMiB);
}

TEST(Allocator, AFreshPeakGivesAllBack) {
  HostAllocator allocator;
  allocator.allocate(8 * kMiB).reset();
  allocator.reset_peak();
  EXPECT_EQ(allocator.kept_bytes(), 0u);
  EXPECT_EQ(allocator.peak_bytes(), 0u);
}

TEST(Allocator, SmallBlocksAreNotKept) {
  HostAllocator allocator;
  allocator.allocate(kMiB).reset();
  EXPECT_EQ(allocator.kept_bytes(), 0u);
}

TEST(Allocator, ABufferMayOutliveIt) {
  std::shared_ptr<Buffer> buffer;
  {
    HostAllocator allocator;
    buffer = allocator.allocate(8 * kMiB);
  }
  static_cast<char*>(buffer->data)[0] = 1;
  buffer.reset();  // under the sanitizers: neither lost nor freed twice
}

}  // namespace
}  // namespace cairn::test
