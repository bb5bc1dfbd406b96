// cairn kernel: list, show, explain, run.
#include <map>
#include <sstream>

#include "cairn/compiler/kernel_compiler.h"
#include "tests/cli/program.h"
#include "tests/io/temporary_folder.h"

namespace cairn::test {
namespace {

std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(Kernel, ListNamesThoseOfTheContract) {
  const Ran ran = cairn({"kernel", "list", "--json"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  std::map<std::string, nlohmann::json> kernels;
  for (const nlohmann::json& line : lines_of(ran.out)) {
    EXPECT_FALSE(line["summary"].get<std::string>().empty());
    EXPECT_EQ(line["dtypes"][0], "f32");
    kernels[line["name"]] = line;
  }
  for (const char* name : {"add", "gelu", "softmax", "layer_norm", "cross_entropy", "adamw",
                           "matmul", "matmul_gelu", "attention"})
    EXPECT_TRUE(kernels.contains(name)) << name;
  const Ran table = cairn({"kernel", "list"});
  EXPECT_NE(table.out.find("matmul_gelu"), std::string::npos);
}

TEST(Kernel, ShowsItsText) {
  const Ran ran = cairn({"kernel", "show", "add", "--dtype", "i32"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_TRUE(ran.out.starts_with("kernel @add(%x: input i32, %y: input i32, %out: output i32"))
      << ran.out;
  const auto json = cairn({"kernel", "show", "softmax", "--stage", "tile", "--json"}).json();
  EXPECT_EQ(json["dtype"], "f32");
  EXPECT_TRUE(json["text"].get<std::string>().starts_with("kernel @softmax("));
}

TEST(Kernel, ShowsWhatItIsCompiledTo) {
  if (!can_compile_kernels()) GTEST_SKIP() << "built without LLVM";
  const Ran llvm = cairn({"kernel", "show", "add", "--stage", "llvm"});
  EXPECT_NE(llvm.out.find("define void @add("), std::string::npos) << llvm.err;
  const Ran wide = cairn({"kernel", "show", "gelu", "--stage", "asm", "--arch", "avx512"});
  EXPECT_NE(wide.out.find("zmm"), std::string::npos) << wide.err;
  const Ran narrow = cairn({"kernel", "show", "gelu", "--stage", "asm", "--arch", "avx2"});
  EXPECT_NE(narrow.out.find("ymm"), std::string::npos) << narrow.err;
  EXPECT_EQ(narrow.out.find("zmm"), std::string::npos);
  const Ran ptx = cairn({"kernel", "show", "add", "--stage", "ptx", "--arch", "sm_90"});
  EXPECT_NE(ptx.out.find(".target sm_90"), std::string::npos) << ptx.err;
  const auto amd = cairn({"kernel", "show", "add", "--stage", "amdgcn", "--json"}).json();
  EXPECT_EQ(amd["arch"], "gfx942");
  EXPECT_NE(amd["text"].get<std::string>().find("s_endpgm"), std::string::npos);
  const auto product =
      cairn({"kernel", "show", "attention", "--dtype", "f32", "--stage", "ptx", "--json"}).json();
  EXPECT_EQ(product["threads"], 128);
  EXPECT_GT(product["shared_bytes"], 48 * 1024);
}

TEST(Kernel, Explains) {
  const auto json = cairn({"kernel", "explain", "adamw", "--arch", "avx2", "--json"}).json();
  EXPECT_EQ(json["parameters"][0]["name"], "parameter");
  EXPECT_EQ(json["parameters"][0]["kind"], "inout");
  EXPECT_EQ(json["accesses"].size(), 7u);  // four loads, three stores
  for (const auto& access : json["accesses"]) EXPECT_EQ(access["neighbours"], "contiguous");
  EXPECT_EQ(json["work"][0]["loaded"], 4 * 1024);
  EXPECT_EQ(json["work"][0]["stored"], 3 * 1024);
  EXPECT_EQ(json["arch"], "avx2");
  if (can_compile_kernels()) {
    EXPECT_EQ(json["compiled"]["vector_bits"], 256);
    EXPECT_GT(json["compiled"]["instructions"], json["compiled"]["vector_instructions"]);
    EXPECT_GE(json["compiled"]["divisions"], 1);
    EXPECT_EQ(json["compiled"]["gathers"], 0);
  }
  const Ran text = cairn({"kernel", "explain", "gelu"});
  EXPECT_NE(text.out.find("with functions written out"), std::string::npos) << text.err;
  EXPECT_NE(text.out.find("contiguous"), std::string::npos);
  // exp and the like become instructions.
  const auto gelu = cairn({"kernel", "explain", "gelu", "--json"}).json();
  EXPECT_GT(gelu["instructions_with_functions"], gelu["instructions"].get<int>() + 30);
  EXPECT_EQ(gelu["work"][0]["functions"], 1024);
}

TEST(Kernel, RunsInTheInterpreter) {
  for (const nlohmann::json& kernel : lines_of(cairn({"kernel", "list", "--json"}).out)) {
    const auto json =
        cairn({"kernel", "run", kernel["name"], "--device", "interpreter", "--json", "--seed", "5"})
            .json();
    EXPECT_EQ(json["device"], "interpreter");
    EXPECT_EQ(json["correct"], true) << json;
    EXPECT_LE(json["max_error"], 0.1);
    EXPECT_GT(json["seconds"], 0);
    EXPECT_GT(json["gbytes_per_s"], 0);
    EXPECT_EQ(json.contains("gflops"), json["name"] == "matmul" || json["name"] == "matmul_gelu" ||
                                           json["name"] == "attention");
  }
  const Ran text = cairn({"kernel", "run", "softmax", "--device", "interpreter", "--dtype", "bf16",
                          "--shape", "3x100", "--repeat", "2"});
  EXPECT_NE(text.out.find("softmax bf16 3x100 on the interpreter"), std::string::npos) << text.err;
}

TEST(Kernel, RunsCompiled) {
  if (!can_compile_kernels()) GTEST_SKIP() << "built without LLVM";
  const std::map<std::string, std::string> shapes = {{"", "3x1001"},
                                                     {"ROWSxCOLUMNS", "5x1001"},
                                                     {"MxKxN", "65x33x70"},
                                                     {"HEADSxTOKENSxWIDTH", "2x70x20"}};
  for (const nlohmann::json& kernel : lines_of(cairn({"kernel", "list", "--json"}).out))
    for (const std::string dtype : {"f32", "bf16"}) {
      const auto json =
          cairn({"kernel", "run", kernel["name"], "--shape", shapes.at(kernel["axes"]), "--dtype",
                 dtype, "--repeat", "3", "--json"})
              .json();
      EXPECT_EQ(json["device"], "cpu");
      EXPECT_EQ(json["correct"], true) << json;
      EXPECT_GT(json["compile_seconds"], 0);
    }
}

TEST(Kernel, Tunes) {
  if (!can_compile_kernels()) GTEST_SKIP() << "built without LLVM";
  const io::TemporaryFolder folder;
  const RunOptions here{.environment = {"CAIRN_CACHE=" + (folder / "cache")}};
  const std::vector<std::string> tune = {"kernel",    "tune", "gelu",      "--shape", "70x100",
                                         "--seconds", "0.01", "--threads", "2"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), tune.begin(), tune.end());
    return more;
  };
  const auto json = cairn(with({"--json"}), here).json();
  EXPECT_EQ(json["candidates"][0]["name"], "1024");
  EXPECT_GE(json["candidates"].size(), 8u);
  EXPECT_GE(json["speedup"], 1.0);
  for (const auto& candidate : json["candidates"]) {
    EXPECT_TRUE(candidate.contains("dropped") || candidate["seconds"] > 0) << candidate;
    EXPECT_EQ(candidate["known"], false);
  }
  // Times are kept: the same is found again, and nothing measured.
  const auto later = cairn(with({"--json"}), here).json();
  EXPECT_EQ(later["best"], json["best"]);
  for (const auto& candidate : later["candidates"]) EXPECT_EQ(candidate["runs"], 0);
  const Ran text = cairn(with({"--again"}), here);
  EXPECT_NE(text.out.find("of the usual time"), std::string::npos) << text.err;
  EXPECT_NE(text.out.find("median of"), std::string::npos);
  const auto run = cairn({"kernel", "run", "gelu", "--shape", "70x100", "--json"}, here).json();
  EXPECT_EQ(run["correct"], true);
}

TEST(Kernel, RunsOnCuda) {
  if (!can_compile_kernels()) GTEST_SKIP() << "built without LLVM";
  // A driver that knows how to add.
  const RunOptions fake{.environment = {"LD_LIBRARY_PATH=" CAIRN_FAKE_CUDA_FOLDER}};
  const std::vector<std::string> add = {"kernel",  "run",    "add",      "--device", "cuda",
                                        "--shape", "33x257", "--repeat", "2"};
  std::vector<std::string> with_json = add;
  with_json.emplace_back("--json");
  const auto json = cairn(with_json, fake).json();
  EXPECT_EQ(json["gpu"], "Fake GPU");
  EXPECT_EQ(json["correct"], true);
  EXPECT_EQ(json["seconds"].get<double>(), 0.5e-3);
  EXPECT_EQ(json["interpreter"]["different"], 0);
  EXPECT_EQ(json["interpreter"]["elements"], 33 * 257);
  EXPECT_GT(json["percent_of_copy"], 0);
  EXPECT_EQ(json["peers"]["cublas"], nullptr);
  const Ran text = cairn(add, fake);
  EXPECT_NE(text.out.find("add f32 33x257 on Fake GPU: 0.5 ms"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("that a copy in its memory reaches"), std::string::npos) << text.out;
  // A GPU that computes nothing.
  RunOptions idle = fake;
  idle.environment.emplace_back("FAKE_CUDA_IDLE=1");
  EXPECT_TRUE(fails(cairn(add, idle), 1, "is wrong"));
  RunOptions failing = fake;
  failing.environment.emplace_back("FAKE_CUDA_FAIL=cuLaunchKernel");
  EXPECT_TRUE(fails(cairn(add, failing), 1, "cuLaunchKernel gave CUDA_ERROR_FAKE"));
  RunOptions none = fake;
  none.environment.emplace_back("FAKE_CUDA_GPUS=0");
  EXPECT_TRUE(fails(cairn(add, none), 1, "the driver finds no GPU"));
}

TEST(Kernel, MistakesAreTold) {
  EXPECT_TRUE(fails(cairn({"kernel", "show", "sofmax"}), 1, "did you mean 'softmax'"));
  EXPECT_TRUE(fails(cairn({"kernel", "show", "add", "--stage", "assm"}), 2, "did you mean 'asm'"));
  EXPECT_TRUE(fails(cairn({"kernel", "show", "add", "--dtype", "f23"}), 2, "--dtype 'f23'"));
  EXPECT_TRUE(fails(cairn({"kernel", "show", "softmax", "--dtype", "i32"}), 1, "has no i32 form"));
  EXPECT_TRUE(fails(cairn({"kernel", "run", "add", "--shape", "4x"}), 2, "--shape takes sizes"));
  EXPECT_TRUE(fails(cairn({"kernel", "run", "add", "--shape", "0"}), 2, "--shape takes sizes"));
  EXPECT_TRUE(fails(cairn({"kernel", "run", "softmax", "--shape", "4"}), 1, "ROWSxCOLUMNS"));
  EXPECT_TRUE(
      fails(cairn({"kernel", "run", "add", "--device", "ref"}), 2, "cpu, interpreter, cuda"));
  EXPECT_TRUE(fails(cairn({"kernel", "show", "add", "--stage", "asm", "--arch", "avx51"}), 2,
                    "did you mean 'avx512'"));
  EXPECT_TRUE(fails(cairn({"kernel", "show", "add", "--stage", "asm", "--arch", "sm_80"}), 2,
                    "--stage asm is not for --arch 'sm_80'"));
  EXPECT_TRUE(fails(cairn({"kernel", "show", "add", "--arch", "sm_8"}), 2, "did you mean 'sm_80'"));
  EXPECT_TRUE(fails(cairn({"kernel", "tune", "ad"}), 1, "did you mean 'add'"));
  EXPECT_TRUE(
      fails(cairn({"kernel", "tune", "add", "--seconds", "0"}), 2, "a number above 0, not 0"));
  EXPECT_TRUE(fails(cairn({"kernel"}), 2, "needs a command"));
}

}  // namespace
}  // namespace cairn::test
