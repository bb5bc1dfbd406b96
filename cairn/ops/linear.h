// Products: matrices, Einstein sums, convolutions.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>

#include "cairn/ops/operand.h"

namespace cairn {

struct ProductOptions {
  // Element type of the sums, at least as wide as the default (f32 for f16, bf16 and 8-bit floats,
  // i32 for small integers), and of the result.
  std::optional<DType> accumulate = std::nullopt;
  std::optional<DType> dtype = std::nullopt;
};

// NumPy's matmul: [..., M, K] x [..., K, N], batch axes broadcast; a vector is a row on the left
// and a column on the right, and its axis disappears. f16 and bf16 are accumulated in f32; i8 and
// u8 give i32.
Tensor matmul(Operand a, Operand b, const ProductOptions& options = {});
// x[T, K], w[G, K, N], i32 sizes[G]: the first sizes[0] rows of x times w[0], and so on (a mixture
// of experts); rows past the sum of sizes are 0. Gives [T, N].
Tensor grouped_matmul(Operand x, const Tensor& w, const Tensor& sizes,
                      const ProductOptions& options = {});

// Inner product of two vectors; every product of two flattened tensors [m, n].
Tensor dot(Operand a, Operand b);
Tensor outer(Operand a, Operand b);
// Sum over the last `axes` axes of a and the first of b, or over pairs (a_axes[i], b_axes[i]).
Tensor tensordot(Operand a, Operand b, int axes = 2);
Tensor tensordot(Operand a, Operand b, const Ints& a_axes, const Ints& b_axes);

// NumPy's einsum: "ij,jk->ik", "...ij,...jk->...ik", repeated letters ("ii->i": the diagonal),
// implicit output ("ij,jk"). Operands are joined pairwise from the left; a size of 1 broadcasts.
Tensor einsum(std::string_view equation, std::span<const Operand> operands);
Tensor einsum(std::string_view equation, std::initializer_list<Operand> operands);

// Lists have a number per spatial axis; a list of one holds for all axes.
struct ConvolutionOptions {
  Ints stride = {};            // empty: 1
  Ints padding = {};           // zeros on both sides; empty: 0
  Ints padding_high = {};      // zeros behind each axis, where they differ from those before it
  Ints dilation = {};          // distance of neighbouring weights; empty: 1
  int64_t groups = 1;          // channels fall into so many groups that do not see each other
  bool channels_last = false;  // x is [N, S..., C], and so is the result
  Ints output_padding = {};    // conv_transpose: added to the result's size, behind
};
// x [N, C, S...] (1 to 10 spatial axes), weight [O, C / groups, K...], bias [O] or undefined:
// PyTorch's conv1d, conv2d, conv3d.
Tensor convolution(Operand x, const Tensor& weight, const Tensor& bias = {},
                   const ConvolutionOptions& options = {});
// The gradient of a convolution as a layer of its own: weight [C, O / groups, K...]. Sizes become
// (S - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1.
Tensor conv_transpose(Operand x, const Tensor& weight, const Tensor& bias = {},
                      const ConvolutionOptions& options = {});

}  // namespace cairn
