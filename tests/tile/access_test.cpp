// How kernels walk through memory.
#include "cairn/tile/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cairn/tile/builder.h"
#include "cairn/tile/kernels.h"

namespace cairn::tile {
namespace {

using testing::ElementsAre;

// What is said of a load of `offsets`, made from arange(8) and a size n.
using MakeOffsets = std::function<Tile(Builder& k, const Tile& i, const Tile& n)>;
std::string described(const MakeOffsets& offsets) {
  const Kernel kernel = build("access", [&](Builder& k) {
    const Buffer x = k.input("x", DType::f32);
    const Tile n = k.size("n");
    k.load(x, offsets(k, k.arange(8), n));
  });
  return describe(kernel, memory_accesses(kernel).back());
}

TEST(Access, OfOneAxis) {
  EXPECT_EQ(described([](Builder&, Tile i, Tile) { return i; }), "contiguous");
  EXPECT_EQ(described([](Builder&, Tile i, Tile n) { return n * 3 + i; }), "contiguous");
  EXPECT_EQ(described([](Builder&, Tile i, Tile) { return cast(i, DType::i32); }), "contiguous");
  EXPECT_EQ(described([](Builder&, Tile i, Tile) { return i * 4 - 1; }), "4 apart");
  EXPECT_EQ(described([](Builder&, Tile i, Tile) { return 7 - i; }), "-1 apart");
  EXPECT_EQ(described([](Builder&, Tile i, Tile n) { return i * n; }), "%n apart");
  EXPECT_EQ(described([](Builder&, Tile i, Tile n) { return i * n * n; }),
            "as far apart as the sizes say");
  EXPECT_EQ(described([](Builder&, Tile i, Tile n) { return i - i + n; }), "the same element");
  EXPECT_EQ(described([](Builder&, Tile i, Tile n) { return i % n; }), "anywhere");
  EXPECT_EQ(described([](Builder&, Tile i, Tile) { return i * i; }), "anywhere");
  EXPECT_EQ(described([](Builder&, Tile, Tile n) { return n; }), "one element");
  EXPECT_EQ(described([](Builder&, Tile, Tile n) { return reshape(n, {1, 1}); }), "one element");
}

TEST(Access, OfTwoAxes) {
  const auto rows = [](Builder&, const Tile& i, const Tile& n) {
    return expand_dims(i, 1) * n + expand_dims(i, 0);
  };
  EXPECT_EQ(described(rows), "contiguous");
  EXPECT_EQ(described([&](Builder& k, const Tile& i, const Tile& n) {
              return transpose(rows(k, i, n), {1, 0});
            }),
            "%n apart");
  EXPECT_EQ(described([&](Builder&, const Tile& i, const Tile&) {
              return broadcast_to(expand_dims(i, 1), {8, 4});
            }),
            "the same element");
  EXPECT_EQ(described([&](Builder&, const Tile& i, const Tile&) { return reshape(i, {2, 4}); }),
            "anywhere");
}

TEST(Access, OfOffsetsFromMemoryAndLoops) {
  const Kernel kernel = build("gather", [](Builder& k) {
    const Buffer index = k.input("index", DType::i64), x = k.inout("x", DType::f32);
    const Tile at = k.load(index, k.arange(4));
    k.loop(0, 8, 4, at, [&](const Tile& i, const Tile& carried) {
      k.atomic(Combine::sum, x, carried, k.load(x, i + k.arange(4)));
      return carried + 1;
    });
  });
  std::vector<std::string> texts;
  for (const MemoryAccess& access : memory_accesses(kernel))
    texts.push_back(std::to_string(access.loops) + " " + describe(kernel, access));
  EXPECT_THAT(texts, ElementsAre("0 contiguous", "1 contiguous", "1 anywhere"));
}

TEST(Access, OfNamedKernels) {
  for (const NamedKernel& named : named_kernels()) {
    const Kernel kernel = named.make(DType::f32, named.shape);
    for (const MemoryAccess& access : memory_accesses(kernel))
      EXPECT_TRUE(access.one_element || access.last == (Stride{Stride::Kind::fixed, 1, -1}))
          << named.name << ": " << describe(kernel, access);
  }
}

}  // namespace
}  // namespace cairn::tile
