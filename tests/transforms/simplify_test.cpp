// simplify: each rewrite happens, and results stay equal bit for bit on values that could tell.
#include "cairn/transforms/simplify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "cairn/graph/print.h"
#include "cairn/graph/verify.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/quantize.h"
#include "cairn/ops/reduce.h"
#include "tests/support/same_values.h"
#include "tests/transforms/numeric.h"
#include "tests/transforms/op_cases.h"

namespace cairn::test {
namespace {

// Evaluates node by node, as built: the runtime's other mode simplifies by itself.
std::vector<HostArray> eager(const Graph& graph) {
  EvalOptions options;
  options.eager = true;
  std::vector<HostArray> arrays;
  for (const Tensor& t : eval(runtime(), graph.outputs, options)) arrays.push_back(t.host());
  return arrays;
}

int64_t count(const Graph& graph, Op op) {
  const auto order = topological_order(graph.outputs);
  return std::count_if(order.begin(), order.end(), [op](const Node* n) { return n->op() == op; });
}
int64_t operations(const Graph& graph) {
  const auto order = topological_order(graph.outputs);
  return std::count_if(order.begin(), order.end(),
                       [](const Node* n) { return n->op() != Op::leaf && n->op() != Op::input; });
}

// Simplifies, checks the bits and returns the result.
Graph checked(std::vector<Tensor> outputs, const SimplifyOptions& options = {}) {
  const Graph graph{"test", {}, std::move(outputs), {}};
  const Graph simple = simplify(graph, options);
  verify(simple);
  const auto before = eager(graph), after = eager(simple);
  EXPECT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(test::same_values(before[i], after[i])) << "result " << i << "\n"
                                                        << to_text(simple);
  return simple;
}

// Everything that arithmetic could change by a bit.
Tensor hostile(DType dtype = DType::f32) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const std::vector<double> x{0.0,
                              -0.0,
                              1.0,
                              -1.5,
                              kInf,
                              -kInf,
                              std::numeric_limits<double>::quiet_NaN(),
                              -std::numeric_limits<double>::quiet_NaN(),
                              1e-310,
                              3e38,
                              -1e-45,
                              65504.0};
  HostArray array(dtype, {12});
  visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (kIsFloatType<T>) {
      for (size_t i = 0; i < x.size(); ++i)
        array.mutable_span<T>()[i] = static_cast<T>(static_cast<float>(x[i]));
      if constexpr (std::is_same_v<T, double>)
        for (size_t i = 0; i < x.size(); ++i) array.mutable_span<T>()[i] = x[i];
    }
  });
  return Tensor(array);
}

constexpr DType kFloats[] = {DType::f64, DType::f32, DType::f16, DType::bf16};

// `rewritten` must simplify to x itself.
template <class F>
void gives_the_operand(F rewritten) {
  for (const DType dtype : kFloats) {
    const Tensor x = hostile(dtype);
    const Graph simple = checked({rewritten(x)});
    EXPECT_EQ(operations(simple), 0) << to_text(simple);
  }
}

TEST(Algebra, NeutralElements) {
  gives_the_operand([](Tensor x) { return x * 1.0; });
  gives_the_operand([](Tensor x) { return 1.0 * x; });
  gives_the_operand([](Tensor x) { return x / 1.0; });
  gives_the_operand([](Tensor x) { return x - 0.0; });
  gives_the_operand([](Tensor x) { return x + -0.0; });
  gives_the_operand([](Tensor x) { return -0.0 + x; });
  gives_the_operand([](Tensor x) { return -(-x); });
  gives_the_operand([](Tensor x) { return cast(cast(x, DType::f64), x.dtype()); });
  gives_the_operand([](Tensor x) { return where(Tensor(full({}, true, DType::b8)), x, x * 2.0); });
  gives_the_operand([](Tensor x) { return where(less(x, 0.0), x, x); });
}

TEST(Algebra, IntegersHaveOneZero) {
  const Tensor x = Tensor::from<int32_t>({0, -5, INT32_MIN, INT32_MAX}, {4});
  EXPECT_EQ(operations(checked({x + 0})), 0);
  EXPECT_EQ(operations(checked({x - 0})), 0);
  EXPECT_EQ(operations(checked({x * 1})), 0);
  EXPECT_EQ(operations(checked({truncate_divide(x, 1)})), 0);
  EXPECT_EQ(operations(checked({-(-x)})), 0);
}

// Each of these looks neutral and is not: -0 + 0 is 0, 0 - x is not -x at 0, x * 0 is NaN for inf
// and NaN.
TEST(Algebra, LeavesWhatWouldChangeABit) {
  for (const DType dtype : kFloats) {
    const Tensor x = hostile(dtype);
    EXPECT_EQ(count(checked({x + 0.0}), Op::add), 1);
    EXPECT_EQ(count(checked({x - -0.0}), Op::subtract), 1);
    EXPECT_EQ(count(checked({0.0 - x}), Op::subtract), 1);
    EXPECT_EQ(count(checked({x * 0.0}), Op::multiply), 1);
    EXPECT_EQ(count(checked({x - x}), Op::subtract), 1);
    EXPECT_EQ(count(checked({x / x}), Op::divide), 1);
    EXPECT_EQ(count(checked({cast(cast(x, DType::f16), DType::f32)}), Op::cast),
              dtype == DType::f16 ? 1 : 2);
  }
}

TEST(Algebra, Movement) {
  const Tensor x = reals({2, 3, 4})(1);
  const auto permute = [](const Tensor& t, Ints axes) {
    return make(Op::transpose, {t}, {{Attr::axes, axes}});
  };
  const auto shaped = [](const Tensor& t, Ints shape) {
    return make(Op::reshape, {t}, {{Attr::shape, shape}});
  };
  EXPECT_EQ(operations(checked({permute(x, {0, 1, 2})})), 0);
  EXPECT_EQ(operations(checked({permute(permute(x, {2, 0, 1}), {1, 2, 0})})), 0);
  EXPECT_EQ(operations(checked({permute(permute(x, {2, 0, 1}), {2, 1, 0})})), 1);
  EXPECT_EQ(operations(checked({shaped(x, {2, 3, 4})})), 0);
  EXPECT_EQ(operations(checked({shaped(shaped(x, {6, 4}), {24})})), 1);
  EXPECT_EQ(operations(checked({shaped(shaped(x, {6, 4}), {2, 3, 4})})), 0);
  EXPECT_EQ(operations(checked({make(Op::cast, {x}, {{Attr::dtype, DType::f64}})})), 0);
  EXPECT_EQ(operations(checked({flip(flip(x, {1}), {1})})), 0);
  EXPECT_EQ(operations(checked({flip(flip(x, {1}), {2})})), 2);
  EXPECT_EQ(operations(checked({make(Op::slice, {x},
                                     {{Attr::start, Ints{0, 0, 0}},
                                      {Attr::stop, Ints{2, 3, 4}},
                                      {Attr::step, Ints{1, 1, 1}}})})),
            0);
  EXPECT_EQ(operations(checked({pad(x, {0, 0, 0}, {0, 0, 0})})), 0);
  EXPECT_EQ(operations(checked({make(Op::concatenate, {x}, {{Attr::axis, int64_t{1}}})})), 0);
  EXPECT_EQ(operations(checked({make(Op::reduce, {x}, with(kind("sum"), Attr::axes, Ints{}))})), 0);
  const Tensor any = Tensor::from<int32_t>({7}, {});
  EXPECT_EQ(operations(checked(
                {make(Op::dynamic_slice, {x, any, any, any}, {{Attr::shape, Ints{2, 3, 4}}})})),
            0);
}

// An embedding of quantized or f16 weights reads the rows that are asked for, not the table.
TEST(Algebra, RowsAreTakenBeforeTheyAreDecoded) {
  const Tensor ids = Tensor::from<int32_t>({3, 0, 3}, {3});
  const Tensor bytes = eval(runtime(), quantize(reals({8, 64})(1), "q8_0"));
  const Tensor half = eval(runtime(), cast(reals({8, 64})(2), DType::f16));
  const Tensor tables[] = {dequantize(bytes, "q8_0"), cast(half, DType::f32)};
  for (const Tensor& table : tables) {
    const Graph simple = checked({take(table, ids, 0)});
    const Node& last = simple.outputs[0].node();
    EXPECT_EQ(last.op(), table.node().op()) << to_text(simple);
    EXPECT_EQ(last.input(0).shape()[0], 3);
  }
  // Rows and their scales, of which there are several places for each row of ids.
  const Tensor scaled =
      dequantize_rows(eval(runtime(), cast(abs(reals({8, 64})(3)) * 100, DType::u8)),
                      eval(runtime(), cast(reals({8})(4), DType::f32)));
  const Tensor pairs = Tensor::from<int32_t>({3, 0, 3, 7}, {2, 2});
  const Graph simple = checked({take(scaled, pairs, 0)});
  const Node& last = simple.outputs[0].node();
  EXPECT_EQ(last.op(), Op::multiply) << to_text(simple);
  EXPECT_EQ(last.input(0).node().op(), Op::dequantize);
  EXPECT_EQ(last.input(0).node().input(0).shape(), (Shape{2, 2, 64}));
  EXPECT_EQ(checked({take(scaled, ids, 1)}).outputs[0].node().op(), Op::gather);
  // Columns lie in blocks; all rows are no fewer.
  EXPECT_EQ(checked({take(tables[0], ids, 1)}).outputs[0].node().op(), Op::gather);
  EXPECT_EQ(checked({take(tables[1], iota({8}, 0), 0)}).outputs[0].node().op(), Op::gather);
}

TEST(Algebra, BroadcastOfABroadcast) {
  const auto wide = [](const Tensor& t, Ints shape, Ints axes) {
    return make(Op::broadcast, {t}, {{Attr::shape, shape}, {Attr::axes, axes}});
  };
  const Tensor row = reals({1, 3})(1);
  const Graph simple = checked({wide(wide(row, {2, 3}, {0, 1}), {4, 2, 3}, {1, 2})});
  EXPECT_EQ(count(simple, Op::broadcast), 1);
  EXPECT_EQ(
      count(checked({wide(wide(row, {1, 5, 3}, {0, 2}), {2, 5, 3}, {0, 1, 2})}), Op::broadcast), 1);
  EXPECT_EQ(operations(checked({wide(row, {1, 3}, {0, 1})})), 0);
}

TEST(Fold, EveryElementwiseOperationOnConstants) {
  for (const OpCase& c : elementwise_cases()) {
    if (c.op == Op::select || c.op == Op::stop_gradient) continue;
    for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16}) {
      std::vector<Tensor> operands;
      for (size_t i = 0; i < c.operands.size(); ++i)
        operands.push_back(full({2, 2}, 0.7 + 0.6 * static_cast<double>(i), dtype));
      const Attrs attrs = c.op == Op::cast ? Attrs{{Attr::dtype, DType::bf16}} : Attrs{};
      const Graph simple = checked({make(c.op, operands, attrs)});
      // Approximations are the backend's, but in f64.
      if (is_transcendental(c.op) && dtype != DType::f64) {
        EXPECT_EQ(count(simple, c.op), 1) << c.name;
        continue;
      }
      EXPECT_EQ(count(simple, Op::full), 1) << c.name;
      EXPECT_EQ(operations(simple), 1) << c.name << " " << name(dtype) << "\n" << to_text(simple);
    }
  }
}

TEST(Fold, IntegersAndComparisons) {
  for (const DType dtype : {DType::i64, DType::i32, DType::i16, DType::i8, DType::u8, DType::u32}) {
    for (const Op op :
         {Op::add, Op::subtract, Op::multiply, Op::divide, Op::remainder, Op::maximum,
          Op::bitwise_xor, Op::shift_left, Op::shift_right, Op::equal, Op::less, Op::less_equal}) {
      const Graph simple = checked({make(op, {full({3}, 100, dtype), full({3}, 3, dtype)})});
      EXPECT_EQ(operations(simple), 1) << name(op) << " " << name(dtype);
    }
    checked({truncate_divide(full({3}, 100, dtype), full({3}, 0, dtype))});
  }
  EXPECT_EQ(operations(checked({cast(full({2}, 3.9, DType::f32), DType::i32)})), 1);
  EXPECT_EQ(operations(checked({cast(full({2}, 1e20, DType::f32), DType::i8)})), 1);
  EXPECT_EQ(operations(checked({cast(full({2}, 0.5, DType::f32), DType::b8)})), 1);
}

TEST(Fold, SpecialValues) {
  for (const DType dtype : kFloats) {
    checked({full({2}, -0.0, dtype) + full({2}, 0.0, dtype)});
    checked({-full({2}, 0.0, dtype)});
    checked({full({2}, 0.0, dtype) / full({2}, 0.0, dtype)});
    checked({full({2}, 1.0, dtype) / full({2}, -0.0, dtype)});
    checked({log(full({2}, -1.0, dtype))});
    checked({exp(full({2}, 1e6, dtype))});
    checked({full({2}, 0.1, dtype) * full({2}, 3.0, dtype)});
  }
}

TEST(Fold, ShapesAroundConstants) {
  const Tensor x = reals({2, 3})(1);
  const Graph simple =
      checked({x * broadcast_to(reshape(full({1, 1}, 2.5, DType::f64), {1}), {2, 3})});
  EXPECT_EQ(operations(simple), 2) << to_text(simple);
  // Different elements are not folded.
  EXPECT_EQ(
      operations(checked(
          {make(Op::iota, {},
                {{Attr::dtype, DType::f32}, {Attr::shape, Ints{3}}, {Attr::axis, int64_t{0}}}) *
           2.0})),
      3);
}

TEST(Cse, EqualOperationsAreComputedOnce) {
  const Tensor x = reals({3, 3})(1);
  const auto f = [&] { return matmul(sin(x), x) + sum(sin(x)); };
  const Graph simple = checked({f() * f()});
  EXPECT_EQ(count(simple, Op::sin), 1);
  EXPECT_EQ(count(simple, Op::matmul), 1);
  // Other attributes, other operands, another order of operands: other results.
  EXPECT_EQ(count(checked({sum(x, {0}), sum(x, {1})}), Op::reduce), 2);
  EXPECT_EQ(count(checked({x - sin(x), sin(x) - x}), Op::subtract), 2);
  // 0 and -0 are equal numbers and different constants.
  EXPECT_EQ(count(checked({x * 0.0, x * -0.0}), Op::multiply), 2);
}

TEST(Cse, KeepsBarriersAndCollectivesApart) {
  const Tensor x = reals({3})(1);
  const auto behind = [&] { return sin(make_many(Op::barrier, {x})[0]); };
  EXPECT_EQ(count(checked({behind() + behind()}), Op::sin), 2);
  const TensorType type{DType::f32, {2}, {}, {"data"}};
  const Graph graph = trace(
      [](std::span<const Tensor> in) -> std::vector<Tensor> {
        const auto total = [&] {
          return make(Op::all_reduce, {in[0]},
                      {{Attr::mesh_axis, std::string("data")},
                       {Attr::size, int64_t{2}},
                       {Attr::kind, std::string("sum")}});
        };
        return {total() + total()};
      },
      {&type, 1});
  EXPECT_EQ(count(simplify(graph), Op::all_reduce), 2);
}

TEST(Cse, EqualLoopsAreOne) {
  const auto f = [](const Tensor& x) {
    return sample_loop(full({}, 3, DType::i32), x, full({4, 2}, 0.5, DType::f64),
                       full({2}, 0.25, DType::f64), false)[0];
  };
  const Tensor x = reals({2})(1);
  EXPECT_EQ(count(checked({f(x) * f(x)}), Op::loop), 1);
}

TEST(Dead, UnusedResultsOfALoop) {
  const Tensor x = reals({2})(1), w = reals({4, 2})(2), c = reals({2})(3);
  const auto outputs = sample_loop(full({}, 3, DType::i32), x, w, c, false);
  const Graph carried_only = checked({outputs[0]});
  const Graph stacked_only = checked({outputs[1]});
  const auto loop_of = [](const Graph& g) {
    for (const Node* n : topological_order(g.outputs))
      if (n->op() == Op::loop) return n;
    return static_cast<const Node*>(nullptr);
  };
  EXPECT_EQ(loop_of(carried_only)->output_count(), 1);
  EXPECT_EQ(loop_of(stacked_only)->output_count(), 2);  // the body reads the carried value
}

TEST(Dead, ACarriedValueThatOnlyFeedsItselfGoes) {
  const TensorType types[] = {
      {DType::i32, {}}, {DType::f64, {}}, {DType::f64, {}}, {DType::f64, {}}};
  const Graph body = trace(
      [](std::span<const Tensor> in) -> std::vector<Tensor> {
        return {in[1] * 2.0, in[2] + in[3], in[1] + in[2]};
      },
      types);
  const auto outputs =
      make_many(Op::loop, {full({}, 3, DType::i32), leaf({1}, {}), leaf({2}, {}), leaf({3}, {})},
                {{Attr::body, std::make_shared<const Graph>(body)},
                 {Attr::max, int64_t{3}},
                 {Attr::carried, int64_t{2}},
                 {Attr::scanned, int64_t{0}}});
  const Graph simple = checked({outputs[0]});
  const Node& loop = simple.outputs[0].node();
  EXPECT_EQ(loop.output_count(), 1);
  EXPECT_EQ(loop.inputs().size(), 2u);  // the trip count and one carried value
}

TEST(Dead, UnusedResultsOfCondAndBarrier) {
  const Tensor x = reals({3})(1), y = reals({3})(2);
  for (const bool branch : {true, false}) {
    const Tensor condition = less(sum(x * 0.0), branch ? 1.0 : -1.0);
    const Graph simple = checked({sample_cond(condition, x, y)[1]});
    EXPECT_EQ(simple.outputs[0].node().output_count(), 1);
  }
  const Graph barrier = checked({make_many(Op::barrier, {x, exp(y)})[0]});
  EXPECT_EQ(barrier.outputs[0].node().inputs().size(), 1u);
  EXPECT_EQ(count(barrier, Op::exp), 0);
}

TEST(Regions, AreSimplifiedToo) {
  const TensorType types[] = {{DType::i32, {}}, {DType::f64, {}}};
  const Graph body = trace(
      [](std::span<const Tensor> in) -> std::vector<Tensor> {
        return {stop_gradient(-(-in[1])) * 1.0 + sin(in[1]) * sin(in[1])};
      },
      types);
  const Tensor y = make_many(Op::loop, {full({}, 3, DType::i32), leaf({0.5}, {})},
                             {{Attr::body, std::make_shared<const Graph>(body)},
                              {Attr::max, int64_t{3}},
                              {Attr::carried, int64_t{1}},
                              {Attr::scanned, int64_t{0}}})[0];
  const Graph simple = checked({y});
  EXPECT_EQ(operations(*simple.outputs[0].node().attrs().graph(Attr::body)),
            3);  // sin, multiply, add
}

TEST(StopGradient, GoesAway) {
  gives_the_operand([](Tensor x) { return stop_gradient(x); });
}

TEST(Runner, PassesCanBeSwitchedOff) {
  const Tensor x = reals({3})(1);
  const Tensor y = sin(x) * sin(x) * 1.0;
  SimplifyOptions options;
  options.disabled = {"cse"};
  EXPECT_EQ(count(checked({y}, options), Op::sin), 2);
  EXPECT_EQ(count(checked({y}, options), Op::multiply), 1);
  options.disabled = {"algebra"};
  EXPECT_EQ(count(checked({y}, options), Op::sin), 1);
  EXPECT_EQ(count(checked({y}, options), Op::multiply), 2);
  options.disabled = {"inlining"};
  EXPECT_THROW(simplify({"", {}, {y}, {}}, options), Error);
  for (const SimplifyPass& pass : simplify_passes()) {
    options.disabled = {std::string(pass.name)};
    checked({y}, options);
  }
}

// The schedule follows the order of building: what did not change must not move to the front.
TEST(Runner, KeepsNames) {
  const Tensor x = hostile();
  const Graph simple = checked({exp(x * 1.0).named("scores") + 2.0});
  EXPECT_EQ(simple.outputs[0].node().input(0).name(), "scores");
}

TEST(Runner, KeepsTheOrderOfOperations) {
  const Tensor x = reals({3})(1), y = reals({3})(2);
  const Tensor first = sin(x * 1.0);
  const Tensor second = cos(y);
  const Graph simple = checked({first + second});
  std::vector<Op> order;
  for (const Node* n : topological_order(simple.outputs))
    if (n->op() != Op::leaf) order.push_back(n->op());
  EXPECT_THAT(order, testing::ElementsAre(Op::sin, Op::cos, Op::add));
  const auto loop = sample_loop(full({}, 3, DType::i32), x, reals({4, 3})(3), y, false);
  const Tensor after = cos(y);
  order.clear();
  const Graph trimmed = checked({loop[0] * after});
  for (const Node* n : topological_order(trimmed.outputs))
    if (n->op() != Op::leaf && n->op() != Op::full) order.push_back(n->op());
  EXPECT_THAT(order, testing::ElementsAre(Op::loop, Op::cos, Op::multiply));
}

TEST(Runner, ReportsAndIsBounded) {
  Tensor y = reals({3})(1);
  for (int i = 0; i < 5; ++i) y = -(-(y * 1.0));
  SimplifyReport report;
  const Graph simple = simplify({"", {}, {y}, {}}, {}, &report);
  EXPECT_EQ(operations(simple), 0);
  EXPECT_EQ(report.rounds, 1);
  int64_t rewrites = 0;
  for (const auto& entry : report.passes) rewrites += entry.rewrites;
  EXPECT_GE(rewrites, 10);
  SimplifyOptions none;
  none.max_rounds = 0;
  EXPECT_GT(operations(simplify({"", {}, {y}, {}}, none)), 0);
}

// Gradients are where simplification matters; every case of the table stays the same bit for bit.
TEST(Gradients, KeepTheirBits) {
  std::vector<OpCase> cases = elementwise_cases();
  for (OpCase& c : other_cases()) cases.push_back(std::move(c));
  for (const OpCase& c : cases) {
    std::vector<Tensor> args;
    for (size_t i = 0; i < c.operands.size(); ++i)
      args.push_back(c.operands[i](11 + 100 * static_cast<uint32_t>(i)));
    SCOPED_TRACE(c.name);
    const Graph simple = checked(gradient_of(c.fn)(args));
    const Graph twice = simplify(simple);
    EXPECT_EQ(operations(twice), operations(simple));
  }
}

}  // namespace
}  // namespace cairn::test
