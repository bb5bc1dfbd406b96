// Which nodes of a graph become one launch, and in which order launches run.
#include "cairn/compiler/fuse.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/graph/parse.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;
using Overwrites = std::vector<std::pair<Tensor, Tensor>>;

class Fuse : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_compile_kernels()) GTEST_SKIP() << "needs LLVM";
  }
};

struct Fused {
  Graph graph;  // keeps the nodes alive
  Schedule schedule;

  // The operations of each launch: "multiply add".
  std::vector<std::string> launches() const {
    std::vector<std::string> result;
    for (const LaunchGroup& group : schedule.launches) {
      std::string names;
      for (const Node* node : group.nodes) {
        if (!names.empty()) names += ' ';
        names += node->info().name;
      }
      result.push_back(std::move(names));
    }
    return result;
  }
  const LaunchGroup& operator[](size_t i) const { return schedule.launches[i]; }
};

// `overwrites`: pairs (number of an input, number of the output that takes its memory).
Fused fused(std::string_view text, const FuseOptions& options = {},
            const std::vector<std::pair<int, int>>& overwrites = {}) {
  Fused result{parse_graph(text).value(), {}};
  Overwrites pairs;
  for (const auto& [input, output] : overwrites)
    pairs.emplace_back(result.graph.inputs[static_cast<size_t>(input)],
                       result.graph.outputs[static_cast<size_t>(output)]);
  result.schedule = make_schedule(result.graph, pairs);
  fuse(result.graph, pairs, result.schedule, options);
  return result;
}

TEST_F(Fuse, AChainIsOneLaunch) {
  const Fused f = fused(R"(graph (%x: f32[4,8], %y: f32[4,8]) {
    %0 = multiply(%x, %y)
    %1 = add(%0, %x)
    %2 = exp(%1)
    %3 = subtract(%0, %2)
    return %3
  })");
  EXPECT_THAT(f.launches(), ElementsAre("multiply add exp subtract"));
  EXPECT_TRUE(f[0].is_fused());
  // Each value from outside once, and only what others read is written.
  EXPECT_EQ(f[0].inputs.size(), 2u);
  ASSERT_EQ(f[0].outputs.size(), 1u);
  EXPECT_TRUE(same(f[0].outputs[0], f.graph.outputs[0]));
  EXPECT_TRUE(f[0].notes.empty());
}

TEST_F(Fuse, WhatIsReadOutsideIsWritten) {
  const Fused f = fused(R"(graph (%x: f32[4,8]) {
    %0 = exp(%x)
    %1 = negate(%0)
    %2 = cumulative(%0) {kind=sum, axis=1}
    return %1, %2
  })");
  EXPECT_THAT(f.launches(), ElementsAre("exp negate", "cumulative"));
  EXPECT_EQ(f[0].outputs.size(), 2u);
  EXPECT_FALSE(f[1].is_fused());
}

TEST_F(Fuse, SiblingsWithoutAReaderInCommonStayApart) {
  const Fused f = fused(R"(graph (%x: f32[4]) {
    %0 = exp(%x)
    %1 = negate(%x)
    return %0, %1
  })");
  EXPECT_THAT(f.launches(), ElementsAre("exp", "negate"));
}

TEST_F(Fuse, ConstantsAndBroadcastsAreComputedByTheirReaders) {
  const Fused f = fused(R"(graph (%x: f32[4,8], %b: f32[8]) {
    %0 = full() {value=2.0, dtype=f32, shape=[4,8]}
    %1 = multiply(%x, %0)
    %2 = broadcast(%b) {shape=[4,8], axes=[1]}
    %3 = add(%1, %2)
    %4 = reduce(%3) {kind=sum, axes=[0]}
    %5 = full() {value=3.0, dtype=f32, shape=[]}
    %6 = broadcast(%5) {shape=[8], axes=[]}
    %7 = divide(%4, %6)
    return %7
  })");
  EXPECT_THAT(f.launches(),
              ElementsAre("full multiply broadcast add reduce full broadcast divide"));
  // The bias itself is read.
  EXPECT_EQ(f[0].inputs.size(), 2u);
}

TEST_F(Fuse, WhatOthersReadHasALaunch) {
  const Fused f = fused(R"(graph (%x: f32[8], %y: f32[4,8]) {
    %0 = broadcast(%x) {shape=[4,8], axes=[1]}
    %1 = add(%0, %y)
    %2 = full() {value=1.0, dtype=f32, shape=[4]}
    %3 = cumulative(%0) {kind=sum, axis=0}
    return %1, %2, %3
  })");
  EXPECT_THAT(f.launches(),
              UnorderedElementsAre("broadcast", "broadcast add", "full", "cumulative"));
}

TEST_F(Fuse, NoCycle) {
  const Fused f = fused(R"(graph (%x: f32[4,8]) {
    %0 = exp(%x)
    %1 = cumulative(%0) {kind=sum, axis=1}
    %3 = divide(%0, %1)
    return %3
  })");
  EXPECT_THAT(f.launches(), ElementsAre("exp", "cumulative", "divide"));
  ASSERT_EQ(f[2].notes.size(), 1u);
  EXPECT_THAT(f[2].notes[0], HasSubstr("something else must run in between"));
}

// The second operand joins although the first one cannot.
TEST_F(Fuse, APathThroughAnotherGroupCounts) {
  const Fused f = fused(R"(graph (%x: f32[4,4], %y: f32[4,4]) {
    %0 = exp(%x)
    %1 = negate(%y)
    %2 = cumulative(%0) {kind=sum, axis=1}
    %3 = add(%2, %1)
    %4 = subtract(%3, %0)
    return %4
  })");
  EXPECT_THAT(f.launches(), ElementsAre("exp", "cumulative", "negate add subtract"));
}

TEST_F(Fuse, ASoftmaxIsOneLaunch) {
  const Fused f = fused(R"(graph (%x: f32[4,8]) {
    %0 = reduce(%x) {kind=max, axes=[1]}
    %1 = broadcast(%0) {shape=[4,8], axes=[0]}
    %2 = subtract(%x, %1)
    %3 = exp(%2)
    %4 = reduce(%3) {kind=sum, axes=[1]}
    %5 = broadcast(%4) {shape=[4,8], axes=[0]}
    %6 = divide(%3, %5)
    return %6
  })");
  EXPECT_THAT(f.launches(), ElementsAre("reduce broadcast subtract exp reduce broadcast divide"));
  EXPECT_EQ(f[0].outputs.size(), 1u);
}

// Of a square, rows and columns have the same sizes: what counts is how the result is read.
TEST_F(Fuse, ARowsResultReadAlongColumnsIsReadFromMemory) {
  const Fused f = fused(R"(graph (%x: f32[8,8]) {
    %0 = reduce(%x) {kind=sum, axes=[1]}
    %1 = broadcast(%0) {shape=[8,8], axes=[1]}
    %2 = multiply(%x, %1)
    %3 = transpose(%2) {axes=[1,0]}
    %4 = add(%2, %3)
    return %4
  })");
  EXPECT_THAT(f.launches(), ElementsAre("reduce", "broadcast multiply", "transpose add"));
}

TEST_F(Fuse, DownColumnsOnlyWhatIsReadNowhereElse) {
  const Fused f = fused(R"(graph (%x: f32[4,8], %y: f32[4,8]) {
    %0 = multiply(%x, %y)
    %1 = exp(%0)
    %2 = negate(%0)
    %3 = reduce(%2) {kind=sum, axes=[0]}
    %4 = tanh(%3)
    return %1, %4
  })");
  EXPECT_THAT(f.launches(), ElementsAre("multiply exp", "negate reduce tanh"));
}

TEST_F(Fuse, WhatIsMadeOfAProductIsPartOfIt) {
  const Fused f =
      fused(R"(graph (%x: f32[4,5], %y: f32[5,6], %b: f32[6], %z: f32[4,6], %w: f32[6,2]) {
    %0 = exp(%x)
    %1 = matmul(%0, %y)
    %2 = broadcast(%b) {shape=[4,6], axes=[1]}
    %3 = add(%1, %2)
    %4 = tanh(%3)
    %5 = matmul(%4, %w)
    %6 = negate(%z)
    %7 = add(%4, %6)
    return %5, %7
  })");
  EXPECT_THAT(f.launches(), ElementsAre("exp", "matmul broadcast add tanh negate add", "matmul"));
}

// A way forward and back: what is made of %h is made of it again where it is read.
TEST_F(Fuse, AFewOperationsAreComputedAgain) {
  const auto text = [](std::string_view between, std::string_view results) {
    return fmt::format(R"(graph (%x: f32[8,4], %w: f32[4,16], %v: f32[16,4], %d: f32[8,4]) {{
      %h = matmul(%x, %w)
      {}
      %g = multiply(%h, %t)
      %y = matmul(%g, %v)
      %e = matmul(%d, %w)
      %u = multiply(%e, %t)
      %r = add(%u, %h)
      return {}
    }})",
                       between, results);
  };
  const std::string tanh = "%t = tanh(%h)";
  const Fused again = fused(text(tanh, "%y, %r"));
  EXPECT_THAT(again.launches(),
              UnorderedElementsAre("matmul tanh multiply", "matmul", "tanh matmul multiply add"));
  EXPECT_EQ(again[0].outputs.size(), 2U);  // %h and %g

  // Not what is written anyway, nor what takes long, nor what is not made of what the reader has.
  const std::string once = "matmul multiply add";
  EXPECT_THAT(fused(text(tanh, "%y, %r, %t")).launches(), ::testing::Contains(once));
  EXPECT_THAT(fused(text("%s = exp(%h) %t = tanh(%s)", "%y, %r")).launches(),
              ::testing::Contains(once));
  EXPECT_THAT(fused(text("%t = tanh(%h)", "%y, %u")).launches(),
              ::testing::Contains("matmul multiply"));
}

TEST_F(Fuse, WhatNobodyReadsAnyMoreIsNotComputed) {
  // %s and %t join the first launch; both are computed again by the second.
  const Fused f = fused(R"(graph (%x: f32[8,4], %w: f32[4,16], %v: f32[16,4], %d: f32[8,4]) {
    %h = matmul(%x, %w)
    %y = matmul(%h, %v)
    %s = tanh(%h)
    %t = multiply(%s, %h)
    %e = matmul(%d, %w)
    %u = multiply(%e, %t)
    %r = add(%u, %h)
    return %y, %r
  })");
  EXPECT_THAT(f.launches(),
              UnorderedElementsAre("matmul", "matmul", "tanh multiply matmul multiply add"));
}

TEST_F(Fuse, EagerIsOneLaunchPerNode) {
  const Fused f = fused(R"(graph (%x: f32[4,8], %b: f32[8]) {
    %0 = broadcast(%b) {shape=[4,8], axes=[1]}
    %1 = add(%x, %0)
    %2 = full() {value=2.0, dtype=f32, shape=[4,8]}
    %3 = multiply(%1, %2)
    return %3
  })",
                        {.eager = true});
  EXPECT_THAT(f.launches(), ElementsAre("broadcast", "add", "full", "multiply"));
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(f[i].is_fused()) << i;
}

TEST_F(Fuse, ShapesThatDifferByOnesAreOne) {
  const Fused f = fused(R"(graph (%x: f32[4,1,8]) {
    %0 = exp(%x)
    %1 = reshape(%0) {shape=[1,4,8]}
    %2 = negate(%1)
    %3 = reshape(%2) {shape=[4,8]}
    %4 = tanh(%3)
    return %4
  })");
  EXPECT_THAT(f.launches(), ElementsAre("exp negate tanh"));
}

TEST_F(Fuse, OtherShapesAreNot) {
  const Fused f = fused(R"(graph (%x: f32[4,8]) {
    %0 = exp(%x)
    %1 = reshape(%0) {shape=[8,4]}
    %2 = negate(%1)
    return %2
  })");
  EXPECT_THAT(f.launches(), ElementsAre("exp", "negate"));
  ASSERT_EQ(f[1].notes.size(), 1u);
  EXPECT_THAT(f[1].notes[0], HasSubstr("different shapes"));
}

TEST_F(Fuse, JoinedAxesAreWalkedAsOne) {
  const Fused f = fused(R"(graph (%x: f32[4,8], %y: f32[32]) {
    %0 = exp(%x)
    %1 = reshape(%0) {shape=[32]}
    %2 = add(%1, %y)
    %3 = reshape(%2) {shape=[4,8]}
    %4 = multiply(%3, %0)
    return %4
  })");
  EXPECT_THAT(f.launches(), ElementsAre("exp add multiply"));
  // What a product's rows are made of.
  const Fused product = fused(R"(graph (%x: f32[12,5], %y: f32[5,8], %b: f32[8], %z: f32[3,4,8]) {
    %0 = matmul(%x, %y)
    %1 = reshape(%0) {shape=[3,4,8]}
    %2 = broadcast(%b) {shape=[3,4,8], axes=[2]}
    %3 = add(%1, %2)
    %4 = add(%3, %z)
    return %4
  })");
  EXPECT_THAT(product.launches(), ElementsAre("matmul broadcast add add"));
  // One of them alone is not.
  const Fused apart = fused(R"(graph (%x: f32[12,5], %y: f32[5,8], %p: f32[4,8]) {
    %0 = matmul(%x, %y)
    %1 = reshape(%0) {shape=[3,4,8]}
    %2 = broadcast(%p) {shape=[3,4,8], axes=[1,2]}
    %3 = add(%1, %2)
    return %3
  })");
  EXPECT_THAT(apart.launches(), ElementsAre("matmul", "broadcast add"));
}

TEST_F(Fuse, ABroadcastReadUnderAnotherShapeHasALaunch) {
  const Fused f = fused(R"(graph (%b: f32[8], %y: f32[32]) {
    %0 = broadcast(%b) {shape=[4,8], axes=[1]}
    %1 = reshape(%0) {shape=[32]}
    %2 = add(%1, %y)
    return %2
  })");
  EXPECT_THAT(f.launches(), ElementsAre("broadcast", "add"));
}

std::string long_chain(int length) {
  std::string text = "graph (%x: f32[4]) {\n %v0 = exp(%x)\n";
  for (int i = 1; i < length; ++i)
    text += " %v" + std::to_string(i) + " = negate(%v" + std::to_string(i - 1) + ")\n";
  return text + " return %v" + std::to_string(length - 1) + "\n}";
}

TEST_F(Fuse, TooLargeGroupsAreCut) {
  const FuseOptions options;
  const Fused f = fused(long_chain(200));
  size_t nodes = 0;
  for (const LaunchGroup& group : f.schedule.launches) {
    EXPECT_LE(group.nodes.size(), static_cast<size_t>(options.max_nodes));
    nodes += group.nodes.size();
  }
  EXPECT_EQ(nodes, 200u);
  EXPECT_GT(f.schedule.launches.size(), 2u);
  EXPECT_THAT(fused(long_chain(5), {.max_nodes = 2}).launches(),
              ElementsAre("exp negate", "negate negate", "negate"));
}

TEST_F(Fuse, TooManyBuffersAreCut) {
  std::string text = "graph (";
  for (int i = 0; i < 60; ++i) text += (i ? ", %x" : "%x") + std::to_string(i) + ": f32[4]";
  text += ") {\n %v0 = exp(%x0)\n";
  for (int i = 1; i < 60; ++i)
    text += " %v" + std::to_string(i) + " = add(%v" + std::to_string(i - 1) + ", %x" +
            std::to_string(i) + ")\n";
  const Fused f = fused(text + " return %v59\n}");
  const FuseOptions options;
  EXPECT_GT(f.schedule.launches.size(), 1u);
  for (const LaunchGroup& group : f.schedule.launches)
    EXPECT_LE(group.inputs.size() + group.outputs.size(),
              2 * static_cast<size_t>(options.max_buffers));
}

TEST_F(Fuse, ABarriersOperandIsComputedThoughNobodyReadsIt) {
  const Fused f = fused(R"(graph (%x: f32[4], %y: f32[8]) {
    %0 = exp(%x)
    %1 = negate(%y)
    %2, %3 = barrier(%0, %1)
    return %2
  })");
  EXPECT_THAT(f.launches(), UnorderedElementsAre("exp", "negate"));
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(f[i].outputs.size(), 1u);
}

TEST_F(Fuse, WhatHasNoLoweringStaysWithTheBackend) {
  const Fused f = fused(R"(graph (%x: f32[4], %i: i64[4], %n: i32[4]) {
    %0 = cast(%x) {dtype=f8e4m3}
    %1 = cast(%i) {dtype=f16}
    %2 = power(%n, %n)
    %3 = cast(%i) {dtype=f32}
    return %0, %1, %2, %3
  })");
  EXPECT_THAT(f.launches(), ElementsAre("cast", "cast", "power", "cast"));
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(f[i].is_fused(), i == 3) << i;
}

// --- results in the memory of arguments ----------------------------------------------------------

// Place of the launch that has an output, or reads a value.
size_t launch_of(const Fused& f, const Tensor& output) {
  for (size_t i = 0; i < f.schedule.launches.size(); ++i)
    for (const Tensor& t : f[i].outputs)
      if (same(t, output)) return i;
  ADD_FAILURE() << "no launch computes it";
  return 0;
}

TEST_F(Fuse, ReadersComeBeforeTheLaunchThatOverwrites) {
  const std::string text = R"(graph (%x: f32[4,4], %y: f32[4,4]) {
    %0 = add(%x, %y)
    %1 = exp(%x)
    %2 = matmul(%x, %y)
    %3 = multiply(%1, %2)
    return %0, %3
  })";
  const Fused f = fused(text, {}, {{0, 0}});
  const size_t writer = launch_of(f, f.graph.outputs[0]);
  for (size_t i = 0; i < f.schedule.launches.size(); ++i)
    for (const Tensor& t : f[i].inputs)
      EXPECT_TRUE(!same(t, f.graph.inputs[0]) || i <= writer) << f.launches()[i];
}

// Inlined, a broadcast of the argument would be read after the argument was written over.
TEST_F(Fuse, ABroadcastOfAnOverwrittenArgumentIsReadFromItsOwnMemory) {
  const Fused f = fused(R"(graph (%x: f32[1,8], %y: f32[4,8]) {
    %0 = broadcast(%x) {shape=[4,8], axes=[0,1]}
    %1 = full() {value=1.0, dtype=f32, shape=[1,8]}
    %2 = add(%x, %1)
    %3 = reduce(%2) {kind=sum, axes=[0]}
    %4 = broadcast(%3) {shape=[4,8], axes=[1]}
    %5 = multiply(%4, %y)
    %6 = subtract(%5, %0)
    return %2, %6
  })",
                        {}, {{0, 0}});
  const size_t writer = launch_of(f, f.graph.outputs[0]);
  const size_t reader = launch_of(f, f.graph.outputs[1]);
  EXPECT_LT(writer, reader);
  for (size_t i = writer + 1; i < f.schedule.launches.size(); ++i)
    for (const Tensor& t : f[i].inputs) EXPECT_FALSE(same(t, f.graph.inputs[0])) << i;
}

}  // namespace
}  // namespace cairn
