// Custom derivatives and checkpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "cairn/graph/verify.h"
#include "cairn/transforms/checkpoint.h"
#include "cairn/transforms/simplify.h"
#include "cairn/transforms/vmap.h"
#include "tests/transforms/numeric.h"
#include "tests/transforms/op_cases.h"

namespace cairn::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor vector(std::vector<double> x) {
  const auto n = static_cast<int64_t>(x.size());
  return leaf(x, {n});
}

// round(x) whose derivative is that of x.
TensorFunction straight_through() {
  return custom_vjp(
      "straight_through",
      [](std::span<const Tensor> x) -> std::vector<Tensor> { return {round(x[0])}; },
      [](std::span<const Tensor>, std::span<const Tensor>,
         std::span<const Tensor> cts) -> std::vector<Tensor> { return {cts[0]}; });
}

Tensor call_one(const TensorFunction& fn, const Tensor& x) { return fn(std::span(&x, 1))[0]; }

TEST(CustomVjp, ReplacesTheDerivative) {
  const auto f = [](Tensor x) { return sum(call_one(straight_through(), x) * x); };
  EXPECT_THAT(value(f(vector({1.2, 2.7}))), ElementsAre(1 * 1.2 + 3 * 2.7));
  EXPECT_THAT(value(grad(f)(vector({1.2, 2.7}))), ElementsAre(1 + 1.2, 3 + 2.7));
}

TEST(CustomVjp, HoldsForForwardModeAndSecondDerivatives) {
  const auto f = [](Tensor x) {
    const Tensor r = call_one(straight_through(), x);
    return sum(r * r * x);
  };
  const Tensor x = vector({1.2, 2.7});
  // With r' = 1: (r^2 x)' = 2 r x + r^2 and (r^2 x)'' = 2 x + 4 r.
  EXPECT_EQ(value(jacfwd(f)(x)), value(grad(f)(x)));
  const auto h = value(hessian(f)(x));
  EXPECT_DOUBLE_EQ(h[0], 2 * 1.2 + 4 * 1);
  EXPECT_DOUBLE_EQ(h[1], 0);
  EXPECT_DOUBLE_EQ(h[3], 2 * 2.7 + 4 * 3);
}

TEST(CustomVjp, HoldsUnderVmapInEitherOrder) {
  const Tensor x = leaf({1.2, 2.7, 0.4, -1.6}, {2, 2});
  const auto f = [](Tensor row) { return sum(call_one(straight_through(), row) * row); };
  const Tensor gradients_mapped = vmap([&](Tensor row) { return grad(f)(row); })(x);
  const Tensor gradient_of_mapped = grad([&](Tensor all) { return sum(vmap(f)(all)); })(x);
  EXPECT_THAT(value(gradients_mapped), ElementsAre(1 + 1.2, 3 + 2.7, 0 + 0.4, -2 - 1.6));
  EXPECT_EQ(value(gradient_of_mapped), value(gradients_mapped));
}

TEST(CustomVjp, SharedOperandsOfABatchGetTheSum) {
  const TensorFunction scaled = custom_vjp(
      "scaled", [](std::span<const Tensor> x) -> std::vector<Tensor> { return {x[0] * x[1]}; },
      [](std::span<const Tensor> x, std::span<const Tensor>,
         std::span<const Tensor> cts) -> std::vector<Tensor> {
        return {cts[0] * x[1],
                sum(cts[0] * x[0]) * 10.0};  // ten times the truth, to see that it is used
      });
  const Tensor x = leaf({1, 2, 3, 4}, {2, 2});
  const auto f = [&](Tensor w) {
    const auto row = [&](Tensor r) {
      const Tensor args[] = {r, w};
      return scaled(args)[0];
    };
    return sum(vmap(row)(x));
  };
  EXPECT_EQ(number(grad(f)(leaf({5}, {}))), 100);
}

TEST(CustomVjp, CapturedTensorsAreConstants) {
  const Tensor w = leaf({3}, {});
  const TensorFunction f = custom_vjp(
      "captures", [&](std::span<const Tensor> x) -> std::vector<Tensor> { return {x[0] * w}; },
      [](std::span<const Tensor>, std::span<const Tensor>,
         std::span<const Tensor> cts) -> std::vector<Tensor> { return {cts[0] * 7.0}; });
  const Tensor x = leaf({2}, {});
  const Tensor wrt[] = {x, w};
  const auto g = values(gradients(call_one(f, x), wrt));
  EXPECT_THAT(g[0], ElementsAre(7));
  EXPECT_THAT(g[1], ElementsAre(0));
}

TEST(CustomVjp, MistakesNameTheOperation) {
  const auto bad = [](std::vector<Tensor> result) {
    return custom_vjp(
        "bad", [](std::span<const Tensor> x) -> std::vector<Tensor> { return {x[0] * 2.0}; },
        [result](std::span<const Tensor>, std::span<const Tensor>, std::span<const Tensor>) {
          return result;
        });
  };
  const auto message = [&](std::vector<Tensor> result) -> std::string {
    try {
      const Tensor x = vector({1, 2});
      gradients(sum(call_one(bad(std::move(result)), x)), {&x, 1});
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(message({}), HasSubstr("the vjp of 'bad' gives 0 cotangents for 1 operands"));
  EXPECT_THAT(message({vector({1})}),
              HasSubstr("'bad': the cotangent of operand 0 is f64[1], it must be f64[2]"));
}

// A custom operation without a rule is differentiated through the fallback that defines it.
TEST(Custom, FallbackGivesTheDerivative) {
  const TensorFunction f = [](std::span<const Tensor> x) {
    const TensorType types[] = {x[0].type(), x[1].type()};
    const auto body = std::make_shared<const Graph>(trace(
        [](std::span<const Tensor> in) -> std::vector<Tensor> {
          return {sin(in[0]) * in[1], in[0] + in[1]};
        },
        types));
    return make_many(Op::custom, {x.begin(), x.end()},
                     {{Attr::name, std::string("pair")}, {Attr::body, body}});
  };
  const std::vector<Tensor> args{vector({0.3, -1.2}), vector({2, 0.7})};
  check_derivatives(f, args, "custom");
  check_derivatives(gradient_of(f), args, "custom, second order");
  // Operands that depend on each other count once each.
  const auto both = [&](Tensor x) {
    const Tensor twice = x * 2.0;
    const Tensor list[] = {x, twice};
    return sum(f(list)[1]);
  };
  EXPECT_THAT(value(grad(both)(vector({1, 1}))), ElementsAre(3, 3));
}

// --- checkpoint ---------------------------------------------------------------------------------

// Values of the forward graph that the gradient reads: what has to be kept in memory between the
// two.
std::set<std::pair<const Node*, int>> residuals(const ValuesAndGradients& both) {
  std::set<const Node*> forward;
  for (const Node* node : topological_order(both.values)) forward.insert(node);
  std::set<std::pair<const Node*, int>> kept;
  for (const Node* node : topological_order(both.gradients)) {
    if (forward.contains(node)) continue;
    for (const Tensor& t : node->inputs())
      if (forward.contains(t.node_pointer()) && !t.is_leaf())
        kept.insert({t.node_pointer(), t.output()});
  }
  return kept;
}

// Four layers of five operations.
Tensor layers(Tensor x, const Tensor& w, bool with_checkpoint) {
  const auto layer = [&](Tensor h) { return sin(tanh(exp(h * w) * 0.1) + h); };
  for (int i = 0; i < 4; ++i) x = with_checkpoint ? checkpoint(layer)(x) : layer(x);
  return sum(x);
}

TEST(Checkpoint, KeepsOperandsOnlyAndGivesTheSameGradient) {
  const Tensor x = vector({0.1, 0.2, 0.3});
  const Tensor w = vector({0.5, -0.4, 0.9});
  const Tensor wrt[] = {x, w};  // w is captured, and gets its gradient
  const Tensor plain_loss = layers(x, w, false), checked_loss = layers(x, w, true);
  const ValuesAndGradients plain = value_and_gradients({&plain_loss, 1}, wrt);
  const ValuesAndGradients checked = value_and_gradients({&checked_loss, 1}, wrt);
  EXPECT_EQ(values(checked.values), values(plain.values));
  EXPECT_EQ(values(checked.gradients), values(plain.gradients));
  // Between layers: three values (the input is a leaf). Without: each layer keeps exp, tanh and the
  // sum.
  EXPECT_EQ(residuals(checked).size(), 3u);
  EXPECT_GE(residuals(plain).size(), 12u);
}

TEST(Checkpoint, SimplifyDoesNotMergeTheRecomputation) {
  const Tensor x = vector({0.1, 0.2});
  const Tensor w = vector({0.5, -0.4});
  const Tensor loss = layers(x, w, true);
  const ValuesAndGradients both = value_and_gradients({&loss, 1}, {&x, 1});
  Graph graph{"step", {}, {both.values[0], both.gradients[0]}, {}};
  const auto count = [](const Graph& g, Op op) {
    const auto order = topological_order(g.outputs);
    return std::count_if(order.begin(), order.end(), [op](const Node* n) { return n->op() == op; });
  };
  const Graph simple = simplify(graph);
  EXPECT_EQ(count(simple, Op::barrier), 4);
  EXPECT_EQ(count(simple, Op::tanh),
            4);  // of the recomputation; the forward ones are in the regions
  EXPECT_EQ(values(simple.outputs), values(graph.outputs));
}

TEST(Checkpoint, DerivativesOfEveryKind) {
  const TensorFunction f = checkpoint([](std::span<const Tensor> x) -> std::vector<Tensor> {
    return {sin(x[0]) * x[1], exp(x[0] * x[1])};
  });
  const std::vector<Tensor> args{vector({0.3, -1.2}), vector({2, 0.7})};
  check_derivatives(f, args, "checkpoint");
  check_derivatives(gradient_of(f), args, "checkpoint, second order");
  const auto mapped = vmap(f)(args);
  EXPECT_EQ(value(mapped[0]), value(f(args)[0]));
  EXPECT_EQ(mapped[0].node().attrs().text(Attr::name), "checkpoint");
}

TEST(Checkpoint, OfACheckpoint) {
  const auto inner = [](Tensor x) {
    return checkpoint([](Tensor y) { return sin(y) * y; })(x) + x;
  };
  const auto outer = checkpoint(inner);
  const Tensor x = vector({0.3, -1.2});
  const auto total = [](auto f) { return [f](Tensor x) { return sum(f(x)); }; };
  // Three terms are added in another order: within 4 units in the last place.
  const auto plain = value(grad(total([](Tensor y) { return sin(y) * y + y; }))(x));
  EXPECT_THAT(value(grad(total(outer))(x)), testing::Pointwise(testing::DoubleEq(), plain));
}

}  // namespace
}  // namespace cairn::test
