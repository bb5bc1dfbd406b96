// The kernels of all operation cases and of their gradients as code for GPUs, which the assemblers
// of NVIDIA and AMD take. A sample of them; all, of which there are thousands,
// with CAIRN_TEST_LONG=1 (./test --long).
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/base/error.h"
#include "cairn/compiler/fuse.h"
#include "cairn/compiler/group_kernel.h"
#include "cairn/compiler/prepare.h"
#include "cairn/tile/passes.h"
#include "cairn/tile/print.h"
#include "cairn/transforms/vjp.h"
#include "tests/ops/op_cases.h"
#include "tests/support/assemble.h"

namespace cairn::test {
namespace {

bool is_long() {
  const char* wanted = std::getenv("CAIRN_TEST_LONG");
  return wanted && std::string_view(wanted) == "1";
}

// Each kernel once, by its text.
using Kernels = std::map<std::string, tile::Kernel>;

void add_kernels(const Graph& graph, Kernels& kernels) {
  const Graph prepared = prepare(graph);
  std::vector<std::pair<Tensor, Tensor>> none;
  Schedule schedule = make_schedule(prepared, none);
  fuse(prepared, none, schedule);
  for (const LaunchGroup& launch : schedule.launches) {
    if (!launch.is_fused()) continue;
    tile::Kernel kernel = make_group_kernel(launch).kernel;
    kernels.try_emplace(tile::to_text(kernel), std::move(kernel));
  }
}

Kernels kernels_of_all_cases() {
  Kernels kernels;
  for (const Case& c : all_cases())
    for (const DType dtype : c.dtypes) {
      std::vector<TensorType> types;
      for (const Tensor& t : c.leaves(dtype)) types.push_back(t.type());
      const Graph graph = trace(c.call, types);
      add_kernels(graph, kernels);
      if (c.orders > 0 && dtype == DType::f32) add_kernels(vjp(graph), kernels);
    }
  return kernels;
}

TEST(GpuCode, OfAllCases) {
  if (!can_compile_kernels()) GTEST_SKIP() << "needs LLVM";
  std::vector<GpuTarget> targets;
  for (const GpuTarget target : {GpuTarget::sm_80, GpuTarget::sm_90, GpuTarget::gfx942})
    if (can_assemble(target)) targets.push_back(target);
  if (targets.empty()) GTEST_SKIP() << "neither ptxas nor llvm-mc-19 on PATH";
  const Kernels kernels = kernels_of_all_cases();
  EXPECT_GT(kernels.size(), 2000u);
  std::map<std::string, int> refusals;
  int taken = 0, spilling = 0, number = 0;
  for (const auto& [text, kernel] : kernels) {
    if (number++ % 50 != 0 && !is_long()) continue;
    SCOPED_TRACE(text.substr(0, text.find(" {\n")));
    for (const GpuTarget target : targets) {
      GpuKernel compiled;
      try {
        compiled = compile_gpu_kernel(tile::run_passes(kernel), target);
      } catch (const Error& e) {
        ++refusals[e.what()];
        continue;
      }
      const std::string report = assembled(compiled.text, target);
      spilling += target != GpuTarget::gfx942 && report.find(kNoSpills) == report.npos;
      ++taken;
    }
  }
  for (const auto& [why, count] : refusals) std::printf("%d: %s\n", count, why.c_str());
  EXPECT_GT(taken, 20);
  // ptxas 13 gives two kernels of norms for sm_80 48 registers, and spills 20 bytes.
  EXPECT_LE(spilling, taken / 200);
}

}  // namespace
}  // namespace cairn::test
