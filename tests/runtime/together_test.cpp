// Launches that run at once: which do, that they do not touch each other's memory, and that the
// bits are those of one after the other.
#include <gtest/gtest.h>

#include "cairn/runtime/verify_plan.h"
#include "cairn/transforms/vjp.h"
#include "tests/runtime/plans.h"
#include "tests/support/checked_runtime.h"

namespace cairn {
namespace {

class Together : public ::testing::Test {
 protected:
  void SetUp() override {
    if (devices()[0] != "cpu") GTEST_SKIP() << "needs compiled kernels";
  }
};

// Two buffers share bytes.
bool overlap(const Plan& plan, int a, int b) {
  using Kind = PlanBuffer::Kind;
  const PlanBuffer& x = plan.buffers[static_cast<size_t>(a)];
  const PlanBuffer& y = plan.buffers[static_cast<size_t>(b)];
  if (x.kind == Kind::arena && y.kind == Kind::arena)
    return x.index < y.index + static_cast<int64_t>(y.bytes) &&
           y.index < x.index + static_cast<int64_t>(x.bytes);
  if (x.kind == Kind::result && y.kind == Kind::argument)
    return plan.donor[static_cast<size_t>(x.index)] == y.index;
  if (x.kind == Kind::argument && y.kind == Kind::result) return overlap(plan, b, a);
  return x.kind == y.kind && x.index == y.index;
}

// Checks every batch of the plan, and gives the number of launches in the largest.
int check_batches(const Plan& plan) {
  int largest = 1;
  for (size_t first = 0; first < plan.launches.size(); ++first) {
    const int together = plan.launches[first].together;
    largest = std::max(largest, together);
    for (size_t i = first; i < first + static_cast<size_t>(together); ++i)
      for (size_t j = first; j < first + static_cast<size_t>(together); ++j) {
        if (i == j) continue;
        for (const int written : plan.launches[i].outputs) {
          for (const int b : plan.launches[j].outputs) EXPECT_FALSE(overlap(plan, written, b));
          for (const int b : plan.launches[j].inputs) EXPECT_FALSE(overlap(plan, written, b));
        }
      }
  }
  return largest;
}

// Updates of many tensors: p - 0.5 m with m = 0.9 m + g, all independent.
Graph updates(int count, int64_t n) {
  Graph graph;
  for (int i = 0; i < count; ++i) {
    const TensorType type{DType::f32, {n + i, 40}};
    const Tensor p = Tensor::input(type, "p" + std::to_string(i));
    const Tensor m = Tensor::input(type, "m" + std::to_string(i));
    const Tensor g = Tensor::input(type, "g" + std::to_string(i));
    graph.inputs.insert(graph.inputs.end(), {p, m, g});
    const Tensor next = m * 0.9 + g;
    graph.outputs.insert(graph.outputs.end(), {p - next * 0.5, next});
  }
  return graph;
}

std::vector<bool> donated(const Graph& graph) {
  std::vector<bool> given;
  for (size_t i = 0; i < graph.inputs.size(); ++i) given.push_back(i % 3 != 2);
  return given;
}

TEST_F(Together, UpdatesOfManyTensors) {
  Runtime alone(test::checked({.device = "cpu", .threads = 1}));
  Runtime many(test::checked({.device = "cpu", .threads = 3}));
  // The second size is planned after the first one's schedule.
  for (const int64_t n : {300, 410}) {
    const Graph graph = updates(40, n);
    const auto plan = many.plan(graph, donated(graph), false);
    EXPECT_EQ(check_batches(*plan), 32);
    const auto expected = test::outcome(alone, alone.plan(graph, donated(graph), true));
    for (int i = 0; i < 5; ++i) EXPECT_EQ(test::outcome(many, plan), expected);
  }
}

TEST_F(Together, APlanWithDependentOnesIsRefused) {
  Runtime runtime(test::checked({.device = "cpu", .threads = 3}));
  const Tensor x = Tensor::input({DType::f32, {300, 300}}, "x");
  Plan plan = *runtime.plan({"", {x}, {sum(matmul(x, x), {0})}, {}}, {}, false);
  ASSERT_EQ(plan.launches.size(), 2u);
  EXPECT_EQ(check_batches(plan), 1);
  EXPECT_FALSE(find_fault(plan, runtime.backend()));
  plan.launches[0].together = 2;
  const auto fault = find_fault(plan, runtime.backend());
  ASSERT_TRUE(fault);
  EXPECT_NE(fault->what.find("while launch 1 uses"), std::string::npos) << fault->what;
  plan.launches[0].together = 3;
  EXPECT_TRUE(find_fault(plan, runtime.backend()));
}

TEST_F(Together, TinyOnesAreNotShared) {
  Runtime runtime(test::checked({.device = "cpu", .threads = 3}));
  const Graph graph = updates(20, 4);
  EXPECT_EQ(check_batches(*runtime.plan(graph, donated(graph), false)), 1);
}

// Gradients of a layer: those of weights, bias and input read the same and write different things.
TEST_F(Together, GradientsOfALayer) {
  Runtime alone(test::checked({.device = "cpu", .threads = 1}));
  Runtime many(test::checked({.device = "cpu", .threads = 3}));
  Graph graph;
  const auto input = [&](const Shape& shape, const char* name) {
    graph.inputs.push_back(Tensor::input({DType::f32, shape}, name));
    return graph.inputs.back();
  };
  const Tensor x = input({200, 96}, "x"), w = input({96, 160}, "w"), b = input({160}, "b");
  const Tensor v = input({160, 96}, "v");
  const Tensor y = matmul(tanh(matmul(x, w) + b), v);
  graph.outputs = gradients(sum(y * y), graph.inputs);
  const auto plan = many.plan(graph, {}, false);
  EXPECT_GE(check_batches(*plan), 2);
  EXPECT_EQ(test::outcome(many, plan), test::outcome(alone, alone.plan(graph, {}, true)));
}

TEST_F(Together, RandomGraphs) {
  Runtime alone(test::checked({.device = "cpu", .threads = 1}));
  Runtime many(test::checked({.device = "cpu", .threads = 3}));
  int batches = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const Graph graph = test::random_graph(seed, 30, 220, 190);
    const auto plan = many.plan(graph, {true, false}, false);
    batches += check_batches(*plan) > 1;
    EXPECT_EQ(test::outcome(many, plan),
              test::outcome(alone, alone.plan(graph, {true, false}, true)))
        << seed;
  }
  EXPECT_GT(batches, 0);
}

}  // namespace
}  // namespace cairn
