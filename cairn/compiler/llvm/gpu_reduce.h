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

Op combining(tile::Combine kind);
// What leaves the other operand as it is; of a sum, what ir.h starts from.
llvm::Constant* start_of(Emitter& emitter, tile::Combine kind, DType dtype);

// A tile of `shape` in row-major order at `tile`, reduced along `axis` by all threads of a block:
// where its results lie in shared memory, in row-major order too. Written before and read after by
// any thread: there is a barrier at the begin and one at the end.
llvm::Value* reduce_shared(GpuDevice& device, Emitter& emitter, tile::Combine kind, DType dtype,
                           const Shape& shape, int axis, llvm::Value* tile, int threads);

// The tile at `tile`, scanned along in.axis, in its place. The tile is there and no thread reads it
// when this is called, and a barrier follows.
void scan_shared(GpuDevice& device, Emitter& emitter, const tile::Instruction& in,
                 const tile::TileType& type, llvm::Value* tile, int threads);

// Where the i32 indices of the largest (or the smallest) elements along `axis` lie, the first NaN
// or else the first of the largest; barriers as in reduce_shared().
llvm::Value* arg_reduce_shared(GpuDevice& device, Emitter& emitter, tile::Combine kind,
                               const tile::TileType& type, int axis, llvm::Value* tile,
                               int threads);

}  // namespace cairn::compiler
