// Kernels for GPUs, from tile IR to text.
#include <fmt/format.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

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

namespace {

// The first problem that a code generator reports. Without a handler LLVM would end the program.
void keep_problem(const llvm::DiagnosticInfo* info, void* text) {
  if (info->getSeverity() != llvm::DS_Error) return;
  auto& problem = *static_cast<std::string*>(text);
  if (!problem.empty()) return;
  llvm::raw_string_ostream out(problem);
  llvm::DiagnosticPrinterRawOStream printer(out);
  info->print(printer);
}

}  // namespace

GpuKernel compile_gpu_kernel(const tile::Kernel& kernel, GpuTarget target) {
  std::string failure;
  llvm::LLVMContext context;
  context.setDiagnosticHandlerCallBack(keep_problem, &failure);
  const std::unique_ptr<llvm::TargetMachine> machine = compiler::make_gpu_machine(target);
  llvm::Module module(kernel.name, context);
  module.setTargetTriple(machine->getTargetTriple().str());
  module.setDataLayout(machine->createDataLayout());
  GpuKernel result;
  result.threads = compiler::lower_for_gpu(kernel, target, module);
  for (llvm::Function& function : module)
    if (!function.isDeclaration()) function.addFnAttr("target-cpu", machine->getTargetCPU());
  std::string problem;
  llvm::raw_string_ostream out(problem);
  if (llvm::verifyModule(module, &out))
    throw InternalError(fmt::format("the lowering of kernel '{}' for {} made invalid code: {}",
                                    kernel.name, name(target), problem));
  compiler::optimize(module, *machine);
  result.text = compiler::emit(module, *machine, true);
  if (!failure.empty())
    throw_error(fmt::format("LLVM has no code of kernel '{}' for {}: {}", kernel.name, name(target),
                            failure));
  return result;
}

}  // namespace cairn
