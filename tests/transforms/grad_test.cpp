// The public forms of reverse and forward mode: of functions, of graphs, of tensors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cairn/graph/print.h"
#include "cairn/graph/verify.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "cairn/transforms/vmap.h"
#include "tests/support/message_of.h"
#include "tests/transforms/numeric.h"

namespace cairn::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor scalar(double x) { return Tensor::from<double>({x}, {}); }

TEST(Grad, OfAFunctionOfOneTensor) {
  EXPECT_EQ(number(grad([](Tensor x) { return x * x * x; })(scalar(2))), 12);
}

TEST(Grad, OfTheSecondArgument) {
  const auto f = [](Tensor x, Tensor y) { return x * y * y; };
  EXPECT_EQ(number(grad(f, 1)(scalar(3), scalar(5))), 30);
  EXPECT_EQ(number(grad(f)(scalar(3), scalar(5))), 25);
}

TEST(Grad, OfGradOfGrad) {
  const auto f = [](Tensor x) { return x * x * x * x; };
  EXPECT_EQ(number(grad(grad(grad(f)))(scalar(2))), 48);
}

// Perturbations do not mix: the inner derivative sees x as a constant although it is the outer
// variable.
TEST(Grad, NestedDerivativesKeepTheirVariablesApart) {
  const auto f = [](Tensor x) {
    const Tensor inner = grad([&](Tensor y) { return x + y; })(scalar(1));
    return x * inner;
  };
  EXPECT_EQ(number(grad(f)(scalar(7))), 1);
}

// A captured tensor that depends on the argument outside of the function is a constant inside.
TEST(Grad, OfAnArgumentThatIsUsedElsewhereToo) {
  const Tensor x = scalar(3);
  const Tensor doubled = x * 2.0;
  EXPECT_EQ(number(grad([&](Tensor a) { return a * doubled; })(x)), 6);
}

TEST(Grad, ValueAndAuxiliaryResults) {
  const TensorFunction f = [](std::span<const Tensor> x) -> std::vector<Tensor> {
    return {sum(x[0] * x[1]), x[0] + 1.0};
  };
  const Tensor args[] = {Tensor::from<double>({1, 2}, {2}), Tensor::from<double>({3, 4}, {2})};
  const auto out = values(value_and_grad(f, {1, 0})(args));
  ASSERT_EQ(out.size(), 4u);
  EXPECT_THAT(out[0], ElementsAre(11));
  EXPECT_THAT(out[1], ElementsAre(2, 3));
  EXPECT_THAT(out[2], ElementsAre(1, 2));
  EXPECT_THAT(out[3], ElementsAre(3, 4));
  const auto [value, gradient] = value_and_grad([](Tensor x) { return x * x; })(scalar(3));
  EXPECT_EQ(number(value), 9);
  EXPECT_EQ(number(gradient), 6);
}

TEST(Grad, OfTensorsThatTheLossReadsOrNot) {
  const Tensor w = Tensor::from<float>({1, 2, 3}, {3});
  const Tensor unused = Tensor::from<float>({1, 1}, {2});
  const Tensor hidden = w * w;
  const Tensor loss = sum(hidden * 2.0);
  const Tensor wrt[] = {w, unused, hidden};
  const std::vector<Tensor> g = gradients(loss, wrt);
  EXPECT_THAT(value(g[0]), ElementsAre(4, 8, 12));
  EXPECT_EQ(to_string(g[0].type()), "f32[3]");
  EXPECT_THAT(value(g[1]), ElementsAre(0, 0));
  EXPECT_THAT(value(g[2]), ElementsAre(2, 2, 2));
}

TEST(Grad, OfALossThatIsTheTensorItself) {
  const Tensor x = scalar(3);
  EXPECT_EQ(number(gradients(x, {&x, 1})[0]), 1);
}

TEST(Grad, LossMustBeAScalarFloat) {
  const auto vector_loss = [] {
    grad([](Tensor x) { return x * 2.0; })(Tensor::from<float>({1, 2}, {2}));
  };
  EXPECT_THAT(message_of(vector_loss),
              HasSubstr("[grad] the loss must be a 0-d float, it is f32[2]"));
  EXPECT_THAT(message_of(vector_loss), HasSubstr("grad_test.cpp"));
  EXPECT_THAT(message_of([] {
                grad([](Tensor x) { return argmax(x); })(Tensor::from<float>({1, 2}, {2}));
              }),
              HasSubstr("it is i32[]"));
}

TEST(Grad, OnlyFloatsHaveDerivatives) {
  EXPECT_THAT(
      message_of([] {
        grad([](Tensor x) { return sum(cast(x, DType::f32)); })(Tensor::from<int32_t>({1}, {1}));
      }),
      HasSubstr("argument 0 is i32[1]"));
  EXPECT_THAT(message_of([] { grad([](Tensor x) { return x; }, 1)(scalar(1)); }),
              HasSubstr("argument 1 does not exist"));
}

TEST(Grad, StopsWhereItIsToldTo) {
  EXPECT_EQ(number(grad([](Tensor x) { return x * stop_gradient(x); })(scalar(3))), 3);
  EXPECT_EQ(
      number(grad([](Tensor x) { return cast(cast(x, DType::i32), DType::f64) * x; })(scalar(3))),
      3);
}

// The order of summation follows the order of building, so equal programs give equal bits.
TEST(Grad, SumsOfCotangentsAreDeterministic) {
  const Tensor x = Tensor::from<float>({0.1f, 0.2f, 0.3f}, {3});
  const auto once = [&] {
    Tensor total = sum(x);
    for (int i = 1; i < 40; ++i) total = total + sum(sin(x * static_cast<double>(i)));
    return gradients(total, {&x, 1})[0];
  };
  EXPECT_EQ(eval(runtime(), once()).to_vector<float>(), eval(runtime(), once()).to_vector<float>());
  const Graph a{"a", {}, {once()}, {}};
  const Graph b{"b", {}, {once()}, {}};
  const auto body = [](const Graph& g) { return to_text(g).substr(to_text(g).find('\n')); };
  EXPECT_EQ(body(a), body(b));
}

TEST(Grad, BackwardNodesNameTheForwardLineAndScope) {
  Tensor x = scalar(3), y;
  {
    const Scope scope("layer");
    y = exp(x);
  }
  const Tensor g = gradients(sum(y * y), {&x, 1})[0];
  bool found = false;
  for (const Node* node : topological_order({&g, 1})) {
    if (!node->scope() || *node->scope() != "layer" || node->op() != Op::multiply) continue;
    found = true;
    EXPECT_EQ(node->location().line(), y.node().location().line());
  }
  EXPECT_TRUE(found);
}

TEST(Vjp, PullbackMayBeCalledOften) {
  const TensorFunction f = [](std::span<const Tensor> x) -> std::vector<Tensor> {
    return {x[0] * x[1], sin(x[0])};
  };
  const Tensor args[] = {scalar(2), scalar(5)};
  const Vjp pulled = vjp(f, args);
  EXPECT_EQ(number(pulled.outputs[0]), 10);
  const std::vector<Tensor> first{scalar(1), Tensor()};
  const std::vector<Tensor> second{Tensor(), scalar(1)};
  EXPECT_EQ(number(pulled.pullback(first)[0]), 5);
  EXPECT_EQ(number(pulled.pullback(first)[1]), 2);
  EXPECT_EQ(number(pulled.pullback(second)[0]), std::cos(2.0));
  EXPECT_EQ(number(pulled.pullback(second)[1]), 0);
  const std::vector<Tensor> wrong{Tensor::from<double>({1, 2}, {2}), Tensor()};
  EXPECT_THAT(message_of([&] { pulled.pullback(wrong); }),
              HasSubstr("cotangent 0 is f64[2], the output is f64[]"));
}

TEST(GraphForms, AreGraphsThatVerify) {
  const TensorType types[] = {{DType::f32, {2, 3}}, {DType::f32, {3}}, {DType::i32, {2}}};
  const Graph graph = trace(
      [](std::span<const Tensor> x) -> std::vector<Tensor> {
        return {sum(matmul(x[0], x[1])), x[2]};
      },
      types);
  const Graph pulled = vjp(graph);
  EXPECT_EQ(pulled.inputs.size(), 4u);   // a cotangent for the loss only
  EXPECT_EQ(pulled.outputs.size(), 4u);  // two results, two cotangents
  const Graph pushed = jvp(graph);
  EXPECT_EQ(pushed.inputs.size(), 5u);
  EXPECT_EQ(pushed.outputs.size(), 3u);
  const int wrt[] = {1};
  const Graph both = value_and_grad(graph, wrt);
  EXPECT_EQ(to_string(both.outputs[2].type()), "f32[3]");
  EXPECT_EQ(grad(graph, wrt).outputs.size(), 1u);
  for (const Graph* g : {&pulled, &pushed, &both}) verify(*g);
}

TEST(Jvp, ZeroTangentsAndIntegers) {
  const TensorFunction f = [](std::span<const Tensor> x) -> std::vector<Tensor> {
    return {x[0] * x[1], x[2]};
  };
  const Tensor primals[] = {scalar(2), scalar(5), Tensor::from<int32_t>({4}, {})};
  const Tensor tangents[] = {scalar(1), Tensor(), Tensor()};
  const Jvp pushed = jvp(f, primals, tangents);
  EXPECT_EQ(number(pushed.tangents[0]), 5);
  EXPECT_FALSE(pushed.tangents[1].defined());
  const Tensor none[] = {Tensor(), Tensor(), Tensor()};
  EXPECT_EQ(number(jvp(f, primals, none).tangents[0]), 0);
  const Tensor wrong[] = {Tensor(), Tensor(), scalar(1)};
  EXPECT_THAT(message_of([&] { jvp(f, primals, wrong); }),
              HasSubstr("tangent 2 is f64[], the primal is i32[]"));
}

// x' A x has the Hessian A + A'.
TEST(Jacobians, HessianOfAQuadraticForm) {
  const Tensor a = Tensor::from<double>({1, 2, 3, 4, 5, 6, 7, 8, 10}, {3, 3});
  const auto f = [&](Tensor x) { return sum(x * matmul(a, x)); };
  const Tensor x = Tensor::from<double>({0.5, -1, 2}, {3});
  EXPECT_THAT(value(hessian(f)(x)), ElementsAre(2, 6, 10, 6, 10, 14, 10, 14, 20));
  EXPECT_EQ(to_string(hessian(f)(x).type()), "f64[3,3]");
}

TEST(Jacobians, ForwardAndReverseAgree) {
  const Tensor x = Tensor::from<double>({0.5, -1, 2, 0.25}, {2, 2});
  const auto f = [](Tensor x) {
    return concatenate(std::vector<Tensor>{sum(sin(x), {0}), reshape(x * x, {4})});
  };
  const Tensor forward = jacfwd(f)(x);
  EXPECT_EQ(to_string(forward.type()), "f64[6,2,2]");
  EXPECT_EQ(value(forward), value(jacrev(f)(x)));
  EXPECT_EQ(value(forward)[0], std::cos(0.5));
  EXPECT_EQ(value(forward)[4 * 2], 2 * 0.5);
}

// Tensor-valued functions of nothing but shapes: no rows, no columns.
TEST(Jacobians, OfNothing) {
  const Tensor empty = Tensor::from<double>({}, {0});
  EXPECT_EQ(to_string(jacfwd([](Tensor x) { return x * x; })(empty).type()), "f64[0,0]");
  EXPECT_THAT(value(gradients(sum(empty), {&empty, 1})[0]), ElementsAre());
}

TEST(Jacobians, OfWhatHasNone) {
  const Tensor x = Tensor::from<double>({1, 2}, {2});
  const auto f = [](Tensor x) { return argmax(x); };
  EXPECT_THAT(message_of([&] { jacfwd(f)(x); }), HasSubstr("[jacfwd] the function gives i32[]"));
  EXPECT_THAT(message_of([&] { jacrev(f)(x); }), HasSubstr("[jacrev] the function gives i32[]"));
}

// A walk over many nodes uses no recursion.
TEST(Grad, OfAChainOfManyNodes) {
  const Tensor x = scalar(1);
  Tensor y = x;
  constexpr int kNodes = 20000;
  for (int i = 0; i < kNodes; ++i) y = y + 0.0;
  const Tensor g = gradients(y, {&x, 1})[0];
  EXPECT_EQ(g.node().op(), Op::full);  // add passes the cotangent through
}

}  // namespace
}  // namespace cairn::test
