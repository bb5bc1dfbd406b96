// What the driver (contraction.cpp) asks of the code that is compiled once for each CpuTarget
// (contraction_kernels.inc). Plain data only: a function of a header that both sides use would
// exist in several versions under one name, and the linker might keep the one with AVX-512 in it.
#pragma once

#include <cstdint>

#include "cairn/core/dtype.h"

namespace cairn::ref::detail {

// How terms are made and added up, which also says what packed operands and sums are.
enum class Arithmetic : uint8_t {
  f64_exact,    // products of two floats below f64 are exact in f64: FMA where there is one
  f64_rounded,  // multiply, round, add
  u32,          // modulo 2^32
  u64           // modulo 2^64
};

// One operand of a product: element (i, k) at data[i * stride + k * k_stride], where i counts rows
// of A or columns of B.
struct Operand {
  const void* data;
  DType dtype;
  int64_t stride, k_stride;
};

// The input of a convolution (one group of it) as the operand B of a product: column i is an output
// position (image, then out[0], out[1], out[2]) and k a kernel element (channel, then
// kernel[0..2]). Three spatial dimensions; missing ones are 1 and come first.
struct ConvGeometry {
  const void* x;
  DType dtype;
  int64_t images, channels;
  int64_t image_stride, channel_stride;
  int64_t in[3], kernel[3], out[3];
  int64_t stride[3], padding[3], lhs_dilation[3], rhs_dilation[3];
};

// Sums are handed out in rows: `sums` of the arithmetic's type, `count` of them, to be rounded and
// stored at `to` with a stride in elements.
using StoreRow = void (*)(const void* sums, int64_t count, void* to, int64_t stride);

// Where element (m, n) goes: base + (m * row_stride + n / block * block_stride + n % block *
// stride) elements.
struct Output {
  char* base;
  int64_t element_size;
  StoreRow store;
  int64_t row_stride, stride, block, block_stride;
};

// Rows m0 .. m1 and columns n0 .. n1 of a product, in blocks of kc terms.
struct Tile {
  Arithmetic arithmetic;
  Operand a, b;
  const ConvGeometry* conv;  // where set, it stands for b
  int64_t k, kc;
  int64_t m0, m1, n0, n1;
  Output output;
};

// Rows and columns of a tile are rounded up to these in its scratch memory.
inline constexpr int64_t kRowMultiple = 8, kColumnMultiple = 48;
// Products of so few rows take their own way (contraction_few_rows.inc).
inline constexpr int64_t kFewRows = 4;
// Columns of convolutions are gathered: the elements of a block of terms (at most 8 bytes each) and
// at most one Segment a column, in units of 8 bytes.
inline constexpr int64_t kSegmentWords = 6;
// Rows of convolutions are computed in whole registers, of 16 elements at most.
inline constexpr int64_t kConvRowSlack = 16;

// Output rows begin .. end - 1 (of out[1], all of out[2]) of one channel of a convolution, term by
// term.
struct ConvRows {
  Arithmetic arithmetic;
  const ConvGeometry* conv;
  const void* weights;  // of this output channel
  DType weights_dtype;
  bool zeros_for_absent;  // the weights are finite, so that a zero times one changes no sum
  int64_t image, out0, begin, end;
  // Elements of a converted input row: the padding before it, itself, and zeros up to the last
  // element that is read for out[2] + kConvRowSlack outputs.
  int64_t terms_size;
  char* to;
  int64_t to_size;  // of an element
  StoreRow store;
};

struct Kernels {
  // Scratch memory, aligned to 64 bytes, of 8 bytes for each element of the rounded tile and for
  // each term of a block of kc in all rows and one panel of kColumnMultiple columns; for a
  // convolution (kc + kSegmentWords) * columns * 8 bytes more.
  void (*tile)(const Tile& tile, void* scratch);
  // 8 bytes for each: sum of the rows, with kConvRowSlack more a row; weight of kernel[1] *
  // kernel[2]; terms_size elements of every input row that the rows read.
  void (*conv_rows)(const ConvRows& rows, void* scratch);
};

const Kernels& baseline_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();

}  // namespace cairn::ref::detail
