#include "cairn/compiler/kernel_compiler.h"

#include <fmt/format.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Host.h>

#include "cairn/base/error.h"
#include "cairn/compiler/llvm/cpu_lowering.h"
#include "cairn/compiler/llvm/cpu_program.h"
#include "cairn/compiler/llvm/machine.h"

namespace cairn {

namespace compiler {
extern const char kKernelBuild[];  // a hash of the compiler's sources, made by the build
}

namespace {

// Kept: LLVM asks the processor each time, which a virtual machine answers slowly.
llvm::StringRef host_processor() {
  static const llvm::StringRef name = llvm::sys::getHostCPUName();
  return name;
}

struct Lowered {
  llvm::LLVMContext context;  // outlives the module
  std::unique_ptr<llvm::TargetMachine> machine;
  std::unique_ptr<llvm::Module> module;

  // `lower(features, module)` writes the module.
  template <class Lower>
  Lowered(const std::string& name, CpuTarget target, const Lower& lower)
      : machine(compiler::make_cpu_machine(target)),
        module(std::make_unique<llvm::Module>(name, context)) {
    module->setTargetTriple(machine->getTargetTriple().str());
    module->setDataLayout(machine->createDataLayout());
    const compiler::CpuFeatures features = compiler::cpu_features(target);
    lower(features, *module);
    for (llvm::Function& function : *module) {
      function.addFnAttr(llvm::Attribute::NoUnwind);
      function.addFnAttr("target-cpu", machine->getTargetCPU());
      function.addFnAttr("tune-cpu", host_processor());
      // Every processor with AVX2 knows prefetchw, or takes it for nothing.
      std::string extras = "+prfchw";
      if (features.has_bf16) extras += ",+avx512bf16";
      if (features.has_vnni) extras += ",+avx512vnni";
      function.addFnAttr("target-features", extras);
      if (target == CpuTarget::avx512) {
        function.addFnAttr("prefer-vector-width", "512");
        function.addFnAttr("min-legal-vector-width", "512");
      }
    }
    compiler::verify(*module);
  }
  Lowered(const tile::Kernel& kernel, CpuTarget target, const KernelVersion& version)
      : Lowered(kernel.name, target, [&](const auto& features, llvm::Module& into) {
          compiler::lower_for_cpu(kernel, features, version, into);
        }) {}
};

}  // namespace

bool can_compile_kernels() { return true; }

std::string compile_kernel(const tile::Kernel& kernel, CpuTarget target,
                           const KernelVersion& version) {
  Lowered lowered(kernel, target, version);
  compiler::optimize(*lowered.module, *lowered.machine);
  return compiler::emit(*lowered.module, *lowered.machine, false);
}

std::string compile_program(const Program& program, const std::string& name, CpuTarget target) {
  Lowered lowered(name, target, [&](const auto& features, llvm::Module& into) {
    compiler::lower_program(program, name, features, into);
  });
  compiler::optimize(*lowered.module, *lowered.machine);
  return compiler::emit(*lowered.module, *lowered.machine, false);
}

std::string compiler_identity(CpuTarget target) {
  return fmt::format("{} LLVM {} {} {}", compiler::kKernelBuild, LLVM_VERSION_STRING, name(target),
                     std::string_view(host_processor()));
}

std::string kernel_text(const tile::Kernel& kernel, CpuTarget target, KernelStage stage,
                        const KernelVersion& version) {
  Lowered lowered(kernel, target, version);
  if (stage != KernelStage::llvm) compiler::optimize(*lowered.module, *lowered.machine);
  // Comments tell which moves to and from the stack are spills (compiler/assembly_count.h).
  lowered.machine->Options.MCOptions.AsmVerbose = true;
  if (stage == KernelStage::assembly)
    return compiler::emit(*lowered.module, *lowered.machine, true);
  std::string text;
  llvm::raw_string_ostream out(text);
  lowered.module->print(out, nullptr);
  return text;
}

}  // namespace cairn
