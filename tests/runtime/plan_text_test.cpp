// The text form of plans: what is printed is read back as the same plan, which computes the same
// bits; and what breaks a rule is refused, with its place.
#include <gtest/gtest.h>

#include <thread>

#include "cairn/comm/local/local_communicator.h"
#include "cairn/graph/print.h"
#include "cairn/ops/collective.h"
#include "cairn/ops/control.h"
#include "cairn/ops/custom.h"
#include "cairn/ops/nn.h"
#include "cairn/runtime/parse_plan.h"
#include "cairn/runtime/verify_plan.h"
#include "cairn/transforms/vjp.h"
#include "tests/runtime/plans.h"
#include "tests/support/checked_runtime.h"

namespace cairn {
namespace {

using test::parsed;

void expect_round_trip(Runtime& runtime, const std::shared_ptr<const Plan>& plan) {
  ASSERT_NO_THROW(verify(*plan, runtime.backend()));
  const std::string text = to_text(*plan);
  const auto again = parse_plan(text, runtime.backend());
  ASSERT_TRUE(again.ok()) << again.error().what() << "\n" << text;
  EXPECT_TRUE(same_plan(*plan, *again.value())) << text << to_text(*again.value());
  EXPECT_EQ(test::outcome(runtime, plan), test::outcome(runtime, again.value())) << text;
}

void expect_round_trips(Runtime& runtime, const Graph& graph) {
  for (const bool eager : {false, true})
    for (const bool donate : {false, true})
      expect_round_trip(runtime,
                        runtime.plan(graph, std::vector<bool>(graph.inputs.size(), donate), eager));
}

TEST(PlanText, OfEveryPrimitive) {
  Runtime runtime(test::checked({"ref", 1}));
  for (const Graph& graph : test::corpus_graphs()) expect_round_trips(runtime, graph);
}

TEST(PlanText, OfRandomGraphs) {
  Runtime runtime(test::checked({"ref", 1}));
  for (uint64_t seed = 0; seed < 60; ++seed)
    expect_round_trips(runtime, test::random_graph(seed, static_cast<int>(seed)));
}

TEST(PlanText, OfDerivativesLoopsAndBranches) {
  Runtime runtime(test::checked({"ref", 1}));
  const Graph step = trace(
      [](std::span<const Tensor> a) {
        const Tensor h = fori(3, a[0], [&](const Tensor&, const Tensor& c) {
          return cond(sum(c) < 5.0, [&] { return tanh(c * a[1]); }, [&] { return c; });
        });
        const Tensor loss = sum(softmax(h, -1) * a[1]);
        auto all = gradients(loss, a);
        all.push_back(loss);
        all.push_back(loss);  // twice the same
        all.push_back(a[0]);  // an argument
        return all;
      },
      std::vector<TensorType>{{DType::f32, {4, 8}}, {DType::f32, {4, 8}}});
  expect_round_trips(runtime, step);
  // A region that gives back what it was given, and one value twice: copies.
  expect_round_trips(runtime, parsed("graph(%p: bool[], %x: f32[5], %y: f32[5]) {\n"
                                     "  %a, %b = cond(%p) { yield %x, %x } else {\n"
                                     "    %e = exp(%y) %r = reshape(%e) {shape=[5]} yield %e, %r\n"
                                     "  }\n"
                                     "  return %a, %b }"));
  // Loops in loops, of which the inner has results without a reader and the outer runs backwards.
  expect_round_trips(runtime, parsed("graph(%n: i32[], %x: f32[2], %s: f32[3,2]) {\n"
                                     "  %c, %t = loop(%n, %x; %s) {max=3, reverse=true}\n"
                                     "      (%k: i32[], %u: f32[2], %row: f32[2]) {\n"
                                     "    %v = loop(%k, %u) {max=4} (%j: i32[], %w: f32[2]) {\n"
                                     "      %z = add(%w, %row) yield %z }\n"
                                     "    %q = multiply(%v, %row) yield %v, %q }\n"
                                     "  return %t, %c }"));
}

TEST(PlanText, OfCustomOperations) {
  Runtime runtime(test::checked({"ref", 1}));
  // Within a region, and a custom operation within another's fallback.
  expect_round_trips(
      runtime, parsed("graph(%p: bool[], %x: f32[4]) {\n"
                      "  %a = custom(%x) {name=outer} (%b) {\n"
                      "    %c = custom(%b) {name=inner} (%d) { %e = exp(%d) yield %e }\n"
                      "    yield %c }\n"
                      "  %y = cond(%p) { %g = custom(%a) {name=g} (%h) { %i = tanh(%h) yield %i }\n"
                      "    yield %g } else { yield %x }\n"
                      "  return %y }"));
}

// Collectives with their workspaces, on three ranks; the plan's peak is the allocator's.
TEST(PlanText, OfCollectives) {
  constexpr int kRanks = 3;
  const LocalMeshAxis axis{"data", kRanks};
  const std::vector<LocalMesh> meshes = make_local_mesh({&axis, 1});
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kRanks; ++rank)
    threads.emplace_back([&, rank] {
      Runtime runtime(test::checked({"ref", 1}));
      runtime.mesh() = meshes[static_cast<size_t>(rank)];
      const MeshAxis data{"data", kRanks};
      for (const int64_t outer : {1, 6})
        for (const int along : {0, 1}) {
          const Graph graph = trace(
              [&](std::span<const Tensor> a) {
                const Tensor all = all_gather(a[0], data, along);
                const Tensor part = reduce_scatter(all * 2.0, data, along);
                return std::vector<Tensor>{all_reduce(sum(all), data),
                                           all_to_all(a[0], data, 1, along) + 1.0, part};
              },
              std::vector<TensorType>{{DType::f32, {outer, 6, 5}, {}, {"data"}}});
          const auto plan = runtime.plan(graph, {}, false);
          expect_round_trip(runtime, plan);
          auto arguments = test::small_arguments(runtime, graph);
          arguments[0] = Tensor::leaf(graph.inputs[0].type(), arguments[0].buffer());
          runtime.allocator().reset_peak();
          const auto results = runtime.run(plan, arguments);
          EXPECT_EQ(runtime.allocator().peak_bytes(), plan->peak_bytes()) << to_text(*plan);
          // What stages: gathering and exchanging along an axis with another outside it.
          EXPECT_EQ(to_text(*plan).find("workspace") != std::string::npos, outer > 1)
              << to_text(*plan);
        }
    });
  for (auto& thread : threads) thread.join();
}

// One plan, and edits of its text with the error that each gives.
std::string plan_text() {
  return R"(plan peak=384 arguments=128 results=64 arena=192 {
  graph @f(%x: f32[4], %y: f32[4]) -> (f32[4]) {
    %v, %i = sort(%x) {axis=0} : f32[4], i32[4]  // 0
    %a = add(%v, %y) : f32[4]  // 1
    %r = reshape(%a) {shape=[2,2]} : f32[2,2]  // 2
    %t = transpose(%r) {axes=[1,0]} : f32[2,2]  // 3
    %s = reshape(%t) {shape=[4]} : f32[4]  // 4
    %z = multiply(%s, %v) : f32[4]  // 5
    return %z
  }
  arena[0:16], arena[64:80] = sort.0(argument0)
  arena[64:80] = add.1(arena[0:16], argument1)
  arena[128:144] = transpose.3(arena[64:80])
  result0 = multiply.5(arena[128:144], arena[0:16])
  return result0
}
)";
}

std::string error_after(std::string_view from, std::string_view to) {
  std::string text = plan_text();
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  Runtime runtime(test::checked({"ref", 1}));
  const auto plan = parse_plan(text, runtime.backend());
  return plan.ok() ? "no error" : plan.error().what();
}

TEST(PlanText, IsReadAsWritten) {
  Runtime runtime(test::checked({"ref", 1}));
  const auto plan = parse_plan(plan_text(), runtime.backend());
  ASSERT_TRUE(plan.ok()) << plan.error().what();
  EXPECT_EQ(to_text(*plan.value()), plan_text());
  const auto results =
      runtime.run(plan.value(),
                  {runtime.upload(HostArray::from<float>(std::vector<float>{4, 3, 2, 1}, {4})),
                   runtime.upload(HostArray::from<float>(std::vector<float>{0, 10, 20, 30}, {4}))});
  // sorted 1 2 3 4; + y: 1 12 23 34; transposed as 2 x 2: 1 23 12 34; times sorted.
  EXPECT_EQ(results[0].to_vector<float>(), (std::vector<float>{1, 46, 36, 136}));
}

TEST(PlanText, SaysWhereARuleIsBroken) {
  const struct {
    std::string_view from, to, error;
  } cases[] = {
      {"plan", "plain", "line 1, column 1: expected 'plan', found 'plain'"},
      {"peak=384", "peak=385", "line 1, column 6: peak=385 is announced, the plan has 384"},
      {"arguments=128", "arguments=-1", "line 1, column 25: this is no number of bytes"},
      {"results=64", "results=0", "line 1, column 6: results=0 is announced, the plan has 64"},
      {"arena=192", "arena=256", "line 1, column 6: arena=256 is announced, the plan has 192"},
      {"arena=192", "arena=128",
       "line 13, column 3: the place ends outside the arena of 128 bytes"},
      {"%r = reshape(%a)", "%r = reshpe(%a)",
       "line 5, column 10: unknown operation 'reshpe'; the nearest is 'reshape'"},
      {"transpose.3", "transpose.4",
       "line 13, column 20: operation 4 is 'reshape', not 'transpose'"},
      {"transpose.3", "transpose.6",
       "line 13, column 20: expected an operation and its number below 6, like add.0, or 'copy', "
       "found 'transpose.6'"},
      {"transpose.3(arena[64:80])", "reshape.2(arena[64:80])",
       "line 13, column 20: 'reshape' needs no launch"},
      {"(arena[64:80])", "(arena[0:16])", "line 13, column 32: the value lies in arena[64:80]"},
      {"(arena[64:80])", "(arena[64:84])", "line 13, column 32: the value lies in arena[64:80]"},
      {"(arena[64:80])", "(arena[64:80], argument0)",
       "line 13, column 20: expected 1 operands, found 2"},
      {"arena[0:16], ", "", "line 11, column 3: expected 2 places, found 1"},
      {"arena[128:144] =", "arena[130:146] =",
       "line 13, column 3: a place begins at a multiple of 64"},
      {"arena[128:144] =", "arena[144:128] =",
       "line 13, column 13: the place ends before it begins"},
      {"arena[128:144] =", "arena[128:9223372036854775808] =",
       "line 13, column 13: '9223372036854775808' is no number of 63 bits"},
      {"arena[128:144] =", "arena[9223372036854775744:9223372036854775760] =",
       "line 13, column 3: the place ends outside the arena of 192 bytes"},
      {"arena[128:144] =", "arena[128:148] =",
       "line 13, column 3: the place has 20 bytes, the value has 16"},
      {"arena[128:144] =", "argument1 =",
       "line 13, column 3: an argument is not written; a result may lie 'over' it"},
      {"arena[128:144] =", "result1 =", "line 13, column 3: the graph has 1 results"},
      {"arena[128:144] =", "heap =",
       "line 13, column 3: 'heap' is no place; one is argument0, result0 or arena[0:64]"},
      // Over what the multiplication still needs.
      {"arena[64:80] = add.1", "arena[0:16] = add.1",
       "line 13, column 32: the value lies in arena[0:16]"},
      {"  arena[128:144] = transpose.3(arena[64:80])\n", "",
       "line 13, column 24: the value is not computed yet"},
      {"  result0 = multiply.5(arena[128:144], arena[0:16])\n", "",
       "line 14, column 10: the value is not computed yet"},
      {"  return result0", "  return arena[128:144]",
       "line 15, column 10: the value lies in result0"},
      {"  return result0", "  return result0 over argument1 over",
       "line 15, column 33: expected '}', found 'over'"},
      {"  return result0", "  return result0 over result0",
       "line 15, column 23: expected an argument"},
      {"return result0\n}\n", "return result0\n}\n}",
       "line 17, column 1: expected the end of the text, found '}'"},
      {"multiply.5(arena[128:144], arena[0:16])",
       "multiply.5(arena[128:144], arena[0:16]) workspace arena[64:128]",
       "line 14, column 3: arena[64:128] cannot be the workspace, which has 0 bytes"},
  };
  for (const auto& c : cases) EXPECT_EQ(error_after(c.from, c.to), c.error) << c.from << c.to;
}

// The plan of `graph` with sizes and launches that may be wrong.
std::string refusal(std::string_view sizes, std::string_view graph, std::string_view launches) {
  Runtime runtime(test::checked({"ref", 1}));
  const auto plan = parse_plan(std::string("plan ") + std::string(sizes) + " { graph" +
                                   std::string(graph) + "\n" + std::string(launches) + "}",
                               runtime.backend());
  return plan.ok() ? "none" : plan.error().what();
}

TEST(PlanText, MemoryIsNotOverwrittenWhileItIsNeeded) {
  constexpr std::string_view kSum =
      "(%x: f32[4]) { %a = exp(%x) %b = tanh(%a) %c = add(%a, %b) return %c }";
  EXPECT_EQ(refusal("peak=256 arguments=64 results=64 arena=128", kSum,
                    "arena[0:16] = exp.0(argument0)\n"
                    "arena[64:80] = tanh.1(arena[0:16])\n"
                    "result0 = add.2(arena[0:16], arena[64:80])\n"
                    "return result0"),
            "none");
  EXPECT_EQ(refusal("peak=192 arguments=64 results=64 arena=64", kSum,
                    "arena[0:16] = exp.0(argument0)\n"
                    "arena[0:16] = tanh.1(arena[0:16])\n"
                    "result0 = add.2(arena[0:16], arena[0:16])\n"
                    "return result0"),
            "line 4, column 1: operand 0 in arena[0:16] is overwritten");
  EXPECT_EQ(refusal("peak=128 arguments=64 results=0 arena=64",
                    "(%x: f32[4]) { %a = exp(%x) %b = add(%a, %x) return %a }",
                    "result0 = exp.0(argument0)\nreturn result0"),
            "line 1, column 6: arena=64 is announced, the plan has 0");
  // The result lies over an argument that is read afterwards.
  constexpr std::string_view kTwo = "(%x: f32[4]) { %a = exp(%x) %b = add(%a, %x) return %a, %b }";
  EXPECT_EQ(refusal("peak=128 arguments=64 results=64 arena=0", kTwo,
                    "result0 = exp.0(argument0)\n"
                    "result1 = add.1(result0, argument0)\n"
                    "return result0, result1 over argument0"),
            "none");
  EXPECT_EQ(refusal("peak=128 arguments=64 results=64 arena=0", kTwo,
                    "result0 = exp.0(argument0)\n"
                    "result1 = add.1(result0, argument0)\n"
                    "return result0 over argument0, result1"),
            "line 3, column 1: operand 1 in argument0 is overwritten");
  EXPECT_EQ(refusal("peak=64 arguments=64 results=0 arena=0", kTwo,
                    "result0 = exp.0(argument0)\n"
                    "result1 = add.1(result0, argument0)\n"
                    "return result0 over argument0, result1 over argument0"),
            "line 4, column 1: argument 0 is taken over twice");
  EXPECT_EQ(
      refusal("peak=64 arguments=64 results=0 arena=0",
              "(%x: f32[4]) { %a = reduce(%x) {kind=sum, axes=[0]} return %a }",
              "result0 = reduce.0(argument0)\nreturn result0 over argument0"),
      "line 3, column 1: result 0 and argument 0, whose memory it takes over, differ in size");
  // What is given back must still be there.
  EXPECT_EQ(refusal("peak=64 arguments=64 results=0 arena=0",
                    "(%x: f32[4]) { %a = exp(%x) return %a, %x }",
                    "result0 = exp.0(argument0)\nreturn result0 over argument0, argument0"),
            "line 3, column 1: result 1 in argument0 is overwritten");
  // Only where each element is read before it is written.
  EXPECT_EQ(refusal("peak=64 arguments=64 results=0 arena=0",
                    "(%x: f32[2,2]) { %a = transpose(%x) {axes=[1,0]} return %a }",
                    "result0 = transpose.0(argument0)\nreturn result0 over argument0"),
            "line 2, column 1: result 0 overwrites operand 0");
  EXPECT_EQ(refusal("peak=320 arguments=64 results=128 arena=128",
                    "(%x: f32[20]) { %a = exp(%x) %v, %i = sort(%a) {axis=0} return %v, %i }",
                    "arena[0:80] = exp.0(argument0)\nresult0, result1 = sort.1(arena[0:80])\n"
                    "return result0, result1"),
            "line 1, column 6: arguments=64 is announced, the plan has 128");
  EXPECT_EQ(refusal("peak=256 arguments=64 results=64 arena=128",
                    "(%x: f32[4]) { %v, %i = sort(%x) {axis=0} %c = cast(%i) {dtype=f32} "
                    "%s = add(%v, %c) return %s }",
                    "arena[0:16], arena[0:16] = sort.0(argument0)\n"
                    "arena[64:80] = cast.1(arena[0:16])\n"
                    "result0 = add.2(arena[0:16], arena[64:80])\nreturn result0"),
            "line 2, column 1: results 0 and 1 overlap");
}

TEST(PlanText, WorkspacesAndRegionsAreChecked) {
  constexpr std::string_view kLoop =
      "(%n: i32[], %x: f32[4]) { %e = exp(%x) %y = loop(%n, %e) {max=3} (%k: i32[], %c: f32[4]) "
      "{ %t = tanh(%c) yield %t } %z = add(%y, %e) return %z }";
  const auto with = [&](std::string_view workspace, std::string_view region) {
    return refusal("peak=512 arguments=128 results=64 arena=320", kLoop,
                   "arena[0:16] = exp.0(argument1)\n"
                   "arena[64:80] = loop.1(argument0, arena[0:16])" +
                       std::string(workspace) + " plan " + std::string(region) +
                       "}\nresult0 = add.2(arena[64:80], arena[0:16])\nreturn result0");
  };
  constexpr std::string_view kRight =
      "peak=192 arguments=128 results=64 arena=0 { result0 = tanh.0(argument1) return result0 ";
  EXPECT_EQ(with(" workspace arena[192:320]", kRight), "none");
  EXPECT_EQ(with("", kRight), "line 1, column 6: arena=320 is announced, the plan has 128");
  EXPECT_EQ(with(" workspace arena[192:319]", kRight),
            "line 3, column 1: arena[192:319] cannot be the workspace, which has 128 bytes");
  EXPECT_EQ(with(" workspace arena[192:320]",
                 "peak=128 arguments=128 results=0 arena=0 { return argument1 "),
            "line 3, column 127: the value is not computed yet");
  EXPECT_EQ(with(" workspace arena[192:320]",
                 "peak=128 arguments=128 results=0 arena=0 { result0 = tanh.0(argument1) return "
                 "result0 over argument1 "),
            "line 3, column 148: result 0 cannot take over the memory of an argument");
  const auto overlapping = [&](std::string_view places) {
    return refusal("peak=384 arguments=128 results=64 arena=192", kLoop,
                   "arena[0:16] = exp.0(argument1)\n" + std::string(places) + " plan " +
                       std::string(kRight) +
                       "}\nresult0 = add.2(arena[64:80], arena[0:16])\nreturn result0");
  };
  EXPECT_EQ(overlapping("arena[64:80] = loop.1(argument0, arena[0:16]) workspace arena[64:192]"),
            "line 3, column 1: the workspace overlaps a result");
  EXPECT_EQ(overlapping("arena[128:144] = loop.1(argument0, arena[0:16]) workspace arena[0:128]"),
            "line 4, column 17: the value lies in arena[128:144]");
}

// A loop's body gives back an argument: only a copy may put it where the loop reads it.
TEST(PlanText, ResultsOfRegionsAreCopied) {
  constexpr std::string_view kLoop =
      "(%n: i32[], %x: f32[4]) { %y = loop(%n, %x) {max=3} (%k: i32[], %c: f32[4]) { yield %c } "
      "return %y }";
  const auto with = [&](std::string_view region) {
    return refusal("peak=320 arguments=128 results=64 arena=128", kLoop,
                   "result0 = loop.0(argument0, argument1) workspace arena[0:128] plan " +
                       std::string(region) + "}\nreturn result0");
  };
  EXPECT_EQ(with("peak=192 arguments=128 results=64 arena=0 { result0 = copy(argument1) return "
                 "result0 "),
            "none");
  EXPECT_EQ(with("peak=128 arguments=128 results=0 arena=0 { return argument1 "),
            "line 2, column 111: result 0 cannot lie in argument1");
  EXPECT_EQ(with("peak=192 arguments=128 results=64 arena=0 { result0 = copy(argument0) return "
                 "result0 "),
            "line 2, column 127: the value lies in argument1");
  EXPECT_EQ(refusal("peak=128 arguments=64 results=64 arena=0", "(%x: f32[4]) { return %x }",
                    "result0 = copy(argument0)\nreturn result0"),
            "line 2, column 1: a copy moves one result of a region");
}

// verify() finds what a planner could do wrong, and shows the plan.
TEST(PlanText, VerifyShowsThePlan) {
  Runtime runtime(test::checked({"ref", 1}));
  const auto plan = runtime.plan(
      parsed("graph(%x: f32[4]) { %a = exp(%x) %b = reduce(%a) {kind=sum, axes=[0]} return %b }"),
      {}, false);
  Plan broken = *plan;
  broken.launches[1].inputs[0] = broken.arguments[0];
  try {
    verify(broken, runtime.backend());
    FAIL();
  } catch (const InternalError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("launch 1: operand 0 lies in arena[0:16], not in argument0"),
              std::string::npos)
        << what;
    EXPECT_NE(what.find("reduce.1(argument0)"), std::string::npos) << what;
  }
  broken = *plan;
  broken.launches.pop_back();
  EXPECT_THROW(verify(broken, runtime.backend()), InternalError);
  broken = *plan;
  broken.launches[0].code.run = nullptr;
  EXPECT_THROW(verify(broken, runtime.backend()), InternalError);
}

}  // namespace
}  // namespace cairn
