// Products with quantized weights as tile kernels, made from the declaration of their block format
// (core/block_format.h): no kernel names a format.
//
// Weights lie in panels of rows of the weight, the columns of the product: block after block of K,
// and in a block its parts with the rows side by side, so that a kernel walks memory from one end
// to the other and a load is a pack of columns. Four codes that stand in four bytes are a part, as
// are each f16, four bytes of small scales and each other byte; scales come first, then words of
// codes in the order of use. So a panel has the bytes of its blocks, in another order. Blocks of 32
// lie in panels of 64 rows, longer ones, of which a product takes one at a time, in panels of 16:
// one pack.
//
// The integer product of rows of x in blocks of 32 signed bytes (q8_0) is a unit with bits of its
// own. In increasing k, for each block of 32:
//
//   u   = sum over the groups of w in it, in order, of scale * float(sum of code * x)
//         and, after each, minimum * float(sum of x)     as fused multiply-adds
//   acc = u * (scale of x) + acc                         as one
//
// where scale and minimum are those of the decoder, and the sums in the inner parentheses are exact
// integers. Codes count from 0, as vpdpbusd wants one operand without sign: the sum begins with the
// smallest code times the sum of x, which is known once x is quantized.
//
// Where a code times the scale of its group is a byte (has_scaled_codes(): q2_k, 3 * 15), x comes
// in blocks of 64, and for each of them
//
//   u   = scale * float(sum of group scale * code * x)
//   u   = minimum * float(sum over the groups of group minimum * sum of x) + u     as one
//   acc = u * (scale of x) + acc                                                   as one
//
// where scale and minimum are those of the block, so that of 18 products of four there are two
// conversions, where groups of 16 on their own have four for 16. The sum of x of a group is below
// 2048: 16 times one signed byte and another, which are multiplied with group minimums as bytes.
//
// Weights of 8 bits with one scale for each row (kRowFormat, whose scales lie apart) have an
// integer product of their own, with rows of x in longer blocks: for each of them
//
//   acc = float(sum of code * x) * (scale of x) + acc     as one fused multiply-add
//
// and the scale of the row multiplies the last acc.
#pragma once

#include <vector>

#include "cairn/core/block_format.h"
#include "cairn/tile/ir.h"

namespace cairn::tile {

// Rows of a panel, which divide the most that one has.
inline constexpr int64_t kMostPanelRows = 64;
int64_t panel_rows(const BlockFormat& format);
inline constexpr int64_t kActivationBlock = 32;
// Those for codes that are multiplied with their group's scale.
inline constexpr int64_t kGroupBlock = 64;
// Sums of x are kept for so many elements of a block of that many.
constexpr int64_t activation_sum(int64_t block) { return block <= kGroupBlock ? 16 : block; }

// A run of bytes of a block that lie with the other rows' in parts of `part` bytes, behind `place`
// bytes of each row. All of a block, in the order of a panel.
struct BlockBytes {
  int begin, end, part, place;
};
std::vector<BlockBytes> bytes_of_block(const BlockFormat& format);

// Whether activations in this format are what an integer product takes: blocks of
// kActivationBlock all do, others those of weights with a scale for each row.
bool is_activation_format(const BlockFormat& format);
// Whether weights in this format have codes that times their group's scale are bytes.
bool has_scaled_codes(const BlockFormat& format);
// Whether there are kernels for weights in this format.
bool has_product_kernel(const BlockFormat& format);

// Rows of x as an integer product reads them, `x_rows` of them, a multiple of the rows of its
// blocks, the last ones 0: codes i8 [K / 32, x_rows, 32], scales f32 [K / 32, x_rows] and sums of
// codes i32 [K / 16, x_rows]; of blocks of B [K / B, x_rows, B] and two times [K / B, x_rows]. Of
// blocks of 64 sums are u8 [K / 64, x_rows, 8]: the lower four bits of four, then what is above
// them.
//
// Buffers: those of x; the panels three times, as u8, u32 and f16; out f32 [M, N]. Scalars: M, N,
// K, x_rows. `rows`: of a block of the result. `few_rows`: of x, at most kSomeRows, 0 for more; a
// kernel for that number alone. The second: of x in blocks of kGroupBlock.
inline constexpr int64_t kSomeRows = 16;
Kernel integer_product_kernel(const BlockFormat& format, int64_t rows, int64_t few_rows);
Kernel scaled_code_product_kernel(const BlockFormat& format, int64_t rows, int64_t few_rows);

// The one of weights in kRowFormat, x in blocks of `x_block`. Buffers: those of x; the panels as
// u32; the rows' scales f32 [N]; out f32 [M, N]. Scalars as above.
Kernel row_scaled_product_kernel(int64_t x_block, int64_t rows);

// The product with the weights as numbers: x f32 [M, K], the panels three times, in kRowFormat the
// rows' scales f32 [N], out f32 [M, N]. Scalars: M, N, K. Its bits are those of a plain product of
// what the decoder gives.
Kernel decoded_product_kernel(const BlockFormat& format, int64_t rows);

// x f32 [M, K] to codes, scales and sums as above: what the primitive `quantize` means by a format
// of activations. Scalars: M, K / block, x_rows. `has_many_rows`: at least kQuantizedRows.
inline constexpr int64_t kQuantizedRows = 16;
Kernel quantize_rows_kernel(const BlockFormat& format, bool has_many_rows);

}  // namespace cairn::tile
