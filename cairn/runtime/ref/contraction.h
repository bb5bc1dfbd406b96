// Matrix products and convolutions on raw memory: the hot source of the reference backend.
//
// One result for every machine: the same bits for every CpuTarget, number of threads and shape of
// tiles. That follows from the definition, which leaves no freedom of order:
//   - Operands below f64: each output element is the sum over increasing k of f64(a) * f64(b), kept
//   in
//     f64 and started from +0. Such a product is exact, so one fused multiply-add has the bits of a
//     multiplication and an addition, and each term costs one rounding.
//   - f64 operands: the same with the product rounded first (no FMA, which x86-64 v1 lacks).
//   - The sum is rounded once to the accumulation type (f32 or f64), then converted to the output
//   type.
//     A NaN is written as the positive quiet NaN without a payload: which payload survives an
//     addition depends on the order of its operands, which a compiler may choose.
//   - Integers are exact modulo 2^32 (accumulate i32 or u32) or 2^64 (i64); a conversion to the
//   output
//     type wraps or extends as the accumulation type says.
//
// Speed comes from tiles (a block of each operand is converted to f64 and packed, then a register
// kernel runs over both), compiled from one source for x86-64 v1, v3 and v4
// (contraction_kernels.inc). Each thread packs for itself: at worst 5 % of the time, for no barrier
// and no shared memory.
#pragma once

#include <array>
#include <cstdint>

#include "cairn/base/cpu_features.h"
#include "cairn/base/thread_pool.h"
#include "cairn/core/dtype.h"

namespace cairn::ref {

// C[batch, m, n] = A[batch, m, k] B[batch, k, n]. Strides count elements and may be 0 (repeated) or
// in any order, so a transposed operand costs no copy. C is contiguous and overlaps neither
// operand.
struct MatmulArgs {
  int64_t batch = 1, m = 0, n = 0, k = 0;

  const void* a = nullptr;
  DType a_dtype = DType::f32;
  int64_t a_batch_stride = 0, a_row_stride = 0, a_column_stride = 1;

  const void* b = nullptr;
  DType b_dtype = DType::f32;
  int64_t b_batch_stride = 0, b_row_stride = 0, b_column_stride = 1;

  void* c = nullptr;
  DType c_dtype = DType::f32;

  DType accumulate = DType::f32;  // f32 or f64 for floats; i32, u32 or i64 for integers
};

// y[N, O, out...] of x[N, C, in...] and w[O, C / groups, kernel...], all contiguous: XLA's
// conv_general_dilated. In each dimension output o reads, through kernel element j, the element
//   p = o * stride + j * rhs_dilation - padding_low
// of an input with lhs_dilation - 1 holes after each element; where p is outside or in a hole there
// is no term at all (an infinite weight makes no NaN there). The terms of an element come in the
// order of (channel within the group, kernel position row-major). padding_low may be negative; the
// high padding shows only in the size of the output.
struct ConvArgs {
  int spatial = 2;  // 1 to 3; of the arrays below the first `spatial` count
  int64_t batch = 1, in_channels = 0, out_channels = 0, groups = 1;
  std::array<int64_t, 3> in_size{1, 1, 1}, kernel_size{1, 1, 1}, out_size{1, 1, 1};
  std::array<int64_t, 3> stride{1, 1, 1}, padding_low{0, 0, 0};
  std::array<int64_t, 3> lhs_dilation{1, 1, 1}, rhs_dilation{1, 1, 1};

  const void* x = nullptr;
  DType x_dtype = DType::f32;
  const void* w = nullptr;
  DType w_dtype = DType::f32;
  void* y = nullptr;
  DType y_dtype = DType::f32;

  DType accumulate = DType::f32;
};

// Both throw Error on a combination of types without a meaning (bool, or floats with integers), and
// need sizes whose products fit in 63 bits. Small products allocate nothing; others 1 MiB a thread.
void matmul(const MatmulArgs& args, CpuTarget target, ThreadPool& pool);
void convolution(const ConvArgs& args, CpuTarget target, ThreadPool& pool);

}  // namespace cairn::ref
