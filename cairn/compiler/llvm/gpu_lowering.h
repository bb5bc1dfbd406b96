// A tile kernel as an LLVM function for a GPU.
//
// A program of the grid is a block of threads. A tile is dealt out in row-major order in *packs*,
// vectors along its last axis of up to 16 bytes: pack p belongs to thread p mod threads, so that
// neighbours access neighbouring memory. As on a CPU (cpu_lowering.h), values are definitions until
// a store or a reduction needs their elements; here all packs of a thread are unrolled, so what a
// pack has computed stays in registers for the next need.
//
// Accesses are as wide as the axis analysis (tile/axis.h) can show them to be contiguous and
// aligned. A mask that is uniform over an access is one branch; of any other, an access is made
// whole where all of it is let through and by elements at the edge.
//
// Sums of a product (gpu_dot.h) are dealt out as the instruction that makes them wants, and so is
// what is computed of them, carried through loops with them and stored; a number for each row is
// wherever the row is. They are reduced in registers. Values that threads need and do not have go
// through shared memory, as other reductions do and all scans.
//
// Memory: an output may be given the memory of an input of elements of the same size, where the
// kernel reads each element in the program that writes it, and reads it there last: so a runtime
// overwrites in place. Buffers overlap in no other way. So inputs are read past the coherent cache
// (ld.global.nc), and their loads moved over stores, only where no output has their element size.
// Where the offsets of a store repeat, one of the values wins and not always the last, as threads
// have no order; a tile of offsets that are known to repeat is an Error.
#pragma once

#include <llvm/IR/Module.h>

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/tile/ir.h"

namespace cairn::compiler {

// Adds the kernel to the module, its parameters those of the tile kernel in order: pointers to
// global memory, and scalars. It is launched with a one-dimensional grid of as many blocks as the
// kernel's grid has programs, numbered with its last axis fastest. Throws Error naming what has no
// lowering.
struct GpuLaunch {
  int threads = 0;
  int64_t shared_bytes = 0;  // of dynamic shared memory
};
GpuLaunch lower_for_gpu(const tile::Kernel& kernel, GpuTarget target, llvm::Module& module);

}  // namespace cairn::compiler
