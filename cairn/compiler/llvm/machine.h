// From an LLVM module to machine code: the target and the passes.
#pragma once

#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include <memory>
#include <string>

#include "cairn/base/cpu_features.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/llvm/cpu_lowering.h"

namespace cairn::compiler {

// Code for processors of that level, scheduled for this one.
std::unique_ptr<llvm::TargetMachine> make_cpu_machine(CpuTarget target);

// PTX, or code for one of AMD's processors.
std::unique_ptr<llvm::TargetMachine> make_gpu_machine(GpuTarget target);

// What kernels for that level may use: of AVX-512 also what this processor has beside it.
CpuFeatures cpu_features(CpuTarget target);

// The seven passes, six on a CPU, that cost 1-6 ms a kernel and give the speed of -O3
// (docs/adr/0005-tile-compiler.md).
void optimize(llvm::Module& module, llvm::TargetMachine& machine);

// Throws InternalError naming the kernel when a lowering made invalid code.
void verify(const llvm::Module& module);

// An attribute of functions whose instructions are best left in the order in which they are
// written.
inline constexpr char kInOrder[] = "cairn-in-order";

// An object file, or assembly text. Throws Error naming the kernel when the target has no code for
// it.
std::string emit(llvm::Module& module, llvm::TargetMachine& machine, bool assembly);

}  // namespace cairn::compiler
