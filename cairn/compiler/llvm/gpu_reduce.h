// Reductions of tiles that lie in shared memory, in the order of tile/ir.h.
#pragma once

#include <llvm/IR/Value.h>

#include "cairn/compiler/llvm/emitter.h"
#include "cairn/compiler/llvm/gpu_device.h"
#include "cairn/tile/ir.h"

namespace cairn::compiler {

// Elements as shared memory holds them: as registers do, bools as bytes.
llvm::Value* load_shared(Emitter& emitter, llvm::Value* memory, llvm::Value* index, DType dtype);
llvm::Type* shared_type(Emitter& emitter, DType dtype);
llvm::Value* to_shared(Emitter& emitter, llvm::Value* value, DType dtype);
int64_t shared_size(DType dtype);

// A tile of `shape` in row-major order at `tile`, reduced along `axis` by all threads of a block:
// where its results lie in shared memory, in row-major order too. Written before and read after by
// any thread: there is a barrier at the begin and one at the end. Adds the bytes that it takes to
// `shared_bytes`.
llvm::Value* reduce_shared(GpuDevice& device, Emitter& emitter, tile::Combine kind, DType dtype,
                           const Shape& shape, int axis, llvm::Value* tile, int threads,
                           int64_t& shared_bytes);

}  // namespace cairn::compiler
