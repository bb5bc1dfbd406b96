// Loops and branches under derivatives: what is kept, nested loops, trip counts, inner transforms.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

const Node* find_loop(std::span<const Tensor> roots, bool reverse) {
  const Node* found = nullptr;
  for (const Node* node : topological_order(roots))
    if (node->op() == Op::loop && node->attrs().flag(Attr::reverse) == reverse) found = node;
  return found;
}

// x(k+1) = step(x(k)), `n` times at most `max`; captured: w.
Tensor iterate(const Tensor& n, int64_t max, const Tensor& x, const Tensor& w,
               const std::function<Tensor(Tensor, Tensor)>& step) {
  const TensorType types[] = {{DType::i32, {}}, x.type(), w.type()};
  const Graph body =
      trace([&](std::span<const Tensor> in) -> std::vector<Tensor> { return {step(in[1], in[2])}; },
            types);
  return make_many(Op::loop, {n, x, w},
                   {{Attr::body, std::make_shared<const Graph>(body)},
                    {Attr::max, max},
                    {Attr::carried, int64_t{1}},
                    {Attr::scanned, int64_t{0}}})[0];
}

Tensor count(int n) { return full({}, n, DType::i32); }

TEST(LoopGradient, OfAPower) {
  // x multiplied by w n times: d/dw = n x w^(n-1), d/dx = w^n.
  const auto f = [](Tensor x, Tensor w) {
    return iterate(count(3), 5, x, w, [](Tensor a, Tensor b) { return a * b; });
  };
  const Tensor x = leaf({2}, {}), w = leaf({3}, {});
  EXPECT_EQ(number(f(x, w)), 54);
  EXPECT_EQ(number(grad(f, 0)(x, w)), 27);
  EXPECT_EQ(number(grad(f, 1)(x, w)), 2 * 3 * 9);
  EXPECT_EQ(number(grad(grad(f, 1), 1)(x, w)), 2 * 3 * 2 * 3);
}

TEST(LoopGradient, OfNoSteps) {
  const auto f = [](Tensor x, Tensor w) {
    return iterate(count(0), 4, x, w, [](Tensor a, Tensor b) { return a * b; });
  };
  EXPECT_EQ(number(grad(f, 0)(leaf({2}, {}), leaf({3}, {}))), 1);
  EXPECT_EQ(number(grad(f, 1)(leaf({2}, {}), leaf({3}, {}))), 0);
}

TEST(LoopGradient, ForwardAndBackwardShareOneForwardLoop) {
  const Tensor x = leaf({0.5}, {}), w = leaf({0.3}, {});
  const Tensor loss = iterate(count(4), 4, x, w, [](Tensor a, Tensor b) { return sin(a * b); });
  const ValuesAndGradients both = value_and_gradients({&loss, 1}, {&w, 1});
  std::vector<Tensor> roots = both.values;
  roots.push_back(both.gradients[0]);
  int loops = 0;
  for (const Node* node : topological_order(roots)) loops += node->op() == Op::loop;
  EXPECT_EQ(loops, 2);
  verify({"step", {}, roots, {}});
}

// What the forward loop stacks for the backward loop: outputs beyond its own.
size_t stacked(const Tensor& loss, const Tensor& wrt) {
  const ValuesAndGradients both = value_and_gradients({&loss, 1}, {&wrt, 1});
  const Node* forward = find_loop(both.values, false);
  return static_cast<size_t>(forward->output_count()) - 1;
}

TEST(LoopResiduals, AreTheValuesThatTheBackwardStepReads) {
  const Tensor x = leaf({0.5, 0.1}, {2}), w = leaf({0.3, 0.2}, {2});
  const auto run = [&](const std::function<Tensor(Tensor, Tensor)>& step) {
    return sum(iterate(count(4), 4, x, w, step));
  };
  // tanh reads its result, the product reads the carried value: two.
  EXPECT_EQ(stacked(run([](Tensor a, Tensor b) { return tanh(a * b) + 1.0; }), w), 2u);
  // Linear in the carried value with a captured factor: nothing.
  EXPECT_EQ(stacked(run([](Tensor a, Tensor b) { return a * exp(b); }), x), 0u);
  // What depends on captured values only is computed again, not kept for each step.
  EXPECT_EQ(stacked(run([](Tensor a, Tensor b) { return a * exp(b); }), w), 1u);
  // A checkpoint in the body keeps its operands only.
  const auto deep = [](Tensor a, Tensor b) { return sin(tanh(exp(a * b)) + tanh(a)); };
  EXPECT_GE(stacked(run(deep), w), 4u);
  EXPECT_EQ(stacked(run([&](Tensor a, Tensor b) { return checkpoint(deep)(a, b); }), w), 1u);
}

TEST(LoopGradient, OfACheckpointedBodyIsTheSame) {
  const Tensor x = leaf({0.5, 0.1}, {2});
  const auto deep = [](Tensor a, Tensor b) { return sin(tanh(exp(a * b)) + tanh(a)); };
  const auto plain = [&](Tensor w) { return sum(iterate(count(3), 4, x, w, deep)); };
  const auto checked = [&](Tensor w) {
    return sum(
        iterate(count(3), 4, x, w, [&](Tensor a, Tensor b) { return checkpoint(deep)(a, b); }));
  };
  const Tensor w = leaf({0.3, 0.2}, {2});
  EXPECT_EQ(value(grad(checked)(w)), value(grad(plain)(w)));
}

TEST(LoopGradient, OfALoopInALoop) {
  const TensorFunction f = [](std::span<const Tensor> in) -> std::vector<Tensor> {
    const auto inner = [](Tensor a, Tensor b) {
      return iterate(count(2), 3, a, b, [](Tensor c, Tensor d) { return sin(c) * d + c; });
    };
    return {iterate(count(3), 3, in[0], in[1], inner)};
  };
  const std::vector<Tensor> args{leaf({0.4, -0.3}, {2}), leaf({0.7, 1.1}, {2})};
  check_derivatives(f, args, "loop in a loop");
  check_derivatives(gradient_of(f), args, "loop in a loop, second order");
}

TEST(LoopGradient, OfABranchInALoop) {
  const TensorFunction f = [](std::span<const Tensor> in) -> std::vector<Tensor> {
    return {iterate(count(2), 3, in[0], in[1],
                    [](Tensor a, Tensor b) { return sample_cond(less(sum(a), 0.5), a, b)[0]; })};
  };
  for (const double start : {0.1, 0.9}) {
    const std::vector<Tensor> args{leaf({start, -0.3}, {2}), leaf({0.7, 1.1}, {2})};
    check_derivatives(f, args, "branch in a loop");
    check_derivatives(gradient_of(f), args, "branch in a loop, second order");
  }
}

TEST(LoopGradient, InsideTheBody) {
  // Gradient descent on (a - w)^2 as a loop whose body takes a gradient; the result's derivative by
  // w.
  const auto descend = [](Tensor a, Tensor w) {
    return iterate(count(5), 5, a, w, [](Tensor x, Tensor target) {
      return x - grad([&](Tensor t) { return (t - target) * (t - target); })(x) * 0.25;
    });
  };
  // a -> a / 2 + w / 2 each step, so d a5 / dw = 1 - 2^-5.
  EXPECT_DOUBLE_EQ(number(grad(descend, 1)(leaf({3}, {}), leaf({1}, {}))), 1 - 1 / 32.0);
}

TEST(LoopGradient, OfCarriedIntegersBeside) {
  const TensorType types[] = {
      {DType::i32, {}}, {DType::i32, {}}, {DType::f64, {}}, {DType::f64, {}}};
  const Graph body = trace(
      [](std::span<const Tensor> in) -> std::vector<Tensor> {
        return {in[1] + 2, in[2] * in[3] + cast(in[1], DType::f64)};
      },
      types);
  const auto f = [&](Tensor x, Tensor w) {
    return make_many(Op::loop, {count(3), Tensor::from<int32_t>({0}, {}), x, w},
                     {{Attr::body, std::make_shared<const Graph>(body)},
                      {Attr::max, int64_t{3}},
                      {Attr::carried, int64_t{2}},
                      {Attr::scanned, int64_t{0}}})[1];
  };
  // ((x w + 0) w + 2) w + 4: d/dw = 3 x w^2 + 2.
  EXPECT_EQ(number(grad(f, 1)(leaf({5}, {}), leaf({3}, {}))), 3 * 5 * 9 + 2);
}

TEST(LoopGradient, ALeafInsideTheBodyIsAnError) {
  const Tensor w = leaf({3}, {}).named("w");
  const Tensor x = leaf({1}, {});
  const TensorType types[] = {{DType::i32, {}}, x.type()};
  const Graph body =
      trace([&](std::span<const Tensor> in) -> std::vector<Tensor> { return {in[1] * w}; }, types);
  const Tensor y = make_many(Op::loop, {count(2), x},
                             {{Attr::body, std::make_shared<const Graph>(body)},
                              {Attr::max, int64_t{2}},
                              {Attr::carried, int64_t{1}},
                              {Attr::scanned, int64_t{0}}})[0];
  try {
    gradients(y, {&w, 1});
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("its body reads f64[] 'w' without having it as an operand"));
  }
}

TEST(CondGradient, OfOneBranchOnly) {
  // The branch that is not taken would give inf * 0.
  const auto f = [](Tensor x) {
    const TensorType types[] = {x.type()};
    const auto branch = [&](const TensorFunction& fn) {
      return std::make_shared<const Graph>(trace(fn, types));
    };
    return make_many(
        Op::cond, {less(x, 1.0), x},
        {{Attr::then,
          branch([](std::span<const Tensor> in) -> std::vector<Tensor> { return {in[0] * 3.0}; })},
         {Attr::otherwise, branch([](std::span<const Tensor> in) -> std::vector<Tensor> {
            return {log(in[0] - 1.0)};
          })}})[0];
  };
  EXPECT_EQ(number(grad(f)(leaf({0.5}, {}))), 3);
  EXPECT_EQ(number(grad(f)(leaf({3}, {}))), 0.5);
}

}  // namespace
}  // namespace cairn::test
