// The verifier finds faults that are planted behind the back of the functions that build nodes.
#include "cairn/graph/verify.h"

#include <gtest/gtest.h>

#include "tests/graph/texts.h"

namespace cairn {
namespace {

using test::parsed;

std::string complaint(const Graph& graph) {
  try {
    verify(graph);
    return "no error";
  } catch (const InternalError& error) {
    return error.what();
  }
}

void expect_complaint(const Graph& graph, std::string_view wanted) {
  const std::string text = complaint(graph);
  EXPECT_NE(text.find(wanted), std::string::npos) << "wanted: " << wanted << "\ngot: " << text;
}

Graph chain() {
  return parsed(R"(graph @chain(%x: f32[2,3], %y: f32[2,3]) {
    %a = add(%x, %y)
    %b = transpose(%a) {axes=[1,0]}
    return %b })");
}

// Nodes are immutable to everyone else.
Node& broken(const Tensor& t) { return const_cast<Node&>(t.node()); }
TensorType& type_of_result(const Tensor& t) { return const_cast<TensorType&>(t.type()); }
Attrs& attributes(const Tensor& t) { return const_cast<Attrs&>(t.node().attrs()); }
Tensor& operand(const Tensor& t, int i) { return const_cast<Tensor&>(t.node().input(i)); }

TEST(Verify, ShowsTheBrokenOperationInItsGraph) {
  const Graph graph = chain();
  const Tensor a = graph.outputs[0].node().input(0);
  type_of_result(a).shape = Shape{2, 4};
  EXPECT_EQ(complaint(graph), R"([verify] result 0 is f32[2,4], but f32[2,3] follows in 'add'
graph @chain(%x: f32[2,3], %y: f32[2,3]) -> (f32[3,2]) {
  %a = add(%x, %y) : f32[2,4]  // broken: result 0 is f32[2,4], but f32[2,3] follows
  %b = transpose(%a) {axes=[1,0]} : f32[3,2]
  return %b
}
)");
}

TEST(Verify, TypesAndAttributes) {
  Graph graph = chain();
  type_of_result(graph.outputs[0]).dtype = DType::f16;
  expect_complaint(graph, "result 0 is f16[3,2], but f32[3,2] follows");
  graph = chain();
  type_of_result(graph.outputs[0]).placement = {Tier::host, 0};
  expect_complaint(graph, "result 0 is f32[3,2]@host:0, but f32[3,2] follows");
  graph = chain();
  type_of_result(graph.outputs[0]).varying = {"data"};
  expect_complaint(graph, "result 0 is f32[3,2]{data}, but f32[3,2] follows");
  graph = chain();
  attributes(graph.outputs[0]).set(Attr::axis, int64_t{1});
  expect_complaint(graph, "[transpose] has no attribute 'axis'");
  graph = chain();
  attributes(graph.outputs[0]) = {};
  expect_complaint(graph, "[transpose] needs the attribute 'axes'");
  graph = chain();
  operand(graph.outputs[0].node().input(0), 1) = Tensor::scalar(1.0, DType::f32);
  expect_complaint(graph, "operand 1 was built after the operation");
}

TEST(Verify, HandlesAndOrder) {
  Graph graph = chain();
  operand(graph.outputs[0], 0) = Tensor();
  expect_complaint(graph, "operand 0 is an empty handle in 'transpose'");
  graph = chain();
  operand(graph.outputs[0], 0) = Tensor(&broken(graph.inputs[0]), 1);
  expect_complaint(graph, "operand 0 is a result that its operation does not have");
  graph = chain();
  graph.outputs[0] = Tensor(&broken(graph.outputs[0]), 1);
  expect_complaint(graph, "output 0 is a result that its operation does not have");
  graph = chain();
  graph.outputs.emplace_back();
  graph.output_names.clear();
  expect_complaint(graph, "output 1 is an empty handle");
  graph = chain();
  graph.output_names = {"a", "b"};
  expect_complaint(graph, "1 outputs have 2 names");
}

TEST(Verify, Inputs) {
  Graph graph = chain();
  graph.inputs.pop_back();
  expect_complaint(graph, "'y' is an input of another graph");
  graph = chain();
  graph.inputs[1] = graph.inputs[0];
  expect_complaint(graph, "input 1 ('x') stands there twice");
  graph = chain();
  graph.inputs[0] = graph.outputs[0];
  expect_complaint(graph, "input 0 is the result of 'transpose'");
  graph = chain();
  graph.inputs[0] = Tensor();
  expect_complaint(graph, "input 0 is an empty handle");
}

TEST(Verify, Leaves) {
  const Tensor leaf = Tensor::from<float>({1, 2, 3}, {3});
  Graph graph{"g", {}, {make(Op::exp, {leaf})}, {}};
  EXPECT_EQ(complaint(graph), "no error");
  type_of_result(leaf).shape = Shape{300};
  expect_complaint(graph, "the leaf '' of type f32[300] has no buffer of that size");
}

constexpr std::string_view kLoop = R"(graph @g(%n: i32[], %x: f32[3], %w: f32[3]) {
    %y = loop(%n, %x) {max=4} (%k, %c) { %d = add(%c, %w) yield %d }
    return %y })";

TEST(Verify, Regions) {
  Graph graph = parsed(kLoop);
  EXPECT_EQ(complaint(graph), "no error");
  const auto body = [&]() -> Graph& {
    return const_cast<Graph&>(*graph.outputs[0].node().attrs().graph(Attr::body));
  };
  body().inputs.pop_back();
  expect_complaint(graph, "'w' is an input of another graph in 'loop'");
  graph = parsed(kLoop);
  body().outputs[0] = make(Op::exp, {graph.inputs[1]});
  expect_complaint(graph, "'x' is an input of another graph in 'loop'");
  graph = parsed(kLoop);
  body().outputs[0] = make(Op::add, {body().inputs[1], Tensor::from<float>({1, 2, 3}, {3})});
  expect_complaint(graph, "a region reads a leaf that it is not given in 'loop'");
  graph = parsed(kLoop);
  body().outputs[0] = make(Op::cast, {body().inputs[1]}, {{Attr::dtype, DType::f16}});
  expect_complaint(graph, "carried value 0 comes in as f32[3] and goes out as f16[3]");
  graph = parsed(kLoop);
  type_of_result(body().outputs[0]).shape = Shape{4};
  expect_complaint(graph, "result 0 is f32[4], but f32[3] follows in 'add'");
}

TEST(Verify, Meshes) {
  expect_complaint(parsed(R"(graph(%x: f32[4]{data}) {
    %a = all_reduce(%x) {mesh_axis=data, size=4, kind=sum}
    %b = reduce_scatter(%x) {mesh_axis=data, size=2, axis=0}
    return %a, %b })"),
                   "mesh axis 'data' has 2 ranks here and 4 before in 'reduce_scatter'");
  // Ranks agree on %p, so that all of them take the same branch.
  EXPECT_EQ(complaint(parsed(R"(graph(%p: bool[], %x: f32[4]{data}) {
    %a = cond(%p) { %b = all_reduce(%x) {mesh_axis=data, size=4, kind=sum} yield %b }
         else { %b = all_reduce(%x) {mesh_axis=data, size=4, kind=max} yield %b }
    return %a })")),
            "no error");
}

TEST(Verify, AllOfTheCorpus) {
  for (const auto& file : test::corpus())
    EXPECT_EQ(complaint(parsed(test::read(file))), "no error") << file;
}

}  // namespace
}  // namespace cairn
