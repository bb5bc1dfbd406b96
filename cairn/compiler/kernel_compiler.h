// Compiled tile kernels: machine code in memory, made by LLVM (compiler/llvm, the only folder that
// includes it).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "cairn/base/cpu_features.h"
#include "cairn/tile/ir.h"

namespace cairn {

// An argument of a compiled kernel, one per parameter, in order: the address of a buffer, or the
// bits of a scalar in its lowest bytes (bool: 0 or 1).
union KernelSlot {
  const void* address;
  int64_t integer;
  double f64;
  float f32;
};

// Runs programs begin..end-1 of the grid, numbered with its last axis fastest. Any range may run on
// any thread at the same time as others.
using CompiledFunction = void (*)(const KernelSlot* arguments, int64_t begin, int64_t end);

struct CompiledKernel {
  CompiledFunction run = nullptr;
  size_t function_bytes = 0;                    // of machine code, from `run` on
  size_t code_bytes = 0;                        // of the object file
  std::shared_ptr<const void> owner = nullptr;  // keeps the code alive
};

enum class KernelStage : uint8_t { llvm, optimized, assembly };

// What this build compiles for: false without LLVM.
bool can_compile_kernels();

// How a kernel is compiled; all versions compute the same bits.
struct KernelVersion {
  // Packs that one turn of an innermost loop over a tile takes.
  int unroll = 1;
  // The object file tells debuggers from which line of C++ each instruction came.
  bool lines = false;
  // It takes one more argument, behind its parameters': an integer that says, when it is not 0,
  // that what it writes and does not read goes past the caches, which large results would only
  // empty.
  bool streams = false;
  friend bool operator==(const KernelVersion&, const KernelVersion&) = default;
};

// An object file with machine code for the kernel on a processor of that level (avx2 or avx512;
// baseline lacks the fused multiply-add that strict results need and is an Error). Throws Error
// naming what the lowering does not support. The kernel must be verified and have its functions
// expanded (tile/expand_math.h). Thread-safe.
std::string compile_kernel(const tile::Kernel& kernel, CpuTarget target,
                           const KernelVersion& version = {});
// Links what compile_kernel() made of a kernel of that name, and tells debuggers (gdb's interface
// for code made at run time), which then know it by that name. Throws Error when it is something
// else.
CompiledKernel link_kernel(const std::string& object, const std::string& name);

// What machine code follows from beside the kernel's text: this build's compiler, and the processor
// that it compiles for. Part of a cache's key.
std::string compiler_identity(CpuTarget target);

// The text of a stage, for `cairn kernel show` and tests.
std::string kernel_text(const tile::Kernel& kernel, CpuTarget target, KernelStage stage,
                        const KernelVersion& version = {});

// --- GPUs ---------------------------------------------------------------------------------------

// PTX for NVIDIA's processors from these on; assembly for one of AMD's.
enum class GpuTarget : uint8_t { sm_80, sm_90, gfx942 };
std::string_view name(GpuTarget target);

struct GpuKernel {
  std::string text;
  int threads = 0;  // of a block
  // Of dynamic shared memory, which the launch provides; the driver wants to be asked for more than
  // 48 KB of it.
  int64_t shared_bytes = 0;
};

// The kernel as text for a GPU: parameters as the kernel has them, pointers and scalars in order;
// as many blocks of `threads` as the grid has programs, numbered with its last axis fastest. An
// output may be the buffer of an input with elements of the same size, if the kernel reads each
// element in the program that writes it, before it does; buffers overlap in no other way. Throws
// Error naming what the lowering does not support. The kernel is as for compile_kernel().
GpuKernel compile_gpu_kernel(const tile::Kernel& kernel, GpuTarget target);

// Whether the lowering has code for this elementwise primitive from and to these types.
bool can_lower(Op op, DType from, DType to);

}  // namespace cairn
