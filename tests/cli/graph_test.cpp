// cairn graph, cairn trace and cairn probe.
#include "cairn/core/float_types.h"
#include "cairn/graph/op.h"
#include "cairn/io/npy.h"
#include "cairn/runtime/runtime.h"
#include "tests/cli/program.h"
#include "tests/plot/markup_check.h"

namespace cairn::test {
namespace {

class GraphTest : public CliTest {
 protected:
  Ran run_step(std::vector<std::string> more) const {
    more.insert(more.begin(),
                {"graph", "run", "step.graph", "--in", "x=x.npy", "w=w.npy", "lr=lr.npy"});
    return run(more);
  }
};

TEST_F(GraphTest, RunsAndWrites) {
  const auto json = run_step({"--out", "y=y.npy", "u=u.npy", "--json"}).json();
  EXPECT_EQ(json["outputs"]["y"], nlohmann::json({{"dtype", "f32"}, {"shape", {4, 8}}}));
  EXPECT_EQ(json["outputs"]["u"]["shape"], nlohmann::json({2, 8}));
  EXPECT_GT(json["compile_seconds"], 0);
  EXPECT_GT(json["seconds"], 0);
  const HostArray y = io::read_npy(path("y.npy")).value(), u = io::read_npy(path("u.npy")).value();
  // x = 1..8 in rows of 2, w = 0..15 in rows of 8, lr = 1/2; small whole numbers are exact.
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 8; ++j) EXPECT_EQ(y.at(8 * i + j), (2 * i + 1) * j + (2 * i + 2) * (8 + j));
  for (int i = 0; i < 16; ++i) EXPECT_EQ(u.at(i), 0.5 * i);
}

TEST_F(GraphTest, ThePlannedPeakIsWhatIsAllocated) {
  for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{
           {"--json"},
           {"--json", "--repeat", "7"},
           {"--json", "--grad", "x", "w", "lr", "--repeat", "3"}}) {
    const auto json = run_step(more).json();
    EXPECT_EQ(json["peak_bytes_planned"], json["peak_bytes_allocated"]);
    // Inputs and outputs at least, rounded up to 64.
    EXPECT_GE(json["peak_bytes_planned"], 64 + 64 + 64 + 128 + 64);
  }
}

TEST_F(GraphTest, Gradients) {
  const auto json =
      run_step({"--grad", "w", "lr", "--out", "grad.w=gw.npy", "grad.lr=glr.npy", "--json"}).json();
  EXPECT_EQ(json["outputs"]["grad.w"], nlohmann::json({{"dtype", "f32"}, {"shape", {2, 8}}}));
  EXPECT_EQ(json["outputs"].size(), 4u);
  // The first output is y = x w: d sum(y) / d w[k][j] = sum over rows of x[i][k]; lr is not in it.
  const HostArray gw = io::read_npy(path("gw.npy")).value();
  for (int j = 0; j < 8; ++j) {
    EXPECT_EQ(gw.at(j), 1 + 3 + 5 + 7);
    EXPECT_EQ(gw.at(8 + j), 2 + 4 + 6 + 8);
  }
  EXPECT_EQ(io::read_npy(path("glr.npy")).value().at(0), 0);
  EXPECT_TRUE(fails(run_step({"--grad", "q"}), 1, "--grad q: the graph has no such input"));
  write("int.graph", "graph @i(%n: i32[2], %x: f32[2]) { %m = add(%n, %n) return %m, %x }");
  EXPECT_TRUE(fails(run({"graph", "run", "int.graph", "--device", "null", "--grad", "x"}), 1,
                    "only floats have derivatives"));
  write("int.graph", "graph @i(%n: i32[2], %x: f32[2]) { return %x, %n }");
  EXPECT_TRUE(fails(run({"graph", "run", "int.graph", "--device", "null", "--grad", "n"}), 1,
                    "only floats have derivatives"));
}

TEST_F(GraphTest, TypesThatNumPyLacksAreF32InFiles) {
  write("half.graph", "graph @h(%x: bf16[2], %e: f8e4m3[2]) { %y = add(%x, %x) return %y, %e }");
  const std::vector<float> values = {1.00390625f, -3};  // the first is halfway between two bf16
  io::write_npy(path("h.npy"), HostArray::from<float>(values, {2})).value();
  const auto json = run({"graph", "run", "half.graph", "--in", "x=h.npy", "e=h.npy", "--out",
                         "y=hy.npy", "e=he.npy", "--json"})
                        .json();
  EXPECT_EQ(json["outputs"]["y"]["dtype"], "bf16");
  const HostArray y = io::read_npy(path("hy.npy")).value(),
                  e = io::read_npy(path("he.npy")).value();
  EXPECT_EQ(y.dtype(), DType::f32);
  EXPECT_EQ(y.at(0), 2 * static_cast<float>(BFloat16(values[0])));
  EXPECT_EQ(y.at(1), -6);
  EXPECT_EQ(e.at(0), static_cast<float>(Float8E4M3(values[0])));
}

TEST_F(GraphTest, ErrorsNameTheInput) {
  io::write_npy(path("f64.npy"), HostArray::from<double>(std::vector<double>(8, 1.0), {4, 2}))
      .value();
  io::write_npy(path("small.npy"), HostArray::from<float>(std::vector<float>(6, 1.0f), {3, 2}))
      .value();
  const auto with = [&](const std::string& x) {
    return run({"graph", "run", "step.graph", "--in", x, "w=w.npy", "lr=lr.npy"});
  };
  EXPECT_TRUE(fails(with("x=f64.npy"), 1, "input 'x' is f32[4,2]; 'f64.npy' holds f64[4,2]"));
  EXPECT_TRUE(fails(with("x=small.npy"), 1, "input 'x' is f32[4,2]; 'small.npy' holds f32[3,2]"));
  EXPECT_TRUE(fails(with("x=step.graph"), 1, "step.graph"));
  EXPECT_TRUE(fails(with("x=nothing.npy"), 1, "nothing.npy"));
  EXPECT_TRUE(fails(with("xx=x.npy"), 1, "did you mean 'x'?"));
  EXPECT_TRUE(fails(with("x"), 2, "--in takes NAME=FILE.npy"));
  EXPECT_TRUE(fails(with("w=w.npy"), 2, "names 'w' twice"));
  EXPECT_TRUE(fails(run({"graph", "run", "step.graph", "--in", "x=x.npy"}), 1,
                    "input 'w' (f32[2,8]) has no value"));
  EXPECT_TRUE(fails(run_step({"--out", "z=z.npy"}), 1, "the graph has no such output"));
  EXPECT_TRUE(fails(run_step({"--out", "y=no/y.npy"}), 1, "no/y.npy"));
  EXPECT_TRUE(fails(run_step({"--repeat", "0"}), 2, "--repeat takes a number of at least 1"));
  EXPECT_TRUE(fails(run({"graph", "run", "nothing.graph"}), 1, "nothing.graph"));
  write("bad.graph", "graph @b(%x: f32[2]) {\n  %y = mtmul(%x, %x)\n  return %y\n}\n");
  EXPECT_TRUE(fails(run({"graph", "run", "bad.graph"}), 1, "the nearest is 'matmul'"));
  EXPECT_TRUE(fails(run({"graph", "show", "bad.graph"}), 1, "line 2"));
}

TEST_F(GraphTest, Precision) {
  // 1 + 2^-9 is between two bf16 and rounds to 1; f16 holds it.
  io::write_npy(path("x.npy"), HostArray::from<float>(std::vector<float>(8, 1.001953125f), {4, 2}))
      .value();
  const auto first = [&](const std::string& type) {
    EXPECT_EQ(run_step({"--precision", type, "--out", "y=y.npy"}).status, 0);
    return io::read_npy(path("y.npy")).value().at(0);
  };
  EXPECT_EQ(first("f32"), 8 * 1.001953125);  // w is 0 and 8
  EXPECT_EQ(first("f16"), 8 * 1.001953125);
  EXPECT_EQ(first("bf16"), 8);
  EXPECT_NE(run({"graph", "show", "step.graph", "--precision", "bf16"}).out.find("bf16[4,2]"),
            std::string::npos);
}

TEST_F(GraphTest, AnIndexOutOfRangeIsAnError) {
  write("take.graph",
        "graph @t(%x: f32[4,2], %i: i32[1]) { %y = gather(%x, %i) {axis=0, batch_dims=0} return %y "
        "}");
  io::write_npy(path("i.npy"), HostArray::from<int32_t>(std::vector<int32_t>{9}, {1})).value();
  EXPECT_TRUE(fails(run({"graph", "run", "take.graph", "--in", "x=x.npy", "i=i.npy"}), 1,
                    "index 9 is out of range"));
}

TEST_F(GraphTest, TheNullDeviceOnlyPlans) {
  const auto json = run({"graph", "run", "step.graph", "--device", "null", "--json"}).json();
  EXPECT_EQ(json["outputs"]["y"]["shape"], nlohmann::json({4, 8}));
  EXPECT_GT(json["peak_bytes_planned"], 0);
  EXPECT_EQ(json["peak_bytes_allocated"], 0);
  EXPECT_TRUE(fails(run({"graph", "run", "step.graph", "--device", "null", "--out", "y=y.npy"}), 1,
                    "computes no values"));
}

TEST_F(GraphTest, TheSameBytesWithAnyThreads) {
  ASSERT_EQ(run_step({"--out", "y=y1.npy", "--threads", "1"}).status, 0);
  ASSERT_EQ(run_step({"--out", "y=y3.npy", "--threads", "3"}).status, 0);
  EXPECT_EQ(read("y1.npy"), read("y3.npy"));
}

TEST_F(GraphTest, WhatIsShownCanBeReadBack) {
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{}, {"--costs"}, {"--grad"}, {"--grad", "--costs"}}) {
    std::vector<std::string> all = {"graph", "show", "step.graph"};
    all.insert(all.end(), more.begin(), more.end());
    const Ran shown = run(all);
    ASSERT_EQ(shown.status, 0) << shown.err;
    // The text ends with the brace that stands alone.
    write("again.graph", shown.out.substr(0, shown.out.find("\n}\n") + 3));
    const Ran again = run({"graph", "show", "again.graph", "--json"});
    EXPECT_EQ(again.json()["outputs"].size(), more.empty() || more[0] == "--costs" ? 2u : 5u);
  }
  EXPECT_NE(run({"graph", "show", "step.graph", "--grad"}).out.find("%grad.w"), std::string::npos);
}

TEST_F(GraphTest, CostsAndSchedule) {
  const auto json = run({"graph", "show", "step.graph", "--costs", "--schedule", "--json"}).json();
  EXPECT_EQ(json["operations"], 3);
  EXPECT_EQ(json["costs"]["flops"], 2 * 4 * 2 * 8 + 16);
  // The product; compiled, the other two operations are one launch.
  const bool compiled = devices()[0] == "cpu";
  EXPECT_EQ(json["schedule"]["launches"].size(), compiled ? 2u : 3u);
  EXPECT_EQ(json["schedule"]["peak_bytes"], run_step({"--json"}).json()["peak_bytes_planned"]);
  const Ran text = run({"graph", "show", "step.graph", "--costs", "--schedule"});
  EXPECT_NE(text.out.find("matmul"), std::string::npos);
  EXPECT_NE(text.out.find(compiled ? "Fused: 2 operations" : "Fused: nothing"), std::string::npos)
      << text.out;
}

TEST_F(GraphTest, ALoopThatIsOneKernel) {
  if (devices()[0] != "cpu") GTEST_SKIP() << "needs compiled kernels";
  const auto show = [&](int max, const std::vector<std::string>& more = {}) {
    write("loop.graph",
          "graph(%n: i32[], %x: f32[3,3]) -> (f32[3,3]) {\n"
          "  %y = loop(%n, %x) {max=" +
              std::to_string(max) +
              "} (%k: i32[], %c: f32[3,3]) {\n"
              "    %a = matmul(%c, %c)\n"
              "    %d = tanh(%a)\n"
              "    yield %d\n"
              "  }\n"
              "  return %y\n"
              "}\n");
    std::vector<std::string> words{"graph", "show", "loop.graph", "--schedule"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  };
  EXPECT_NE(show(1000).out.find("One kernel: loop of one launch."), std::string::npos);
  EXPECT_EQ(show(1000, {"--json"}).json()["schedule"]["launches"][0]["one_kernel"], true);
  EXPECT_NE(show(999).out.find("loop is not one kernel: it has at most 999 steps"),
            std::string::npos);
  EXPECT_EQ(show(999, {"--json"}).json()["schedule"]["launches"][0]["one_kernel"], false);
}

TEST_F(GraphTest, AModelsGraph) {
  const auto json = run({"graph", "show", "--model", "llama", "--tokens", "4", "--costs", "--grad",
                         "--schedule", "--json"})
                        .json();
  EXPECT_EQ(json["outputs"][0],
            nlohmann::json({{"name", "logits"}, {"dtype", "f32"}, {"shape", {1, 4, 257}}}));
  // A gradient of each parameter; ids have none.
  EXPECT_EQ(json["outputs"].size(), json["inputs"].size());
  // Six matrices of a layer and the output: 2 multiply-adds for each weight and token, and as much
  // again for each of the two gradients; attention and norms come on top.
  const double weights = 257 * 16 + 2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 32;
  EXPECT_GT(json["costs"]["flops"], 3 * 2 * 4 * weights * 0.9);
  EXPECT_EQ(run({"graph", "show", "--model", "classifier", "--json"}).json()["inputs"].size(), 3u);
  EXPECT_TRUE(
      fails(run({"graph", "show", "--model", "llama", "--tokens", "1000"}), 1, "--tokens 1000"));
  EXPECT_TRUE(fails(run({"graph", "show", "--model", "nothing"}), 1, "nothing"));
  EXPECT_TRUE(fails(run({"graph", "show"}), 2, "one of FILE"));
  EXPECT_TRUE(fails(run({"graph", "show", "step.graph", "--model", "llama"}), 2, "one of FILE"));
}

TEST_F(GraphTest, EveryPrimitiveIsListed) {
  const auto operations = run({"graph", "ops", "--json"}).json()["operations"];
  ASSERT_EQ(operations.size(), static_cast<size_t>(kOpCount));
  const Ran text = run({"graph", "ops"});
  for (const auto& op : operations) {
    SCOPED_TRACE(op["name"].get<std::string>());
    EXPECT_TRUE(parse_op(op["name"].get<std::string>()));
    EXPECT_NE(text.out.find("\n" + op["name"].get<std::string>() + " "), std::string::npos);
    EXPECT_FALSE(op["summary"].get<std::string>().empty());
    // Control flow and constants apart, every operation takes some element type.
    const std::string name = op["name"];
    const bool any = op["operands"] != 0 && name != "cond" && name != "loop" && name != "custom";
    EXPECT_EQ(op["dtypes"].empty(), !any);
  }
}

TEST_F(GraphTest, TraceOfARun) {
  const Ran ran = run({"trace", "t.json", "graph", "run", "step.graph", "--in", "x=x.npy",
                       "w=w.npy", "lr=lr.npy", "--repeat", "4", "--json"});
  EXPECT_EQ(ran.json()["outputs"].size(), 2u);  // stdout is the command's alone
  EXPECT_NE(ran.err.find("executions"), std::string::npos) << ran.err;
  const auto events = nlohmann::json::parse(read("t.json"))["traceEvents"];
  int matmuls = 0, executions = 0;
  double last = 0;
  for (const auto& event : events) {
    if (event["ph"] != "X") continue;
    EXPECT_GE(event["dur"], 0);
    if (event["cat"] == "execution") {
      ++executions;
      continue;
    }
    EXPECT_GE(event["ts"], last);  // one launch after the other
    last = event["ts"];
    if (event["name"] != "matmul") continue;
    ++matmuls;
    EXPECT_EQ(event["args"]["type"], "f32[4,8]");
    EXPECT_EQ(event["args"]["flops"], 128);
    EXPECT_EQ(event["args"]["bytes"], (8 + 16 + 32) * 4);
  }
  EXPECT_EQ(executions, 5);  // the first run warms up
  EXPECT_EQ(matmuls, 5);
  EXPECT_EQ(
      run({"trace", "q.json", "graph", "run", "step.graph", "--device", "null", "--quiet"}).err,
      "");
}

TEST_F(GraphTest, TraceGivesTheCommandsStatus) {
  EXPECT_TRUE(fails(run({"trace", "t.json", "graph", "run", "nothing.graph"}), 1, "nothing.graph"));
  EXPECT_TRUE(fails(run({"trace", "u.json", "graph", "rum"}), 2, "did you mean 'run'?"));
  EXPECT_EQ(read("u.json"), "");
  EXPECT_TRUE(fails(run({"trace", "t.json"}), 2, "COMMAND is required"));
  EXPECT_TRUE(fails(run({"trace"}), 2, "is required"));
  EXPECT_TRUE(fails(run({"trace", "a.json", "trace", "b.json", "graph", "ops"}), 2,
                    "does not trace itself"));
  EXPECT_TRUE(fails(run({"trace", "no/t.json", "graph", "ops"}), 1, "no/t.json"));
  EXPECT_TRUE(fails(run({"trace", "--quiet", "t.json", "graph", "ops"}), 2, "come last"));
}

TEST_F(GraphTest, Probe) {
  const Ran ran = run(
      {"probe", "--seconds", "0.1", "--json", "--quiet", "--svg", "roof.svg", "--threads", "2"});
  const auto json = ran.json();
  EXPECT_EQ(ran.err, "");
  EXPECT_FALSE(json["cpu"]["name"].get<std::string>().empty());
  EXPECT_GE(json["cpu"]["cores"], 1);
  for (const auto& f : json["cpu"]["flops"]) EXPECT_GT(f["flops_per_second"], 1e6) << f;
  for (const auto& b : json["memory"]["bandwidth"]) EXPECT_GT(b["bytes_per_second"], 1e6) << b;
  for (const auto& l : json["memory"]["latency"]) EXPECT_GT(l["seconds"], 0) << l;
  // scalar, baseline at least, by two types and one and two threads.
  EXPECT_GE(json["cpu"]["flops"].size(), 8u);
  EXPECT_GT(json["memory"]["bytes"], 1 << 20);
  EXPECT_EQ(json["gpus"], nlohmann::json::array());
  EXPECT_EQ(json["links"], nlohmann::json::array());
  EXPECT_TRUE(read("roof.svg").starts_with("<svg"));
  EXPECT_EQ(markup_problem(read("roof.svg")), "");
  EXPECT_NE(read("roof.svg").find("f32 from DRAM"), std::string::npos);
  EXPECT_TRUE(fails(run({"probe", "--seconds", "0"}), 2, "--seconds"));
  EXPECT_TRUE(fails(run({"probe", "--seconds", "x"}), 2, "--seconds takes a number"));
}

}  // namespace
}  // namespace cairn::test
