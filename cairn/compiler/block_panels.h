// Quantized weights in the order in which kernels read them (tile/quantized.h): panels of 64 rows.
//
// Panels have the bytes of the blocks they come from in another order, so one of both is enough. A
// weight that is kept in panels is the expression from_block_panels() of a leaf with them: the
// compiler takes the leaf, and everybody else sees the bytes of a file.
#pragma once

#include "cairn/base/thread_pool.h"
#include "cairn/core/block_format.h"
#include "cairn/graph/tensor.h"

namespace cairn {

// u8[N, bytes of a row] as u8[N / 64, K / block, 64 * block_bytes], N filled up with zeros.
Tensor in_block_panels(const Tensor& bytes, const BlockFormat& format);
// The bytes again, of the first `rows` rows.
Tensor from_block_panels(const Tensor& panels, const BlockFormat& format, int64_t rows);
// The panels that bytes are made from; undefined where they are not made from panels.
Tensor panels_of(const Tensor& bytes);
// The bytes of the rows with these numbers, u8[..., bytes of a row], of panels of so many rows.
Tensor gather_from_block_panels(const Tensor& panels, const BlockFormat& format, int64_t rows,
                                const Tensor& numbers);

// The shape of the panels of a weight of so many rows.
Shape block_panels_shape(const BlockFormat& format, int64_t rows, int64_t row_bytes);
// Writes the panels of a weight without a graph, for who reads a file: all of `panels` is written.
void write_block_panels(const BlockFormat& format, const uint8_t* bytes, int64_t rows,
                        int64_t row_bytes, uint8_t* panels, ThreadPool& pool);

}  // namespace cairn
