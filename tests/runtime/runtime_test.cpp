#include "cairn/runtime/runtime.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "cairn/ops/control.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "tests/support/checked_runtime.h"

namespace cairn {
namespace {

using ::testing::Test;

Tensor matrix() { return Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3}); }

TEST(Eval, ComputesAndReturnsLeaves) {
  Runtime runtime(test::checked());
  const Tensor y = eval(runtime, matmul(matrix(), Tensor::from<float>({7, 8, 9}, {3})));
  EXPECT_TRUE(y.is_leaf());
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{50, 122}));
}

TEST(Eval, BroadcastsAndPromotes) {
  Runtime runtime(test::checked());
  const Tensor y = eval(runtime, matrix() * 2 + Tensor::from<int32_t>({10, 20, 30}, {3}));
  EXPECT_EQ(y.dtype(), DType::f32);
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{12, 24, 36, 18, 30, 42}));
}

TEST(Eval, UnevaluatedTensorNamesEval) {
  const Tensor y = matrix() + 1.0;
  try {
    (void)y.host();
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("eval(runtime"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("runtime_test.cpp"), std::string::npos) << e.what();
  }
}

TEST(Eval, MovedFromHandleKeepsItsName) {
  Tensor w = matrix().named("w");
  const Tensor other = std::move(w);
  try {
    (void)w.shape();  // NOLINT(bugprone-use-after-move)
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("'w'"), std::string::npos) << e.what();
  }
}

TEST(Eval, TheNullDeviceHasNoValues) {
  Runtime runtime(test::checked({.device = "null"}));
  const Tensor y = eval(runtime, matrix() + 1.0);
  EXPECT_EQ(to_string(y.type()), "f32[2,3]");
  EXPECT_THROW((void)y.host(), Error);
  EXPECT_THROW((void)eval(runtime, sum(matrix())).item<float>(), Error);
}

TEST(Eval, AReductionOverNothingIsACopy) {
  Runtime runtime(test::checked());
  const Tensor x = Tensor::from<float>({-0.0f, 1}, {2});
  const Tensor y = make(Op::reduce, {x}, {{Attr::kind, std::string("sum")}, {Attr::axes, Ints{}}});
  for (const bool eager : {false, true})
    EXPECT_TRUE(std::signbit(eval(runtime, y, {.eager = eager}).to_vector<float>()[0])) << eager;
}

// A runtime may come to lie where another one was.
TEST(Function, KeepsThePlansOfRuntimesApart) {
  Function f = compile([](std::span<const Tensor> x) { return std::vector<Tensor>{x[0] + 1.0}; });
  for (int round = 0; round < 4; ++round) {
    {
      auto runtime = std::make_unique<Runtime>(RuntimeOptions{.device = "null", .threads = 1});
      f(*runtime, {matrix()});
    }
    auto runtime = std::make_unique<Runtime>(RuntimeOptions{.threads = 1});
    EXPECT_EQ(f(*runtime, {matrix()})[0].to_vector<float>(),
              (std::vector<float>{2, 3, 4, 5, 6, 7}));
  }
}

TEST(Function, MustAliasTakesWhatIsHandedThrough) {
  Runtime runtime(test::checked());
  Function f =
      compile([](std::span<const Tensor> x) { return std::vector<Tensor>{x[0], sum(x[1])}; });
  std::vector<Tensor> args{runtime.upload(matrix().host()),
                           runtime.upload(matrix().host(), "rest")};
  const void* before = args[0].buffer()->data;
  const std::vector<Tensor> out = f(runtime, args, {.must_alias = {0}});
  EXPECT_EQ(out[0].buffer()->data, before);
  try {
    f(runtime, std::move(args), {.must_alias = {1}});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("'rest'"), std::string::npos) << e.what();
  }
}

// Carried values that are given away stay where they are, for every number of steps.
TEST(Loop, CarriesAreDonated) {
  Runtime runtime(test::checked());
  Function f = compile([](std::span<const Tensor> x) {
    return fori(x[2], {x[0], x[1]},
                [](const Tensor&, std::span<const Tensor> s) {
                  return std::vector<Tensor>{s[1] * 2.0, s[0] + s[1]};
                },
                {.max = 9});
  });
  for (int steps = 0; steps < 6; ++steps) {
    double a = 1, b = 2;
    for (int i = 0; i < steps; ++i) {
      const double next = 2 * b;
      b = a + b;
      a = next;
    }
    std::vector<Tensor> args{
        runtime.upload(HostArray::from<float>(std::vector<float>{1, 1, 1}, {3})),
        runtime.upload(HostArray::from<float>(std::vector<float>{2, 2, 2}, {3})),
        Tensor::from<int32_t>({steps}, {})};
    const void* before[] = {args[0].buffer()->data, args[1].buffer()->data};
    const auto out = f(runtime, std::move(args), {.must_alias = {0, 1}});
    EXPECT_EQ(out[0].to_vector<float>(), std::vector<float>(3, static_cast<float>(a))) << steps;
    EXPECT_EQ(out[1].to_vector<float>(), std::vector<float>(3, static_cast<float>(b))) << steps;
    EXPECT_EQ(out[0].buffer()->data, before[0]);
    EXPECT_EQ(out[1].buffer()->data, before[1]);
  }
  // The same tensor twice: only one of the two may be written over.
  Function twice = compile([](std::span<const Tensor> x) {
    return fori(3, {x[0], x[0]}, [](const Tensor&, std::span<const Tensor> s) {
      return std::vector<Tensor>{s[0] + 1.0, s[0] + s[1]};
    });
  });
  const auto out =
      twice(runtime, {runtime.upload(HostArray::from<float>(std::vector<float>{1}, {1}))});
  EXPECT_EQ(out[0].item<float>(), 4);
  EXPECT_EQ(out[1].item<float>(), 7);
}

TEST(Loop, AnErrorEndsIt) {
  Runtime runtime(test::checked());
  const Tensor x = Tensor::from<float>({1}, {1});
  int64_t steps = 0;
  runtime.set_profiler([&](const Plan&, std::span<const LaunchRecord> records) {
    steps = static_cast<int64_t>(records.size());
  });
  const Tensor y =
      fori(1000, full({}, 0), [&](const Tensor& k, const Tensor& s) { return s + take(x, k); });
  EXPECT_THROW(eval(runtime, y), Error);
  EXPECT_LT(steps, 50);
}

TEST(Eval, EagerGivesTheSameBits) {
  Runtime runtime(test::checked());
  const Tensor x = matrix();
  const Tensor y = exp(x / 3.0) - sum(x, {1}, true);
  const auto lazy = eval(runtime, y).to_vector<float>();
  EvalOptions eager;
  eager.eager = true;
  EXPECT_EQ(eval(runtime, y, eager).to_vector<float>(), lazy);
}

TEST(Eval, OutOfRangeIndexIsReportedWithItsLine) {
  Runtime runtime(test::checked());
  const Tensor index = Tensor::from<int32_t>({0, 7}, {2});
  const Tensor y = make(Op::gather, {matrix(), index},
                        {{Attr::axis, int64_t{0}}, {Attr::batch_dims, int64_t{0}}});
  try {
    eval(runtime, y);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("index 7 is out of range"), std::string::npos) << e.what();
  }
}

TEST(Eval, AnEqualGraphIsPlannedOnce) {
  Runtime runtime(test::checked());
  for (int i = 0; i < 100; ++i) {
    const Tensor x = Tensor::from<float>({static_cast<float>(i), 2, 3}, {3});
    EXPECT_EQ(eval(runtime, sum(x * x + 1.0)).item<float>(), static_cast<float>(i * i + 16));
  }
  EXPECT_EQ(runtime.stats().plans_made, 1);
}

TEST(FunctionTest, DonatesWhatIsMovedIn) {
  Runtime runtime(test::checked());
  Function step =
      compile([](std::span<const Tensor> a) { return std::vector<Tensor>{a[0] * 2.0 + a[1]}; });
  Tensor state = runtime.upload(HostArray::from<float>(std::vector<float>{1, 2, 3}, {3}), "state");
  const Tensor bias = runtime.upload(HostArray::from<float>(std::vector<float>{1, 1, 1}, {3}));
  const void* address = state.buffer()->data;
  for (int i = 0; i < 3; ++i) {
    std::vector<Tensor> args;
    args.push_back(std::move(state));
    args.push_back(bias);
    state = step(runtime, std::move(args))[0];
    EXPECT_EQ(state.buffer()->data, address);
  }
  EXPECT_EQ(state.to_vector<float>(), (std::vector<float>{15, 23, 31}));
  EXPECT_EQ(bias.to_vector<float>(), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(runtime.stats().plans_made, 1);
  EXPECT_EQ(step.traces(), 1);
}

TEST(FunctionTest, SharedArgumentIsNotOverwritten) {
  Runtime runtime(test::checked());
  Function step =
      compile([](std::span<const Tensor> a) { return std::vector<Tensor>{a[0] + 1.0}; });
  Tensor state = runtime.upload(HostArray::from<float>(std::vector<float>{1, 2}, {2}));
  const Tensor kept = state;
  const Tensor next = step(runtime, {std::move(state)})[0];
  EXPECT_EQ(kept.to_vector<float>(), (std::vector<float>{1, 2}));
  EXPECT_EQ(next.to_vector<float>(), (std::vector<float>{2, 3}));
  EvalOptions strict;
  strict.must_alias = {0};
  std::vector<Tensor> args{kept};
  EXPECT_THROW(step(runtime, std::move(args), strict), Error);
}

TEST(FunctionTest, ReadersOfTheOldValueComeBeforeTheWriter) {
  Runtime runtime(test::checked());
  Function step = compile([](std::span<const Tensor> a) {
    const Tensor updated = a[0] + 1.0;
    const Tensor old_sum = sum(a[0]);  // built after the writer, must run before it
    return std::vector<Tensor>{updated, old_sum};
  });
  Tensor state = runtime.upload(HostArray::from<float>(std::vector<float>{1, 2}, {2}));
  std::vector<Tensor> args;
  args.push_back(std::move(state));
  EvalOptions strict;
  strict.must_alias = {0};
  const auto results = step(runtime, std::move(args), strict);
  EXPECT_EQ(results[0].to_vector<float>(), (std::vector<float>{2, 3}));
  EXPECT_EQ(results[1].item<float>(), 3);
}

TEST(PlanTest, PeakIsWhatTheAllocatorSees) {
  Runtime runtime(test::checked());
  Function f = compile([](std::span<const Tensor> a) {
    const Tensor h = tanh(matmul(a[0], a[1]));
    return std::vector<Tensor>{sum(h * h, {0}), max(h)};
  });
  const size_t before = runtime.allocator().bytes_in_use();
  runtime.allocator().reset_peak();
  std::vector<Tensor> args{
      runtime.upload(HostArray::from<float>(std::vector<float>(40, 0.5f), {8, 5})),
      runtime.upload(HostArray::from<float>(std::vector<float>(35, 0.25f), {5, 7}))};
  std::vector<TensorType> types{args[0].type(), args[1].type()};
  const auto results = f(runtime, args);
  EXPECT_EQ(runtime.allocator().peak_bytes() - before, f.plan(runtime, types, false)->peak_bytes());
}

// %c = carried, k = 0..n-1: c = c * 2 + x[k]; stacks c.
std::vector<Tensor> doubling_loop(const Tensor& n, const Tensor& start, const Tensor& xs,
                                  bool reverse) {
  Graph body = trace(
      [](std::span<const Tensor> a) {
        const Tensor c = a[1] * 2.0 + a[2];
        return std::vector<Tensor>{c, c};
      },
      std::vector<TensorType>{{DType::i32, {}}, {DType::f32, {}}, {DType::f32, {}}});
  Attrs attrs{{Attr::body, std::make_shared<const Graph>(body)},
              {Attr::max, int64_t{4}},
              {Attr::carried, int64_t{1}},
              {Attr::scanned, int64_t{1}}};
  if (reverse) attrs.set(Attr::reverse, true);
  return make_many(Op::loop, {n, start, xs}, attrs);
}

TEST(LoopTest, CarriesScansAndStacks) {
  Runtime runtime(test::checked());
  const Tensor xs = Tensor::from<float>({1, 2, 3, 4}, {4});
  for (const int steps : {0, 1, 3, 4}) {
    const auto results = eval(runtime, doubling_loop(Tensor::scalar(steps, DType::i32),
                                                     Tensor::scalar(1.0, DType::f32), xs, false));
    std::vector<float> stacked(4, 0.0f);
    float c = 1;
    for (int k = 0; k < steps; ++k)
      stacked[static_cast<size_t>(k)] = c = c * 2 + static_cast<float>(k + 1);
    EXPECT_EQ(results[0].item<float>(), c);
    EXPECT_EQ(results[1].to_vector<float>(), stacked);
  }
  const auto results = eval(runtime, doubling_loop(Tensor::scalar(3, DType::i32),
                                                   Tensor::scalar(1.0, DType::f32), xs, true));
  EXPECT_EQ(results[1].to_vector<float>(), (std::vector<float>{25, 12, 5, 0}));
}

TEST(NullDevice, PlansAndAllocatesNothing) {
  RuntimeOptions options;
  options.device = "null";
  Runtime runtime(options);
  const Tensor y = eval(runtime, sum(full({1 << 20, 1 << 10}, 1.0) * 2.0));
  EXPECT_EQ(y.shape(), Shape{});
  EXPECT_EQ(runtime.allocator().peak_bytes(), 0u);
  EXPECT_GT(runtime.stats().launches, 0);
}

TEST(RuntimeTest, EvalFromSeveralThreads) {
  Runtime runtime;
  const Tensor x = matrix();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) EXPECT_EQ(eval(runtime, sum(x * 2.0)).item<float>(), 42);
    });
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace cairn
