// A tile kernel as an LLVM function for a CPU.
//
// A tile is never held whole: values are definitions until something needs their elements. A
// *region* is such a need (a run of stores): loops over the axes of its tile, the innermost in
// packs of as many lanes as a register has, in which every value is computed at the pack's
// coordinates. So a chain of a hundred elementwise instructions is one loop, and a tile of any size
// costs no registers.
//
// A value at coordinates is *uniform* (one number for all lanes), *affine* (base + stride * lane,
// kept as those two numbers) or a vector. Offsets come out affine, which is how contiguous loads
// are found: stride 1 loads a vector, stride 0 a scalar, any other gathers.
//
// Masks of the form index < bound bound the loops instead of being computed: full packs run without
// masks and one masked pack does the rest. An index must not pass the largest i64: there the
// comparison of the wrapped number would be another.
#pragma once

#include <llvm/IR/Module.h>

#include <memory>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/tile/ir.h"

namespace cairn::compiler {

// What kernels may use of a processor.
struct CpuFeatures {
  unsigned lanes = 8;     // f32 of a register: 8 of AVX2, 16 of AVX-512
  bool has_bf16 = false;  // vdpbf16ps
  bool has_vnni = false;  // vpdpbusd
};

// Adds `void name(ptr arguments, i64 begin, i64 end)` (CompiledFunction) to the module. Throws
// Error naming what has no lowering.
void lower_for_cpu(const tile::Kernel& kernel, const CpuFeatures& features,
                   const KernelVersion& version, llvm::Module& module);

}  // namespace cairn::compiler
