#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cairn/base/error.h"
#include "cairn/runtime/ref/contraction.h"
#include "tests/contraction/contraction_testing.h"

namespace cairn {
namespace {

using namespace contraction_testing;
using ref::ConvArgs;

int64_t product(const std::array<int64_t, 3>& sizes, int count) {
  int64_t n = 1;
  for (int i = 0; i < count; ++i) n *= sizes[static_cast<size_t>(i)];
  return n;
}

// Steps `index` through `sizes`, row-major; false after the last.
bool next(std::array<int64_t, 3>& index, const std::array<int64_t, 3>& sizes, int count) {
  for (int d = count - 1; d >= 0; --d) {
    const auto i = static_cast<size_t>(d);
    if (++index[i] < sizes[i]) return true;
    index[i] = 0;
  }
  return false;
}

struct Problem {
  TypeCase types;
  ConvArgs args;
  Array x, w, expected;

  Problem(const TypeCase& types, const ConvArgs& shape, Random& random, bool special = false)
      : types(types), args(shape), x(types.a, 0), w(types.b, 0), expected(types.out, 0) {
    args.x_dtype = types.a;
    args.w_dtype = types.b;
    args.y_dtype = types.out;
    args.accumulate = types.accumulate;
    const int s = args.spatial;
    const int64_t in = product(args.in_size, s), out = product(args.out_size, s);
    const int64_t kernel = product(args.kernel_size, s), channels = args.in_channels / args.groups;
    x = random_array(types.a, args.batch * args.in_channels * in, random, special);
    w = random_array(types.b, args.out_channels * channels * kernel, random, special);
    expected = Array(types.out, args.batch * args.out_channels * out);
    args.x = x.data();
    args.w = w.data();
    Sums sums(x, w, types.accumulate);
    int64_t at = 0;
    for (int64_t image = 0; image < args.batch; ++image)
      for (int64_t o = 0; o < args.out_channels; ++o) {
        if (out == 0) continue;
        std::array<int64_t, 3> position{0, 0, 0};
        do {
          sums.start();
          const int64_t group = o / (args.out_channels / args.groups);
          for (int64_t c = 0; c < channels && kernel; ++c) {
            std::array<int64_t, 3> j{0, 0, 0};
            int64_t weight = (o * channels + c) * kernel;
            do {
              int64_t from = image * args.in_channels + group * channels + c;
              if (element(position, j, from)) sums.add(from, weight);
              ++weight;
            } while (next(j, args.kernel_size, s));
          }
          sums.write(expected, at++);
        } while (next(position, args.out_size, s));
      }
  }

  // Extends `from` by the input's spatial index; false where no element stands.
  bool element(const std::array<int64_t, 3>& position, const std::array<int64_t, 3>& j,
               int64_t& from) const {
    for (size_t d = 0; d < static_cast<size_t>(args.spatial); ++d) {
      const int64_t p =
          position[d] * args.stride[d] + j[d] * args.rhs_dilation[d] - args.padding_low[d];
      if (p < 0 || p % args.lhs_dilation[d] || p / args.lhs_dilation[d] >= args.in_size[d])
        return false;
      from = from * args.in_size[d] + p / args.lhs_dilation[d];
    }
    return true;
  }

  void check(CpuTarget target, ThreadPool& pool) {
    constexpr int64_t kGuard = 64;
    Array y(types.out, expected.count() + kGuard);
    const Array untouched(types.out, kGuard);
    args.y = y.data();
    convolution(args, target, pool);
    ASSERT_TRUE(std::equal(expected.bytes.begin(), expected.bytes.end(), y.bytes.begin()))
        << describe(types) << text() << " on " << name(target) << " with " << pool.threads()
        << " threads";
    ASSERT_TRUE(std::equal(untouched.bytes.begin(), untouched.bytes.end(),
                           y.bytes.end() - static_cast<ptrdiff_t>(untouched.bytes.size())))
        << "wrote past the end";
  }

  std::string text() const {
    std::string t = std::to_string(args.batch) + " images, " + std::to_string(args.in_channels) +
                    " -> " + std::to_string(args.out_channels) + " channels in " +
                    std::to_string(args.groups) + " groups";
    for (size_t d = 0; d < static_cast<size_t>(args.spatial); ++d)
      t += "; " + std::to_string(args.in_size[d]) + " * " + std::to_string(args.kernel_size[d]) +
           " -> " + std::to_string(args.out_size[d]) + " stride " + std::to_string(args.stride[d]) +
           " padding " + std::to_string(args.padding_low[d]) + " dilation " +
           std::to_string(args.lhs_dilation[d]) + ", " + std::to_string(args.rhs_dilation[d]);
    return t;
  }
};

// Sizes at random; the output's follow from a high padding at random, as XLA computes them.
ConvArgs random_shape(Random& random, int64_t max_size) {
  ConvArgs a;
  a.spatial = static_cast<int>(random.between(1, 3));
  a.batch = random.between(1, 3);
  a.groups = random.pick<int64_t>({1, 1, 1, 2, 3});
  a.in_channels = a.groups * random.between(1, 4);
  a.out_channels = a.groups * random.pick<int64_t>({1, 2, 3, 5, 9});
  for (size_t d = 0; d < static_cast<size_t>(a.spatial); ++d) {
    a.in_size[d] = random.between(1, a.spatial == 3 ? max_size / 2 : max_size);
    a.kernel_size[d] = random.between(1, 4);
    a.stride[d] = random.pick<int64_t>({1, 1, 2, 3});
    a.lhs_dilation[d] = random.pick<int64_t>({1, 1, 1, 2, 3});
    a.rhs_dilation[d] = random.pick<int64_t>({1, 1, 1, 2});
    a.padding_low[d] = random.between(-2, 4);
    const int64_t high = random.between(-2, 4);
    const int64_t padded = (a.in_size[d] - 1) * a.lhs_dilation[d] + 1 + a.padding_low[d] + high;
    const int64_t window = (a.kernel_size[d] - 1) * a.rhs_dilation[d] + 1;
    a.out_size[d] = padded < window ? 0 : (padded - window) / a.stride[d] + 1;
  }
  return a;
}

ConvArgs image_shape(int64_t batch, int64_t in, int64_t out, int64_t size, int64_t kernel,
                     int64_t groups = 1) {
  ConvArgs a;
  a.batch = batch;
  a.in_channels = in;
  a.out_channels = out;
  a.groups = groups;
  a.in_size = a.out_size = {size, size, 1};
  a.kernel_size = {kernel, kernel, 1};
  a.padding_low = {kernel / 2, kernel / 2, 0};
  return a;
}

class Convolution : public testing::Test {
 protected:
  void check(Problem& problem) {
    for (CpuTarget target : available_targets())
      for (ThreadPool* pool : {&one_, &two_, &three_, &eight_}) problem.check(target, *pool);
  }
  ThreadPool one_{1}, two_{2}, three_{3}, eight_{8};
};

TEST_F(Convolution, RandomShapes) {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    Problem p(kTypeCases[0], random_shape(random, 12), random);
    check(p);
  }
}

// Large enough that one channel is computed in several blocks of rows.
TEST_F(Convolution, OneChannelAGroup) {
  Random random(6);
  for (int i = 0; i < 40; ++i) {
    ConvArgs a = random_shape(random, 90);
    a.spatial = 2;
    a.batch = 1;
    a.groups = a.in_channels = a.out_channels = 2;
    for (size_t d = 0; d < 2; ++d) {
      const int64_t extent = (a.in_size[d] - 1) * a.lhs_dilation[d] + 1;
      a.out_size[d] = std::min<int64_t>(90, (extent + 3) / a.stride[d] + 1);
    }
    Problem p(kTypeCases[i % 4], a, random, i % 5 == 0);
    check(p);
  }
}

TEST_F(Convolution, EveryType) {
  Random random(2);
  for (const TypeCase& types : kTypeCases)
    for (int i = 0; i < 15; ++i) {
      Problem p(types, random_shape(random, 9), random);
      check(p);
    }
}

TEST_F(Convolution, ShapesThatCrossTiles) {
  Random random(3);
  for (const ConvArgs& shape :
       {image_shape(2, 16, 16, 17, 3), image_shape(3, 20, 151, 9, 3), image_shape(1, 2, 33, 40, 5),
        image_shape(2, 12, 12, 19, 3, 12), image_shape(2, 12, 24, 19, 3, 4),
        image_shape(9, 70, 10, 1, 1), image_shape(30, 8, 9, 3, 3)}) {
    Problem p(kTypeCases[0], shape, random);
    check(p);
  }
  // The gradient of a weight as a convolution: a kernel as large as the input.
  ConvArgs gradient;
  gradient.batch = 5;
  gradient.in_channels = 4;
  gradient.out_channels = 10;
  gradient.in_size = {16, 16, 1};
  gradient.kernel_size = {16, 16, 1};
  gradient.out_size = {3, 3, 1};
  gradient.padding_low = {1, 1, 0};
  Problem p(kTypeCases[0], gradient, random);
  check(p);
}

// Where padding lies there is no term: an infinite or NaN weight over it leaves the sum alone.
TEST_F(Convolution, SpecialValues) {
  Random random(4);
  for (const TypeCase& types : kTypeCases) {
    if (!is_float(types.a)) continue;
    for (int i = 0; i < 20; ++i) {
      Problem p(types, random_shape(random, 7), random, true);
      check(p);
    }
  }
  // One bad weight among many, enough channels for the gathering way.
  Problem p(kTypeCases[0], image_shape(1, 3, 8, 8, 3), random);
  p.w.set(40, std::numeric_limits<float>::infinity());
  Problem expected = p;
  EXPECT_TRUE(std::isfinite(p.expected.get<float>(0)));
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    // Kernel element (0, 0) of the first channel reads padding for the first output row and column.
    for (int64_t o = 0; o < 8; ++o) p.w.set(o * 27, bad);
    Array y(DType::f32, p.expected.count());
    p.args.w = p.w.data();
    p.args.x = p.x.data();
    p.args.y = y.data();
    convolution(p.args, detect_cpu_target(), one_);
    EXPECT_FALSE(std::isfinite(y.get<float>(9)));
    EXPECT_TRUE(std::isfinite(y.get<float>(0)) && std::isfinite(y.get<float>(1)));
    EXPECT_EQ(y.get<float>(3), p.expected.get<float>(3));
  }
}

TEST_F(Convolution, NoSizeAtAll) {
  Random random(5);
  for (int which = 0; which < 6; ++which) {
    ConvArgs a = image_shape(2, 4, 6, 5, 3);
    if (which == 0) a.batch = 0;
    if (which == 1) a.in_channels = 0;
    if (which == 2) a.out_channels = 0;
    if (which == 3) a.in_size[1] = 0;  // all padding
    if (which == 4) a.out_size[0] = 0;
    if (which == 5) a.kernel_size[0] = 0;
    for (const TypeCase& types : {kTypeCases[0], kTypeCases[8]}) {
      Problem p(types, a, random);
      check(p);
    }
  }
}

TEST_F(Convolution, RefusesWhatHasNoMeaning) {
  ConvArgs a = image_shape(1, 4, 6, 5, 3);
  a.groups = 4;
  EXPECT_THAT([&] { convolution(a, CpuTarget::baseline, one_); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("groups")));
  a.groups = 1;
  a.stride[0] = 0;
  EXPECT_THROW(convolution(a, CpuTarget::baseline, one_), Error);
  a.stride[0] = 1;
  a.y_dtype = DType::i32;
  EXPECT_THROW(convolution(a, CpuTarget::baseline, one_), Error);
}

}  // namespace
}  // namespace cairn
