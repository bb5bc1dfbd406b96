#include "cairn/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "cairn/base/error.h"

namespace cairn {
namespace {

TEST(ThreadPool, RunsEveryPieceOnceWithTheSameCuts) {
  for (int64_t n : {0, 1, 5, 64, 1000})
    for (int64_t grain : {1, 3, 64, 5000}) {
      std::set<std::pair<int64_t, int64_t>> expected;
      for (int64_t i = 0; i < n; i += grain) expected.emplace(i, std::min(n, i + grain));
      for (int threads : {1, 2, 3, 8}) {
        ThreadPool pool(threads);
        std::mutex mutex;
        std::set<std::pair<int64_t, int64_t>> pieces;
        int64_t calls = 0;
        pool.parallel_for(n, grain, [&](int64_t begin, int64_t end) {
          std::lock_guard lock(mutex);
          pieces.emplace(begin, end);
          ++calls;
        });
        EXPECT_EQ(pieces, expected);
        EXPECT_EQ(calls, static_cast<int64_t>(expected.size()));
      }
    }
}

TEST(ThreadPool, ManyShortLoops) {
  ThreadPool pool(4);
  std::vector<int> counts(257);
  for (int round = 0; round < 2000; ++round)
    pool.parallel_for(257, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++counts[static_cast<size_t>(i)];
    });
  for (int c : counts) EXPECT_EQ(c, 2000);
}

// All pieces can be in flight together: each waits until every thread holds one.
TEST(ThreadPool, UsesAllThreads) {
  ThreadPool pool(3);
  std::atomic<int> inside{0};
  pool.parallel_for(3, 1, [&](int64_t, int64_t) {
    ++inside;
    while (inside < 3) std::this_thread::yield();
  });
  EXPECT_EQ(inside, 3);
}

TEST(ThreadPool, SleepingWorkersWakeUp) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> inside{0};
    pool.parallel_for(3, 1, [&](int64_t, int64_t) {
      ++inside;
      while (inside < 3) std::this_thread::yield();
    });
  }
}

TEST(ThreadPool, ManyCallers) {
  ThreadPool pool(3);
  std::vector<std::thread> callers;
  std::vector<int64_t> sums(6);
  for (size_t c = 0; c < sums.size(); ++c)
    callers.emplace_back([&, c] {
      for (int round = 0; round < 300; ++round) {
        std::atomic<int64_t> sum{0};
        pool.parallel_for(100, 7, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) sum += i;
        });
        sums[c] += sum;
      }
    });
  for (auto& t : callers) t.join();
  for (int64_t s : sums) EXPECT_EQ(s, 300 * 4950);
}

TEST(ThreadPool, NestedLoopsRunInline) {
  ThreadPool pool(4);
  std::atomic<int> pieces{0};
  pool.parallel_for(8, 1, [&](int64_t, int64_t) {
    const auto self = std::this_thread::get_id();
    pool.parallel_for(8, 1, [&](int64_t, int64_t) {
      EXPECT_EQ(std::this_thread::get_id(), self);
      ++pieces;
    });
  });
  EXPECT_EQ(pieces, 64);
}

TEST(ThreadPool, ThrowsTheFirstExceptionAndStaysUsable) {
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> done{0};
      try {
        pool.parallel_for(1000, 1, [&](int64_t begin, int64_t) {
          if (begin == 10) throw std::runtime_error("piece 10");
          ++done;
        });
        FAIL() << "nothing was thrown";
      } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "piece 10");
      }
      EXPECT_LT(done, 1000);
    }
    std::atomic<int> sum{0};
    pool.parallel_for(10, 1, [&](int64_t begin, int64_t) { sum += static_cast<int>(begin); });
    EXPECT_EQ(sum, 45);
  }
}

TEST(ThreadPool, RefusesZeroThreads) { EXPECT_THROW(ThreadPool(0), Error); }

TEST(ThreadPool, PhysicalCores) {
  EXPECT_GE(physical_cores(), 1);
  EXPECT_LE(physical_cores(), static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace cairn
