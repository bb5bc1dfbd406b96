// The axis analysis: what it finds in the patterns that kernels use, and that what it finds holds
// for the numbers that the interpreter computes, in random kernels.
#include "cairn/tile/axis.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "cairn/tile/print.h"
#include "tests/tile/tiles.h"

namespace cairn::tile {
namespace {

using test::offsets_of;

ValueFacts facts_of(const std::function<Tile(Builder&)>& body) {
  Tile tile;
  Builder k("facts");
  tile = body(k);
  return analyze_axes(k.kernel())[static_cast<size_t>(tile.id())];
}
AxisFacts last_axis(const std::function<Tile(Builder&)>& body) {
  return facts_of(body).axes.back();
}

TEST(Axis, OffsetsOfABlockAreContiguousAndAligned) {
  const AxisFacts axis =
      last_axis([](Builder& k) { return k.program_id(0) * 1024 + k.arange(1024); });
  EXPECT_EQ(axis, (AxisFacts{1, kUnbounded, 1024}));
  EXPECT_EQ(axis.divisor_at(4), 4);
  EXPECT_TRUE(axis.is_contiguous(1024));
}

TEST(Axis, RowsAreAsAlignedAsTheirLength) {
  const auto offsets = [](int64_t divisor) {
    return facts_of([&](Builder& k) {
      const Tile columns = k.size("columns", divisor);
      return expand_dims(k.arange(8), 1) * columns + k.arange(64);
    });
  };
  EXPECT_EQ(offsets(16).axes[1], (AxisFacts{1, kUnbounded, 16}));
  EXPECT_EQ(offsets(12).axes[1], (AxisFacts{1, kUnbounded, 4}));
  EXPECT_EQ(offsets(1).axes[1], (AxisFacts{1, kUnbounded, 1}));
  EXPECT_EQ(offsets(16).axes[0].run, 1);  // steps by an unknown number
}

TEST(Axis, MasksAreUniformInGroupsThatDivideTheSize) {
  const auto run = [](int64_t divisor, bool reversed) {
    return last_axis([&](Builder& k) {
             const Tile n = k.size("n", divisor);
             const Tile i = k.program_id(0) * 128 + k.arange(128);
             return reversed ? n <= i : i < n;
           })
        .run;
  };
  EXPECT_EQ(run(1, false), 1);
  EXPECT_EQ(run(8, false), 8);
  EXPECT_EQ(run(8, true), 8);
  EXPECT_EQ(run(256, false), kUnbounded);
  // i <= n differs within a group.
  EXPECT_EQ(last_axis([](Builder& k) { return k.arange(128) <= k.size("n", 8); }).run, 1);
}

TEST(Axis, ALinearIndexCutUpIsContiguousInGroups) {
  const auto cut = [](Op op, int64_t divisor) {
    return last_axis([&](Builder& k) {
      const Tile i = k.program_id(0) * 256 + k.arange(256);
      return apply(op, {i, k.size("columns", divisor)});
    });
  };
  EXPECT_EQ(cut(Op::remainder, 8), (AxisFacts{1, 8, 8}));
  EXPECT_EQ(cut(Op::divide, 8), (AxisFacts{0, 8, 1}));
  EXPECT_EQ(cut(Op::remainder, 1).run, 1);
}

TEST(Axis, MovementsCarryTheFactsAlong) {
  const auto facts = facts_of([](Builder& k) { return transpose(offsets_of(k, {8, 32}), {1, 0}); });
  EXPECT_EQ(facts.axes[0], (AxisFacts{1, kUnbounded, 32}));
  EXPECT_EQ(facts_of([](Builder& k) { return reshape(k.arange(24) * 4, {4, 6}); }).axes[1],
            (AxisFacts{4, kUnbounded, 8}));
}

TEST(Axis, AWiderTypeKeepsStridesThatDoNotWrap) {
  const auto widened = [](int64_t divisor) {
    return last_axis([&](Builder& k) {
      return cast(k.arange(64, DType::i32) + k.scalar("x", DType::i32, divisor), DType::i64);
    });
  };
  EXPECT_EQ(widened(64), (AxisFacts{1, kUnbounded, 64}));
  EXPECT_EQ(widened(16), (AxisFacts{1, 16, 16}));
  EXPECT_EQ(widened(1).run, 1);  // 2^31 - 1 is followed by -2^31
}

// --- random kernels -----------------------------------------------------------------------------

class RandomKernel {
 public:
  explicit RandomKernel(unsigned seed) : random_(seed), k_("random") {
    for (int i = 0; i < 3; ++i) {
      const int64_t divisor = std::vector<int64_t>{1, 2, 4, 8, 12, 16, 64}[pick(7)];
      const bool narrow = pick(4) == 0;
      scalars_.push_back(
          k_.scalar(fmt::format("n{}", i), narrow ? DType::i32 : DType::i64, divisor));
      int64_t number = divisor * (pick(5) == 0 ? -static_cast<int64_t>(pick(20))
                                               : static_cast<int64_t>(pick(20)));
      if (pick(6) == 0) {
        // Near the ends of the type.
        const int64_t end = narrow ? INT32_MAX : INT64_MAX;
        number = (end - static_cast<int64_t>(pick(64))) / divisor * divisor;
        if (pick(2)) number = -number;
      }
      arguments_.push_back(Number(number));
    }
    for (int i = 0; i < 14; ++i) add();
  }

  // Each tile is stored, and read again after the run.
  void check() {
    std::vector<HostArray> outputs;
    for (const Tile& tile : tiles_) {
      const TileType type = tile.type();
      const Buffer out = k_.output(fmt::format("out{}", outputs.size()), type.dtype);
      k_.store(out, offsets_of(k_, type.shape), tile);
      outputs.emplace_back(type.dtype, type.shape);
    }
    const Kernel kernel = k_.finish();
    std::vector<Argument> arguments(arguments_.begin(), arguments_.end());
    for (HostArray& out : outputs) arguments.emplace_back(out);
    interpret(kernel, arguments);
    const std::vector<ValueFacts> facts = analyze_axes(kernel);
    for (size_t t = 0; t < tiles_.size(); ++t) {
      expect_holds(facts[static_cast<size_t>(ids_[t])], outputs[t]);
      if (testing::Test::HasFailure()) {
        FAIL() << "value " << ids_[t] << " of\n" << to_text(kernel);
      }
    }
  }
  int64_t known = 0;  // runs longer than one element

 private:
  size_t pick(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }
  Tile operand() {
    switch (pick(6)) {
      case 0: return scalars_[pick(scalars_.size())];
      case 1: {
        const std::vector<int64_t> numbers = {0, 1, 2, 3, 4, 7, 8, 32, 100, -1, -8};
        return k_.constant(numbers[pick(numbers.size())], DType::i64);
      }
      case 2: return k_.arange(sizes_[pick(4)], pick(4) ? DType::i64 : DType::i32);
      default: return tiles_.empty() ? k_.arange(32) : tiles_[pick(tiles_.size())];
    }
  }
  void keep(const Tile& tile) {
    if (tile.shape().rank() == 0 || tile.shape().elements() > 4096) return;
    tiles_.push_back(tile);
    ids_.push_back(tile.id());
  }
  Tile integer(Tile x) { return x.dtype() == DType::b8 ? cast(x, DType::i64) : x; }
  void add() {
    Tile x = integer(operand());
    switch (pick(8)) {
      case 0:
        if (x.shape().rank() == 1) return keep(expand_dims(x, static_cast<int>(pick(2))));
        if (x.shape().rank() == 2) return keep(transpose(x, {1, 0}));
        return;
      case 1: {
        const int64_t n = x.shape().elements();
        if (x.shape().rank() == 0) return;
        for (const int64_t rows : {8, 3, 2})
          if (n % rows == 0 && pick(2)) return keep(reshape(x, {rows, n / rows}));
        return keep(reshape(x, {n}));
      }
      case 2: return keep(cast(x, x.dtype() == DType::i32 ? DType::i64 : DType::i32));
      default: break;
    }
    Tile y = integer(operand());
    if (x.dtype() != y.dtype()) {
      x = cast(x, DType::i64);
      y = cast(y, DType::i64);
    }
    const Shape &a = x.shape(), &c = y.shape();
    for (int i = 1; i <= std::min(a.rank(), c.rank()); ++i) {
      const int64_t m = a[a.rank() - i], n = c[c.rank() - i];
      if (m != n && m != 1 && n != 1) return;
    }
    const std::vector<Op> ops = {Op::add,  Op::add,        Op::subtract,    Op::multiply,
                                 Op::less, Op::less_equal, Op::divide,      Op::remainder,
                                 Op::less, Op::remainder,  Op::bitwise_and, Op::maximum};
    keep(apply(ops[pick(ops.size())], {x, y}));
  }

  void expect_holds(const ValueFacts& facts, const HostArray& array) {
    const Shape& shape = array.shape();
    std::vector<int64_t> x;
    for (int64_t i = 0; i < array.elements(); ++i) {
      const auto at = static_cast<size_t>(i);
      x.push_back(array.dtype() == DType::i64   ? array.span<int64_t>()[at]
                  : array.dtype() == DType::i32 ? array.span<int32_t>()[at]
                                                : array.span<bool>()[at]);
    }
    const bool integers = array.dtype() != DType::b8;
    const Ints strides = shape.strides();
    for (int64_t i = 0; i < array.elements(); ++i) {
      const int64_t value = x[static_cast<size_t>(i)];
      if (integers) {
        ASSERT_GE(value, facts.low);
        ASSERT_LE(value, facts.high);
        ASSERT_EQ(value % facts.divisor, 0);
      }
      for (int a = 0; a < shape.rank(); ++a) {
        const AxisFacts& axis = facts.axes[static_cast<size_t>(a)];
        known += axis.run > 1;
        const int64_t place = i / strides[a] % shape[a];
        if (place % axis.run != 0) {
          const auto difference = static_cast<uint64_t>(value) -
                                  static_cast<uint64_t>(x[static_cast<size_t>(i - strides[a])]);
          const auto stride = static_cast<uint64_t>(axis.stride);
          if (array.dtype() == DType::i32) {
            ASSERT_EQ(static_cast<uint32_t>(difference), static_cast<uint32_t>(stride)) << a;
          } else {
            ASSERT_EQ(difference, stride) << "axis " << a;
          }
        } else if (integers) {
          ASSERT_EQ(value % axis.divisor, 0) << "axis " << a;
        }
      }
    }
  }

  std::mt19937 random_;
  Builder k_;
  std::vector<Tile> scalars_;
  std::vector<Argument> arguments_;
  std::vector<Tile> tiles_;
  std::vector<ValueId> ids_;
  const std::vector<int64_t> sizes_ = {32, 12, 8, 1};
};

TEST(Axis, HoldsInRandomKernels) {
  int64_t known = 0;
  for (unsigned seed = 0; seed < 3000 && !HasFatalFailure(); ++seed) {
    SCOPED_TRACE(seed);
    RandomKernel kernel(seed);
    kernel.check();
    known += kernel.known;
  }
  EXPECT_GT(known, 100000);
}

}  // namespace
}  // namespace cairn::tile
