// Kernels lowered for a GPU, run on this CPU: what checks the lowering where there is no GPU.
//
// The module is taken before NVIDIA's or AMD's code generator sees it. Its intrinsics become calls
// of functions here, the rest is compiled for x86. The threads of a block are contexts that take
// turns: each runs until it comes to a barrier or an exchange, and every other round they run in
// the opposite order, so a barrier that is missing is seen. A copy that is not waited for never
// comes. Products by matrix instructions are chains of fused multiply-adds here, in an order that
// no processor promises.
#pragma once

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/tile/ir.h"

namespace cairn::test {

// Runs programs as a compiled kernel does. Asserts that all threads meet at the same barriers.
CompiledKernel simulated_gpu_kernel(const tile::Kernel& kernel,
                                    GpuTarget target = GpuTarget::sm_80);

}  // namespace cairn::test
