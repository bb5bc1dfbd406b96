// The layout algebra: what linearity promises, that each element has one place, and that the
// layouts are those that the hardware documents.
#include "cairn/tile/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

#include "tests/support/message_of.h"

namespace cairn::tile {
namespace {

std::vector<Shape> shapes() {
  std::vector<Shape> result;
  for (const int64_t rows : {1, 2, 8, 16, 64, 256})
    for (const int64_t columns : {1, 4, 8, 32, 64, 128}) result.push_back({rows, columns});
  return result;
}

Ints combined(const Ints& a, const Ints& b) {
  Ints result = a;
  for (int axis = 0; axis < a.size(); ++axis) result[axis] ^= b[axis];
  return result;
}
std::vector<int64_t> key(const Ints& at) { return {at.begin(), at.end()}; }

// The place of an element by the inverse.
int64_t place_of(const std::vector<std::vector<int64_t>>& inverse, const Ints& at) {
  int64_t place = 0;
  for (int axis = 0; axis < at.size(); ++axis)
    for (size_t bit = 0; bit < inverse[static_cast<size_t>(axis)].size(); ++bit)
      if (at[axis] >> bit & 1) place ^= inverse[static_cast<size_t>(axis)][bit];
  return place;
}

void expect_each_element_once(const Layout& layout, const Shape& shape) {
  SCOPED_TRACE(to_string(shape));
  ASSERT_EQ(layout.places(), shape.elements());
  std::set<std::vector<int64_t>> seen;
  const auto inverse = layout.inverse(shape);
  for (int64_t place = 0; place < layout.places(); ++place) {
    const Ints at = layout.at(place);
    EXPECT_TRUE(seen.insert(key(at)).second) << place;
    for (int axis = 0; axis < shape.rank(); ++axis) EXPECT_LT(at[axis], shape[axis]);
    EXPECT_EQ(place_of(inverse, at), place);
  }
}

TEST(Layout, IsLinearOverBits) {
  std::mt19937 random(1);
  for (const Shape& shape : shapes())
    for (const Layout& layout :
         {Layout::rows(shape), Layout::swizzled(shape, 4), mma_fragments({64, 64}, 4).registers}) {
      for (int round = 0; round < 20; ++round) {
        const auto p = static_cast<int64_t>(random()) % layout.places();
        const auto q = static_cast<int64_t>(random()) % layout.places();
        EXPECT_EQ(layout.at(p ^ q), combined(layout.at(p), layout.at(q)));
      }
      EXPECT_EQ(layout.at(0), Ints(layout.rank(), 0));
    }
}

TEST(Layout, MemoryHasEachElementOnce) {
  for (const Shape& shape : shapes()) {
    expect_each_element_once(Layout::rows(shape), shape);
    for (const int64_t piece : {1, 2, 4, 8})
      if (piece <= shape[1]) expect_each_element_once(Layout::swizzled(shape, piece), shape);
  }
  expect_each_element_once(Layout::rows({2, 4, 8}), {2, 4, 8});
}

TEST(Layout, RowsAreInRowMajorOrder) {
  const Layout rows = Layout::rows({8, 32});
  for (int64_t place = 0; place < rows.places(); ++place)
    EXPECT_EQ(rows.at(place), (Ints{place / 32, place % 32}));
}

// Eight threads that read a piece each of eight rows that follow each other read eight pieces of
// different banks: pieces that are different modulo 8.
TEST(Layout, AColumnOfASwizzledMatrixMeetsAllBanks) {
  for (const Shape& shape : {Shape{64, 64}, Shape{64, 32}, Shape{32, 16}, Shape{128, 128}}) {
    constexpr int64_t kPiece = 8;
    const auto inverse = Layout::swizzled(shape, kPiece).inverse(shape);
    for (int64_t row = 0; row < shape[0]; row += 8)
      for (int64_t column = 0; column < shape[1]; column += kPiece) {
        std::set<int64_t> banks;
        for (int64_t r = row; r < row + 8; ++r) {
          const int64_t place = place_of(inverse, {r, column});
          EXPECT_EQ(place % kPiece, 0);
          banks.insert(place / kPiece % 8);
        }
        EXPECT_EQ(banks.size(), 8u) << to_string(shape);
      }
  }
}

TEST(Layout, AnInverseNeedsEachElementOnce) {
  EXPECT_THAT(test::message_of([] { Layout::rows({4, 4}).inverse({4, 8}); }),
              testing::HasSubstr("16 places do not hold each element of a tile [4,8] once"));
  EXPECT_THAT(test::message_of([] { Layout(1).walk(0, 1, 4).walk(0, 1, 2).inverse({8}); }),
              testing::HasSubstr("8 places do not hold each element of a tile [8] once"));
}

// Each element in as many threads as there are copies, each thread's elements different.
void expect_dealt_out(const Distribution& dealt, const Shape& shape, int64_t threads) {
  SCOPED_TRACE(to_string(shape));
  ASSERT_EQ(dealt.threads.places(), threads);
  std::map<std::vector<int64_t>, int64_t> owners;
  for (int64_t t = 0; t < threads; ++t) {
    std::set<std::vector<int64_t>> mine;
    for (int64_t r = 0; r < dealt.registers.places(); ++r)
      mine.insert(key(combined(dealt.registers.at(r), dealt.threads.at(t))));
    EXPECT_EQ(static_cast<int64_t>(mine.size()), dealt.registers.places());
    for (const auto& at : mine) ++owners[at];
  }
  EXPECT_EQ(static_cast<int64_t>(owners.size()), shape.elements());
  for (const auto& [at, count] : owners) {
    EXPECT_LT(at[0], shape[0]);
    EXPECT_LT(at[1], shape[1]);
    EXPECT_EQ(count, owners.begin()->second);
  }
}

TEST(Layout, DistributionsHaveAllElements) {
  for (const int64_t rows : {16, 32, 64, 128})
    for (const int64_t columns : {16, 32, 64, 128})
      for (const int64_t warps : {4, 8, 32}) {
        expect_dealt_out(mma_fragments({rows, columns}, warps), {rows, columns}, 32 * warps);
        expect_dealt_out(mfma_fragments({rows, columns}, warps), {rows, columns}, 64 * warps);
      }
  for (const Shape& shape : shapes())
    for (const int64_t row_threads : {1, 8, 64})
      for (const int64_t piece : {1, 4})
        expect_dealt_out(register_blocks(shape, 128, row_threads, piece), shape, 128);
}

TEST(Layout, FragmentsAreThoseOfTheInstructions) {
  // PTX, "Matrix Fragments for mma.m16n8k16": c0 and c1 in row lane / 4, c2 and c3 8 rows below.
  const Distribution mma = mma_fragments({16, 16}, 1);
  for (int64_t lane = 0; lane < 32; ++lane)
    for (int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(combined(mma.registers.at(i), mma.threads.at(lane)),
                (Ints{lane / 4 + i / 2 * 8, lane % 4 * 2 + i % 2}));
  // CDNA3, v_mfma_f32_16x16x16_f16: a lane has four neighbours in a column; transposed, in a row.
  const Distribution mfma = mfma_fragments({16, 16}, 1);
  for (int64_t lane = 0; lane < 64; ++lane)
    for (int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(combined(mfma.registers.at(i), mfma.threads.at(lane)),
                (Ints{lane % 16, lane / 16 * 4 + i}));
}

}  // namespace
}  // namespace cairn::tile
