// The pass that writes out functions, and the copying of kernels under it: expanded kernels give
// the bits of the native functions, and keep what a kernel promises.
#include "cairn/tile/expand_math.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "cairn/base/error.h"
#include "cairn/tile/infer.h"
#include "cairn/tile/math.h"
#include "cairn/tile/print.h"
#include "cairn/tile/rewrite.h"
#include "cairn/tile/verify.h"
#include "tests/tile/tiles.h"

namespace cairn::tile {
namespace {

template <class T>
std::array<std::byte, sizeof(T)> bytes(T value) {
  return std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
}

using test::one_tile_kernel;

Tile apply_function(Op op, const std::vector<Tile>& x) {
  return info(op).operands == 1 ? apply(op, {x[0]}) : apply(op, {x[0], x[1]});
}

int functions_in(const Block& block) {
  int n = 0;
  for (const Instruction& in : block.code) {
    n += in.op == TileOp::apply && f32::is_function(in.scalar);
    for (const Block& region : in.regions) n += functions_in(region);
  }
  return n;
}

// Any bit patterns, with the special ones first.
HostArray operands_of(DType dtype, int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  HostArray array(dtype, {n});
  const std::vector<float> special = {0.0f, -0.0f, INFINITY,  -INFINITY, NAN,
                                      1,    -1,    0x1p-149f, 2e38f};
  const auto fill = [&]<class T>(T) {
    for (int64_t i = 0; i < n; ++i) {
      auto bits = static_cast<uint32_t>(random());
      // Every other one of a moderate size.
      if (i % 2) bits = (bits & 0x807fffffu) | (119u + static_cast<uint32_t>(random() % 16)) << 23;
      const float x = std::bit_cast<float>(bits);
      const auto s = (static_cast<size_t>(i) * (seed + 1)) % (special.size() * 5);
      array.mutable_span<T>()[static_cast<size_t>(i)] = T(s < special.size() ? special[s] : x);
    }
  };
  if (dtype == DType::f32) fill(float{});
  if (dtype == DType::f16) fill(Float16{});
  if (dtype == DType::bf16) fill(BFloat16{});
  return array;
}

template <class T>
void expect_native_bits(DType dtype, Op op) {
  const Shape shape{8, 32};
  const Kernel kernel = expand_math(
      one_tile_kernel({{dtype, shape}, {dtype, shape}},
                      [&](Builder&, const std::vector<Tile>& x) { return apply_function(op, x); }));
  EXPECT_NO_THROW(verify(kernel));
  EXPECT_EQ(functions_in(kernel.body), 0);
  HostArray x = operands_of(dtype, 256, 1), y = operands_of(dtype, 256, 2);
  HostArray out(dtype, {256});
  interpret(kernel, {x, y, out});
  for (size_t i = 0; i < 256; ++i) {
    const auto a = static_cast<float>(x.span<T>()[i]), b = static_cast<float>(y.span<T>()[i]);
    const T want(f32::compute(op, f32::Float(a), f32::Float(b)).value);
    const T got = out.span<T>()[i];
    if (std::isnan(static_cast<float>(want)))
      EXPECT_TRUE(std::isnan(static_cast<float>(got))) << name(op) << a << " " << b;
    else
      EXPECT_EQ(bytes(got), bytes(want))
          << name(op) << "(" << a << ", " << b << ") is " << static_cast<float>(got)
          << ", natively " << static_cast<float>(want);
  }
}

TEST(ExpandMath, GivesTheBitsOfTheNativeFunctions) {
  for (const f32::Function& f : f32::kFunctions) {
    expect_native_bits<float>(DType::f32, f.op);
    expect_native_bits<Float16>(DType::f16, f.op);
    expect_native_bits<BFloat16>(DType::bf16, f.op);
  }
}

TEST(ExpandMath, LeavesTheRest) {
  const Kernel kernel = one_tile_kernel({{DType::f64, {4}}, {DType::f32, {4}}, {DType::i32, {4}}},
                                        [](Builder&, const std::vector<Tile>& x) {
                                          return exp(x[0]) + cast(sqrt(abs(x[1])), DType::f64) +
                                                 cast(apply(Op::power, {x[2], x[2]}), DType::f64);
                                        });
  EXPECT_EQ(to_text(expand_math(kernel)), to_text(kernel));
}

// In nested loops, beside a grid, with the line of each function on what replaces it.
TEST(ExpandMath, ReachesIntoLoopsAndKeepsLines) {
  int line = 0;
  const Kernel kernel = build("nested", [&](Builder& k) {
    Buffer x = k.input("x", DType::f32, 128), y = k.inout("y", DType::f32);
    Tile n = k.size("n", 16);
    k.grid([&] { return std::vector<Tile>{ceil_div(n, 16)}; });
    Tile i = k.program_id(0) * 16 + k.arange(16);
    Tile sum = k.loop(
        0, n, 1, k.load(x, i, i < n),
        [&](const Tile&, const Tile& outer) {
          return k.loop(0, 2, 1, outer, [&](const Tile& j, const Tile& inner) {
            line = __LINE__ + 1;
            return tanh(inner) + cast(j, DType::f32);
          });
        },
        2);
    k.store(y, i, sum, i < n);
  });
  const Kernel expanded = expand_math(kernel);
  EXPECT_NO_THROW(verify(expanded));
  EXPECT_EQ(functions_in(kernel.body), 1);
  EXPECT_EQ(functions_in(expanded.body), 0);
  const auto loop_of = [](const Block& block) -> const Instruction& {
    for (const Instruction& in : block.code)
      if (in.op == TileOp::loop) return in;
    throw std::logic_error("no loop");
  };
  const Instruction& outer = loop_of(expanded.body);
  EXPECT_EQ(outer.stages, 2);
  EXPECT_EQ(outer.where.line(), loop_of(kernel.body).where.line());
  for (const Instruction& in : loop_of(outer.regions[0]).regions[0].code)
    EXPECT_EQ(static_cast<int>(in.where.line()), line) << spelled(in);
}

TEST(Rewrite, CopiesWhatIsNotReplaced) {
  const Kernel kernel = build("all", [](Builder& k) {
    Buffer x = k.input("x", DType::f32), y = k.inout("y", DType::f32),
           z = k.output("z", DType::i32);
    Tile n = k.size("n", 4), half = k.scalar("half", DType::f32);
    k.grid([&] { return std::vector<Tile>{n, n + 1}; });
    Tile i = k.arange(8, DType::i32);
    k.assume(n > 0, "n is positive");
    Tile a = k.load(x, reshape(i, {2, 4}), reshape(i < 7, {2, 4}), -1.0) * half;
    k.print(a, "a");
    Tile d = dot(a, transpose(a, {1, 0}), k.full({2, 2}, Number(0.0), DType::f32));
    std::vector<Tile> c = k.loop(0, n, 2, {d, n}, [](const Tile& j, const std::vector<Tile>& v) {
      return std::vector<Tile>{fma(v[0], v[0], v[0]), v[1] + j};
    });
    k.atomic(Combine::max, y, k.program_id(1), sum(max(c[0], 0), 0));
    k.store(z, i, bitcast(scan(Combine::prod, cast(i, DType::f32), 0, true), DType::i32));
    k.store(z, c[1], arg_reduce(Combine::min, reshape(a, {8}), 0));
  });
  const Kernel copy = rewrite(
      kernel, [](Builder&, const Instruction&, std::span<const Tile>) { return std::nullopt; });
  EXPECT_NO_THROW(verify(copy));
  EXPECT_EQ(to_text(copy), to_text(kernel));
}

TEST(Rewrite, GivesAReplacementTheNewOperands) {
  const Kernel kernel = one_tile_kernel(
      {{DType::f32, {4}}}, [](Builder&, const std::vector<Tile>& x) { return (x[0] - 1.0) - 2.0; });
  const auto to_sum = [](Builder&, const Instruction& in,
                         std::span<const Tile> x) -> std::optional<std::vector<Tile>> {
    if (in.op != TileOp::apply || in.scalar != Op::subtract) return std::nullopt;
    return std::vector{x[0] + -x[1]};
  };
  const Kernel expected =
      one_tile_kernel({{DType::f32, {4}}}, [](Builder& k, const std::vector<Tile>& x) {
        const Tile sum = x[0] + -k.full({4}, Number(1.0), DType::f32);
        return sum + -k.full({4}, Number(2.0), DType::f32);
      });
  EXPECT_EQ(to_text(rewrite(kernel, to_sum)), to_text(expected));
}

TEST(Rewrite, RefusesAReplacementOfAnotherType) {
  const Kernel kernel = one_tile_kernel(
      {{DType::f32, {4}}}, [](Builder&, const std::vector<Tile>& x) { return exp(x[0]); });
  const auto wrong = [](Builder&, const Instruction& in,
                        std::span<const Tile> x) -> std::optional<std::vector<Tile>> {
    if (in.op != TileOp::apply) return std::nullopt;
    return std::vector{cast(x[0], DType::f64)};
  };
  EXPECT_THROW(rewrite(kernel, wrong), InternalError);
}

}  // namespace
}  // namespace cairn::tile
