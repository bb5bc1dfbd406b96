// Plans of new sizes after a known schedule: the same plan that planning from the start gives, and
// a schedule of its own where sizes coincide.
#include "cairn/runtime/recipe.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cairn/graph/print.h"
#include "cairn/graph/verify.h"
#include "cairn/ops/control.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/random.h"
#include "cairn/runtime/verify_plan.h"
#include "cairn/transforms/checkpoint.h"
#include "cairn/transforms/simplify.h"
#include "cairn/transforms/vjp.h"
#include "tests/runtime/plans.h"
#include "tests/support/checked_runtime.h"

namespace cairn {
namespace {

using test::parsed;

struct Planned {
  std::shared_ptr<const Plan> plan;
  int64_t schedules;  // made for it
};

Planned plan_with(Runtime& runtime, const Graph& graph, bool donate = false, bool eager = false) {
  const int64_t before = runtime.stats().schedules_made;
  auto plan = runtime.plan(graph, std::vector<bool>(graph.inputs.size(), donate), eager);
  verify(*plan, runtime.backend());
  verify(plan->graph);
  return {plan, runtime.stats().schedules_made - before};
}

std::shared_ptr<const Plan> plan_from_the_start(Runtime& runtime, const Graph& graph, bool donate,
                                                bool eager) {
  PlanOptions options;
  options.donated = std::vector<bool>(graph.inputs.size(), donate);
  options.eager = eager;
  return make_plan(eager ? graph : simplify(graph), runtime.backend(), options);
}

// The first of `graphs` is scheduled; all others, which have its structure, are not, and get the
// plan that planning from the start gives.
void expect_one_schedule(const std::vector<Graph>& graphs) {
  for (const bool eager : {false, true})
    for (const bool donate : {false, true}) {
      Runtime runtime(test::checked({"", 1}));
      for (size_t i = 0; i < graphs.size(); ++i) {
        const Planned made = plan_with(runtime, graphs[i], donate, eager);
        EXPECT_EQ(made.schedules, i == 0) << i << "\n" << to_text(graphs[i]);
        const auto fresh = plan_from_the_start(runtime, graphs[i], donate, eager);
        EXPECT_TRUE(same_plan(*made.plan, *fresh)) << to_text(*made.plan) << to_text(*fresh);
        EXPECT_EQ(test::outcome(runtime, made.plan), test::outcome(runtime, fresh));
      }
    }
}

// The graph has another schedule than what was planned before, and is right.
void expect_schedules(const std::vector<std::pair<Graph, int>>& graphs, bool donate = false) {
  Runtime runtime(test::checked({"", 1}));
  for (size_t i = 0; i < graphs.size(); ++i) {
    const auto& [graph, schedules] = graphs[i];
    const Planned made = plan_with(runtime, graph, donate);
    EXPECT_EQ(made.schedules, schedules) << i << "\n" << to_text(graph);
    EXPECT_EQ(test::outcome(runtime, made.plan),
              test::outcome(runtime, plan_from_the_start(runtime, graph, donate, false)))
        << i << "\n"
        << to_text(*made.plan);
  }
}

std::vector<Graph> traced(const TensorFunction& fn, const std::vector<std::vector<Shape>>& shapes) {
  std::vector<Graph> graphs;
  for (const auto& list : shapes) {
    std::vector<TensorType> types;
    for (const Shape& shape : list) types.push_back({DType::f32, shape});
    graphs.push_back(trace(fn, types));
  }
  return graphs;
}

TEST(Recipe, EveryPrimitiveHasOne) {
  for (const Graph& graph : test::corpus_graphs()) expect_one_schedule({graph, graph});
}

TEST(Recipe, OfAStepOfTraining) {
  // x, w, b, v: two layers, gradients, an update.
  const auto step = [](std::span<const Tensor> a) {
    const Tensor h = gelu(matmul(a[0], a[1]) + a[2]);
    const Tensor y = softmax(layer_norm(matmul(h, a[3])), -1);
    const Tensor loss = mean(y * y);
    const std::vector<Tensor> weights(a.begin() + 1, a.end());
    std::vector<Tensor> results{loss};
    const auto gradient = gradients(loss, weights);
    for (size_t i = 0; i < weights.size(); ++i)
      results.push_back(weights[i] - gradient[i] * (loss * 0.5));
    return results;
  };
  const auto shapes = [](int64_t batch, int64_t in, int64_t hidden, int64_t out) {
    return std::vector<Shape>{{batch, in}, {in, hidden}, {hidden}, {hidden, out}};
  };
  // The mean divides by the batch's size, which the second schedule knows to vary.
  const auto graphs =
      traced(step, {shapes(4, 8, 16, 5), shapes(12, 8, 16, 5), shapes(20, 24, 48, 5),
                    shapes(4, 8, 16, 5), shapes(28, 8, 48, 5)});
  for (const bool donate : {false, true})
    expect_schedules(
        {{graphs[0], 1}, {graphs[1], 1}, {graphs[2], 0}, {graphs[3], 0}, {graphs[4], 0}}, donate);
}

TEST(Recipe, OfAttentionAndConvolutions) {
  expect_one_schedule(traced(
      [](std::span<const Tensor> a) {
        const Tensor scores = softmax(matmul(a[0], transpose(a[1], {0, 2, 1})), -1);
        return std::vector<Tensor>{matmul(scores, a[2])};
      },
      {{{2, 5, 8}, {2, 7, 8}, {2, 7, 3}}, {{3, 11, 8}, {3, 5, 8}, {3, 5, 1 + 2}}}));
  expect_one_schedule(traced(
      [](std::span<const Tensor> a) {
        const Tensor loss = sum(relu(max_pool(convolution(a[0], a[1]), {2, 2})));
        return gradients(loss, a);
      },
      {{{2, 3, 10, 10}, {5, 3, 3, 3}}, {{3, 5, 26, 10}, {7, 5, 3, 3}}}));
}

// With a stride of 7 some phases of a gradient have no tap of a window of 6, and all have of 14:
// graphs of one structure of which the cpu backend makes two.
TEST(Recipe, OfGraphsThatAreRewrittenDifferently) {
  const auto graphs = traced(
      [](std::span<const Tensor> a) {
        ConvolutionOptions options;
        options.stride = {7};
        return gradients(sum(exp(convolution(a[0], a[1], {}, options))), a);
      },
      {{{3, 5, 22}, {3, 5, 6}},
       {{3, 5, 29}, {3, 5, 14}},
       {{3, 5, 50}, {3, 5, 6}},
       {{3, 5, 57}, {3, 5, 14}}});
  const bool is_rewritten = Runtime(test::checked({"", 1})).backend().name() == "cpu";
  expect_schedules({{graphs[0], 1}, {graphs[1], is_rewritten}, {graphs[2], 0}, {graphs[3], 0}});
}

TEST(Recipe, OfLoopsAndBranches) {
  const auto fn = [](std::span<const Tensor> a) {
    const Step steps =
        loop(3, {a[0]}, {a[1]},
             [&](const Tensor& k, std::span<const Tensor> carried, std::span<const Tensor> rows) {
               const Tensor next = cond(
                   sum(carried[0]) < 4.0, [&] { return tanh(carried[0] * rows[0]); },
                   [&] { return carried[0] + cast(k, DType::f32); });
               return Step{{next}, {sum(next * next)}};
             });
    const Tensor loss = sum(steps.carried[0]) + sum(steps.stacked[0]);
    auto all = gradients(loss, a);
    all.push_back(loss);
    return all;
  };
  // min(3, rows to scan): a number that varies.
  const auto graphs = traced(fn, {{{5, 2}, {3, 5, 2}},
                                  {{7, 6}, {3, 7, 6}},
                                  {{7, 6}, {7, 7, 6}},
                                  {{5, 2}, {5, 5, 2}},
                                  {{7, 2}, {3, 7, 2}}});
  expect_one_schedule({graphs[0], graphs[1]});
  expect_schedules(
      {{graphs[0], 1}, {graphs[1], 0}, {graphs[2], 1}, {graphs[3], 0}, {graphs[4], 0}});
  // Loops in loops and custom operations in branches.
  const auto text = [](int n, int max) {
    return parsed(
        "graph(%p: bool[], %n: i32[], %x: f32[" + std::to_string(n) +
        "]) {\n"
        "  %a = custom(%x) {name=outer} (%b) {\n"
        "    %s = slice(%b) {start=[1], stop=[" +
        std::to_string(n - 2) +
        "], step=[1]}\n"
        "    %o = full() {value=2.0, dtype=f32, shape=[" +
        std::to_string(n - 3) +
        "]}\n"
        "    %c = custom(%s, %o) {name=inner} (%d, %f) { %e = multiply(%d, %f) yield %e }\n"
        "    yield %c }\n"
        "  %y = loop(%n, %a) {max=" +
        std::to_string(max) +
        "} (%k, %u) {\n"
        "    %v = loop(%k, %u) {max=" +
        std::to_string(max + 2) +
        "} (%j, %w) {\n"
        "      %z = cond(%p) { %g = custom(%w) {name=g} (%h) { %i = tanh(%h) yield %i }\n"
        "        yield %g } else { yield %w }\n"
        "      yield %z }\n"
        "    yield %v }\n"
        "  return %y, %a }");
  };
  expect_one_schedule({text(9, 5), text(13, 5), text(17, 7)});
}

TEST(Recipe, OfRandomGraphs) {
  int shared = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Runtime runtime(test::checked({"", 1}));
    const auto length = static_cast<int>(seed);
    for (const auto& [n, m] :
         {std::pair<int64_t, int64_t>{3, 5}, {3, 7}, {5, 11}, {7, 7}, {3, 5}}) {
      const Graph graph = test::random_graph(seed, length, n, m);
      const Planned made = plan_with(runtime, graph, seed % 2);
      const auto fresh = plan_from_the_start(runtime, graph, seed % 2, false);
      EXPECT_EQ(test::outcome(runtime, made.plan), test::outcome(runtime, fresh)) << to_text(graph);
      shared += made.schedules == 0;
    }
  }
  EXPECT_GT(shared, 120);
}

TEST(Recipe, BatchesOfOtherSizesShareASchedule) {
  Runtime runtime(test::checked());
  Function f = compile(
      [](std::span<const Tensor> a) { return std::vector<Tensor>{sum(matmul(a[0], a[1]), {1})}; });
  const Tensor w = runtime.upload(HostArray::from<float>(std::vector<float>(6, 2.0f), {3, 2}));
  for (const int64_t batch : {5, 7, 9, 11, 5, 7}) {
    const std::vector<float> ones(static_cast<size_t>(batch * 3), 1.0f);
    const Tensor x = runtime.upload(HostArray::from<float>(ones, {batch, 3}));
    const std::vector<float> expected(static_cast<size_t>(batch), 12.0f);
    EXPECT_EQ(f(runtime, {x, w})[0].to_vector<float>(), expected);
    EXPECT_EQ(eval(runtime, sum(x * 2.0 + 2.0, {1})).to_vector<float>(), expected);
  }
  const RuntimeStats stats = runtime.stats();
  EXPECT_EQ(stats.schedules_made, 2);  // of the function, and of what eval() is given
  EXPECT_EQ(stats.plans_made, 2 * 4);
  EXPECT_EQ(f.traces(), 4);
}

// What decides is the structure: 8 is a multiple of 4, 5 is not.
TEST(Recipe, AnotherStructureHasAnotherSchedule) {
  const auto graph = [](int n) {
    return parsed("graph(%x: f32[" + std::to_string(n) + "]) { %a = exp(%x) return %a }");
  };
  expect_schedules({{graph(5), 1},
                    {graph(7), 0},
                    {graph(4), 1},
                    {graph(12), 0},
                    {graph(1), 1},
                    {graph(0), 1},
                    {graph(9), 0}});
}

// Two constants are one when their shapes happen to be the same.
TEST(Recipe, ValuesThatCoincideAreGuarded) {
  const auto constants = [](int n, int m) {
    const auto size = [](int i) { return std::to_string(i); };
    return parsed("graph(%x: f32[" + size(n) + "], %y: f32[" + size(m) + "]) {\n" +
                  "  %a = iota() {dtype=f32, shape=[" + size(n) + "], axis=0}\n" +
                  "  %b = iota() {dtype=f32, shape=[" + size(m) + "], axis=0}\n" +
                  "  %s = add(%x, %a) %t = add(%y, %b) return %s, %t }");
  };
  expect_schedules({{constants(5, 5), 1},
                    {constants(7, 7), 0},
                    {constants(5, 7), 1},  // they may not be merged
                    {constants(7, 5), 0},
                    {constants(9, 9), 0}});  // need not be

  // Two slices of one length: where they begin makes them the same or not.
  const auto slices = [](int first, int second) {
    const auto from = [](int i) {
      return "[" + std::to_string(i) + "], stop=[" + std::to_string(i + 2) + "], step=[1]}\n";
    };
    return parsed("graph(%x: f32[25]) {\n  %a = slice(%x) {start=" + from(first) +
                  "  %b = slice(%x) {start=" + from(second) +
                  "  %c = multiply(%a, %b) %d = reduce(%c) {kind=sum, axes=[0]} return %d }");
  };
  expect_schedules({{slices(5, 5), 1}, {slices(7, 7), 0}, {slices(5, 7), 1}, {slices(11, 9), 0}});

  // There and back, or to another shape: then the first reshape is not undone.
  const auto reshapes = [](int a, int b, int c, int d) {
    const auto shape = [](int i, int j) {
      return "[" + std::to_string(i) + "," + std::to_string(j) + "]";
    };
    return parsed("graph(%x: f32" + shape(a, b) + ") {\n  %f = reshape(%x) {shape=[" +
                  std::to_string(a * b) + "]}\n  %r = reshape(%f) {shape=" + shape(c, d) +
                  "}\n  %y = cumulative(%r) {kind=sum, axis=0}\n"
                  "  %z = reduce(%y) {kind=sum, axes=[0,1]} return %z }");
  };
  expect_schedules({{reshapes(12, 6, 12, 6), 1},
                    {reshapes(20, 6, 20, 6), 0},
                    {reshapes(12, 6, 36, 2), 1},
                    {reshapes(12, 10, 60, 2), 0}});
  // The same inside of a loop.
  const auto inside = [](int n, int m) {
    const std::string a = std::to_string(n), b = std::to_string(m);
    return parsed("graph(%n: i32[], %x: f32[" + a + "], %y: f32[" + b + "]) {\n" +
                  "  %u, %v = loop(%n, %x, %y) {max=3} (%k, %p, %q) {\n" +
                  "    %a = iota() {dtype=f32, shape=[" + a + "], axis=0}\n" +
                  "    %b = iota() {dtype=f32, shape=[" + b + "], axis=0}\n" +
                  "    %s = add(%p, %a) %t = add(%q, %b) yield %s, %t }\n  return %u, %v }");
  };
  expect_schedules({{inside(5, 5), 1}, {inside(7, 7), 0}, {inside(5, 7), 1}, {inside(9, 3), 0}});
}

// Numbers in the graph: the first schedule computes with them, the second leaves alone what varies.
TEST(Recipe, ConstantsMayVary) {
  const auto graph = [](std::string_view a, std::string_view b) {
    return parsed("graph(%x: f32[4]) {\n  %a = full() {value=" + std::string(a) +
                  ", dtype=f32, shape=[4]}\n  %b = full() {value=" + std::string(b) +
                  ", dtype=f32, shape=[4]}\n  %c = multiply(%a, %b) %d = multiply(%x, %c)\n" +
                  "  %p = less(%a, %b) %e = select(%p, %d, %x) %f = add(%e, %b) return %f }");
  };
  // 0.5 * 2 is 1, and x * 1 is x: not so with 0.5 * 3, or with 4 * 2, where less() turns round.
  expect_schedules({{graph("0.5", "2.0"), 1},
                    {graph("0.5", "2.0"), 0},
                    {graph("0.5", "3.0"), 1},
                    {graph("0.5", "0.25"), 0},
                    {graph("4.0", "2.0"), 1},
                    {graph("2.0", "2.0"), 0},
                    {graph("0.0", "-0.0"), 0}});
  // In regions and in what a custom operation is made of.
  const auto inside = [](std::string_view a, std::string_view b) {
    return parsed("graph(%n: i32[], %x: f32[4]) {\n  %y = loop(%n, %x) {max=3} (%k, %u) {\n" +
                  std::string("    %a = full() {value=") + std::string(a) +
                  ", dtype=f32, shape=[4]}\n    %v = custom(%u, %a) {name=c} (%p, %q) {\n" +
                  "      %b = full() {value=" + std::string(b) + ", dtype=f32, shape=[4]}\n" +
                  "      %r = multiply(%p, %q) %s = add(%r, %b) yield %s }\n    yield %v }\n" +
                  "  return %y }");
  };
  expect_schedules({{inside("0.5", "2.0"), 1},
                    {inside("0.5", "3.0"), 1},
                    {inside("0.5", "-1.0"), 0},
                    {inside("1.0", "-1.0"), 1},
                    {inside("3.0", "0.0"), 0}});
  // One by one, there is nothing to compute with.
  Runtime runtime(test::checked({"", 1}));
  EvalOptions eager;
  eager.eager = true;
  const Tensor x = Tensor::from<float>({1, 2, 3}, {3});
  for (const double rate : {0.5, 0.25, 1.0, 0.0})
    EXPECT_EQ(eval(runtime, sum(x) * rate, eager).item<double>(), 6 * rate);
  EXPECT_EQ(runtime.stats().schedules_made, 1);
  EXPECT_EQ(runtime.stats().plans_made, 4);
}

// Without elements every shape can become every other.
TEST(Recipe, ReshapesOfNothing) {
  const auto graph = [](int a, int b) {
    return parsed("graph(%x: f32[0," + std::to_string(a) + "]) {\n  %r = reshape(%x) {shape=[0," +
                  std::to_string(b) + "]}\n  %s = reduce(%r) {kind=sum, axes=[0]} return %s }");
  };
  expect_schedules({{graph(5, 5), 1}, {graph(7, 7), 0}, {graph(5, 7), 1}, {graph(9, 11), 0}});
}

// An argument given away goes to the first result of its type: sizes decide which that is.
TEST(Recipe, DonationsFollowTheSizes) {
  const auto graph = [](int n, int m) {
    return parsed("graph(%x: f32[" + std::to_string(n) + "], %y: f32[" + std::to_string(m) +
                  "]) {\n  %b = exp(%y) %a = tanh(%x) return %b, %a }");
  };
  expect_schedules({{graph(5, 7), 1}, {graph(7, 9), 0}, {graph(5, 5), 1}, {graph(9, 5), 0}}, true);
}

// Two results of one structure, planned by turns from several threads.
TEST(Recipe, ServesSeveralThreads) {
  Runtime runtime({"", 1});  // not checked: what one thread allocates is not told from another's
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < 40; ++i) {
        const int64_t n = 5 + 2 * ((i * 7 + t) % 16);
        const std::vector<float> ones(static_cast<size_t>(n), 1.0f);
        EXPECT_EQ(eval(runtime, sum(Tensor::from<float>(ones, {n}) * 2.0)).item<float>(),
                  static_cast<float>(2 * n));
      }
    });
  for (auto& thread : threads) thread.join();
}

// --- arguments find their places -----------------------------------------------------------------

// less(b, a) after less(a, b): the same structure on the same leaves, the other way round.
TEST(PlanCacheOrder, OfOperands) {
  const Tensor a = Tensor::from<float>({1, 5, 3}, {3});
  const Tensor b = Tensor::from<float>({2, 4, 3}, {3});
  using Bools = std::vector<bool>;
  const auto bools = [](const Tensor& t) {
    const auto array = t.host();
    const auto values = array.span<bool>();
    return Bools(values.begin(), values.end());
  };
  for (const bool eager : {false, true}) {
    Runtime runtime(test::checked({"", 1}));
    EvalOptions options;
    options.eager = eager;
    EXPECT_EQ(bools(eval(runtime, a < b, options)), (Bools{true, false, false}));
    EXPECT_EQ(bools(eval(runtime, b < a, options)), (Bools{false, true, false}));
    EXPECT_EQ(bools(eval(runtime, a < b, options)), (Bools{true, false, false}));
    EXPECT_EQ(bools(eval(runtime, a < a, options)), (Bools{false, false, false}));
    // One plan for both, bound in the order in which the operation reads.
    EXPECT_EQ(runtime.stats().plans_made, 2);
    // Both in one graph, in either order: here the plan must tell them apart.
    const auto pair = [&](const Tensor& x, const Tensor& y) {
      const auto results = eval(runtime, std::vector<Tensor>{x < y, y < x}, options);
      return std::pair(bools(results[0]), bools(results[1]));
    };
    EXPECT_EQ(pair(a, b), std::pair(Bools({true, false, false}), Bools({false, true, false})));
    EXPECT_EQ(pair(b, a), std::pair(Bools({false, true, false}), Bools({true, false, false})));
    // Leaves older and younger than each other; a - b * a reads b first in the product.
    const auto first = eval(runtime, a - b * a, options).to_vector<float>();
    const auto second = eval(runtime, b - a * b, options).to_vector<float>();
    EXPECT_EQ(first, (std::vector<float>{-1, -15, -6}));
    EXPECT_EQ(second, (std::vector<float>{0, -16, -6}));
    EXPECT_EQ(eval(runtime, a - a * b, options).to_vector<float>(), first);
  }
}

TEST(PlanCacheOrder, OfFunctions) {
  Runtime runtime(test::checked({"", 1}));
  Function less_ab = compile([](std::span<const Tensor> x) { return std::vector{x[0] - x[1]}; });
  Function less_ba = compile([](std::span<const Tensor> x) { return std::vector{x[1] - x[0]}; });
  Function unused = compile([](std::span<const Tensor> x) { return std::vector{x[1] - x[2]}; });
  const Tensor a = Tensor::from<float>({1, 5}, {2});
  const Tensor b = Tensor::from<float>({2, 4}, {2});
  using Floats = std::vector<float>;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(less_ab(runtime, {a, b})[0].to_vector<float>(), (Floats{-1, 1}));
    EXPECT_EQ(less_ba(runtime, {a, b})[0].to_vector<float>(), (Floats{1, -1}));
    EXPECT_EQ(unused(runtime, {a, a, b})[0].to_vector<float>(), (Floats{-1, 1}));
    EXPECT_EQ(unused(runtime, {b, b, a})[0].to_vector<float>(), (Floats{1, -1}));
  }
  // Structures differ: which argument is read first is part of it.
  EXPECT_EQ(runtime.stats().schedules_made, 3);
}

}  // namespace
}  // namespace cairn
