// cairn bench ops, on small cases. Peers are played by a shell script: the real ones may be absent.
#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "tests/cli/program.h"
#include "tests/plot/markup_check.h"

namespace cairn::test {
namespace {

class BenchTest : public CliTest {
 protected:
  // `cairn bench ops` with a Python that is this shell script.
  Ran with_python(const std::string& script, const std::vector<std::string>& more) const {
    write("python", "#!/bin/sh\n" + script);
    std::filesystem::permissions(path("python"), std::filesystem::perms::owner_all);
    std::vector<std::string> arguments = {"bench",     "ops", "--filter", "add f32 64x4096",
                                          "--threads", "1",   "--repeat", "2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return cairn(arguments,
                 {.folder = path(""), .environment = {"CAIRN_PEER_PYTHON=" + path("python")}});
  }
};

std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST_F(BenchTest, LinesHaveTheFieldsOfTheContract) {
  const Ran ran = run({"bench", "ops", "--filter", "^(add|matmul) f32 64x(4096|64x64)$", "--peers",
                       "none", "--threads", "1", "--repeat", "2", "--json"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  const auto lines = lines_of(ran.out);
  ASSERT_EQ(lines.size(), 2u) << ran.out;
  for (const auto& line : lines) {
    EXPECT_EQ(line["dtype"], "f32");
    EXPECT_EQ(line["threads"], 1);
    EXPECT_GT(line["seconds"], 0);
    EXPECT_EQ(line["peers"], nlohmann::json::object());
    EXPECT_TRUE(line["ratio"].is_null());
    EXPECT_GT(line["percent_of_limit"], 0);
    EXPECT_FALSE(line["limit"].get<std::string>().empty());
  }
  const double seconds = lines[0]["seconds"];
  EXPECT_EQ(lines[0]["op"], "matmul");
  EXPECT_EQ(lines[0]["shape"], "64x64x64");
  EXPECT_FALSE(lines[0].contains("gbytes_per_s"));
  EXPECT_NEAR(lines[0]["gflops"].get<double>() * seconds, 2e-9 * 64 * 64 * 64, 1e-12);
  EXPECT_EQ(lines[1]["op"], "add");
  EXPECT_FALSE(lines[1].contains("gflops"));
  // Two operands and a result.
  EXPECT_EQ(lines[1]["bytes"], 3 * 4 * 64 * 4096);
}

TEST_F(BenchTest, OneThreadAndAllUnlessToldOtherwise) {
  const Ran ran = cairn(
      {"bench", "ops", "--filter", "add f32 64x", "--peers", "none", "--repeat", "1", "--json"},
      {.folder = path(""), .environment = {"CAIRN_THREADS=2"}});
  const auto lines = lines_of(ran.out);
  ASSERT_EQ(lines.size(), 2u) << ran.err;
  EXPECT_EQ(lines[0]["threads"], 1);
  EXPECT_EQ(lines[1]["threads"], 2);
}

// Each operation once: what the table says can be built and run.
TEST_F(BenchTest, EveryOperationRuns) {
  const std::string filter =
      R"(matmul.* f32 (64x64|256|512x768)|matmul_.*_loop|f32 64x4096)"
      R"(|transpose f32 512|adamw|attention.* f32 12x512|conv2d.* f32 8x256)";
  const Ran ran = run({"bench", "ops", "--filter", filter, "--peers", "none", "--threads", "1",
                       "--repeat", "1", "--json"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  std::set<std::string> ops;
  for (const auto& line : lines_of(ran.out)) {
    ops.insert(line["op"]);
    // Of the loops a part was measured.
    EXPECT_EQ(line.contains("measured_rows"), line["op"].get<std::string>().ends_with("_loop"));
  }
  EXPECT_EQ(ops, (std::set<std::string>{"matmul", "matmul_nt", "matmul_tn", "matmul_bias_gelu",
                                        "matmul_naive_loop", "matmul_row_loop", "attention",
                                        "attention_grad", "conv2d", "conv2d_grad", "add", "exp",
                                        "gelu", "silu", "softmax", "layer_norm", "cross_entropy",
                                        "transpose", "adamw"}));
}

TEST_F(BenchTest, PeersTakeTurnsAndMayBeAbsent) {
  const Ran ran = with_python(
      "case $1 in\n"
      "  *torch*) echo '{\"version\":\"torch 9\"}'; while read x; do echo \"$x\" >> asked\n"
      "    echo '{\"seconds\":0.5}'; done;;\n"
      "  *) echo '{\"absent\":\"there is no JAX here\"}';;\n"
      "esac\n",
      {"--peers", "torch,jax", "--json"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  const auto line = lines_of(ran.out).at(0);
  EXPECT_EQ(line["peers"], nlohmann::json({{"torch", 0.5}, {"jax", nullptr}}));
  EXPECT_NEAR(line["ratio"].get<double>(), 0.5 / line["seconds"].get<double>(), 1e-9);
  EXPECT_NE(ran.err.find("torch: torch 9"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("jax: not here: there is no JAX here"), std::string::npos) << ran.err;
  // To get ready, and two turns.
  const auto asked = lines_of(read("asked"));
  ASSERT_EQ(asked.size(), 3u);
  EXPECT_EQ(
      asked[0],
      nlohmann::json({{"op", "add"}, {"dtype", "f32"}, {"sizes", {64, 4096}}, {"seconds", 0.0}}));
  EXPECT_GT(asked[1]["seconds"], 0);
}

TEST_F(BenchTest, APeerThatFailsIsNull) {
  for (const char* script : {
           "echo '{\"version\":\"v\"}'; read x; echo '{\"cannot\":\"too large\"}'; read x",
           "echo '{\"version\":\"v\"}'",
           "echo '{\"version\":\"v\"}'; read x; echo Traceback; read x",
           "exit 1",
       }) {
    SCOPED_TRACE(script);
    const Ran ran = with_python(script, {"--peers", "torch", "--json"});
    EXPECT_EQ(ran.status, 0) << ran.err;
    EXPECT_TRUE(lines_of(ran.out).at(0)["peers"]["torch"].is_null());
  }
  const Ran none = cairn({"bench", "ops", "--filter", "add f32 64x", "--threads", "1", "--repeat",
                          "1", "--peers", "torch"},
                         {.folder = path(""), .environment = {"CAIRN_PEER_PYTHON=no/python"}});
  EXPECT_EQ(none.status, 0) << none.err;
  EXPECT_NE(none.out.find("torch: not here: cannot run 'no/python'"), std::string::npos)
      << none.out;
}

// Here or not, the libraries are opened; where they are, their product was compared with ours.
TEST_F(BenchTest, Libraries) {
  const auto lines =
      lines_of(run({"bench", "ops", "--filter", "matmul.* f32 (64x64|256)", "--peers",
                    "openblas,onednn", "--threads", "2", "--repeat", "1", "--json"})
                   .out);
  ASSERT_EQ(lines.size(), 4u);  // two of matmul, and both transposed
  for (const char* peer : {"openblas", "onednn"}) {
    const bool here = lines[0]["peers"][peer].is_number();
    for (const auto& line : lines) EXPECT_EQ(line["peers"][peer].is_number(), here) << line;
  }
}

TEST_F(BenchTest, TableAndReport) {
  const Ran ran = with_python(
      "echo '{\"version\":\"torch 9\"}'; while read x; do\n"
      "echo '{\"seconds\":0.5}'; done",
      {"--peers", "torch", "--html", "bench.html"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  for (const char* text : {"operation", "64x4096", "GB/s", "of limit", "Geometric means",
                           "elements and rows", "torch: torch 9"})
    EXPECT_NE(ran.out.find(text), std::string::npos) << text << "\n" << ran.out;
  const std::string page = read("bench.html");
  EXPECT_EQ(markup_problem(page), "");
  for (const char* text : {"<svg", "Roofline, 1 thread", "f32 from DRAM",
                           "<title>add f32 64x4096 (", "Geometric means", "torch 9"})
    EXPECT_NE(page.find(text), std::string::npos) << text;
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find("src=\"http"), std::string::npos);
}

// The second case takes two seconds, in which Ctrl-C comes.
TEST_F(BenchTest, InterruptedItKeepsWhatItHas) {
  const Ran ran = cairn({"bench", "ops", "--filter", "(add|softmax) f32 64x", "--peers", "none",
                         "--threads", "1", "--repeat", "40", "--json", "--html", "bench.html"},
                        {.folder = path(""), .interrupt_on = "\"op\":\"add\""});
  EXPECT_EQ(ran.status, 130);
  EXPECT_EQ(lines_of(ran.out).size(), 1u) << ran.out;
  EXPECT_NE(read("bench.html").find("add f32 64x4096"), std::string::npos);
  EXPECT_EQ(read("bench.html").find("softmax f32 64x4096"), std::string::npos);
}

TEST_F(BenchTest, MistakesAreTold) {
  EXPECT_TRUE(fails(run({"bench", "ops", "--filter", "sofmax"}), 2, "did you mean 'softmax'"));
  EXPECT_TRUE(fails(run({"bench", "ops", "--filter", "("}), 2, "no regular expression"));
  EXPECT_TRUE(fails(run({"bench", "ops", "--peers", "torhc"}), 2, "did you mean 'torch'"));
  EXPECT_TRUE(fails(run({"bench", "ops", "--repeat", "0"}), 2, "--repeat takes a number of at"));
  EXPECT_TRUE(fails(run({"bench", "ops", "--precision", "bf16"}), 2, "--filter bf16"));
  EXPECT_TRUE(fails(run({"bench"}), 2, "needs a command"));
}

}  // namespace
}  // namespace cairn::test
