// Kernels for GPUs, from tile IR to text.
#include <fmt/format.h>
#include <llvm/IR/LLVMContext.h>

#include "cairn/base/error.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/llvm/gpu_lowering.h"
#include "cairn/compiler/llvm/machine.h"

namespace cairn {

std::string_view name(GpuTarget target) {
  switch (target) {
    case GpuTarget::sm_80: return "sm_80";
    case GpuTarget::sm_90: return "sm_90";
    case GpuTarget::gfx942: return "gfx942";
  }
  return {};
}

GpuKernel compile_gpu_kernel(const tile::Kernel& kernel, GpuTarget target) {
  llvm::LLVMContext context;
  const std::unique_ptr<llvm::TargetMachine> machine = compiler::make_gpu_machine(target);
  llvm::Module module(kernel.name, context);
  module.setTargetTriple(machine->getTargetTriple().str());
  module.setDataLayout(machine->createDataLayout());
  GpuKernel result;
  const compiler::GpuLaunch launch = compiler::lower_for_gpu(kernel, target, module);
  result.threads = launch.threads;
  result.shared_bytes = launch.shared_bytes;
  for (llvm::Function& function : module)
    if (!function.isDeclaration()) function.addFnAttr("target-cpu", machine->getTargetCPU());
  compiler::verify(module);
  compiler::optimize(module, *machine);
  result.text = compiler::emit(module, *machine, true);
  return result;
}

}  // namespace cairn
