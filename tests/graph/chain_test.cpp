// A chain of 100,000 operations: nothing that walks graphs may use the stack for it, and the time
// per node is printed (tests share their machine, so it gates nothing).
#include <gtest/gtest.h>

#include <cstdio>
#include <ctime>
#include <functional>

#include "cairn/graph/compare.h"
#include "cairn/graph/cost.h"
#include "cairn/graph/hash.h"
#include "cairn/graph/parse.h"
#include "cairn/graph/print.h"
#include "cairn/graph/verify.h"

namespace cairn {
namespace {

Tensor chain(const Tensor& x, int length) {
  Tensor y = x;
  for (int i = 0; i < length / 2; ++i) y = make(Op::add, {make(Op::tanh, {y}), x});
  return y;
}

void report(const char* what, int nodes, const std::function<void()>& work) {
  const std::clock_t start = std::clock();
  work();
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  std::printf("%7d nodes: %-18s %7.0f ns of processor time a node\n", nodes, what,
              1e9 * seconds / nodes);
}

void run_chain(int length) {
  const Tensor x = Tensor::input({DType::f32, {4, 8}}, "x");
  Tensor y;
  report("build", length, [&] { y = chain(x, length); });
  Graph graph{"chain", {x}, {y}, {}};
  y = Tensor();
  report("topological order", length, [&] {
    EXPECT_EQ(topological_order(graph.outputs).size(), static_cast<size_t>(length) + 1);
  });
  GraphHash hash;
  report("hash", length, [&] { hash = hash_graph(graph); });
  report("compare", length, [&] { EXPECT_TRUE(same_graph(graph, graph)); });
  report("verify", length, [&] { EXPECT_NO_THROW(verify(graph)); });
  report("cost", length, [&] { EXPECT_EQ(cost_of(graph).flops, 32.0 * length / 2); });
  std::string text;
  report("print", length, [&] { text = to_text(graph); });
  Graph again;
  report("parse", length, [&] { again = parse_graph(text).value(); });
  EXPECT_EQ(hash_graph(again), hash);
  report("destroy", length, [&] { graph = {}; });
}

TEST(Chain, OfAHundredThousandOperations) {
  run_chain(1'000);
  run_chain(10'000);
  run_chain(100'000);
}

// The walks agree with a chain that stands inside a region, too.
TEST(Chain, InsideARegion) {
  const Tensor x = Tensor::input({DType::f32, {4, 8}}, "x");
  const Tensor k = Tensor::input({DType::i32, {}}, "k");
  const Tensor c = Tensor::input({DType::f32, {4, 8}}, "c");
  const int length = 20'000;
  auto body = std::make_shared<const Graph>(Graph{"", {k, c}, {chain(c, length)}, {}});
  const Tensor n = Tensor::scalar(int64_t{3}, DType::i32);
  Graph graph{"g",
              {x},
              make_many(Op::loop, {n, x},
                        {{Attr::body, std::move(body)},
                         {Attr::max, int64_t{5}},
                         {Attr::carried, int64_t{1}},
                         {Attr::scanned, int64_t{0}}}),
              {}};
  EXPECT_NO_THROW(verify(graph));
  EXPECT_EQ(cost_of(graph).flops, 5 * 32.0 * length / 2);
  const Graph again = parse_graph(to_text(graph)).value();
  EXPECT_TRUE(same_graph(graph, again));
  EXPECT_EQ(hash_graph(graph), hash_graph(again));
  graph = {};
}

}  // namespace
}  // namespace cairn
