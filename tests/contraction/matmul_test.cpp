#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cairn/base/error.h"
#include "cairn/runtime/ref/contraction.h"
#include "tests/contraction/contraction_testing.h"

namespace cairn {
namespace {

using namespace contraction_testing;
using ref::MatmulArgs;

// A product with its operands and the plain triple loop's result.
struct Problem {
  TypeCase types;
  MatmulArgs args;
  Array a, b, expected;

  // Layouts: of A and B, row-major or transposed, with `gap` unused elements between rows; batches
  // repeat A or B where asked (stride 0).
  Problem(const TypeCase& types, int64_t batch, int64_t m, int64_t n, int64_t k, Random& random,
          bool special = false)
      : types(types), a(types.a, 0), b(types.b, 0), expected(types.out, batch * m * n) {
    args.batch = batch;
    args.m = m;
    args.n = n;
    args.k = k;
    args.a_dtype = types.a;
    args.b_dtype = types.b;
    args.c_dtype = types.out;
    args.accumulate = types.accumulate;
    const auto lay_out = [&](DType dtype, int64_t rows, int64_t columns, int64_t& batch_stride,
                             int64_t& row_stride, int64_t& column_stride) {
      const int64_t gap = random.pick<int64_t>({0, 0, 3});
      const bool transposed = random.below(2);
      const bool sparse = random.below(8) == 0;  // neither stride is 1
      const int64_t unit = sparse ? 2 : 1;
      row_stride = transposed ? unit : columns * unit + gap;
      column_stride = transposed ? rows * unit + gap : unit;
      const int64_t size = transposed ? columns * column_stride : rows * row_stride;
      const bool repeated = random.below(6) == 0;
      batch_stride = repeated ? 0 : size + gap;
      return random_array(dtype, (repeated ? 1 : batch) * (size + gap) + 1, random, special);
    };
    a = lay_out(types.a, m, k, args.a_batch_stride, args.a_row_stride, args.a_column_stride);
    b = lay_out(types.b, k, n, args.b_batch_stride, args.b_row_stride, args.b_column_stride);
    args.a = a.data();
    args.b = b.data();
    Sums sums(a, b, types.accumulate);
    for (int64_t i = 0; i < batch; ++i)
      for (int64_t row = 0; row < m; ++row)
        for (int64_t column = 0; column < n; ++column) {
          sums.start();
          for (int64_t j = 0; j < k; ++j)
            sums.add(
                i * args.a_batch_stride + row * args.a_row_stride + j * args.a_column_stride,
                i * args.b_batch_stride + j * args.b_row_stride + column * args.b_column_stride);
          sums.write(expected, (i * m + row) * n + column);
        }
  }

  void check(CpuTarget target, ThreadPool& pool) {
    constexpr int64_t kGuard = 64;  // elements after C that must stay as they are
    Array c(types.out, expected.count() + kGuard);
    const Array untouched(types.out, kGuard);
    args.c = c.data();
    matmul(args, target, pool);
    ASSERT_TRUE(std::equal(expected.bytes.begin(), expected.bytes.end(), c.bytes.begin()))
        << describe(types) << args.batch << " x " << args.m << " x " << args.k << " x " << args.n
        << " strides " << args.a_row_stride << " " << args.a_column_stride << " "
        << args.b_row_stride << " " << args.b_column_stride << " on " << name(target) << " with "
        << pool.threads() << " threads";
    ASSERT_TRUE(std::equal(untouched.bytes.begin(), untouched.bytes.end(),
                           c.bytes.end() - static_cast<ptrdiff_t>(untouched.bytes.size())))
        << "wrote past the end";
  }
};

class Matmul : public testing::Test {
 protected:
  void check(Problem& problem) {
    for (CpuTarget target : available_targets())
      for (ThreadPool* pool : {&one_, &two_, &three_, &eight_}) problem.check(target, *pool);
  }
  ThreadPool one_{1}, two_{2}, three_{3}, eight_{8};
};

TEST_F(Matmul, RandomShapesOfEveryType) {
  Random random(1);
  for (const TypeCase& types : kTypeCases)
    for (int i = 0; i < 12; ++i) {
      Problem p(types, random.pick<int64_t>({1, 1, 2, 5}), random.between(1, 40),
                random.between(1, 60), random.between(1, 50), random);
      check(p);
    }
}

TEST_F(Matmul, ShapesThatCrossTiles) {
  Random random(2);
  const TypeCase f32 = kTypeCases[0];
  for (const auto& [batch, m, n, k] : std::vector<std::array<int64_t, 4>>{{1, 150, 200, 130},
                                                                          {1, 97, 193, 257},
                                                                          {2, 145, 385, 129},
                                                                          {1, 33, 961, 40},
                                                                          {1, 1, 2049, 300},
                                                                          {1, 3, 2500, 259},
                                                                          {1, 4, 130, 1030},
                                                                          {1, 2, 131, 1025},
                                                                          {1, 300, 1, 77},
                                                                          {1, 301, 7, 129},
                                                                          {1, 500, 23, 20},
                                                                          {3, 20, 1000, 33},
                                                                          {40, 17, 19, 13},
                                                                          {1, 1, 1, 5000}}) {
    Problem p(f32, batch, m, n, k, random);
    check(p);
  }
  for (const TypeCase& types : kTypeCases) {
    Problem p(types, 1, 151, 197, 140, random);
    check(p);
    Problem few(types, 1, 1 + random.below(4), 300, 531, random);
    check(few);
  }
}

TEST_F(Matmul, SmallOnes) {
  Random random(3);
  for (int64_t m = 1; m <= 9; ++m)
    for (int64_t n = 1; n <= 9; ++n)
      for (int64_t k : {1, 2, 3, 4, 5, 8}) {
        Problem p(kTypeCases[0], 1, m, n, k, random);
        for (CpuTarget target : available_targets()) p.check(target, one_);
      }
}

TEST_F(Matmul, NoSizeAtAll) {
  Random random(4);
  for (const TypeCase& types : kTypeCases)
    for (const auto& [batch, m, n, k] : std::vector<std::array<int64_t, 4>>{
             {0, 3, 3, 3}, {1, 0, 3, 3}, {1, 3, 0, 3}, {2, 3, 5, 0}, {1, 1, 1, 0}, {1, 50, 2, 0}}) {
      Problem p(types, batch, m, n, k, random);
      check(p);
    }
}

// Infinities, NaN with the bits of contraction.h, signed zeros, subnormals.
TEST_F(Matmul, SpecialValues) {
  Random random(5);
  for (const TypeCase& types : kTypeCases) {
    if (!is_float(types.a)) continue;
    for (int i = 0; i < 20; ++i) {
      Problem p(types, 1, random.between(1, 20), random.between(1, 60), random.between(1, 4),
                random, true);
      check(p);
    }
  }
}

// Sums that another order, or f32, would get wrong.
TEST_F(Matmul, AddsInOrderInF64) {
  const std::vector<float> a = {0x1p60f, 1, -0x1p60f, 1}, ones(4, 1.0f);
  const std::vector<float> small = {0x1p30f, 1, -0x1p30f, 1};
  float c = 0;
  MatmulArgs args;
  args.m = args.n = 1;
  args.k = 4;
  args.b = ones.data();
  args.b_row_stride = 1;
  args.c = &c;
  for (CpuTarget target : available_targets()) {
    args.a = a.data();
    matmul(args, target, one_);
    EXPECT_EQ(c, 1);  // the first 1 is lost beside 2^60
    args.a = small.data();
    matmul(args, target, one_);
    EXPECT_EQ(c, 2);  // f32 would lose it beside 2^30
  }
}

TEST_F(Matmul, RefusesTypesWithoutMeaning) {
  MatmulArgs args;
  args.a_dtype = args.b_dtype = DType::b8;
  EXPECT_THROW(matmul(args, CpuTarget::baseline, one_), Error);
  args.a_dtype = DType::f32;
  args.b_dtype = DType::i32;
  EXPECT_THAT(
      [&] { matmul(args, CpuTarget::baseline, one_); },
      testing::ThrowsMessage<Error>(testing::HasSubstr("[matmul] no product of f32 and i32")));
  args.b_dtype = DType::f32;
  args.c_dtype = DType::i32;
  EXPECT_THROW(matmul(args, CpuTarget::baseline, one_), Error);
  args.c_dtype = DType::f32;
  args.accumulate = DType::i32;
  EXPECT_THROW(matmul(args, CpuTarget::baseline, one_), Error);
}

}  // namespace
}  // namespace cairn
