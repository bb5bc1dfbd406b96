// In the place of compiler/llvm in a build without LLVM.
#include "cairn/base/error.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/program.h"

namespace cairn {

bool can_compile_kernels() { return false; }

std::string compile_kernel(const tile::Kernel&, CpuTarget, const KernelVersion&) {
  throw_error("this build of cairn has no compiler (LLVM 19); use --device ref");
}
std::string compile_program(const Program&, const std::string&, CpuTarget) {
  throw_error("this build of cairn has no compiler (LLVM 19); use --device ref");
}
CompiledKernel link_kernel(const std::string&, const std::string&) {
  throw_error("this build of cairn has no compiler (LLVM 19); use --device ref");
}

std::string compiler_identity(CpuTarget) { return {}; }

std::string kernel_text(const tile::Kernel&, CpuTarget, KernelStage, const KernelVersion&) {
  throw_error("this build of cairn has no compiler (LLVM 19)");
}

std::string_view name(GpuTarget) { return {}; }

GpuKernel compile_gpu_kernel(const tile::Kernel&, GpuTarget) {
  throw_error("this build of cairn has no compiler (LLVM 19)");
}

bool can_lower(Op, DType, DType) { return false; }

}  // namespace cairn
