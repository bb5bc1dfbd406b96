// The named kernels, interpreted, against their references: every dtype, sizes around the edges of
// blocks. And what the references are made of.
#include "cairn/tile/kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "cairn/tile/parse.h"
#include "cairn/tile/passes.h"
#include "cairn/tile/print.h"
#include "cairn/tile/reduction_order.h"
#include "cairn/tile/rows.h"
#include "cairn/tile/verify.h"
#include "tests/support/message_of.h"
#include "tests/support/same_values.h"
#include "tests/tile/tiles.h"

namespace cairn::tile {
namespace {

using cairn::test::message_of;
using testing::Contains;
using testing::HasSubstr;

std::vector<Shape> odd_shapes(const NamedKernel& kernel) {
  if (kernel.name == "transpose") return {{1, 1}, {33, 7}, {64, 31}};
  if (kernel.name == "attention") return {{1, 1, 1}, {2, 65, 16}, {1, 130, 17}};
  if (kernel.axes == "MxKxN") return {{1, 1, 1}, {3, 65, 2}, {65, 31, 64}};
  // 4100 elements are two chunks of a sum.
  if (!kernel.axes.empty()) return {{1, 1}, {3, 64}, {2, 65}, {1, 4100}};
  return {{1}, {1023}, {5, 205}, {1024}, {3, 2, 257}};
}

void run_and_check(const NamedKernel& kernel, DType dtype, const Shape& shape, uint64_t seed,
                   const Kernel& made) {
  KernelCall call = kernel.call(dtype, shape, seed);
  const std::vector<Expected> expected = kernel.expect(dtype, shape, call);
  interpret(made, call.arguments());
  for (const Expected& e : expected) {
    EXPECT_FALSE(e.elements.empty());
    const Difference d = compare(e, call.array(e.parameter));
    EXPECT_LE(d.ratio, 1) << kernel.name << " " << name(dtype) << to_string(shape) << " seed "
                          << seed << ": parameter " << e.parameter << ", element " << d.element
                          << " is off by " << d.error << ", tolerance " << d.tolerance;
  }
}

class Named : public testing::TestWithParam<const NamedKernel*> {};
INSTANTIATE_TEST_SUITE_P(Kernels, Named, testing::ValuesIn([] {
                           std::vector<const NamedKernel*> all;
                           for (const NamedKernel& k : named_kernels()) all.push_back(&k);
                           return all;
                         }()),
                         [](const auto& test) { return std::string(test.param->name); });

TEST_P(Named, IsWithinTheToleranceOfItsReference) {
  const NamedKernel& kernel = *GetParam();
  for (DType dtype : kernel.dtypes)
    for (const Shape& shape : odd_shapes(kernel))
      run_and_check(kernel, dtype, shape, 1, kernel.make(dtype, shape));
  // An even seed: attention is causal.
  for (const Shape& shape : odd_shapes(kernel))
    run_and_check(kernel, kernel.dtypes[0], shape, 2, kernel.make(kernel.dtypes[0], shape));
  run_and_check(kernel, kernel.dtypes[0], kernel.small_shape, 3,
                kernel.make(kernel.dtypes[0], kernel.small_shape));
}

TEST_P(Named, HoldsWithItsFunctionsWrittenOut) {
  const NamedKernel& kernel = *GetParam();
  for (DType dtype : kernel.dtypes) {
    const Shape shape = odd_shapes(kernel)[1];
    run_and_check(kernel, dtype, shape, 4, run_passes(kernel.make(dtype, shape)));
  }
}

TEST_P(Named, ItsBlocksHaveNoPartInTheResult) {
  const NamedKernel& kernel = *GetParam();
  const Shape shape = odd_shapes(kernel)[1];
  KernelCall usual = kernel.call(DType::f32, shape, 6);
  interpret(kernel.make(DType::f32, shape), usual.arguments());
  for (const Ints& block : kernel.blocks) {
    KernelCall call = kernel.call(DType::f32, shape, 6);
    interpret(kernel.make_in(DType::f32, shape, block), call.arguments());
    for (size_t i = 0; i < call.values.size(); ++i)
      if (std::holds_alternative<HostArray>(call.values[i])) {
        const int p = static_cast<int>(i);
        EXPECT_TRUE(cairn::test::same_values(call.array(p), usual.array(p))) << block[0];
      }
  }
}

TEST_P(Named, IsSoundAndHasAText) {
  const NamedKernel& kernel = *GetParam();
  for (DType dtype : kernel.dtypes) {
    const Kernel made = kernel.make(dtype, kernel.shape);
    EXPECT_EQ(made.name, kernel.name);
    verify(made);
    const std::string text = to_text(made);
    EXPECT_EQ(to_text(parse_kernel(text)), text);
  }
}

// A tolerance that is too wide would hide errors: it must notice a result that is off by a little.
TEST_P(Named, ToleranceNoticesASmallError) {
  const NamedKernel& kernel = *GetParam();
  KernelCall call = kernel.call(DType::f32, kernel.small_shape, 5);
  for (Expected e : kernel.expect(DType::f32, kernel.small_shape, call)) {
    std::vector<float> values(size_t(call.array(e.parameter).elements()));
    double size = 0;
    for (size_t i = 0; i < e.elements.size(); ++i) {
      values[size_t(e.elements[i])] = static_cast<float>(e.values[i]);
      size = std::max(size, std::abs(e.values[i]));
    }
    const HostArray exact = test::array_of(values);
    EXPECT_LE(compare(e, exact).ratio, 1);
    values[size_t(e.elements.back())] += static_cast<float>(2e-4 * size);
    EXPECT_GT(compare(e, test::array_of(values)).ratio, 1) << kernel.name;
    values[size_t(e.elements.back())] = NAN;
    EXPECT_GT(compare(e, test::array_of(values)).ratio, 1) << kernel.name;
  }
}

TEST(NamedKernels, AreThoseThatTheCommandLinePromises) {
  std::set<std::string> names;
  for (const NamedKernel& kernel : named_kernels()) names.emplace(kernel.name);
  EXPECT_EQ(names.size(), named_kernels().size());
  for (const char* name : {"add", "gelu", "softmax", "layer_norm", "cross_entropy", "adamw",
                           "matmul", "matmul_gelu", "attention"})
    EXPECT_THAT(names, Contains(name));
}

TEST(NamedKernels, UnknownOnesAreRefused) {
  EXPECT_THAT(message_of([] { named_kernel("softmaks"); }), HasSubstr("did you mean 'softmax'"));
  const NamedKernel& softmax = named_kernel("softmax");
  EXPECT_THAT(message_of([&] { check(softmax, DType::i32, {2, 2}); }),
              HasSubstr("has no i32 form, only f32, f16, bf16, f64"));
  EXPECT_THAT(message_of([&] { check(softmax, DType::f32, {2}); }),
              HasSubstr("takes a shape ROWSxCOLUMNS"));
  EXPECT_THAT(message_of([&] { check(softmax, DType::f32, {2, 0}); }), HasSubstr("below 1"));
  EXPECT_THAT(message_of([&] { check(softmax, DType::f32, {1 << 30, 1 << 30}); }),
              HasSubstr("too large"));
  EXPECT_THAT(message_of([] { named_kernel("attention").make(DType::f32, {1, 1, 300}); }),
              HasSubstr("at most 256"));
}

TEST(NamedKernels, ALabelThatIsNoClassIsFound) {
  const NamedKernel& kernel = named_kernel("cross_entropy");
  KernelCall call = kernel.call(DType::f32, {2, 5}, 1);
  call.array(1).mutable_span<int32_t>()[1] = 5;
  EXPECT_THAT(message_of([&] { interpret(kernel.make(DType::f32, {2, 5}), call.arguments()); }),
              HasSubstr("'a label is one of the classes' is false"));
}

TEST(NamedKernels, CallsDependOnTheSeedAlone) {
  const NamedKernel& kernel = named_kernel("add");
  const auto first = [&](uint64_t seed) {
    return kernel.call(DType::f32, {7}, seed).array(0).at(3);
  };
  EXPECT_EQ(first(1), first(1));
  EXPECT_NE(first(1), first(2));
}

// A sum over a row has the bits of the sum of a tensor, however long the row is.
TEST(Rows, SumsInTheOrderOfReduce) {
  const Kernel kernel = build("sum", [](Builder& k) {
    const Buffer x = k.input("x", DType::f32), out = k.output("out", DType::f32);
    const Tile n = k.size("n");
    const RowElement element = [&](const Tile& i, const Tile& inside) {
      return k.load(x, i, inside);
    };
    k.store(out, 0, row_sum(k, n, DType::f32, element));
    k.store(out, 1, row_max(k, n, DType::f32, element));
  });
  for (int64_t n : {0, 1, 63, 64, 65, 4095, 4096, 4097, 8192, 9000, 270000}) {
    const HostArray x = test::random_array({n}, 9);
    HostArray out(DType::f32, {2});
    interpret(kernel, {x, out, n});
    const auto values = x.span<float>();
    EXPECT_EQ(out.at(0), (reduce_in_order<float>(n, [&](int64_t i) { return values[size_t(i)]; })))
        << n;
    float largest = -INFINITY;
    for (float v : values) largest = std::max(largest, v);
    EXPECT_EQ(out.at(1), largest);
  }
}

}  // namespace
}  // namespace cairn::tile
