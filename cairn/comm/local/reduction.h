// Element by element reductions over the ranks, in the order of ranks. Not part of the interface.
#pragma once

#include <cstdint>
#include <span>

#include "cairn/core/communicator.h"

namespace cairn::local {

// Bool and 8-bit floats have no sums, as in the graph.
bool is_reducible(DType dtype);

// out[i] = in[0][i] op in[1][i] op ... for i in [begin, end). `in` holds one pointer per rank; out
// may be one of them.
void reduce_ranks(std::span<const void* const> in, void* out, int64_t begin, int64_t end,
                  DType dtype, ReduceKind kind);

}  // namespace cairn::local
