// The two-level hash, and the comparison that confirms it.
#include "cairn/graph/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "cairn/graph/compare.h"
#include "cairn/graph/numbering.h"
#include "cairn/graph/print.h"
#include "tests/graph/texts.h"

namespace cairn {
namespace {

using test::parsed;

void expect_same(const Graph& a, const Graph& b) {
  EXPECT_TRUE(same_graph(a, b)) << to_text(a) << to_text(b);
  EXPECT_TRUE(same_graph(b, a));
  EXPECT_EQ(hash_graph(a), hash_graph(b)) << to_text(a) << to_text(b);
}
// One structure, other sizes.
void expect_same_structure(const Graph& a, const Graph& b) {
  EXPECT_FALSE(same_graph(a, b)) << to_text(a) << to_text(b);
  EXPECT_EQ(hash_graph(a).structure, hash_graph(b).structure) << to_text(a) << to_text(b);
  EXPECT_NE(hash_graph(a).sizes, hash_graph(b).sizes) << to_text(a) << to_text(b);
}
void expect_other_structure(const Graph& a, const Graph& b) {
  EXPECT_FALSE(same_graph(a, b)) << to_text(a) << to_text(b);
  EXPECT_FALSE(same_graph(b, a));
  EXPECT_NE(hash_graph(a).structure, hash_graph(b).structure) << to_text(a) << to_text(b);
  EXPECT_NE(hash_graph(a).sizes, hash_graph(b).sizes) << to_text(a) << to_text(b);
}

TEST(Hash, NamesScopesAndLinesDoNotCount) {
  const Graph plain = parsed("graph(%x: f32[4]) { %a = exp(%x) %b = add(%a, %x) return %b }");
  Graph other;
  {
    const Scope scope("layer");
    const Provenance provenance(std::source_location::current());
    other = parsed("graph @name(%y: f32[4]) { %0 = exp(%y) %1 = add(%0, %y) return %1 as out }");
  }
  expect_same(plain, other);
}

TEST(Hash, WhoReadsWhomCounts) {
  const Graph square = parsed("graph(%x: f32[4], %y: f32[4]) { %a = multiply(%x, %x) return %a }");
  const Graph product = parsed("graph(%x: f32[4], %y: f32[4]) { %a = multiply(%x, %y) return %a }");
  const Graph swapped = parsed("graph(%x: f32[4], %y: f32[4]) { %a = multiply(%y, %x) return %a }");
  expect_other_structure(square, product);
  expect_other_structure(product, swapped);
  // A value used twice is not the same as two equal values.
  expect_other_structure(
      parsed("graph(%x: f32[4]) { %a = exp(%x) %b = add(%a, %a) return %b }"),
      parsed("graph(%x: f32[4]) { %a = exp(%x) %c = exp(%x) %b = add(%a, %c) return %b }"));
  // Which result of an operation.
  expect_other_structure(parsed("graph(%x: i32[4]) { %v, %i = sort(%x) {axis=0} return %v }"),
                         parsed("graph(%x: i32[4]) { %v, %i = sort(%x) {axis=0} return %i }"));
  // What is returned, and in which order.
  expect_other_structure(parsed("graph(%x: f32[4]) { %a = exp(%x) return %a, %x }"),
                         parsed("graph(%x: f32[4]) { %a = exp(%x) return %x, %a }"));
}

TEST(Hash, OperationsAttributesAndTypesCount) {
  const std::string_view different[] = {
      "graph(%x: f32[4,8]) { %a = exp(%x) return %a }",
      "graph(%x: f32[4,8]) { %a = log(%x) return %a }",
      "graph(%x: f64[4,8]) { %a = exp(%x) return %a }",
      "graph(%x: f32[4,8]{data}) { %a = exp(%x) return %a }",
      "graph(%x: f32[4,8]{model}) { %a = exp(%x) return %a }",
      "graph(%x: f32[4,8]@host:0) { %a = exp(%x) return %a }",
      "graph(%x: f32[4,8]@device:1) { %a = exp(%x) return %a }",
      "graph(%x: f32[32]) { %a = exp(%x) return %a }",
      "graph(%x: f32[4,8]) { %a = reduce(%x) {kind=sum, axes=[0]} return %a }",
      "graph(%x: f32[4,8]) { %a = reduce(%x) {kind=max, axes=[0]} return %a }",
      "graph(%x: f32[4,8]) { %a = reduce(%x) {kind=sum, axes=[1]} return %a }",
      "graph(%x: f32[4,8]) { %a = cumulative(%x) {kind=sum, axis=1} return %a }",
      "graph(%x: f32[4,8]) { %a = cumulative(%x) {kind=sum, axis=1, reverse=true} return %a }",
      "graph() { %a = full() {value=1, dtype=f32, shape=[]} return %a }",
      "graph() { %a = full() {value=9223372036854775807, dtype=i64, shape=[]} return %a }",
      "graph() { %a = dense<f32[2]>(1, 2) return %a }",
      "graph() { %a = dense<f32[2]>(1, 3) return %a }",
      "graph() { %a = dense<f32[2]>(1, nan) return %a }",
      "graph() { %a = dense<f32[2]>(1, -nan) return %a }",
      "graph() { %a = dense<f32[2,1]>(1, 2) return %a }",
      "graph() { %a = dense<i32[2]>(1, 2) return %a }",
      "graph(%x: f32[4,8]) { %a = custom(%x) {name=\"a\"} (%b) { yield %b } return %a }",
      "graph(%x: f32[4,8]) { %a = custom(%x) {name=\"b\"} (%b) { yield %b } return %a }",
      "graph(%x: f32[4,8]) { %a = custom(%x) {name=a} (%b) { %c = exp(%b) yield %c } return %a }",
  };
  std::set<uint64_t> structures;
  std::set<uint64_t> sizes;
  for (const std::string_view a : different) {
    structures.insert(hash_graph(parsed(a)).structure);
    sizes.insert(hash_graph(parsed(a)).sizes);
    for (const std::string_view b : different)
      EXPECT_EQ(same_graph(parsed(a), parsed(b)), a == b) << a << "\n" << b;
  }
  EXPECT_EQ(structures.size(), std::size(different));
  EXPECT_EQ(sizes.size(), std::size(different));
}

// The value of a constant is like a size: a mean divides by how many there are.
TEST(Hash, ValuesOfConstantsAreSizes) {
  const auto constant = [](std::string_view value, std::string_view dtype) {
    return parsed("graph() { %a = full() {value=" + std::string(value) +
                  ", dtype=" + std::string(dtype) + ", shape=[]} return %a }");
  };
  expect_same_structure(constant("1", "f32"), constant("2", "f32"));
  expect_same_structure(constant("0.0", "f32"), constant("-0.0", "f32"));
  expect_same_structure(constant("nan", "f32"), constant("-nan", "f32"));
  expect_same_structure(constant("9223372036854775807", "i64"),
                        constant("9223372036854775806", "i64"));
  expect_other_structure(constant("1", "f32"), constant("1", "f64"));
}

TEST(Hash, WhatMeansTheSameHashesAlike) {
  expect_same(parsed("graph() { %a = full() {value=3, dtype=f32, shape=[]} return %a }"),
              parsed("graph() { %a = full() {value=3.0, dtype=f32, shape=[]} return %a }"));
  expect_same(parsed("graph(%x: f32[4]) { %a = cumulative(%x) {kind=sum, axis=0} return %a }"),
              parsed("graph(%x: f32[4]) { %a = cumulative(%x) {kind=sum, axis=0, reverse=false} "
                     "return %a }"));
}

TEST(Hash, SizesHaveALevelOfTheirOwn) {
  const auto product = [](int m, int k, int n) {
    return parsed("graph(%a: f32[" + std::to_string(m) + "," + std::to_string(k) + "], %b: f32[" +
                  std::to_string(k) + "," + std::to_string(n) +
                  "]) { %c = matmul(%a, %b) %d = tanh(%c) return %d }");
  };
  expect_same(product(4, 8, 12), product(4, 8, 12));
  expect_same_structure(product(4, 8, 12), product(12, 20, 4));
  expect_same_structure(product(64, 128, 192), product(192, 64, 640));
  // The largest of 1, 4, 16, 64 that divides.
  for (const auto& [a, b] :
       std::vector<std::pair<int, int>>{{3, 4}, {8, 16}, {48, 64}, {1, 3}, {0, 64}, {0, 1}})
    for (int at = 0; at < 3; ++at) {
      const auto with = [&](int size) {
        return product(at == 0 ? size : 8, at == 1 ? size : 8, at == 2 ? size : 8);
      };
      expect_other_structure(with(a), with(b));
    }
  for (const auto& [a, b] : std::vector<std::pair<int, int>>{
           {2, 3}, {4, 8}, {8, 12}, {16, 32}, {16, 48}, {64, 128}, {64, 4096}})
    expect_same_structure(product(a, 8, 8), product(b, 8, 8));
}

TEST(Hash, EqualSizesThatNothingTiesAreACoincidence) {
  const auto two = [](int a, int b) {
    return parsed("graph(%x: f32[" + std::to_string(a) + "], %y: f32[" + std::to_string(b) +
                  "]) { %a = exp(%x) %b = exp(%y) %c = reduce(%a) {kind=sum, axes=[0]} "
                  "%d = reduce(%b) {kind=sum, axes=[0]} %e = add(%c, %d) return %e }");
  };
  expect_same_structure(two(8, 8), two(8, 24));
  const auto square = [](int a, int b) {
    return parsed("graph(%x: f32[" + std::to_string(a) + "," + std::to_string(b) +
                  "]) { %y = transpose(%x) {axes=[1,0]} %z = matmul(%x, %y) return %z }");
  };
  expect_same_structure(square(8, 8), square(8, 24));
  // Of a slice's and a padding's numbers only the class belongs to the structure.
  const auto slice = [](int start, int stop) {
    return parsed("graph(%x: f32[40]) { %y = slice(%x) {start=[" + std::to_string(start) +
                  "], stop=[" + std::to_string(stop) + "], step=[1]} return %y }");
  };
  expect_same_structure(slice(8, 20), slice(4, 24));
}

TEST(Hash, TiesThatDependOnTheNumbersBelongToTheStructure) {
  const auto reshape = [](const std::string& from, const std::string& to) {
    return parsed("graph(%x: f32" + from + ") { %y = reshape(%x) {shape=" + to + "} return %y }");
  };
  // [8,24,40]: the first two axes are joined, or the last two.
  expect_other_structure(reshape("[8,24,40]", "[192,40]"), reshape("[8,24,40]", "[8,960]"));
  expect_same_structure(reshape("[8,24,40]", "[192,40]"), reshape("[40,72,8]", "[2880,8]"));
  // All classes agree (4 divides, 16 does not), the groups of axes do not.
  expect_other_structure(reshape("[4,12,4,12]", "[4,144,4]"), reshape("[4,12,12,4]", "[4,144,4]"));
  expect_same_structure(reshape("[4,1,12]", "[1,4,12]"), reshape("[12,1,4]", "[1,12,4]"));
  expect_same_structure(reshape("[0,4]", "[0,12]"), reshape("[0,12]", "[0,4]"));

  const auto slice = [](int start, int stop, int size) {
    return parsed("graph(%x: f32[" + std::to_string(size) + "]) { %y = slice(%x) {start=[" +
                  std::to_string(start) + "], stop=[" + std::to_string(stop) +
                  "], step=[1]} return %y }");
  };
  expect_other_structure(slice(0, 40, 40), slice(0, 40, 88));
  expect_same_structure(slice(0, 40, 40), slice(0, 88, 88));
  const auto update = [](int part, int whole) {
    return parsed("graph(%x: f32[" + std::to_string(whole) + "], %u: f32[" + std::to_string(part) +
                  "], %i: i32[]) { %y = dynamic_update_slice(%x, %u, %i) "
                  "%z = dynamic_slice(%x, %i) {shape=[" +
                  std::to_string(part) + "]} return %y, %z }");
  };
  expect_other_structure(update(40, 40), update(40, 88));
  expect_same_structure(update(8, 40), update(40, 88));
}

TEST(Hash, LiveTensorsAreLikeTheGraphOfTheirLeaves) {
  const auto step = [](const Tensor& x, const Tensor& w) {
    return std::vector<Tensor>{make(Op::add, {make(Op::multiply, {x, w}), x})};
  };
  const Tensor x = Tensor::from<float>({1, 2, 3}, {3});
  const Tensor w = Tensor::from<float>({4, 5, 6}, {3}).named("w");
  const std::vector<Tensor> live = step(x, w);
  const TensorType type{DType::f32, {3}};
  const Graph graph =
      trace([&](std::span<const Tensor> t) { return step(t[0], t[1]); }, std::vector{type, type});
  EXPECT_EQ(hash_graph(live), hash_graph(graph));
  EXPECT_TRUE(same_graph(live, graph));
  // Other leaves with other contents, of another age.
  const Tensor younger = Tensor::from<float>({0, 0, 0}, {3});
  const std::vector<Tensor> later = step(Tensor::from<float>({9, 9, 9}, {3}), younger);
  EXPECT_EQ(hash_graph(later), hash_graph(live));
  EXPECT_TRUE(same_graph(later, live));
  // One leaf twice is another graph.
  EXPECT_NE(hash_graph(step(x, x)), hash_graph(live));
  EXPECT_FALSE(same_graph(step(x, x), live));
  EXPECT_FALSE(same_graph(live, step(x, x)));
  // The leaves in the order in which a plan binds them.
  const Numbering numbering = number_nodes(later);
  ASSERT_EQ(numbering.leaves.size(), 2u);
  EXPECT_EQ(numbering.leaves[0], later[0].node().input(1).node_pointer());
  EXPECT_EQ(numbering.leaves[1], younger.node_pointer());
  EXPECT_EQ(hash_graph(later, numbering), hash_graph(later));
}

TEST(Hash, OldLeavesAreNumberedByAge) {
  const Tensor old = Tensor::from<float>({1}, {1});
  for (int i = 0; i < 100'000; ++i) Tensor::scalar(1.0, DType::f32);  // ids go by
  const Tensor young = Tensor::from<float>({1}, {1});
  const Tensor sum = make(Op::add, {young, old});
  const std::vector<const Node*> order = topological_order(std::vector{sum});
  EXPECT_EQ(order, (std::vector<const Node*>{old.node_pointer(), young.node_pointer(),
                                             sum.node_pointer()}));
}

TEST(Hash, RegionsCount) {
  const auto loop = [](const std::string& inside, const std::string& rows) {
    return parsed("graph(%n: i32[], %x: f32[3], %w: f32[3], %s: f32[" + rows +
                  ",3]) { %y = loop(%n, %x; %s) {max=" + rows + "} (%k, %c, %r) { " + inside +
                  " yield %d } return %y }");
  };
  const Graph plain = loop("%d = add(%c, %w)", "8");
  expect_same(plain, loop("%d = add(%c, %w)", "8"));
  expect_other_structure(plain, loop("%d = add(%c, %r)", "8"));
  expect_other_structure(plain, loop("%d = multiply(%c, %w)", "8"));
  expect_same_structure(plain, loop("%d = add(%c, %w)", "24"));
  expect_same_structure(
      loop("%e = full() {value=0, dtype=f32, shape=[8]} %f = slice(%e) {start=[0], "
           "stop=[3], step=[1]} %d = add(%c, %f)",
           "8"),
      loop("%e = full() {value=0, dtype=f32, shape=[24]} %f = slice(%e) "
           "{start=[0], stop=[3], step=[1]} %d = add(%c, %f)",
           "8"));
  expect_other_structure(
      parsed("graph(%p: bool[], %x: f32[]) { %a = cond(%p) { yield %x } else { %b = "
             "exp(%x) yield %b } return %a }"),
      parsed("graph(%p: bool[], %x: f32[]) { %a = cond(%p) { %b = exp(%x) yield "
             "%b } else { yield %x } return %a }"));
}

// A leaf that only a region reads is bound to its plan, so another leaf makes another graph.
TEST(Hash, LeavesInsideRegionsEqualThemselvesOnly) {
  const Tensor n = Tensor::input({DType::i32, {}}, "n");
  const auto loop = [&](const Tensor& leaf) {
    const Tensor k = Tensor::input({DType::i32, {}}, "k");
    const Tensor c = Tensor::input({DType::f32, {1}}, "c");
    const Graph body{"", {k, c}, {make(Op::add, {c, leaf})}, {}};
    const Tensor zero =
        make(Op::full, {},
             {{Attr::value, Number(0.0)}, {Attr::dtype, DType::f32}, {Attr::shape, Ints{1}}});
    return Graph{"",
                 {n},
                 make_many(Op::loop, {n, zero},
                           {{Attr::body, std::make_shared<const Graph>(body)},
                            {Attr::max, int64_t{4}},
                            {Attr::carried, int64_t{1}},
                            {Attr::scanned, int64_t{0}}}),
                 {}};
  };
  const Tensor leaf = Tensor::from<float>({1}, {1});
  expect_same(loop(leaf), loop(leaf));
  expect_other_structure(loop(leaf), loop(Tensor::from<float>({1}, {1})));
}

// Regions that share regions, 40 deep: 2^40 visits if each were visited again.
TEST(Hash, SharedRegionsAreVisitedOnce) {
  const auto nested = [] {
    Graph inner;
    inner.inputs = {Tensor::input({DType::f32, {}}, "x")};
    inner.outputs = {make(Op::exp, {inner.inputs[0]})};
    for (int depth = 0; depth < 40; ++depth) {
      const auto shared = std::make_shared<const Graph>(inner);
      Graph outer;
      outer.inputs = {Tensor::input({DType::f32, {}}, "x")};
      Tensor y = outer.inputs[0];
      for (int i = 0; i < 2; ++i)
        y = make(Op::custom, {y}, {{Attr::name, std::string("c")}, {Attr::body, shared}});
      outer.outputs = {y};
      inner = outer;
    }
    return inner;
  };
  expect_same(nested(), nested());
}

TEST(Hash, AttributesOfOneNode) {
  const Attrs a{{Attr::value, Number(1)}, {Attr::dtype, DType::f32}, {Attr::shape, Ints{2, 3}}};
  const Attrs b{{Attr::value, Number(1.0)}, {Attr::dtype, DType::f32}, {Attr::shape, Ints{2, 3}}};
  const Attrs c{{Attr::value, Number(1.0)}, {Attr::dtype, DType::f32}, {Attr::shape, Ints{3, 2}}};
  const Attrs d{{Attr::value, Number(1.0)}, {Attr::dtype, DType::f32}};
  EXPECT_TRUE(same_attributes(a, b));
  EXPECT_EQ(hash_attributes(a), hash_attributes(b));
  for (const Attrs& other : {c, d}) {
    EXPECT_FALSE(same_attributes(a, other));
    EXPECT_FALSE(same_attributes(other, a));
    EXPECT_NE(hash_attributes(a), hash_attributes(other));
  }
  EXPECT_FALSE(same_value(Number(int64_t{1} << 60), Number(0x1p60)));
  EXPECT_TRUE(same_value(Number(int64_t{1} << 53), Number(0x1p53)));
  EXPECT_FALSE(same_value(int64_t{1}, true));
}

// All graphs of the corpus are different, and each is like itself parsed again.
TEST(Hash, Corpus) {
  std::vector<Graph> graphs;
  for (const auto& file : test::corpus()) graphs.push_back(parsed(test::read(file)));
  for (size_t i = 0; i < graphs.size(); ++i)
    for (size_t j = 0; j < graphs.size(); ++j) {
      EXPECT_EQ(same_graph(graphs[i], graphs[j]), i == j);
      EXPECT_EQ(hash_graph(graphs[i]) == hash_graph(graphs[j]), i == j);
    }
}

}  // namespace
}  // namespace cairn
