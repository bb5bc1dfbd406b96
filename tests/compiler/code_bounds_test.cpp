// How much code the named kernels are: upper bounds, so that a change that makes it more is seen.
// Counts are of instructions in the text, measured with LLVM 19 and rounded up by a twentieth;
// another LLVM has other ones.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "cairn/compiler/assembly_count.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/tile/kernels.h"
#include "cairn/tile/passes.h"

namespace cairn {
namespace {

struct Bound {
  const char* kernel;
  DType dtype;
  CpuTarget target;
  int instructions, vector_spills;
};

constexpr Bound kBounds[] = {
    {"add", DType::f32, CpuTarget::avx2, 74, 0},
    {"add", DType::f32, CpuTarget::avx512, 73, 0},
    {"add", DType::bf16, CpuTarget::avx2, 238, 0},
    {"add", DType::bf16, CpuTarget::avx512, 99, 0},
    {"gelu", DType::f32, CpuTarget::avx2, 285, 12},
    {"gelu", DType::f32, CpuTarget::avx512, 351, 0},
    {"gelu", DType::bf16, CpuTarget::avx2, 384, 3},
    {"gelu", DType::bf16, CpuTarget::avx512, 366, 0},
    {"gelu_tanh", DType::f32, CpuTarget::avx2, 178, 0},
    {"gelu_tanh", DType::f32, CpuTarget::avx512, 156, 0},
    {"gelu_tanh", DType::bf16, CpuTarget::avx2, 288, 0},
    {"gelu_tanh", DType::bf16, CpuTarget::avx512, 178, 0},
    {"silu", DType::f32, CpuTarget::avx2, 167, 0},
    {"silu", DType::f32, CpuTarget::avx512, 146, 0},
    {"silu", DType::bf16, CpuTarget::avx2, 283, 0},
    {"silu", DType::bf16, CpuTarget::avx512, 168, 0},
    {"adamw", DType::f32, CpuTarget::avx2, 226, 15},
    {"adamw", DType::f32, CpuTarget::avx512, 186, 0},
    {"adamw", DType::bf16, CpuTarget::avx2, 380, 10},
    {"adamw", DType::bf16, CpuTarget::avx512, 213, 0},
    {"transpose", DType::f32, CpuTarget::avx2, 286, 0},
    {"transpose", DType::f32, CpuTarget::avx512, 171, 0},
    {"transpose", DType::bf16, CpuTarget::avx2, 315, 0},
    {"transpose", DType::bf16, CpuTarget::avx512, 406, 0},
    {"softmax", DType::f32, CpuTarget::avx2, 1158, 150},
    {"softmax", DType::f32, CpuTarget::avx512, 537, 9},
    {"softmax", DType::bf16, CpuTarget::avx2, 1913, 191},
    {"softmax", DType::bf16, CpuTarget::avx512, 575, 9},
    {"layer_norm", DType::f32, CpuTarget::avx2, 859, 156},
    {"layer_norm", DType::f32, CpuTarget::avx512, 414, 0},
    {"layer_norm", DType::bf16, CpuTarget::avx2, 1774, 191},
    {"layer_norm", DType::bf16, CpuTarget::avx512, 468, 9},
    {"rms_norm", DType::f32, CpuTarget::avx2, 451, 50},
    {"rms_norm", DType::f32, CpuTarget::avx512, 258, 0},
    {"rms_norm", DType::bf16, CpuTarget::avx2, 963, 76},
    {"rms_norm", DType::bf16, CpuTarget::avx512, 292, 0},
    {"cross_entropy", DType::f32, CpuTarget::avx2, 1056, 147},
    {"cross_entropy", DType::f32, CpuTarget::avx512, 480, 9},
    {"cross_entropy", DType::bf16, CpuTarget::avx2, 1710, 161},
    {"cross_entropy", DType::bf16, CpuTarget::avx512, 499, 9},
    {"matmul", DType::f32, CpuTarget::avx2, 689, 9},
    {"matmul", DType::f32, CpuTarget::avx512, 727, 3},
    {"matmul", DType::bf16, CpuTarget::avx2, 1659, 41},
    {"matmul", DType::bf16, CpuTarget::avx512, 1053, 3},
    {"matmul_gelu", DType::f32, CpuTarget::avx2, 832, 11},
    {"matmul_gelu", DType::f32, CpuTarget::avx512, 828, 3},
    {"matmul_gelu", DType::bf16, CpuTarget::avx2, 1815, 45},
    {"matmul_gelu", DType::bf16, CpuTarget::avx512, 1179, 3},
    {"attention", DType::f32, CpuTarget::avx2, 1431, 66},
    {"attention", DType::f32, CpuTarget::avx512, 1316, 38},
    {"attention", DType::bf16, CpuTarget::avx2, 2561, 141},
    {"attention", DType::bf16, CpuTarget::avx512, 2573, 15},
};

const Bound* bound_of(std::string_view kernel, DType dtype, CpuTarget target) {
  for (const Bound& bound : kBounds)
    if (bound.kernel == kernel && bound.dtype == dtype && bound.target == target) return &bound;
  return nullptr;
}

TEST(CodeBounds, NamedKernels) {
  if (!can_compile_kernels()) GTEST_SKIP() << "this build has no LLVM";
  // The order of instructions, and with it spills, follows the processor at hand.
  const std::string compiler = compiler_identity(CpuTarget::avx512);
  if (compiler.find("LLVM 19.") == std::string::npos || !compiler.ends_with("znver4"))
    GTEST_SKIP() << "the bounds are of LLVM 19 on Zen 4, not of " << compiler;
  for (const tile::NamedKernel& kernel : tile::named_kernels())
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const CpuTarget target : {CpuTarget::avx2, CpuTarget::avx512}) {
        const tile::Kernel expanded = tile::run_passes(kernel.make(dtype, kernel.shape));
        const AssemblyCount count =
            count_assembly(kernel_text(expanded, target, KernelStage::assembly));
        const std::string row =
            fmt::format("{{\"{}\", DType::{}, CpuTarget::{}, {}, {}}},", kernel.name, name(dtype),
                        name(target), count.instructions, count.vector_spills);
        const Bound* bound = bound_of(kernel.name, dtype, target);
        EXPECT_TRUE(bound) << "no bound of " << row;
        if (!bound) continue;
        EXPECT_LE(count.instructions, bound->instructions) << row;
        EXPECT_LE(count.vector_spills, bound->vector_spills) << row;
        EXPECT_EQ(count.calls, 0) << row;
      }
}

}  // namespace
}  // namespace cairn
