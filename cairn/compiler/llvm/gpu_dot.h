// How products of tiles are computed on GPUs: a table of strategies, and what they take.
#pragma once

#include "cairn/compiler/kernel_compiler.h"
#include "cairn/tile/ir.h"

namespace cairn::compiler {

enum class DotKind : uint8_t {
  fma,  // a block of sums in each thread, one chain of fused multiply-adds each in increasing k
  mma,  // NVIDIA's mma.sync m16n8k16, operands by ldmatrix
  mfma  // AMD's mfma 16x16x16
};

struct DotStrategy {
  DotKind kind;
  bool nvidia, amd;  // where it is
  bool narrow;       // of f16 and bf16 only, summed in f32
  // Sizes of the matrices: powers of two, these or more. 0: any.
  int64_t rows, columns, depth;
};

// The first of the table that takes these operands.
const DotStrategy& dot_strategy(const tile::Kernel& kernel, const tile::Instruction& dot,
                                GpuTarget target);

// An operand of a product: a tile, or a tile transposed. In shared memory a narrow one has the
// elements and the order of the tile in global memory; another is as the operand is, with elements
// as registers have them.
struct DotOperand {
  tile::ValueId tile = -1;
  bool transposed = false;
  bool narrow = false;
  bool turns() const { return transposed && !narrow; }  // on the way to memory
  friend auto operator<=>(const DotOperand&, const DotOperand&) = default;
};

}  // namespace cairn::compiler
