// Products of tiles on a simulated GPU: bit for bit the interpreter's where sums are chains of
// fused multiply-adds, within the derived tolerance where matrix instructions add up in an order of
// their own.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <functional>
#include <random>
#include <utility>
#include <vector>

#include "cairn/tile/evaluate.h"
#include "cairn/tile/kernels.h"
#include "tests/compiler_gpu/gpu_kernels.h"
#include "tests/compiler_gpu/simulated_gpu.h"
#include "tests/support/same_values.h"

namespace cairn {
namespace {

using namespace cairn::test;
using tile::KernelCall;

constexpr std::array kTargets = {GpuTarget::sm_80, GpuTarget::gfx942};

void run(const Kernel& kernel, KernelCall& call, GpuTarget target) {
  std::vector<KernelSlot> slots;
  for (size_t i = 0; i < call.values.size(); ++i) {
    KernelSlot slot;
    slot.integer = 0;
    if (auto* array = std::get_if<HostArray>(&call.values[i])) {
      slot.address = array->mutable_data();
    } else {
      tile::write_number(std::get<Number>(call.values[i]), kernel.parameters[i].dtype, &slot);
    }
    slots.push_back(slot);
  }
  const auto grid = tile::grid_of(kernel, call.scalars());
  simulated_gpu_kernel(kernel, target).run(slots.data(), 0, grid[0] * grid[1] * grid[2]);
}

bool has_matrix_instructions(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

void expect_right(const char* name, DType dtype, const Shape& shape) {
  const tile::NamedKernel& named = tile::named_kernel(name);
  const Kernel kernel = tile::run_passes(named.make(dtype, shape));
  for (const uint64_t seed : {2, 3})
    for (const GpuTarget target : kTargets) {
      SCOPED_TRACE(fmt::format("{} of {} {} for {}, seed {}", name, cairn::name(dtype),
                               to_string(shape), cairn::name(target), seed));
      KernelCall got = named.call(dtype, shape, seed), want = named.call(dtype, shape, seed);
      const std::vector<tile::Expected> expected = named.expect(dtype, shape, want);
      run(kernel, got, target);
      for (const tile::Expected& result : expected) {
        const tile::Difference difference = tile::compare(result, got.array(result.parameter));
        EXPECT_LE(difference.ratio, 1)
            << "element " << difference.element << " is off by " << difference.error;
      }
      if (has_matrix_instructions(dtype)) continue;
      tile::interpret(kernel, want.arguments());
      for (const tile::Expected& result : expected)
        EXPECT_TRUE(same_values(want.array(result.parameter), got.array(result.parameter)));
    }
}

TEST(GpuDot, NamedProducts) {
  for (const DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
    expect_right("matmul", dtype, {65, 33, 70});
    expect_right("matmul", dtype, {64, 128, 64});
  }
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    expect_right("matmul_gelu", dtype, {65, 33, 70});
}

TEST(GpuDot, NamedAttention) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    expect_right("attention", dtype, {2, 70, 20});
    expect_right("attention", dtype, {1, 130, 64});
  }
}

// Whole numbers, so that sums are exact in any order and matrix instructions give the same bits.
HostArray whole_numbers(DType dtype, const Shape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  HostArray array(dtype, shape);
  for (int64_t i = 0; i < array.elements(); ++i)
    tile::write_number(
        Number(static_cast<double>(random() % 17) - 8), dtype,
        static_cast<std::byte*>(array.mutable_data()) + static_cast<size_t>(i) * size_of(dtype));
  return array;
}
HostArray no_numbers(DType dtype, const Shape& shape) {
  HostArray array(dtype, shape);
  std::memset(array.mutable_data(), 0xff, array.bytes());
  return array;
}

TEST(GpuDot, CopiesAheadArriveInTime) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    for (const int64_t divisor : {1, 2, 4, 8})
      for (const bool turned : {false, true})
        // No turn, one, an odd and an even number of them; edges in all directions.
        for (const Shape& sizes :
             {Shape{5, 0, 8}, Shape{32, 24, 64}, Shape{40, 72, 72}, Shape{33, 120, 136}}) {
          SCOPED_TRACE(fmt::format("{} {} by {}", name(dtype), to_string(sizes), divisor));
          const int64_t m = sizes[0], depth = sizes[1], n = sizes[2];
          const auto call = [&] {
            return KernelCall{{whole_numbers(dtype, {m, depth}, 1),
                               whole_numbers(dtype, {depth, n}, 2), no_numbers(DType::f32, {m, n}),
                               m, depth, n}};
          };
          KernelCall want = call(), got = call();
          const Kernel kernel = product(dtype, divisor, turned);
          tile::interpret(kernel, want.arguments());
          run(kernel, got, GpuTarget::sm_80);
          EXPECT_TRUE(same_values(want.array(2), got.array(2)));
        }
}

// out = compute(x, y) of two matrices in one program.
void expect_same(DType dtype, const Shape& x_shape, const Shape& y_shape, DType out_dtype,
                 const std::function<Tile(const Tile&, const Tile&)>& compute) {
  const auto offsets = [](Builder& k, const Shape& shape) {
    return tile::reshape(k.arange(shape.elements()), shape);
  };
  Shape shape;
  const Kernel kernel = tile::build("product", [&](Builder& k) {
    const Buffer x = k.input("x", dtype), y = k.input("y", dtype);
    const Buffer out = k.output("out", out_dtype);
    const Tile result = compute(k.load(x, offsets(k, x_shape)), k.load(y, offsets(k, y_shape)));
    shape = result.shape();
    k.store(out, offsets(k, shape), result);
  });
  for (const GpuTarget target : kTargets) {
    SCOPED_TRACE(fmt::format("{} {} x {} for {}", name(dtype), to_string(x_shape),
                             to_string(y_shape), name(target)));
    const auto call = [&] {
      return KernelCall{{whole_numbers(dtype, x_shape, 1), whole_numbers(dtype, y_shape, 2),
                         no_numbers(out_dtype, shape)}};
    };
    KernelCall want = call(), got = call();
    tile::interpret(kernel, want.arguments());
    run(kernel, got, target);
    EXPECT_TRUE(same_values(want.array(2), got.array(2)));
  }
}
Tile zeros(const Tile& like, const Shape& shape, DType dtype) {
  return like.builder().full(shape, 0, dtype);
}

TEST(GpuDot, OperandsInEveryOrder) {
  for (const DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8}) {
    const DType sum = is_float(dtype) ? (dtype == DType::f64 ? dtype : DType::f32) : DType::i32;
    const auto plain = [&](const Tile& x, const Tile& y) {
      return tile::dot(x, y, zeros(x, {x.shape()[0], y.shape()[1]}, sum));
    };
    for (const auto& [m, n] :
         {std::pair<int64_t, int64_t>{16, 16}, {64, 64}, {32, 128}, {24, 40}}) {
      expect_same(dtype, {m, 32}, {32, n}, sum, plain);
      expect_same(dtype, {m, 32}, {n, 32}, sum, [&](const Tile& x, const Tile& y) {
        return plain(x, tile::transpose(y, {1, 0}));
      });
      expect_same(dtype, {32, m}, {32, n}, sum, [&](const Tile& x, const Tile& y) {
        return plain(tile::transpose(x, {1, 0}), y);
      });
    }
    for (const int64_t depth : {1, 5, 16, 64})
      expect_same(dtype, {64, depth}, {depth, 64}, sum, plain);
    expect_same(dtype, {7, 3}, {3, 1}, sum, plain);
    expect_same(dtype, {1, 64}, {64, 1}, sum, plain);
  }
}

TEST(GpuDot, WhatIsMadeOfAProduct) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const auto product = [&](const Tile& x, const Tile& y) {
      return tile::dot(x, y, zeros(x, {x.shape()[0], y.shape()[1]}, DType::f32));
    };
    using Compute = std::function<Tile(const Tile&, const Tile&)>;
    const std::pair<const char*, Compute> cases[] = {
        {"row sums", [&](const Tile& x, const Tile& y) { return tile::sum(product(x, y), 1); }},
        {"column maxima",
         [&](const Tile& x, const Tile& y) { return tile::max(product(x, y), 0); }},
        {"beside its row sums",
         [&](const Tile& x, const Tile& y) {
           const Tile z = product(x, y);
           return z - tile::expand_dims(tile::sum(z, 1), 1);
         }},
        {"plus the product of wider operands",
         [&](const Tile& x, const Tile& y) {
           return tile::dot(tile::cast(x, DType::f32), tile::cast(y, DType::f32), product(x, y));
         }},
        {"after the product of wider operands",
         [&](const Tile& x, const Tile& y) {
           return tile::dot(x, y, product(tile::cast(x, DType::f32), tile::cast(y, DType::f32)));
         }},
        {"transposed",
         [&](const Tile& x, const Tile& y) { return tile::transpose(product(x, y), {1, 0}); }},
        {"plus its transpose",
         [&](const Tile& x, const Tile& y) {
           const Tile z = product(x, y);
           return z + tile::transpose(z, {1, 0});
         }},
        {"times a matrix",
         [&](const Tile& x, const Tile& y) {
           return product(tile::cast(product(x, y), dtype), y);
         }},
        {"times its transpose",
         [&](const Tile& x, const Tile& y) {
           const Tile z = tile::cast(product(x, y) / 64.0, dtype);
           return product(z, tile::transpose(z, {1, 0}));
         }},
        {"flattened", [&](const Tile& x, const Tile& y) {
           const Tile z = product(x, y);
           return tile::reshape(z, {z.shape().elements()});
         }}};
    for (const auto& [name, compute] : cases)
      for (const int64_t n : {16, 64}) {
        SCOPED_TRACE(name);
        expect_same(dtype, {n, n}, {n, n}, DType::f32, compute);
      }
  }
}

TEST(GpuDot, LoopsCarryWhatGoesWithAProduct) {
  for (const DType dtype : {DType::f32, DType::f16})
    for (const int64_t width : {16, 32})
      expect_same(dtype, {64, width}, {64, width}, DType::f32, [&](const Tile& x, const Tile& y) {
        Builder& k = x.builder();
        const std::vector<Tile> begin = {k.full({64, 1}, 1, DType::f32),
                                         zeros(x, {64, width}, DType::f32),
                                         zeros(x, {width, 64}, DType::f32)};
        const auto body = [&](const Tile&, const std::vector<Tile>& so_far) {
          const Tile scores =
              tile::dot(x, tile::transpose(y, {1, 0}), zeros(x, {64, 64}, DType::f32));
          const Tile largest = tile::expand_dims(tile::max(scores, 1), 1);
          const Tile weights = tile::cast(tile::minimum(scores, 64.0), dtype);
          const Tile sums = tile::dot(weights, y, so_far[1] + so_far[0]);
          return std::vector<Tile>{largest + so_far[0], sums,
                                   so_far[2] + tile::transpose(sums, {1, 0})};
        };
        const std::vector<Tile> end = k.loop(0, 3, 1, begin, body);
        return end[1] + tile::transpose(end[2], {1, 0}) + end[0];
      });
}

}  // namespace
}  // namespace cairn
