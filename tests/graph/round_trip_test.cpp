// The text form: printed, parsed, printed again.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "cairn/graph/compare.h"
#include "cairn/graph/hash.h"
#include "cairn/graph/parse.h"
#include "cairn/graph/print.h"
#include "cairn/graph/verify.h"
#include "tests/graph/texts.h"

namespace cairn {
namespace {

using test::parsed;

// Parses what was printed, and checks that it is the same graph and prints alike.
void expect_round_trip(const Graph& graph) {
  const std::string text = to_text(graph);
  const Result<Graph> again = parse_graph(text);
  ASSERT_TRUE(again.ok()) << again.error().what() << "\n" << text;
  EXPECT_EQ(to_text(again.value()), text);
  EXPECT_TRUE(same_graph(graph, again.value())) << text;
  EXPECT_EQ(hash_graph(graph), hash_graph(again.value())) << text;
  EXPECT_NO_THROW(verify(again.value()));
}

TEST(RoundTrip, CorpusPrintsAsItIsWritten) {
  for (const auto& file : test::corpus()) {
    SCOPED_TRACE(file.filename().string());
    const std::string text = test::read(file);
    const Result<Graph> graph = parse_graph(text);
    ASSERT_TRUE(graph.ok()) << graph.error().what();
    EXPECT_NO_THROW(verify(graph.value()));
    EXPECT_EQ(to_text(graph.value()), text);
    expect_round_trip(graph.value());
  }
}

TEST(RoundTrip, CorpusHasEveryPrimitiveAndAttribute) {
  std::set<Op> ops;
  std::set<Attr> attrs;
  std::set<DType> dtypes;
  for (const auto& file : test::corpus()) {
    const Graph graph = parsed(test::read(file));
    std::vector<const Node*> nodes;
    test::collect_nodes_deep(graph, nodes);
    for (const Node* node : nodes) {
      ops.insert(node->op());
      for (const TensorType& type : node->outputs()) dtypes.insert(type.dtype);
      for (const auto& [key, value] : node->attrs()) attrs.insert(key);
    }
  }
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (op == Op::leaf) continue;  // has no text: it prints as an input
    EXPECT_TRUE(ops.count(op)) << "no text of the corpus has '" << name(op) << "'";
  }
  for (int i = 0; i < kAttrCount; ++i) {
    const Attr attr = static_cast<Attr>(i);
    if (attr == Attr::definition) continue;  // functions have no text
    EXPECT_TRUE(attrs.count(attr)) << "no text of the corpus has '" << name(attr) << "'";
  }
  EXPECT_EQ(dtypes.size(), static_cast<size_t>(kDTypeCount));
}

// From docs of the command line, word for word.
constexpr std::string_view kExample =
    R"(graph @step(%x: f32[4,2], %w: f32[2,8], %lr: f32[]) -> (f32[2,8], f32[4,8]) {
  %h = matmul(%x, %w) {accumulate=f32} : f32[4,8]
  %t, %i = top_k(%h) {k=3} : f32[4,3], i32[4,3]
  %n = full() {value=10, dtype=i32, shape=[]}
  %y = loop(%n, %h) {max=16} (%k: i32[], %c: f32[4,8]) {
    %d = tanh(%c)
    yield %d
  }
  %s = broadcast(%lr) {shape=[2,8], axes=[]}
  %u = multiply(%w, %s)
  return %u, %y
}
)";

TEST(RoundTrip, ExampleOfTheCommandLine) {
  const Graph graph = parsed(kExample);
  EXPECT_EQ(graph.name, "step");
  EXPECT_EQ(graph.output_names, (std::vector<std::string>{"u", "y"}));
  EXPECT_EQ(graph.inputs[1].name(), "w");
  EXPECT_NO_THROW(verify(graph));
  expect_round_trip(graph);
  // Printed with all types, and without the operation whose results nobody reads.
  EXPECT_EQ(to_text(graph),
            R"(graph @step(%x: f32[4,2], %w: f32[2,8], %lr: f32[]) -> (f32[2,8], f32[4,8]) {
  %h = matmul(%x, %w) {accumulate=f32} : f32[4,8]
  %n = full() {value=10, dtype=i32, shape=[]} : i32[]
  %y = loop(%n, %h) {max=16} (%k: i32[], %c: f32[4,8]) {
    %d = tanh(%c) : f32[4,8]
    yield %d
  } : f32[4,8]
  %s = broadcast(%lr) {shape=[2,8], axes=[]} : f32[2,8]
  %u = multiply(%w, %s) : f32[2,8]
  return %u, %y
}
)");
}

TEST(RoundTrip, TypesCommentsAndNamesMayBeLeftOut) {
  const Graph graph = parsed(R"(# a comment
graph(%x:f32[ 4 ],// another
  %p: bool[]) {   %0=exp(%x) %n = full(){shape=[],dtype=i32,value=3}
    %r = cond(%p) { %t = exp(%0) yield %t } else { %t = log(%x) yield %t }
    %s, %rows = loop(%n, %r) { max = 3 } (%k, %c) { %d = add(%c, %r) yield %d, %k }
    return %s, %rows as steps } // the end)");
  EXPECT_NO_THROW(verify(graph));
  EXPECT_EQ(to_text(graph), R"(graph(%x: f32[4], %p: bool[]) -> (f32[4], i32[3]) {
  %0 = exp(%x) : f32[4]
  %n = full() {value=3, dtype=i32, shape=[]} : i32[]
  %r = cond(%p) {
    %t = exp(%0) : f32[4]
    yield %t
  } else {
    %t = log(%x) : f32[4]
    yield %t
  } : f32[4]
  %s, %rows = loop(%n, %r) {max=3} (%k: i32[], %c: f32[4]) {
    %d = add(%c, %r) : f32[4]
    yield %d, %k
  } : f32[4], i32[3]
  return %s, %rows as steps
}
)");
}

TEST(RoundTrip, FreeVariablesOfRegionsBecomeOperands) {
  const Graph graph = parsed(R"(graph(%p: bool[], %a: f32[2], %b: f32[2], %c: f32[2]) {
    %r = cond(%p) { %s = add(%b, %a) yield %s } else { %s = add(%c, %b) yield %s }
    return %r })");
  const Node& cond = graph.outputs[0].node();
  ASSERT_EQ(cond.inputs().size(), 4u);
  EXPECT_TRUE(same(cond.input(1), graph.inputs[2]));
  EXPECT_TRUE(same(cond.input(2), graph.inputs[1]));
  EXPECT_TRUE(same(cond.input(3), graph.inputs[3]));
  for (const Attr branch : {Attr::then, Attr::otherwise})
    EXPECT_EQ(cond.attrs().graph(branch)->inputs.size(), 3u);
  verify(graph);
  expect_round_trip(graph);
}

TEST(RoundTrip, LeavesAndForeignInputsBecomeInputs) {
  const Tensor weight = Tensor::from<float>({1, 2, 3}, {3}).named("weight");
  const Tensor unnamed = Tensor::from<float>({1, 2, 3}, {3});
  const Tensor x = Tensor::input({DType::f32, {3}}, "x");
  const Tensor foreign = Tensor::input({DType::f32, {3}}, "x");
  const Tensor y =
      make(Op::add, {make(Op::multiply, {x, weight}), make(Op::add, {unnamed, foreign})});
  const Graph graph{"", {x}, {y}, {}};
  EXPECT_EQ(to_text(graph),
            R"(graph(%x: f32[3], %weight: f32[3], %0: f32[3], %x_1: f32[3]) -> (f32[3]) {
  // not among the inputs of the graph: %weight, %0, %x_1
  %1 = multiply(%x, %weight) : f32[3]
  %2 = add(%0, %x_1) : f32[3]
  %3 = add(%1, %2) : f32[3]
  return %3
}
)");
  const Graph again = parsed(to_text(graph));
  EXPECT_EQ(again.inputs.size(), 4u);
  EXPECT_TRUE(same_graph(graph, again));
}

TEST(RoundTrip, NamesAreMadeUnique) {
  const Tensor x = Tensor::input({DType::f32, {}}, "x");
  const Tensor a = make(Op::exp, {x}).named("h");
  const Tensor b = make(Op::exp, {a}).named("h");
  const Tensor c = make(Op::exp, {b}).named("h_1");
  const Tensor d = make(Op::exp, {c}).named("7");  // would be taken for one of the printer's
  const Graph graph{"g", {x}, {d, d}, {"result", "again"}};
  EXPECT_EQ(to_text(graph), R"(graph @g(%x: f32[]) -> (f32[], f32[]) {
  %h = exp(%x) : f32[]
  %h_1 = exp(%h) : f32[]
  %h_1_1 = exp(%h_1) : f32[]
  %result = exp(%h_1_1) : f32[]
  return %result, %result as again
}
)");
  expect_round_trip(graph);
  EXPECT_EQ(parsed(to_text(graph)).output_names, graph.output_names);
}

TEST(RoundTrip, OutputsAreNamedAfterValues) {
  const Graph graph =
      parsed("graph(%0: f32[]) { %1 = exp(%0) %a = log(%1) return %0, %1, %a as b }");
  EXPECT_EQ(graph.output_names, (std::vector<std::string>{"0", "1", "b"}));
  const Tensor x = Tensor::input({DType::f32, {}}, "");
  const Tensor y = make(Op::exp, {x});
  const Graph named{"g", {x}, {x, y, y}, {"input", "exponential", "again"}};
  EXPECT_EQ(to_text(named), R"(graph @g(%0: f32[]) -> (f32[], f32[], f32[]) {
  %exponential = exp(%0) : f32[]
  return %0 as input, %exponential, %exponential as again
}
)");
  expect_round_trip(named);
  EXPECT_EQ(parsed(to_text(named)).output_names, named.output_names);
}

TEST(RoundTrip, AnyBytesInNames) {
  const Tensor x = Tensor::input({DType::f32, {}}, "tab\t quote\" slash\\ \x01 \xC3\xA9");
  const Tensor y = make(Op::exp, {x}).named("a,b");
  const Graph graph{"line\nbreak", {x}, {y}, {"r\xC3\xA9sultat"}};
  expect_round_trip(graph);
  const Graph again = parsed(to_text(graph));
  EXPECT_EQ(again.name, graph.name);
  EXPECT_EQ(again.inputs[0].name(), x.name());
  EXPECT_EQ(again.outputs[0].name(), "a,b");
  EXPECT_EQ(again.output_names, graph.output_names);
}

TEST(RoundTrip, CommentsSayWhereAnOperationComesFrom) {
  const Tensor x = Tensor::input({DType::f32, {}}, "x");
  Tensor y;
  int line = 0;
  {
    const Scope layer("layer");
    const std::source_location here = std::source_location::current();
    line = static_cast<int>(here.line());
    const Provenance provenance(here);
    y = make(Op::exp, {x});
  }
  PrintOptions options;
  options.locations = true;
  options.comment = [](const Node& node) { return std::string(name(node.op())); };
  const Graph graph{"g", {x}, {y}, {}};
  EXPECT_EQ(to_text(graph, options),
            "graph @g(%x: f32[]) -> (f32[]) {\n  %0 = exp(%x) : f32[]  // round_trip_test.cpp:" +
                std::to_string(line) + " in 'layer'; exp\n  return %0\n}\n");
  EXPECT_TRUE(same_graph(parsed(to_text(graph, options)), graph));
}

// A constant may be shared by a graph and its regions; a region's text has it again.
TEST(RoundTrip, ConstantsSharedWithRegions) {
  const Tensor p = Tensor::input({DType::b8, {}}, "p");
  const Tensor one = Tensor::scalar(1.0, DType::f32).named("one");
  const Graph branch{"", {}, {one}, {}};
  const Tensor y = make(Op::cond, {p},
                        {{Attr::then, std::make_shared<const Graph>(branch)},
                         {Attr::otherwise, std::make_shared<const Graph>(branch)}});
  const Graph graph{"g", {p}, {y, one}, {}};
  EXPECT_EQ(to_text(graph), R"(graph @g(%p: bool[]) -> (f32[], f32[]) {
  %one = full() {value=1.0, dtype=f32, shape=[]} : f32[]
  %0 = cond(%p) {
    %one_1 = full() {value=1.0, dtype=f32, shape=[]} : f32[]
    yield %one_1
  } else {
    %one_2 = full() {value=1.0, dtype=f32, shape=[]} : f32[]
    yield %one_2
  } : f32[]
  return %0, %one
}
)");
  expect_round_trip(graph);
}

// Random graphs with nested loops and branches, built as the library builds them (close_over).
class RandomGraph {
 public:
  explicit RandomGraph(uint32_t seed) : random_(seed) {}

  Graph build() {
    std::vector<Tensor> pool;
    for (int i = 0; i < 3; ++i) pool.push_back(Tensor::input(type_, i ? "x" : ""));
    Graph graph{"random", pool, {}, {}};
    graph.outputs = grow(pool, 3);
    return graph;
  }

 private:
  const TensorType type_{DType::f32, {2, 3}};

  size_t pick(size_t count) { return random_() % count; }
  Tensor any(const std::vector<Tensor>& pool) { return pool[pick(pool.size())]; }

  // Adds operations on the tensors of the pool; gives two of them.
  std::vector<Tensor> grow(std::vector<Tensor>& pool, int depth) {
    const size_t count = 2 + pick(6);
    for (size_t i = 0; i < count; ++i) {
      Tensor made;
      switch (pick(depth > 0 ? 7 : 5)) {
        case 0: made = make(Op::tanh, {any(pool)}); break;
        case 1: made = make(Op::add, {any(pool), any(pool)}); break;
        case 2: {
          const Tensor sorted = make_many(Op::sort, {any(pool)}, {{Attr::axis, int64_t{1}}})[0];
          made = pick(2) ? sorted : sorted.named("sorted,");
          break;
        }
        case 3: {
          const Tensor number = Tensor::scalar(static_cast<double>(pick(100)) / 3, DType::f32);
          made = make(Op::broadcast, {number}, {{Attr::shape, Ints{2, 3}}, {Attr::axes, Ints{}}});
          break;
        }
        case 4: made = make(Op::exp, {any(pool)}).named(pick(2) ? "h" : "layer/w"); break;
        case 5: made = branches(pool, depth); break;
        default: made = loop(pool, depth); break;
      }
      pool.push_back(made);
    }
    return {any(pool), any(pool)};
  }

  Graph region(const std::vector<Tensor>& around, std::vector<Tensor> inputs, int depth,
               std::vector<Tensor>& captured) {
    std::vector<Tensor> pool = around;
    for (const Tensor& t : inputs)
      if (t.type() == type_) pool.push_back(t);
    Graph graph{"", std::move(inputs), {}, {}};
    graph.outputs = grow(pool, depth - 1);
    return close_over(graph, captured);
  }

  Tensor branches(const std::vector<Tensor>& pool, int depth) {
    std::vector<Tensor> captured;
    Graph then = region(pool, {}, depth, captured);
    const size_t first = captured.size();
    Graph otherwise = region(pool, {}, depth, captured);
    // Both take all captured values, a value that both read twice.
    const std::vector<Tensor> own = then.inputs;
    for (size_t i = first; i < captured.size(); ++i)
      then.inputs.push_back(Tensor::input(captured[i].type(), ""));
    std::vector<Tensor> inputs;
    for (size_t i = 0; i < first; ++i) inputs.push_back(Tensor::input(captured[i].type(), ""));
    inputs.insert(inputs.end(), otherwise.inputs.begin(), otherwise.inputs.end());
    otherwise.inputs = inputs;
    std::vector<Tensor> operands{Tensor::scalar(int64_t{1}, DType::b8)};
    operands.insert(operands.end(), captured.begin(), captured.end());
    return make_many(Op::cond, operands,
                     {{Attr::then, std::make_shared<const Graph>(then)},
                      {Attr::otherwise, std::make_shared<const Graph>(otherwise)}})[pick(2)];
  }

  Tensor loop(const std::vector<Tensor>& pool, int depth) {
    std::vector<Tensor> captured;
    const Graph body = region(
        pool, {Tensor::input({DType::i32, {}}, "k"), Tensor::input(type_, "c")}, depth, captured);
    std::vector<Tensor> operands{Tensor::scalar(int64_t{3}, DType::i32), any(pool)};
    operands.insert(operands.end(), captured.begin(), captured.end());
    Attrs attrs{{Attr::body, std::make_shared<const Graph>(body)},
                {Attr::max, int64_t{4}},
                {Attr::carried, int64_t{1}},
                {Attr::scanned, int64_t{0}}};
    return make_many(Op::loop, operands, attrs)[0];
  }

  std::mt19937 random_;
};

TEST(RoundTrip, RandomGraphs) {
  size_t operations = 0;
  for (uint32_t seed = 0; seed < 1200; ++seed) {
    SCOPED_TRACE(seed);
    const Graph graph = RandomGraph(seed).build();
    ASSERT_NO_THROW(verify(graph));
    expect_round_trip(graph);
    std::vector<const Node*> nodes;
    test::collect_nodes_deep(graph, nodes);
    operations += nodes.size();
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(operations, 5000u);
}

}  // namespace
}  // namespace cairn
