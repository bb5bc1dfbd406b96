// Loops that are one compiled function: the same bits as launch by launch, and which are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "cairn/graph/numbering.h"
#include "cairn/ops/control.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/transforms/vjp.h"
#include "tests/runtime/plans.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/message_of.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

class LoopProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    if (devices()[0] != "cpu") GTEST_SKIP() << "needs compiled kernels";
  }
};

constexpr int64_t kMax = 1000;  // the fewest steps that are worth compiling

Tensor count(int steps) { return Tensor::from<int32_t>({steps}, {}); }

// Values without a pattern, some negative.
Tensor values(const Shape& shape, int seed) {
  std::vector<float> numbers(static_cast<size_t>(shape.elements()));
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] =
        static_cast<float>(static_cast<int>(i * 37 + static_cast<size_t>(seed) * 11) % 23 - 11) /
        16;
  return Tensor(HostArray::from<float>(numbers, shape));
}

// The loops of a plan that are one function, and their notes.
struct Loops {
  int programs = 0;
  std::string notes;
};
Loops loops_of(Runtime& runtime, std::span<const Tensor> outputs) {
  const auto plan = runtime.cached_plan(outputs, number_nodes(outputs), false);
  Loops loops;
  for (const Launch& launch : plan->launches) {
    if (launch.kind != Launch::Kind::loop) continue;
    loops.programs += launch.code.run != nullptr;
    for (const std::string& note : launch.group.notes) loops.notes += note;
  }
  return loops;
}

std::vector<std::string> bits(std::span<const Tensor> results) {
  std::vector<std::string> bytes;
  for (const Tensor& t : results) bytes.push_back(test::bytes_of(t));
  return bytes;
}

// A loop for some number of steps.
using MakeLoop = std::function<std::vector<Tensor>(const Tensor& steps)>;

void expect_program(const std::string& what, const MakeLoop& make) {
  for (const int threads : {1, 3}) {
    Runtime runtime(test::checked({.device = "cpu", .threads = threads}));
    for (const int steps : {-1, 0, 1, 2, 3, 10, 999, 1000, 1001}) {
      const std::vector<Tensor> outputs = make(count(steps));
      const Loops loops = loops_of(runtime, outputs);
      EXPECT_EQ(loops.programs, 1) << what << ": " << loops.notes;
      EXPECT_THAT(loops.notes, HasSubstr("One kernel: loop of ")) << what;
      const auto got = bits(eval(runtime, outputs));
      EXPECT_EQ(got, bits(eval(runtime, outputs, {.eager = true}))) << what << ", " << steps;
      EXPECT_EQ(got, bits(eval(runtime, outputs, {.check_finite = true}))) << what << ", " << steps;
    }
  }
}

std::vector<Tensor> with_stacked(Step step) {
  std::vector<Tensor> all = std::move(step.carried);
  all.insert(all.end(), step.stacked.begin(), step.stacked.end());
  return all;
}

// A net of one hidden layer, its gradients and its updates; the losses are stacked.
std::vector<Tensor> training(const Tensor& steps, int64_t hidden, int64_t rows, double rate,
                             int64_t max = kMax) {
  const Tensor x = values({rows, 2}, 1), y = values({rows, 1}, 2);
  const auto body = [&](const Tensor&, std::span<const Tensor> p, auto) -> Step {
    const Tensor h = relu(matmul(x, transpose(p[0])) + p[1]);
    const Tensor error = matmul(h, transpose(p[2])) + p[3] - y;
    const Tensor loss = mean(error * error);
    std::vector<Tensor> next = gradients(loss, p);
    for (size_t i = 0; i < p.size(); ++i) next[i] = p[i] - next[i] * rate;
    return {next, {loss}};
  };
  return with_stacked(loop(
      steps, {values({hidden, 2}, 3), values({hidden}, 4), values({1, hidden}, 5), values({1}, 6)},
      {}, body, {.max = max}));
}

TEST_F(LoopProgram, TrainingOfATinyNet) {
  for (const int64_t hidden : {1, 2, 8, 17, 40})
    expect_program("training", [&](const Tensor& n) { return training(n, hidden, 4, 0.1); });
  expect_program("rows", [&](const Tensor& n) { return training(n, 5, 19, 0.01); });
}

TEST_F(LoopProgram, FunctionsAndReductions) {
  expect_program("functions", [](const Tensor& n) {
    return fori(n, {values({3, 70}, 1), values({70}, 2)},
                [](const Tensor& k, std::span<const Tensor> s) {
                  const Tensor row = softmax(s[0], -1) + s[1];
                  const Tensor scale = cast(k, DType::f32) * 0.001 + 1.0;
                  return std::vector<Tensor>{tanh(row * scale) + exp(-s[0]), sum(row, {0}) * 0.25};
                },
                {.max = kMax});
  });
}

TEST_F(LoopProgram, OtherTypes) {
  expect_program("types", [](const Tensor& n) {
    return fori(n,
                {cast(values({33}, 1), DType::f16), cast(values({5, 7}, 2) * 100.0, DType::i32),
                 values({9}, 3) < 0.0, cast(values({4}, 4), DType::f64)},
                [](const Tensor& k, std::span<const Tensor> s) {
                  return std::vector<Tensor>{s[0] * 0.5 + 0.25, s[1] * 3 + k, logical_not(s[2]),
                                             sin(s[3]) + 1.0};
                },
                {.max = kMax});
  });
}

TEST_F(LoopProgram, ScansAndStacksBothWays) {
  for (const bool reverse : {false, true})
    expect_program("scan", [&](const Tensor& n) {
      const auto body = [](const Tensor&, std::span<const Tensor> c,
                           std::span<const Tensor> row) -> Step {
        const Tensor next = c[0] * 0.5 + row[0];
        return {{next}, {next * row[1], sum(next)}};
      };
      return with_stacked(loop(n, {values({3}, 1)}, {values({kMax, 3}, 2), values({kMax, 3}, 3)},
                               body, {.max = kMax, .reverse = reverse}));
    });
}

TEST_F(LoopProgram, ConditionsAndLoopsInside) {
  expect_program("inside", [](const Tensor& n) {
    return fori(n, {values({6}, 1), values({6}, 2)},
                [](const Tensor& k, std::span<const Tensor> s) {
                  const std::vector<Tensor> chosen = cond(
                      less(sum(s[0]), 0.5), [&] { return std::vector<Tensor>{s[0] + s[1], s[1]}; },
                      [&] { return std::vector<Tensor>{s[0] * 0.5, -s[0]}; });
                  // None, one or two steps, as the outer step says.
                  const std::vector<Tensor> inner =
                      fori(remainder(k, 3), chosen,
                           [](const Tensor&, std::span<const Tensor> t) {
                             return std::vector<Tensor>{t[1] * 0.75, t[0] + 0.125};
                           },
                           {.max = 2});
                  return std::vector<Tensor>{inner[0], inner[1]};
                },
                {.max = kMax});
  });
}

// What is handed on, exchanged and given twice needs copies.
TEST_F(LoopProgram, ValuesThatMove) {
  expect_program("moves", [](const Tensor& n) {
    return fori(n, {values({5}, 1), values({5}, 2), values({5}, 3)},
                [](const Tensor&, std::span<const Tensor> s) {
                  return std::vector<Tensor>{s[1], s[0], s[0] + s[2] * 0.5};
                },
                {.max = kMax});
  });
}

TEST_F(LoopProgram, CarriesAreDonated) {
  Runtime runtime(test::checked({.device = "cpu"}));
  Function f = compile([](std::span<const Tensor> x) {
    return fori(x[2], {x[0], x[1]},
                [](const Tensor&, std::span<const Tensor> s) {
                  return std::vector<Tensor>{s[1] * 0.5, s[0] + s[1]};
                },
                {.max = kMax});
  });
  for (int steps = 0; steps < 6; ++steps) {
    const auto arguments = [&] {
      return std::vector<Tensor>{runtime.upload(values({3}, 1).host()),
                                 runtime.upload(values({3}, 2).host()), count(steps)};
    };
    std::vector<Tensor> args = arguments();
    const void* before[] = {args[0].buffer()->data, args[1].buffer()->data};
    const auto out = f(runtime, std::move(args), {.must_alias = {0, 1}});
    EXPECT_TRUE(f.last_plan()->launches[0].code.run);
    EXPECT_EQ(out[0].buffer()->data, before[0]);
    EXPECT_EQ(out[1].buffer()->data, before[1]);
    EXPECT_EQ(bits(out), bits(f(runtime, arguments(), {.eager = true}))) << steps;
  }
}

TEST_F(LoopProgram, NewSizesAndNumbers) {
  Runtime runtime(test::checked({.device = "cpu", .threads = 1}));
  for (const int64_t rows : {4, 9, 4})
    for (const double rate : {0.1, 0.05, 0.025}) {
      const auto outputs = training(count(20), 6, rows, rate);
      EXPECT_EQ(loops_of(runtime, outputs).programs, 1);
      EXPECT_EQ(bits(eval(runtime, outputs)), bits(eval(runtime, outputs, {.eager = true})));
    }
}

TEST_F(LoopProgram, ItsPlanHasAText) {
  Runtime runtime(test::checked({.device = "cpu", .threads = 1}));
  const auto outputs = training(count(20), 6, 4, 0.1);
  const auto plan = runtime.cached_plan(outputs, number_nodes(outputs), false);
  const auto again = parse_plan(to_text(*plan), runtime.backend());
  ASSERT_TRUE(again.ok()) << again.error().what();
  EXPECT_TRUE(same_plan(*plan, *again.value()));
}

TEST_F(LoopProgram, ManySteps) {
  Runtime runtime(test::checked({.device = "cpu", .threads = 1}));
  const auto outputs = training(count(10'000), 8, 4, 0.1, 10'000);
  EXPECT_EQ(bits(eval(runtime, outputs)), bits(eval(runtime, outputs, {.eager = true})));
}

TEST_F(LoopProgram, SaysWhyNot) {
  Runtime runtime(test::checked({.device = "cpu", .threads = 1}));
  const auto expect_none = [&](const std::vector<Tensor>& outputs, const char* why) {
    const Loops loops = loops_of(runtime, outputs);
    EXPECT_EQ(loops.programs, 0);
    EXPECT_THAT(loops.notes, HasSubstr(why));
    EXPECT_EQ(bits(eval(runtime, outputs)), bits(eval(runtime, outputs, {.eager = true})));
  };
  expect_none(training(count(3), 2, 4, 0.1, kMax - 1), "fewer than 1000 are not worth compiling");
  expect_none({fori(count(2), values({90'000}, 1),
                    [](const Tensor&, const Tensor& s) { return s + 1.0; }, {.max = kMax})},
              "stay in the cache");
  expect_none({fori(count(2), values({30}, 1),
                    [](const Tensor&, const Tensor& s) { return cumsum(s, 0); }, {.max = kMax})},
              "has no tile kernel");
  // Each product is a launch.
  const auto sums = [](int launches) {
    return std::vector<Tensor>{fori(count(2), values({3, 3}, 1),
                                    [&](const Tensor&, Tensor s) {
                                      for (int i = 0; i < launches; ++i) s = matmul(s, s) * 0.1;
                                      return s;
                                    },
                                    {.max = kMax})};
  };
  EXPECT_EQ(loops_of(runtime, sums(64)).programs, 1);
  expect_none(sums(65), "more than 64 launches");
}

TEST_F(LoopProgram, NotFiniteIsFoundInside) {
  Runtime runtime(test::checked({.device = "cpu", .threads = 1}));
  const Tensor y =
      fori(count(30), values({3}, 1),
           [](const Tensor&, const Tensor& s) { return exp(s) * 2.0 + s; }, {.max = kMax});
  EXPECT_EQ(loops_of(runtime, {&y, 1}).programs, 1);
  EXPECT_THAT(test::message_of([&] { eval(runtime, y, {.check_finite = true}); }),
              HasSubstr("not finite"));
}

}  // namespace
}  // namespace cairn
