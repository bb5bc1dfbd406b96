// Kernels lowered for a GPU give the interpreter's bits, in a simulated block of threads.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "cairn/tile/evaluate.h"
#include "cairn/tile/interpreter.h"
#include "tests/compiler_gpu/gpu_kernels.h"
#include "tests/compiler_gpu/simulated_gpu.h"
#include "tests/support/same_values.h"

namespace cairn {
namespace {

using namespace cairn::test;

constexpr int64_t kGuard = 64;  // elements behind each buffer that nobody writes

// Runs on random inputs; `elements` of each buffer, then the scalars, in the order of parameters.
void expect_same_bits(const Kernel& kernel, const std::vector<int64_t>& elements,
                      const std::vector<Number>& scalars) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<HostArray> want, got;
  std::vector<tile::Argument> arguments;
  std::vector<KernelSlot> slots;
  auto size = elements.begin();
  auto number = scalars.begin();
  want.reserve(kernel.parameters.size());
  got.reserve(kernel.parameters.size());
  for (const tile::Parameter& p : kernel.parameters) {
    KernelSlot slot;
    slot.integer = 0;
    if (p.is_buffer()) {
      HostArray array(p.dtype, {*size + kGuard});
      for (int64_t i = 0; i < array.elements(); ++i) {
        const Number value(static_cast<double>(is_float(p.dtype) ? normal(random)
                                                                 : std::round(8 * normal(random))));
        tile::write_number(value, p.dtype,
                           static_cast<std::byte*>(array.mutable_data()) +
                               static_cast<size_t>(i) * size_of(p.dtype));
      }
      want.push_back(array);
      got.emplace_back(p.dtype, array.shape());
      std::memcpy(got.back().mutable_data(), array.data(), array.bytes());
      arguments.push_back(tile::BufferView{p.dtype, want.back().mutable_data(), *size++});
      slot.address = got.back().mutable_data();
    } else {
      arguments.emplace_back(*number);
      tile::write_number(*number++, p.dtype, &slot);
    }
    slots.push_back(slot);
  }
  tile::interpret(kernel, arguments);
  const auto grid = tile::grid_of(kernel, scalars);
  simulated_gpu_kernel(kernel).run(slots.data(), 0, grid[0] * grid[1] * grid[2]);
  for (size_t i = 0; i < want.size(); ++i)
    EXPECT_TRUE(same_values(want[i], got[i])) << "buffer " << i;
}

// One tile, one output.
void expect_same_bits(const tile::TileType& input, const tile::TileType& output,
                      const std::function<Tile(const Tile&)>& compute) {
  const auto offsets = [](Builder& k, const Shape& shape) {
    return tile::reshape(k.arange(shape.elements()), shape);
  };
  const Kernel kernel = tile::build("one_tile", [&](Builder& k) {
    const Buffer x = k.input("x", input.dtype), out = k.output("out", output.dtype);
    k.store(out, offsets(k, output.shape), compute(k.load(x, offsets(k, input.shape))));
  });
  SCOPED_TRACE(to_string(input));
  expect_same_bits(kernel, {input.shape.elements(), output.shape.elements()}, {});
}

TEST(GpuRun, ElementwiseKernels) {
  for (const int64_t n : {1, 1023, 2048, 2500}) {
    SCOPED_TRACE(n);
    expect_same_bits(vector_add(1), {n, n, n}, {Number(n)});
  }
  expect_same_bits(vector_add(4), {2500, 2500, 2500}, {Number(2500)});
  expect_same_bits(gelu(), {1600, 1600}, {Number(1600)});
  expect_same_bits(bf16_scale(), {2400, 2400}, {Number(2400), Number(0.3)});
  expect_same_bits(f16_limit(), {256}, {Number(0.25), Number(-1.5)});
  expect_same_bits(transposed(), {2048, 2048}, {});
}

TEST(GpuRun, RowsOfAnyLength) {
  for (const int64_t columns : {1, 130, 256}) {
    SCOPED_TRACE(columns);
    const std::vector<Number> sizes = {Number(11), Number(columns)};
    expect_same_bits(bias_add(1), {11 * columns, columns, 11 * columns}, sizes);
    expect_same_bits(softmax(1), {11 * columns, 11 * columns}, sizes);
  }
  expect_same_bits(bias_add(4), {11 * 132, 132, 11 * 132}, {Number(11), Number(132)});
  expect_same_bits(softmax(4), {3 * 1000, 3 * 1000}, {Number(3), Number(1000)});
  expect_same_bits(layer_norm(), {19 * 128, 128, 19 * 128}, {Number(19)});
}

constexpr std::array kCombines = {tile::Combine::sum, tile::Combine::prod, tile::Combine::max,
                                  tile::Combine::min};

TEST(GpuRun, ReductionsOfEveryType) {
  for (const DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i32, DType::i64,
                            DType::u8, DType::b8})
    for (const tile::Combine kind : kCombines) {
      const bool orders = kind == tile::Combine::max || kind == tile::Combine::min;
      if (dtype == DType::b8 && !orders) continue;
      SCOPED_TRACE(tile::name(kind));
      expect_same_bits({dtype, {3, 70}}, {dtype, {3}},
                       [&](const Tile& x) { return tile::reduce(kind, x, 1); });
    }
}

TEST(GpuRun, ReductionsAlongEveryAxis) {
  for (const Shape& shape : {Shape{5, 64}, Shape{3, 7, 20}, Shape{1}, Shape{1000}, Shape{4096}})
    for (int axis = 0; axis < shape.rank(); ++axis) {
      Shape result = shape;
      result.erase(axis);
      expect_same_bits({DType::f32, shape}, {DType::f32, result},
                       [&](const Tile& x) { return tile::sum(x, axis); });
    }
}

TEST(GpuRun, ALineOfSeveralChunks) {
  expect_same_bits({DType::f32, {9000}}, {DType::f32, {}},
                   [](const Tile& x) { return tile::sum(x, 0); });
  expect_same_bits({DType::f16, {2, 5000}}, {DType::f16, {2}},
                   [](const Tile& x) { return tile::sum(x, 1); });
}

TEST(GpuRun, AReductionIsUsedLikeAnyTile) {
  expect_same_bits({DType::f32, {16, 32}}, {DType::f32, {32, 16}}, [](const Tile& x) {
    const Tile columns = tile::sum(x, 0), rows = tile::max(x, 1);
    return tile::transpose(x * columns + tile::expand_dims(rows, 1), {1, 0});
  });
}

TEST(GpuRun, LoopsCarryTilesAndNumbers) {
  for (const int64_t columns : {0, 4, 512, 1300}) {
    SCOPED_TRACE(columns);
    expect_same_bits(long_rows(), {3 * columns, 3, 3}, {Number(3), Number(columns)});
  }
}

TEST(GpuRun, ScansAlongEveryAxis) {
  for (const DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i32, DType::u8})
    for (const tile::Combine kind : kCombines)
      for (const bool reverse : {false, true})
        for (const int axis : {0, 1, 2}) {
          SCOPED_TRACE(fmt::format("{} along {}", tile::name(kind), axis));
          expect_same_bits({dtype, {3, 7, 20}}, {dtype, {3, 7, 20}},
                           [&](const Tile& x) { return tile::scan(kind, x, axis, reverse); });
        }
  // One line, more lines than threads, and a scan of a scan.
  expect_same_bits({DType::f32, {1000}}, {DType::f32, {1000}},
                   [](const Tile& x) { return tile::scan(tile::Combine::sum, x, 0); });
  expect_same_bits({DType::f32, {300, 3}}, {DType::f32, {300, 3}}, [](const Tile& x) {
    return tile::scan(tile::Combine::max, tile::scan(tile::Combine::sum, x, 1), 0) - x;
  });
}

TEST(GpuRun, IndicesOfTheBest) {
  for (const DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i32, DType::u8})
    for (const tile::Combine kind : {tile::Combine::max, tile::Combine::min})
      for (const int axis : {0, 1}) {
        SCOPED_TRACE(tile::name(kind));
        expect_same_bits({dtype, {70, 9}}, {DType::i32, {axis == 0 ? 9 : 70}},
                         [&](const Tile& x) { return tile::arg_reduce(kind, x, axis); });
      }
  // The first NaN, and the first of equals.
  expect_same_bits({DType::f32, {8, 64}}, {DType::i32, {8}}, [](const Tile& x) {
    return tile::arg_reduce(tile::Combine::max, tile::sqrt(x), 1);
  });
  expect_same_bits({DType::f32, {8, 64}}, {DType::i32, {8}}, [](const Tile& x) {
    return tile::arg_reduce(tile::Combine::min, tile::maximum(x, 0.0), 1);
  });
  expect_same_bits({DType::f32, {500}}, {DType::i32, {}},
                   [](const Tile& x) { return tile::arg_reduce(tile::Combine::max, x, 0); });
}

TEST(GpuRun, AtomicsCombineWithWhatIsThere) {
  // Into 40 elements, from programs and threads that meet there; whole numbers, added up in any
  // order.
  const auto histogram = [](DType dtype, tile::Combine kind) {
    return tile::build("histogram", [&](Builder& k) {
      const Buffer x = k.input("x", DType::i32), into = k.inout("into", dtype);
      const Tile n = k.size("n");
      k.grid([&] { return std::vector<Tile>{tile::ceil_div(n, 300)}; });
      const Tile i = k.program_id(0) * 300 + k.arange(300);
      const Tile at = tile::abs(k.load(x, i, i < n)) % 40;
      k.atomic(kind, into, tile::cast(at, DType::i64), tile::cast(k.load(x, i, i < n), dtype),
               i < n);
    });
  };
  for (const DType dtype : {DType::i32, DType::i64, DType::u32})
    for (const tile::Combine kind : {tile::Combine::sum, tile::Combine::max, tile::Combine::min}) {
      SCOPED_TRACE(tile::name(kind));
      expect_same_bits(histogram(dtype, kind), {1000, 40}, {Number(1000)});
    }
  const auto add = [](DType dtype) {
    return tile::build("add", [&](Builder& k) {
      const Buffer x = k.input("x", dtype), into = k.inout("into", dtype);
      const Buffer before = k.output("before", dtype);
      const Tile n = k.size("n"), i = k.program_id(0) * 300 + k.arange(300);
      k.grid([&] { return std::vector<Tile>{tile::ceil_div(n, 300)}; });
      k.store(before, i, k.atomic(tile::Combine::sum, into, i, k.load(x, i, i < n), i < n), i < n);
    });
  };
  for (const DType dtype : {DType::f32, DType::f64, DType::i32})
    expect_same_bits(add(dtype), {1000, 1000, 1000}, {Number(1000)});
}

TEST(GpuRun, AnOutputMayHaveTheMemoryOfAnInput) {
  const auto run = [](const Kernel& kernel, std::vector<KernelSlot> slots,
                      const std::vector<Number>& scalars) {
    for (const Number& number : scalars) {
      slots.emplace_back();
      slots.back().integer = number.as_integer();
    }
    const auto grid = tile::grid_of(kernel, scalars);
    simulated_gpu_kernel(kernel).run(slots.data(), 0, grid[0] * grid[1] * grid[2]);
  };
  const auto slot = [](HostArray& array) {
    KernelSlot result;
    result.address = array.mutable_data();
    return result;
  };
  const auto numbers = [](uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    HostArray result(DType::f32, {2000});
    for (float& x : result.mutable_span<float>()) x = normal(random);
    return result;
  };
  const std::pair<Kernel, std::vector<Number>> cases[] = {{vector_add(1), {Number(1999)}},
                                                          {bias_add(1), {Number(10), Number(199)}}};
  for (const auto& [kernel, scalars] : cases) {
    HostArray x = numbers(1), y = numbers(2), apart = numbers(1);
    run(kernel, {slot(x), slot(y), slot(apart)}, scalars);
    run(kernel, {slot(x), slot(y), slot(x)}, scalars);
    EXPECT_TRUE(same_values(x, apart));
  }
  HostArray x = numbers(3), apart = numbers(3);
  const std::vector<Number> scalars = {Number(4), Number(499)};
  run(softmax(1), {slot(x), slot(apart)}, scalars);
  run(softmax(1), {slot(x), slot(x)}, scalars);
  EXPECT_TRUE(same_values(x, apart));
}

TEST(GpuRun, InPlaceAllIsReadBeforeAnyIsWritten) {
  // x[i] += x[n-1-i]: each thread reads what another one writes.
  const Kernel kernel = tile::build("mirror", [](Builder& k) {
    const Buffer x = k.inout("x", DType::f32);
    const Tile i = k.arange(1500);
    k.store(x, i, k.load(x, i) + k.load(x, 1499 - i));
  });
  expect_same_bits(kernel, {1500}, {});
}

}  // namespace
}  // namespace cairn
