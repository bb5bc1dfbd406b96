// The tile language: the shapes and types of what is written, and what it says about mistakes.
#include "cairn/tile/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/message_of.h"

namespace cairn::tile {
namespace {

using cairn::test::message_of;
using testing::HasSubstr;
using testing::StartsWith;
using Tiles = std::vector<Tile>;

std::string at_line(int line) { return " (at builder_test.cpp:" + std::to_string(line) + ")"; }

class BuilderTest : public testing::Test {
 protected:
  Tile f32(const Shape& shape) { return k.full(shape, 1.5, DType::f32); }
  Tile i64(const Shape& shape) { return k.full(shape, 3, DType::i64); }
  Tile of(DType dtype, const Shape& shape = {4}) { return k.full(shape, 1, dtype); }

  Builder k{"test"};
  Builder other{"other"};
  Tile foreign = other.full({4}, 1, DType::f32);
};
using BuilderErrors = BuilderTest;

const TileType kF32x4{DType::f32, {4}};

TEST_F(BuilderTest, OperandsBroadcastLikeNumPy) {
  EXPECT_EQ((f32({2, 1}) + f32({3})).type(), (TileType{DType::f32, {2, 3}}));
  EXPECT_EQ((f32({}) * f32({5})).type(), (TileType{DType::f32, {5}}));
  EXPECT_EQ((f32({4, 1, 3}) - f32({2, 1})).type(), (TileType{DType::f32, {4, 2, 3}}));
  EXPECT_EQ((f32({2, 1}) < f32({3})).type(), (TileType{DType::b8, {2, 3}}));
  EXPECT_EQ(where(f32({2, 1}) == 1, f32({3}), 0).type(), (TileType{DType::f32, {2, 3}}));
  EXPECT_EQ(fma(f32({2, 1}), f32({3}), 1).type(), (TileType{DType::f32, {2, 3}}));
}

TEST_F(BuilderTest, NumbersTakeTheTypeOfTheTileBesideThem) {
  for (DType dtype : {DType::f64, DType::f16, DType::i8, DType::u32}) {
    EXPECT_EQ((of(dtype) + 1).dtype(), dtype);
    EXPECT_EQ((2 * of(dtype)).dtype(), dtype);
    EXPECT_EQ(where(of(dtype) == 1, 0, of(dtype)).dtype(), dtype);
  }
  EXPECT_EQ(where(f32({4}) < 1, 0, 1).dtype(), DType::f32);
}

TEST_F(BuilderTest, ShapesOfMovementsAndReductions) {
  const Tile x = f32({2, 3, 4});
  EXPECT_EQ(transpose(x, {2, 0, 1}).shape(), (Shape{4, 2, 3}));
  EXPECT_EQ(reshape(x, {6, 4}).shape(), (Shape{6, 4}));
  EXPECT_EQ(expand_dims(x, 0).shape(), (Shape{1, 2, 3, 4}));
  EXPECT_EQ(expand_dims(x, -1).shape(), (Shape{2, 3, 4, 1}));
  EXPECT_EQ(broadcast_to(f32({4}), {2, 3, 4}).shape(), (Shape{2, 3, 4}));
  EXPECT_EQ(sum(x, 1).shape(), (Shape{2, 4}));
  EXPECT_EQ(max(x, -1).shape(), (Shape{2, 3}));
  EXPECT_EQ(arg_reduce(Combine::max, x, 0).type(), (TileType{DType::i32, {3, 4}}));
  EXPECT_EQ(scan(Combine::sum, x, 0).type(), x.type());
  EXPECT_EQ(cast(x, DType::bf16).type(), (TileType{DType::bf16, {2, 3, 4}}));
  EXPECT_EQ(bitcast(x, DType::i32).type(), (TileType{DType::i32, {2, 3, 4}}));
  EXPECT_EQ(dot(f32({2, 5}), f32({5, 3}), f32({2, 3})).shape(), (Shape{2, 3}));
}

TEST_F(BuilderTest, ATypeOutlivesTheInstructionsAfterIt) {
  const Tile x = f32({2, 3});
  const Shape& shape = x.shape();
  const TileType& type = x.type();
  for (int i = 0; i < 1000; ++i) k.arange(2);
  EXPECT_EQ(shape, (Shape{2, 3}));
  EXPECT_EQ(type, (TileType{DType::f32, {2, 3}}));
}

TEST_F(BuilderTest, MemoryTakesNumbersAndBroadcastsToOneShape) {
  const Buffer x = k.inout("x", DType::f16);
  EXPECT_EQ(k.load(x, 0).type(), (TileType{DType::f16, {}}));
  EXPECT_EQ(k.load(x, i64({4}), i64({2, 1}) < 2, -1).type(), (TileType{DType::f16, {2, 4}}));
  EXPECT_EQ(k.atomic(Combine::sum, x, 0, of(DType::f16)).type(), (TileType{DType::f16, {4}}));
  k.store(x, i64({2, 1}), of(DType::f16));
  const Instruction& store = k.kernel().body.code.back();
  for (ValueId id : store.operands) EXPECT_EQ(k.kernel().type(id).shape, (Shape{2, 4}));
}

TEST_F(BuilderTest, BlocksHoldWhatIsWrittenInThem) {
  const Tile n = k.size("n", 8);
  k.grid([&] { return Tiles{ceil_div(n, 64), n}; });
  const Tiles end = k.loop(0, n, 8, {f32({4}), i64({})}, [&](const Tile& i, const Tiles& c) {
    EXPECT_EQ(i.type(), (TileType{DType::i64, {}}));
    return Tiles{c[0] * 2, c[1] + i};
  });
  ASSERT_EQ(end.size(), 2u);
  EXPECT_EQ(end[0].type(), kF32x4);
  const Kernel kernel = k.finish();
  EXPECT_EQ(kernel.grid.yields.size(), 2u);
  EXPECT_EQ(kernel.grid.code.size(), 4u);  // 63, n + 63, 64, quotient
  EXPECT_EQ(kernel.parameters[0].divisor, 8);
  ASSERT_EQ(kernel.body.code.back().op, TileOp::loop);
  const Block& body = kernel.body.code.back().regions[0];
  EXPECT_EQ(body.code.size(), 3u);  // 2, product, sum
  EXPECT_EQ(body.arguments.size(), 3u);
}

TEST_F(BuilderErrors, TypesThatDoNotMix) {
  const Tile x = f32({4}), y = i64({4});
  EXPECT_EQ(
      message_of([&] { x + y; }),
      "[tile add] got i64[4] where f32 stands beside it; cast one of them" + at_line(__LINE__ - 2));
  EXPECT_THAT(message_of([&] { x < of(DType::f64); }), StartsWith("[tile less] got f64[4] where"));
  EXPECT_THAT(message_of([&] { fma(x, x, of(DType::f64)); }), StartsWith("[tile fma] got f64[4]"));
  EXPECT_EQ(message_of([&] { where(x, x, x); }),
            "[tile select] got f32[4] where bool stands beside it; cast one of them" +
                at_line(__LINE__ - 2));
  EXPECT_THAT(message_of([&] { where(x == 1, x, y); }), StartsWith("[tile select] got i64[4]"));
}

TEST_F(BuilderErrors, ShapesThatDoNotBroadcast) {
  EXPECT_EQ(message_of([&] { f32({4}) * f32({3}); }),
            "[tile multiply] shapes [4] and [3] do not broadcast" + at_line(__LINE__ - 1));
  EXPECT_THAT(message_of([&] { where(i64({2, 1}) < 1, f32({3}), f32({2})); }),
              HasSubstr("do not broadcast"));
  EXPECT_EQ(message_of([&] { broadcast_to(f32({4}), {2}); }),
            "[tile broadcast] f32[4] does not broadcast to [2] (sizes are equal, or 1 and "
            "repeated)" +
                at_line(__LINE__ - 3));
  EXPECT_THAT(message_of([&] { broadcast_to(f32({4, 4}), {4}); }), HasSubstr("does not broadcast"));
}

TEST_F(BuilderErrors, PrimitivesOfOtherTypes) {
  EXPECT_THAT(message_of([&] { exp(i64({4})); }), StartsWith("[tile exp] does not apply to i64"));
  EXPECT_THAT(message_of([&] { f32({4}) & 1; }), HasSubstr("does not apply to f32"));
  EXPECT_THAT(message_of([&] { of(DType::b8) + of(DType::b8); }),
              HasSubstr("does not apply to bool"));
  EXPECT_THAT(message_of([&] { of(DType::b8) << of(DType::b8); }),
              HasSubstr("does not apply to bool"));
  EXPECT_THAT(message_of([&] { of(DType::f8e4m3) == 1; }), HasSubstr("does not apply to f8e4m3"));
  EXPECT_THAT(message_of([&] { fma(i64({4}), 1, 1); }), HasSubstr("applies to f32 and f64"));
  EXPECT_THAT(message_of([&] { apply(Op::matmul, {f32({4})}); }),
              HasSubstr("is not an elementwise primitive"));
  EXPECT_THAT(message_of([&] { apply(Op::add, {f32({4})}); }),
              HasSubstr("takes 2 operands, got 1"));
  EXPECT_THAT(message_of([&] { sum(of(DType::b8), 0); }),
              StartsWith("[tile reduce] sum does not apply to bool"));
  EXPECT_THAT(message_of([&] { scan(Combine::prod, of(DType::b8), 0); }),
              StartsWith("[tile scan] prod does not apply to bool"));
  EXPECT_THAT(message_of([&] { max(of(DType::f8e5m2), 0); }),
              HasSubstr("max does not apply to f8e5m2"));
  EXPECT_THAT(message_of([&] { arg_reduce(Combine::sum, f32({4}), 0); }),
              HasSubstr("is of kind max or min"));
}

TEST_F(BuilderErrors, Buffers) {
  const Buffer in = k.input("in", DType::f32), out = k.output("out", DType::f32);
  k.size("n");
  const Tile i = k.arange(4);
  EXPECT_EQ(message_of([&] { k.load(out, i); }),
            "[tile load] buffer 'out' is not an input" + at_line(__LINE__ - 1));
  EXPECT_EQ(message_of([&] { k.store(in, i, f32({4})); }),
            "[tile store] buffer 'in' is not an output" + at_line(__LINE__ - 1));
  EXPECT_THAT(message_of([&] { k.atomic(Combine::sum, out, i, 1); }),
              HasSubstr("needs a buffer that is read and written"));
  EXPECT_THAT(message_of([&] { k.load(Buffer{}, i); }), HasSubstr("an empty one"));
  EXPECT_THAT(message_of([&] { k.load(Buffer{7}, i); }),
              HasSubstr("got a buffer of another kernel"));
  EXPECT_THAT(message_of([&] { k.load(Buffer{2}, i); }), HasSubstr("names no buffer"));
  EXPECT_THAT(message_of([&] { k.load(in, f32({4})); }), HasSubstr("an index is i64 or i32"));
  EXPECT_THAT(message_of([&] { k.load(in, i, i); }), HasSubstr("got i64[4] where bool"));
  EXPECT_THAT(message_of([&] { k.load(in, i, i < 2, i); }), HasSubstr("got i64[4] where f32"));
  EXPECT_THAT(message_of([&] { k.store(out, i, i); }), HasSubstr("got i64[4] where f32"));
  EXPECT_THAT(message_of([&] { k.store(out, i, f32({3})); }), HasSubstr("do not broadcast"));
}

TEST_F(BuilderErrors, TilesOfAnotherKernel) {
  const Buffer x = k.inout("x", DType::f32);
  const Tile mine = f32({4}), i = k.arange(4);
  const Tile theirs = other.arange(4), condition = theirs < 2;
  const Tile square = f32({2, 2}), their_square = other.full({2, 2}, 1, DType::f32);
  const auto refuses = [](const auto& f) {
    EXPECT_THAT(message_of(f), HasSubstr("of another kernel"));
  };
  refuses([&] { mine + foreign; });
  refuses([&] { foreign + mine; });
  refuses([&] { fma(mine, mine, foreign); });
  refuses([&] { where(mine < 1, mine, foreign); });
  refuses([&] { where(condition, mine, mine); });
  refuses([&] { dot(square, square, their_square); });
  refuses([&] { dot(square, their_square, square); });
  refuses([&] { dot(their_square, square, square); });
  refuses([&] { k.load(x, theirs); });
  refuses([&] { k.load(x, i, condition); });
  refuses([&] { k.load(x, i, i < 2, foreign); });
  refuses([&] { k.store(x, i, foreign); });
  refuses([&] { k.atomic(Combine::sum, x, i, foreign); });
  refuses([&] { k.assume(condition, "foreign"); });
  refuses([&] { k.print(foreign, "foreign"); });
  refuses([&] { k.grid([&] { return Tiles{other.program_id(0)}; }); });
  refuses([&] { k.loop(0, other.program_id(0), 1, mine, [](Tile, Tile c) { return c; }); });
  refuses([&] { k.loop(0, 4, 1, foreign, [](Tile, Tile c) { return c; }); });
  refuses([&] { k.loop(0, 4, 1, mine, [&](Tile, Tile) { return foreign; }); });
}

TEST_F(BuilderErrors, EmptyTilesAndNoTiles) {
  const Tile empty;
  EXPECT_THAT(message_of([&] { empty.shape(); }), HasSubstr("an empty tile has no type"));
  EXPECT_EQ(message_of([&] { exp(empty); }), "[tile exp] got an empty tile" + at_line(__LINE__));
  EXPECT_THAT(message_of([&] { f32({4}) + empty; }), HasSubstr("empty"));
  EXPECT_THAT(message_of([&] { dot(f32({2, 2}), empty, f32({2, 2})); }), HasSubstr("empty"));
  EXPECT_EQ(message_of([&] { exp(1.0); }),
            "[tile exp] needs at least one tile among its operands" + at_line(__LINE__ - 1));
  for (const auto& f : std::vector<std::function<void()>>{
           [] { cast(1, DType::f32); }, [] { bitcast(1, DType::f32); }, [] { reshape(1, {1}); },
           [] { transpose(1, {}); }, [] { sum(1, 0); }, [] { expand_dims(1, 0); },
           [] { broadcast_to(1, {2}); }, [] { dot(1, 1, 1); }})
    EXPECT_THAT(message_of(f), HasSubstr("needs at least one tile among its operands"));
}

TEST_F(BuilderErrors, AxesAndSizes) {
  const Tile x = f32({2, 3});
  EXPECT_THAT(message_of([&] { sum(x, 2); }), HasSubstr("axis 2 is not one of the 2 axes"));
  EXPECT_THAT(message_of([&] { scan(Combine::sum, x, -3); }),
              HasSubstr("is not one of the 2 axes"));
  EXPECT_THAT(message_of([&] { expand_dims(x, 4); }), HasSubstr("axis 4 does not fit f32[2,3]"));
  EXPECT_THAT(message_of([&] { transpose(x, {0, 0}); }), HasSubstr("an axis stands twice"));
  EXPECT_THAT(message_of([&] { transpose(x, {0}); }), HasSubstr("needs one axis for each axis"));
  EXPECT_THAT(message_of([&] { transpose(x, {0, 2}); }), HasSubstr("an axis is not one of"));
  EXPECT_THAT(message_of([&] { reshape(x, {5}); }), HasSubstr("has not as many elements as [5]"));
  EXPECT_THAT(message_of([&] { k.arange(int64_t{1} << 21); }),
              HasSubstr("a tile has 1 to 1048576"));
  EXPECT_THAT(message_of([&] { k.arange(0); }), HasSubstr("a tile has 1 to 1048576"));
  EXPECT_THAT(message_of([&] { k.full({-2, -2}, 0, DType::f32); }), HasSubstr("a tile has 1 to"));
  EXPECT_THAT(message_of([&] { k.arange(4, DType::f32); }), HasSubstr("is i64[n] or i32[n]"));
  EXPECT_THAT(message_of([&] { k.program_id(3); }), HasSubstr("a grid has three axes"));
  EXPECT_THAT(message_of([&] { bitcast(x, DType::f64); }), HasSubstr("types of one size"));
  EXPECT_THAT(message_of([&] { bitcast(of(DType::b8), DType::u8); }), HasSubstr("bool apart"));
}

TEST_F(BuilderErrors, Products) {
  EXPECT_EQ(message_of([&] { dot(f32({2, 5}), f32({4, 3}), f32({2, 3})); }),
            "[tile dot] shapes f32[2,5] x f32[4,3] + f32[2,3] do not fit ([M, K] x [K, N] + [M, "
            "N])" +
                at_line(__LINE__ - 3));
  const auto types = [&](DType x, DType y, DType z) {
    return message_of([&] { dot(of(x, {2, 2}), of(y, {2, 2}), of(z, {2, 2})); });
  };
  EXPECT_EQ(types(DType::bf16, DType::bf16, DType::f32), "no error");
  EXPECT_EQ(types(DType::i8, DType::u8, DType::i32), "no error");
  EXPECT_THAT(types(DType::f16, DType::bf16, DType::f32), HasSubstr("have no product"));
  EXPECT_THAT(types(DType::f32, DType::f32, DType::f64), HasSubstr("have no product"));
  EXPECT_THAT(types(DType::i32, DType::i32, DType::i32), HasSubstr("have no product"));
  EXPECT_THAT(types(DType::b8, DType::b8, DType::i32), HasSubstr("have no product"));
}

TEST_F(BuilderErrors, LoopsAndGrids) {
  const Tile x = f32({4});
  EXPECT_THAT(message_of([&] { k.loop(0, 4, 1, x, [](Tile, Tile c) { return sum(c, 0); }); }),
              HasSubstr("carried value 0 is f32[4], the body takes f32[4] and yields f32[]"));
  EXPECT_THAT(message_of([&] { k.loop(0, 4, 1, Tiles{x}, [](Tile, Tiles) { return Tiles{}; }); }),
              HasSubstr("yields as many"));
  EXPECT_THAT(message_of([&] { k.loop(0, x, 1, x, [](Tile, Tile c) { return c; }); }),
              HasSubstr("got f32[4] where i64"));
  EXPECT_EQ(message_of([&] { k.grid([] { return Tiles{}; }); }),
            "[tile grid] a grid has one to three axes, got 0" + at_line(__LINE__ - 1));
  const Tile n = k.size("n");
  EXPECT_THAT(message_of([&] { k.grid([&] { return Tiles(4, n); }); }), HasSubstr("got 4"));
  EXPECT_THAT(message_of([&] { k.grid([&] { return Tiles{x}; }); }),
              HasSubstr("a size is f32[4], expected i64[]"));
}

}  // namespace
}  // namespace cairn::tile
