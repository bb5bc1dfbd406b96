// Programs (compiler/program.h) as LLVM functions for a CPU.
#pragma once

#include <llvm/IR/Module.h>

#include <string>

#include "cairn/compiler/llvm/cpu_lowering.h"
#include "cairn/compiler/program.h"

namespace cairn::compiler {

// Adds the program's function and those of its kernels, which are to be inlined, to the module.
void lower_program(const Program& program, const std::string& name, const CpuFeatures& features,
                   llvm::Module& module);

}  // namespace cairn::compiler
