// The kernels of groups: their axes, what they read, and that they serve all sizes of a structure.
#include "cairn/compiler/group_kernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "cairn/compiler/fuse.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/graph/parse.h"
#include "cairn/runtime/runtime.h"
#include "cairn/tile/interpreter.h"
#include "cairn/tile/parse.h"
#include "cairn/tile/print.h"
#include "cairn/tile/verify.h"
#include "tests/compiler/group_of_text.h"
#include "tests/support/same_values.h"

namespace cairn {
namespace {

using test::Group;
using test::group_of_text;
using ::testing::ElementsAre;

class GroupKernels : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!can_compile_kernels()) GTEST_SKIP() << "needs LLVM";
  }
};

HostArray ramp(const TensorType& type, int64_t first) {
  HostArray array(type.dtype, type.shape);
  visit_dtype(type.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    int64_t i = first;
    for (T& x : array.mutable_span<T>()) {
      const auto number = static_cast<float>(i++ % 23 - 7);
      x = static_cast<T>(number);
    }
  });
  return array;
}

// The kernel, interpreted with the sizes of another group of its structure, gives what the
// reference backend does.
void expect_computes(const GroupKernel& made, const Group& group) {
  const auto sizes = made.binding.sizes(group.launch);
  ASSERT_TRUE(sizes);
  std::vector<HostArray> inputs, outputs;
  for (const Tensor& t : group.launch.inputs)
    inputs.push_back(ramp(t.type(), static_cast<int64_t>(inputs.size()) * 5));
  for (const Tensor& t : group.launch.outputs) outputs.emplace_back(t.dtype(), t.shape());
  std::vector<tile::Argument> arguments;
  for (const HostArray& x : inputs) arguments.emplace_back(x);
  for (HostArray& x : outputs) arguments.emplace_back(x);
  for (const int64_t size : *sizes) arguments.emplace_back(size);
  for (const int64_t value : made.binding.step_values(group.launch)) arguments.emplace_back(value);
  for (const int place : made.binding.constants)
    arguments.emplace_back(
        group.launch.nodes[static_cast<size_t>(place)]->attrs().number(Attr::value));
  std::vector<Number> scalars;
  for (const tile::Argument& a : arguments)
    if (a.number()) scalars.push_back(*a.number());
  const auto grid = tile::grid_of(made.kernel, scalars);
  EXPECT_EQ(grid[0] * grid[1] * grid[2], work_of(made.binding, made.form, *sizes).programs);
  tile::interpret(made.kernel, arguments);

  Runtime runtime({.device = "ref", .threads = 1});
  std::vector<Tensor> values;
  for (const Tensor& t : group.graph.inputs) {
    size_t i = 0;
    while (!same(group.launch.inputs[i], t)) ++i;
    values.push_back(runtime.upload(inputs[i]));
  }
  const auto plan =
      runtime.plan(group.graph, std::vector<bool>(group.graph.inputs.size(), false), true);
  const std::vector<Tensor> want = runtime.run(plan, values);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const size_t result = index_of(group.graph.outputs, group.launch.outputs[i]);
    ASSERT_LT(result, want.size());
    EXPECT_TRUE(test::same_values(outputs[i], want[result].host())) << tile::to_text(made.kernel);
  }
}

GroupKernel kernel_of(const Group& group) {
  GroupKernel made = make_group_kernel(group.launch);
  tile::verify(made.kernel);
  const std::string text = tile::to_text(made.kernel);
  EXPECT_EQ(tile::to_text(tile::parse_kernel(text)), text);
  expect_computes(made, group);
  return made;
}

std::vector<int64_t> sizes_of(const Group& group) {
  const Ints sizes = kernel_of(group).binding.sizes(group.launch).value();
  return {sizes.begin(), sizes.end()};
}

TEST_F(GroupKernels, EqualShapesAreOneRow) {
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[3,5,70], %y: f32[3,5,70]) {
    %0 = multiply(%x, %y)
    %1 = add(%0, %x)
    return %1
  })")),
              ElementsAre(1050));
}

TEST_F(GroupKernels, ABiasMakesTwoAxes) {
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[3,5,70], %b: f32[70]) {
    %0 = broadcast(%b) {shape=[3,5,70], axes=[2]}
    %1 = add(%x, %0)
    return %1
  })")),
              ElementsAre(15, 70));
  // Of every second axis: none can be joined.
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[3,5,2,70], %b: f32[5,70]) {
    %0 = broadcast(%b) {shape=[3,5,2,70], axes=[1,3]}
    %1 = add(%x, %0)
    return %1
  })")),
              ElementsAre(3, 5, 2, 70));
}

TEST_F(GroupKernels, AxesOfOneAreNone) {
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[1,3,1,70], %b: f32[1,1,70]) {
    %0 = broadcast(%b) {shape=[1,3,1,70], axes=[0,2,3]}
    %1 = add(%x, %0)
    %2 = reshape(%1) {shape=[3,70]}
    %3 = multiply(%2, %2)
    return %3
  })")),
              ElementsAre(3, 70));
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[1,1], %y: f32[1,1]) {
    %0 = add(%x, %y)
    return %0
  })")),
              ElementsAre());
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: i32[], %y: i32[]) {
    %0 = multiply(%x, %y)
    return %0
  })")),
              ElementsAre());
}

TEST_F(GroupKernels, RowsAndColumnsMeet) {
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[19], %y: f32[300]) {
    %0 = broadcast(%x) {shape=[19,300], axes=[0]}
    %1 = broadcast(%y) {shape=[19,300], axes=[1]}
    %2 = multiply(%0, %1)
    return %2
  })")),
              ElementsAre(19, 300));
}

TEST_F(GroupKernels, ABroadcastOfABroadcastReadsItsSource) {
  const Group group = group_of_text(R"(graph (%x: f32[6], %y: f32[4,6,5]) {
    %0 = broadcast(%x) {shape=[6,5], axes=[0]}
    %1 = broadcast(%0) {shape=[4,6,5], axes=[1,2]}
    %2 = subtract(%1, %y)
    return %2
  })");
  EXPECT_THAT(sizes_of(group), ElementsAre(4, 6, 5));
  EXPECT_EQ(group.launch.inputs.size(), 2u);
}

TEST_F(GroupKernels, OneValueReadInTwoWays) {
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[7]) {
    %0 = broadcast(%x) {shape=[7,7], axes=[0]}
    %1 = broadcast(%x) {shape=[7,7], axes=[1]}
    %2 = subtract(%0, %1)
    return %2
  })")),
              ElementsAre(7, 7));
}

TEST_F(GroupKernels, ConstantsAreParameters) {
  const auto text = [](const std::string& a, const std::string& b) {
    return R"(graph (%x: f32[100]) {
    %0 = full() {value=)" +
           a + R"(, dtype=f32, shape=[100]}
    %1 = multiply(%x, %0)
    %2 = full() {value=)" +
           b + R"(, dtype=f32, shape=[100]}
    %3 = add(%1, %2)
    return %3
  })";
  };
  const GroupKernel first = kernel_of(group_of_text(text("0.1", "2.0")));
  EXPECT_EQ(first.binding.constants.size(), 2u);
  const Group other = group_of_text(text("-3.0", "0.5"));
  EXPECT_EQ(tile::to_text(first.kernel), tile::to_text(kernel_of(other).kernel));
  expect_computes(first, other);
}

// Whole numbers, whose sums and products are exact in any order.
TEST_F(GroupKernels, ReductionsTakeWhatIsAroundThem) {
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[3,5,70], %y: f32[70]) {
    %0 = broadcast(%y) {shape=[3,5,70], axes=[2]}
    %1 = multiply(%x, %0)
    %2 = reduce(%1) {kind=sum, axes=[2]}
    %3 = reduce(%x) {kind=max, axes=[2]}
    %4 = subtract(%2, %3)
    %5 = broadcast(%4) {shape=[3,5,70], axes=[0,1]}
    %6 = add(%5, %1)
    return %6, %4
  })")),
              ElementsAre(15, 70));
  // Several stages, in a row of more than one chunk.
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[2,4100]) {
    %0 = reduce(%x) {kind=max, axes=[1]}
    %1 = broadcast(%0) {shape=[2,4100], axes=[0]}
    %2 = subtract(%x, %1)
    %3 = reduce(%2) {kind=sum, axes=[1]}
    %4 = negate(%3)
    %5 = broadcast(%4) {shape=[2,4100], axes=[0]}
    %6 = less(%2, %5)
    return %6
  })")),
              ElementsAre(2, 4100));
}

TEST_F(GroupKernels, ColumnsAreReducedWithWhatOnlyTheyRead) {
  const Group group = group_of_text(R"(graph (%x: f32[3,66,5,70], %y: f32[3,66,5,70]) {
    %0 = multiply(%x, %y)
    %1 = reduce(%0) {kind=sum, axes=[1]}
    %2 = negate(%1)
    return %2
  })");
  EXPECT_THAT(sizes_of(group), ElementsAre(3, 66, 350));
}

TEST_F(GroupKernels, AProductTakesWhatIsMadeOfIt) {
  const std::string_view text = R"(graph (%x: f32[2,3,5], %y: f32[2,5,7], %b: f32[7]) {
    %0 = matmul(%x, %y)
    %1 = broadcast(%b) {shape=[2,3,7], axes=[2]}
    %2 = add(%0, %1)
    %3 = full() {value=0.0, dtype=f32, shape=[2,3,7]}
    %4 = maximum(%2, %3)
    return %4, %2
  })";
  EXPECT_THAT(sizes_of(group_of_text(text)), ElementsAre(2, 3, 7, 5));
  // Operands read where they are: one matrix for all of a batch, and a transposed one.
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[5,3], %y: f32[5,2,7]) {
    %0 = broadcast(%x) {shape=[2,5,3], axes=[1,2]}
    %1 = transpose(%0) {axes=[0,2,1]}
    %2 = transpose(%y) {axes=[1,0,2]}
    %3 = matmul(%1, %2)
    return %3
  })")),
              ElementsAre(2, 3, 7, 5));
  for (const std::string_view ones :
       {"graph (%x: f32[1,5], %y: f32[5,7]) {\n %0 = matmul(%x, %y)\n return %0\n}",
        "graph (%x: f32[3,1], %y: f32[1,7]) {\n %0 = matmul(%x, %y)\n return %0\n}",
        "graph (%x: f32[3,5], %y: f32[5,1]) {\n %0 = matmul(%x, %y)\n return %0\n}"})
    EXPECT_EQ(sizes_of(group_of_text(ones)).size(), 3u) << ones;
}

// The domain of a product has an axis more than its result, which may have no more than 12.
TEST_F(GroupKernels, AProductOfTwelveAxesIsNoKernel) {
  const Graph graph = parse_graph(R"(graph (%x: f32[2,2,2,2,2,2,2,2,2,2,3,4],
                                            %y: f32[2,2,2,2,2,2,2,2,2,2,4,5]) {
    %0 = matmul(%x, %y)
    return %0
  })")
                          .value();
  std::vector<std::pair<Tensor, Tensor>> none;
  Schedule schedule = make_schedule(graph, none);
  fuse(graph, none, schedule);
  ASSERT_EQ(schedule.launches.size(), 1u);
  EXPECT_FALSE(schedule.launches[0].is_fused());
}

TEST_F(GroupKernels, SlicesAndTransposesAreIndices) {
  const auto text = [](const std::string& start, const std::string& stop) {
    return R"(graph (%x: f32[6,8], %y: f32[3,4]) {
    %0 = slice(%x) {start=)" +
           start + ", stop=" + stop + R"(, step=[1,1]}
    %1 = transpose(%0) {axes=[1,0]}
    %2 = add(%1, %y)
    return %2
  })";
  };
  const Group group = group_of_text(text("[1,3]", "[5,6]"));
  const GroupKernel made = kernel_of(group);
  EXPECT_EQ(made.binding.sizes(group.launch).value(), (Ints{3, 4}));
  EXPECT_EQ(made.binding.steps.size(), 2u);
  expect_computes(made, group_of_text(text("[2,5]", "[6,8]")));
  // One element of an axis.
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[3,5,4]) {
    %0 = slice(%x) {start=[0,2,0], stop=[3,3,4], step=[1,1,1]}
    %1 = reshape(%0) {shape=[3,4]}
    %2 = negate(%1)
    return %2
  })")),
              ElementsAre(3, 4));
}

TEST_F(GroupKernels, AnIotaIsAnIndex) {
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: i32[3,5,4]) {
    %0 = iota() {dtype=i32, shape=[5,4], axis=0}
    %1 = broadcast(%0) {shape=[3,5,4], axes=[1,2]}
    %2 = less(%1, %x)
    return %2
  })")),
              ElementsAre(3, 5, 4));
}

TEST_F(GroupKernels, NodesOfOneOperationThatAreALaunch) {
  EXPECT_THAT(sizes_of(group_of_text(R"(graph () {
    %0 = full() {value=7, dtype=i16, shape=[3,4]}
    return %0
  })")),
              ElementsAre(12));
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: bool[5]) {
    %0 = broadcast(%x) {shape=[5,3], axes=[0]}
    return %0
  })")),
              ElementsAre(5, 3));
}

TEST_F(GroupKernels, SeveralOutputsOfSeveralTypes) {
  EXPECT_THAT(sizes_of(group_of_text(R"(graph (%x: f32[33], %i: i8[33]) {
    %0 = cast(%i) {dtype=f32}
    %1 = less(%x, %0)
    %2 = select(%1, %x, %0)
    %3 = cast(%2) {dtype=f16}
    return %1, %2, %3
  })")),
              ElementsAre(33));
}

// The kernel of one size runs all sizes of the structure, and says so where it does not fit.
TEST_F(GroupKernels, OneKernelServesAllSizes) {
  const auto text = [](int rows, int columns) {
    const std::string shape = std::to_string(rows) + "," + std::to_string(columns);
    return "graph (%x: f32[" + shape + "], %b: f32[" + std::to_string(columns) +
           "]) {\n %0 = broadcast(%b) {shape=[" + shape +
           "], axes=[1]}\n %1 = add(%x, %0)\n return %1\n}";
  };
  const GroupKernel made = kernel_of(group_of_text(text(3, 5)));
  for (const auto& [rows, columns] :
       std::vector<std::pair<int, int>>{{2, 300}, {8, 256}, {9, 257}, {17, 2}, {100, 7}})
    expect_computes(made, group_of_text(text(rows, columns)));
  // A size of 1 is another structure.
  EXPECT_FALSE(made.binding.sizes(group_of_text(text(1, 5)).launch));
}

}  // namespace
}  // namespace cairn
