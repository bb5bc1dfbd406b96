// The communicator of threads against direct computation: every operation, element type and number
// of ranks. Its failures are in local_failure_test.cpp.
#include "cairn/comm/local/local_communicator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "cairn/core/dispatch.h"
#include "tests/comm/ranks.h"

namespace cairn::test {
namespace {

// Below, at and above the pieces and parts in which reductions are computed.
constexpr int64_t kLengths[] = {0, 1, 3, 7, 1024, 5000};

// Element i of rank r: halves between -32 and 31.5, so that f16 and bf16 hold them.
template <class T>
T element(int r, int64_t i) {
  const auto v = static_cast<int>((i * 37 + r * 101 + 11) % 128) - 64;
  if constexpr (kIsFloatType<T>)
    return static_cast<T>(static_cast<float>(v) / 2);
  else
    return static_cast<T>(v);
}
template <class T>
std::vector<T> elements(int r, int64_t count) {
  std::vector<T> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(element<T>(r, i));
  return out;
}

// By bits, so that NaN and -0 count.
template <class T>
bool same_bits(const T* a, const T* b, size_t n) {
  return n == 0 || std::memcmp(a, b, n * sizeof(T)) == 0;
}
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && same_bits(a.data(), b.data(), a.size());
}

// The sum as written: in order of ranks, f16 and bf16 in f32 and rounded once, integers wrapping.
template <class T>
T sum_of(int ranks, int64_t i) {
  if constexpr (std::is_same_v<T, double> || std::is_same_v<T, float>) {
    T total = element<T>(0, i);
    for (int r = 1; r < ranks; ++r) total += element<T>(r, i);
    return total;
  } else if constexpr (kIsFloatType<T>) {
    float total = static_cast<float>(element<T>(0, i));
    for (int r = 1; r < ranks; ++r) total += static_cast<float>(element<T>(r, i));
    return static_cast<T>(total);
  } else {
    int64_t total = 0;
    for (int r = 0; r < ranks; ++r) total += static_cast<int64_t>(element<T>(r, i));
    return static_cast<T>(total);
  }
}
template <class T>
T extreme_of(int ranks, int64_t i, bool max) {
  using A = std::conditional_t<kIsFloatType<T>, double, int64_t>;
  const auto wide = [](T v) {
    if constexpr (kIsFloatType<T> && !std::is_same_v<T, double>)
      return A(static_cast<float>(v));
    else
      return static_cast<A>(v);
  };
  T best = element<T>(0, i);
  for (int r = 1; r < ranks; ++r) {
    const T v = element<T>(r, i);
    if (max ? wide(v) > wide(best) : wide(v) < wide(best)) best = v;
  }
  return best;
}

template <class F>
void for_numbers(F f) {
  for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32,
                            DType::i16, DType::i8, DType::u8, DType::u32})
    visit_dtype(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (!std::is_same_v<T, bool> && !std::is_same_v<T, Float8E4M3> &&
                    !std::is_same_v<T, Float8E5M2>)
        f(tag);
    });
}

class Local : public testing::TestWithParam<int> {
 protected:
  int ranks() const { return GetParam(); }
  void run(const std::function<void(Communicator&)>& body) { on_communicators(ranks(), body); }
};

TEST_P(Local, RanksKnowTheirPlace) {
  const auto communicators = make_local_communicators(ranks());
  ASSERT_EQ(communicators.size(), static_cast<size_t>(ranks()));
  for (int r = 0; r < ranks(); ++r) {
    EXPECT_EQ(communicators[static_cast<size_t>(r)]->rank(), r);
    EXPECT_EQ(communicators[static_cast<size_t>(r)]->size(), ranks());
  }
}

TEST_P(Local, AllReduce) {
  run([&](Communicator& c) {
    for_numbers([&](auto tag) {
      using T = typename decltype(tag)::type;
      for (const int64_t n : kLengths)
        for (const ReduceKind kind : {ReduceKind::sum, ReduceKind::max, ReduceKind::min}) {
          std::vector<T> in = elements<T>(c.rank(), n), out(in.size()), expected;
          for (int64_t i = 0; i < n; ++i)
            expected.push_back(kind == ReduceKind::sum
                                   ? sum_of<T>(ranks(), i)
                                   : extreme_of<T>(ranks(), i, kind == ReduceKind::max));
          c.all_reduce(in.data(), out.data(), n, dtype_of<T>(), kind);
          EXPECT_TRUE(same_bits(out, expected)) << name(dtype_of<T>()) << ' ' << n;
          EXPECT_TRUE(same_bits(in, elements<T>(c.rank(), n))) << "the operand changed";
          c.all_reduce(in.data(), in.data(), n, dtype_of<T>(), kind);
          EXPECT_TRUE(same_bits(in, expected)) << "in place " << name(dtype_of<T>()) << ' ' << n;
        }
    });
  });
}

TEST_P(Local, ReduceScatter) {
  run([&](Communicator& c) {
    for_numbers([&](auto tag) {
      using T = typename decltype(tag)::type;
      for (const int64_t n : kLengths) {
        std::vector<T> in = elements<T>(c.rank(), n * ranks()), out(static_cast<size_t>(n)),
                       expected;
        for (int64_t i = 0; i < n; ++i) expected.push_back(sum_of<T>(ranks(), c.rank() * n + i));
        c.reduce_scatter(in.data(), out.data(), n, dtype_of<T>());
        EXPECT_TRUE(same_bits(out, expected)) << name(dtype_of<T>()) << ' ' << n;
        T* own = in.data() + c.rank() * n;
        c.reduce_scatter(in.data(), own, n, dtype_of<T>());
        EXPECT_TRUE(same_bits(own, expected.data(), expected.size())) << "in place";
      }
    });
  });
}

TEST_P(Local, AllGather) {
  run([&](Communicator& c) {
    for (const int64_t n : kLengths) {
      const std::vector<uint8_t> in = elements<uint8_t>(c.rank(), n);
      std::vector<uint8_t> out(static_cast<size_t>(n * ranks())), expected;
      for (int r = 0; r < ranks(); ++r)
        for (const uint8_t v : elements<uint8_t>(r, n)) expected.push_back(v);
      c.all_gather(in.data(), out.data(), in.size());
      EXPECT_EQ(out, expected);
      std::vector<uint8_t> whole(out.size());
      std::copy(in.begin(), in.end(), whole.begin() + c.rank() * n);
      c.all_gather(whole.data() + c.rank() * n, whole.data(), in.size());
      EXPECT_EQ(whole, expected) << "in place";
    }
  });
}

TEST_P(Local, AllToAll) {
  run([&](Communicator& c) {
    for (const int64_t n : kLengths) {
      const std::vector<uint8_t> in = elements<uint8_t>(c.rank(), n * ranks());
      std::vector<uint8_t> out(in.size()), expected;
      for (int r = 0; r < ranks(); ++r)
        for (int64_t i = 0; i < n; ++i) expected.push_back(element<uint8_t>(r, c.rank() * n + i));
      c.all_to_all(in.data(), out.data(), static_cast<size_t>(n));
      EXPECT_EQ(out, expected);
    }
  });
}

// Every map of ranks to ranks or to nobody that sends to no rank twice.
TEST_P(Local, Permute) {
  run([&](Communicator& c) {
    const int base = ranks() + 1;
    int maps = 1;
    for (int r = 0; r < ranks(); ++r) maps *= base;
    for (int code = 0; code < maps; ++code) {
      std::vector<int32_t> to, from(static_cast<size_t>(ranks()), -1);
      bool twice = false;
      for (int r = 0, rest = code; r < ranks(); ++r, rest /= base) {
        to.push_back(rest % base - 1);
        if (to.back() < 0) continue;
        twice |= from[static_cast<size_t>(to.back())] >= 0;
        from[static_cast<size_t>(to.back())] = r;
      }
      if (twice) continue;
      const std::vector<int32_t> in = elements<int32_t>(c.rank(), 5);
      std::vector<int32_t> out(5, -7);
      c.permute(in.data(), out.data(), 20, to);
      const int source = from[static_cast<size_t>(c.rank())];
      EXPECT_EQ(out, source < 0 ? std::vector<int32_t>(5, 0) : elements<int32_t>(source, 5));
    }
  });
}

// Nobody passes before the last has come.
TEST_P(Local, Barrier) {
  std::atomic<int> came = 0;
  run([&](Communicator& c) {
    for (int round = 1; round <= 100; ++round) {
      ++came;
      c.barrier();
      EXPECT_GE(came.load(), round * ranks());
    }
  });
}

TEST_P(Local, CheckEqual) {
  run([&](Communicator& c) {
    c.check_equal(42, "step");
    if (ranks() == 1) return;
    const uint64_t own = c.rank() == ranks() - 1 ? 0xbeef : 0xcafe;
    EXPECT_EQ(error_of([&] { c.check_equal(own, "the graph"); }),
              "[check_equal] the graph differs: 0xcafe on rank 0, 0xbeef on rank " +
                  std::to_string(ranks() - 1));
    c.barrier();  // the order of calls is intact: the ranks may go on
  });
}

// Operations of all kinds after each other, without a pause: what one leaves behind, the next must
// not see.
TEST_P(Local, ManyInARow) {
  run([&](Communicator& c) {
    for (int round = 0; round < 100; ++round) {
      const int64_t n = round % 17;
      std::vector<int64_t> sum(static_cast<size_t>(n), c.rank() + round);
      c.all_reduce(sum.data(), sum.data(), n, DType::i64, ReduceKind::sum);
      const int64_t total = ranks() * (ranks() - 1) / 2 + round * ranks();
      EXPECT_EQ(sum, std::vector<int64_t>(static_cast<size_t>(n), total));
      const int32_t own = c.rank() * 1000 + round;
      std::vector<int32_t> all(static_cast<size_t>(ranks()));
      c.all_gather(&own, all.data(), sizeof own);
      for (int r = 0; r < ranks(); ++r) EXPECT_EQ(all[static_cast<size_t>(r)], r * 1000 + round);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, Local, testing::Range(1, 5));

template <class T>
T reduced(const std::vector<T>& by_rank, ReduceKind kind = ReduceKind::sum) {
  std::vector<T> results(by_rank.size());
  on_communicators(static_cast<int>(by_rank.size()), [&](Communicator& c) {
    const auto r = static_cast<size_t>(c.rank());
    c.all_reduce(&by_rank[r], &results[r], 1, dtype_of<T>(), kind);
  });
  for (const T& value : results) EXPECT_TRUE(same_bits(&value, &results[0], 1)) << "ranks differ";
  return results[0];
}

TEST(LocalNumerics, SumsFollowTheOrderOfRanks) {
  EXPECT_EQ(reduced<float>({1e30f, 1, -1e30f, 1}), 1);
  EXPECT_EQ(reduced<float>({1e30f, -1e30f, 1, 1}), 2);
  EXPECT_EQ(reduced<double>({1e300, 1, -1e300, 1}), 1);
}

// 2048 + 1 is 2048 in f16, 256 + 1 is 256 in bf16.
TEST(LocalNumerics, HalvesAreRoundedOnce) {
  const auto half = [](float v) { return Float16(v); };
  EXPECT_EQ(static_cast<float>(reduced<Float16>({half(2048), half(1), half(1)})), 2050);
  const auto brain = [](float v) { return BFloat16(v); };
  EXPECT_EQ(static_cast<float>(reduced<BFloat16>({brain(256), brain(1), brain(1)})), 258);
}

TEST(LocalNumerics, IntegersWrap) {
  EXPECT_EQ(reduced<int32_t>({INT32_MAX, 1}), INT32_MIN);
  EXPECT_EQ(reduced<int64_t>({INT64_MIN, -1}), INT64_MAX);
  EXPECT_EQ(reduced<int8_t>({127, 2}), -127);
  EXPECT_EQ(reduced<uint8_t>({250, 10}), 4);
  EXPECT_EQ(reduced<uint32_t>({UINT32_MAX, 2}), 1u);
}

TEST(LocalNumerics, EdgesOfMaxAndMin) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const ReduceKind kind : {ReduceKind::max, ReduceKind::min}) {
    EXPECT_TRUE(std::isnan(reduced<float>({nan, 1}, kind)));
    EXPECT_TRUE(std::isnan(reduced<float>({1, nan, 2}, kind)));
  }
  EXPECT_FALSE(std::signbit(reduced<float>({-0.0f, 0.0f}, ReduceKind::max)));
  EXPECT_FALSE(std::signbit(reduced<float>({0.0f, -0.0f}, ReduceKind::max)));
  EXPECT_TRUE(std::signbit(reduced<float>({-0.0f, 0.0f}, ReduceKind::min)));
  EXPECT_TRUE(std::signbit(reduced<float>({0.0f, -0.0f}, ReduceKind::min)));
  EXPECT_TRUE(std::signbit(reduced<float>({-0.0f}))) << "a sum of one is that one";
}

TEST(LocalMeshes, LastAxisRunsFastest) {
  const LocalMeshAxis axes[] = {{"data", 2}, {"model", 3}};
  const std::vector<LocalMesh> meshes = make_local_mesh(axes);
  ASSERT_EQ(meshes.size(), 6u);
  run_ranks(meshes, [&](int rank) {
    Communicator& data = *meshes[static_cast<size_t>(rank)].at("data");
    Communicator& model = *meshes[static_cast<size_t>(rank)].at("model");
    EXPECT_EQ(data.size(), 2);
    EXPECT_EQ(model.size(), 3);
    EXPECT_EQ(data.rank(), rank / 3);
    EXPECT_EQ(model.rank(), rank % 3);
    int32_t row[3], column[2];
    model.all_gather(&rank, row, sizeof rank);
    data.all_gather(&rank, column, sizeof rank);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(row[i], rank / 3 * 3 + i);
    for (int i = 0; i < 2; ++i) EXPECT_EQ(column[i], i * 3 + rank % 3);
  });
}

TEST(LocalMeshes, NoAxisIsOneRank) {
  const std::vector<LocalMesh> meshes = make_local_mesh({});
  ASSERT_EQ(meshes.size(), 1u);
  EXPECT_TRUE(meshes[0].empty());
}

}  // namespace
}  // namespace cairn::test
