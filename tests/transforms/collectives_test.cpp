// Transposes of collectives and transfers, as graphs: the values are the tests of the
// communicators.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cairn/graph/print.h"
#include "cairn/graph/verify.h"
#include "cairn/ops/collective.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/checkpoint.h"
#include "cairn/transforms/jvp.h"
#include "cairn/transforms/vmap.h"

namespace cairn::test {
namespace {

using ::testing::HasSubstr;

const std::string kAxis = "data";
constexpr int64_t kRanks = 4;

TensorType varying(Shape shape) { return {DType::f32, shape, {}, {kAxis}}; }
TensorType equal_everywhere(Shape shape) { return {DType::f32, shape, {}, {}}; }

Attrs mesh(std::initializer_list<Attrs::Entry> more = {}) {
  Attrs attrs{{Attr::mesh_axis, kAxis}, {Attr::size, kRanks}};
  for (const auto& [key, value] : more) attrs.set(key, value);
  return attrs;
}

// The cotangent graph of one operation, and its jvp and vmap, which must all verify.
Graph transposed(Op op, const TensorType& type, const Attrs& attrs) {
  const Graph graph = trace(
      [&](std::span<const Tensor> x) -> std::vector<Tensor> { return {make(op, {x[0]}, attrs)}; },
      {&type, 1});
  verify(jvp(graph));
  const BatchAxis axis = 0;
  const Graph batched = vmap(graph, {&axis, 1}, {&axis, 1}, 3);
  verify(batched);
  Shape expected = graph.outputs[0].shape();
  expected.insert(0, 3);
  EXPECT_EQ(batched.outputs[0].shape(), expected) << name(op);
  Graph pulled = vjp(graph);
  verify(pulled);
  EXPECT_EQ(pulled.outputs[1].type(), type) << name(op);
  return pulled;
}

const Node& last(const Graph& g) { return g.outputs[1].node(); }

TEST(Collectives, AllReduceBecomesVary) {
  const Graph of_sum =
      transposed(Op::all_reduce, varying({2}), mesh({{Attr::kind, std::string("sum")}}));
  EXPECT_EQ(last(of_sum).op(), Op::vary);
}

// Operands of a checkpoint are values of their own: weights that are equal everywhere beside
// activations that are not.
TEST(Collectives, ACheckpointTakesBothKinds) {
  const TensorType types[] = {varying({2}), equal_everywhere({2})};
  const Graph graph = trace(
      [](std::span<const Tensor> x) -> std::vector<Tensor> {
        const auto f = checkpoint([](Tensor a, Tensor w) {
          return all_reduce(sum(a * vary(w, {kAxis, kRanks})), {kAxis, kRanks});
        });
        return {f(x[0], x[1])};
      },
      types);
  const Graph pulled = vjp(graph);
  verify(pulled);
  EXPECT_EQ(pulled.outputs[1].type(), types[0]);
  EXPECT_EQ(pulled.outputs[2].type(), types[1]);
}

// A `vary` without a size takes that of another collective of the graph, or there is an error.
TEST(Collectives, VaryBecomesAllReduce) {
  const TensorType type = equal_everywhere({2});
  const auto vary = [](const Tensor& x) { return make(Op::vary, {x}, {{Attr::mesh_axis, kAxis}}); };
  const Graph known = trace(
      [&](std::span<const Tensor> x) -> std::vector<Tensor> {
        return {make(Op::all_reduce, {vary(x[0])}, mesh({{Attr::kind, std::string("sum")}}))};
      },
      {&type, 1});
  const Graph pulled = vjp(known);
  verify(pulled);
  EXPECT_EQ(last(pulled).op(), Op::all_reduce);
  EXPECT_EQ(last(pulled).attrs().integer(Attr::size), kRanks);
  const Graph by_itself = trace(
      [](std::span<const Tensor> x) -> std::vector<Tensor> {
        return {cairn::vary(x[0], {kAxis, kRanks})};
      },
      {&type, 1});
  EXPECT_EQ(last(vjp(by_itself)).op(), Op::all_reduce);
  const Graph unknown = trace(
      [&](std::span<const Tensor> x) -> std::vector<Tensor> { return {vary(x[0])}; }, {&type, 1});
  try {
    vjp(unknown);
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(
        e.what(),
        HasSubstr("no collective of this graph says how many ranks the mesh axis 'data' has"));
  }
}

TEST(Collectives, OtherReductionsSayThatTheyHaveNone) {
  for (const char* k : {"max", "min"}) {
    try {
      transposed(Op::all_reduce, varying({2}), mesh({{Attr::kind, std::string(k)}}));
      FAIL() << k;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("all_reduce: only kind=sum has a derivative"));
    }
  }
}

TEST(Collectives, GatherAndScatter) {
  const Graph of_gather =
      transposed(Op::all_gather, varying({2, 3}), mesh({{Attr::axis, int64_t{1}}}));
  EXPECT_EQ(last(of_gather).op(), Op::reduce_scatter);
  EXPECT_EQ(last(of_gather).attrs().integer(Attr::axis), 1);
  const Graph of_scatter =
      transposed(Op::reduce_scatter, varying({8, 3}), mesh({{Attr::axis, int64_t{0}}}));
  EXPECT_EQ(last(of_scatter).op(), Op::all_gather);
}

// The cotangent of a value that is equal on all ranks is equal too; each rank keeps its own part.
TEST(Collectives, InvariantGatherTakesTheLocalSlice) {
  const Graph pulled =
      transposed(Op::all_gather_invariant, varying({2, 3}), mesh({{Attr::axis, int64_t{1}}}));
  EXPECT_EQ(last(pulled).op(), Op::dynamic_slice);
  EXPECT_EQ(last(pulled).input(0).node().op(), Op::vary);
  EXPECT_THAT(to_text(pulled), HasSubstr("axis_index"));
  EXPECT_THAT(to_text(pulled), testing::Not(HasSubstr("all_reduce")));
}

TEST(Collectives, AllToAllExchangesItsAxes) {
  const Graph pulled =
      transposed(Op::all_to_all, varying({4, 3, 2}),
                 mesh({{Attr::split_axis, int64_t{0}}, {Attr::concat_axis, int64_t{2}}}));
  EXPECT_EQ(last(pulled).op(), Op::all_to_all);
  EXPECT_EQ(last(pulled).attrs().integer(Attr::split_axis), 2);
  EXPECT_EQ(last(pulled).attrs().integer(Attr::concat_axis), 0);
}

TEST(Collectives, PermuteGoesBack) {
  const std::vector<int32_t> to{1, 2, -1, 0};
  const Graph pulled = transposed(Op::permute, varying({2}),
                                  mesh({{Attr::literal, HostArray::from<int32_t>(to, {4})}}));
  const auto back = last(pulled).attrs().literal(Attr::literal).span<int32_t>();
  EXPECT_THAT(std::vector<int32_t>(back.begin(), back.end()), testing::ElementsAre(3, 0, 1, -1));
}

TEST(Collectives, TransferGoesBack) {
  const TensorType on_host{DType::f32, {2}, {Tier::host, 0}, {}};
  const Graph pulled = transposed(Op::transfer, on_host, {{Attr::placement, Placement{}}});
  EXPECT_EQ(last(pulled).op(), Op::transfer);
  EXPECT_EQ(last(pulled).attrs().placement(Attr::placement), on_host.placement);
}

// Megatron's f and g: a replicated activation enters (vary) and partial sums leave (all_reduce).
// Backward has one all_reduce, where the activation entered, and none where it left.
TEST(Collectives, TensorParallelLayer) {
  const TensorType types[] = {equal_everywhere({2, 3}), varying({3, 5}), varying({5, 3})};
  const Graph layer = trace(
      [](std::span<const Tensor> in) -> std::vector<Tensor> {
        const Tensor x = make(Op::vary, {in[0]}, {{Attr::mesh_axis, kAxis}});
        const Tensor partial = make(Op::matmul, {tanh(make(Op::matmul, {x, in[1]})), in[2]});
        return {make(Op::all_reduce, {partial}, mesh({{Attr::kind, std::string("sum")}}))};
      },
      types);
  const Graph pulled = vjp(layer);
  verify(pulled);
  int reductions = 0;
  for (const Node* node : topological_order(pulled.outputs))
    reductions += node->op() == Op::all_reduce;
  EXPECT_EQ(reductions, 2);  // one forward, one backward
  EXPECT_EQ(pulled.outputs[1].type(), types[0]);
  EXPECT_EQ(pulled.outputs[2].type(), types[1]);
}

// The size is known outside of a loop whose body needs it.
TEST(Collectives, VaryInALoop) {
  const TensorType in_body[] = {{DType::i32, {}}, varying({}), equal_everywhere({})};
  const Graph body = trace(
      [](std::span<const Tensor> in) -> std::vector<Tensor> { return {in[1] * in[2]}; }, in_body);
  const TensorType types[] = {varying({}), equal_everywhere({})};
  const Graph loss = trace(
      [&](std::span<const Tensor> in) -> std::vector<Tensor> {
        const Tensor y = make_many(Op::loop, {full({}, 3, DType::i32), in[0], in[1]},
                                   {{Attr::body, std::make_shared<const Graph>(body)},
                                    {Attr::max, int64_t{3}},
                                    {Attr::carried, int64_t{1}},
                                    {Attr::scanned, int64_t{0}}})[0];
        return {make(Op::all_reduce, {y}, mesh({{Attr::kind, std::string("sum")}}))};
      },
      types);
  const int wrt[] = {1};
  const Graph g = grad(loss, wrt);
  verify(g);
  EXPECT_EQ(g.outputs[0].type(), types[1]);
}

// Data parallelism follows from types: parameters equal everywhere, examples varying.
TEST(Collectives, DataParallelGradientIsReduced) {
  const TensorType types[] = {equal_everywhere({3}), varying({3})};
  const Graph loss = trace(
      [](std::span<const Tensor> in) -> std::vector<Tensor> {
        return {
            make(Op::all_reduce, {sum(in[0] * in[1])}, mesh({{Attr::kind, std::string("sum")}}))};
      },
      types);
  const int wrt[] = {0};
  const Graph g = grad(loss, wrt);
  verify(g);
  EXPECT_EQ(g.outputs[0].node().op(), Op::all_reduce);
  EXPECT_EQ(g.outputs[0].type(), types[0]);
}

}  // namespace
}  // namespace cairn::test
