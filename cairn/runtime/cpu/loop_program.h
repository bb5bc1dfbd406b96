// Loops as programs (compiler/program.h): which are small enough, and what they consist of.
#pragma once

#include <string>
#include <vector>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/program.h"
#include "cairn/runtime/plan.h"

namespace cairn {

struct LoopProgram {
  std::string problem;  // why the loop is none; else empty
  Program program;
  std::vector<KernelSlot> constants;
  int launches = 0;  // of the body and all in it
};

// `run_kernel`: the function of launches that are compiled kernels, whose data is a CpuLaunch.
LoopProgram make_loop_program(const Launch& loop, LaunchFunction run_kernel);

}  // namespace cairn
