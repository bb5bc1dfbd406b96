// What the inference functions of the infer_*.cpp files share. Not part of the public interface.
#pragma once

#include "cairn/graph/infer.h"

namespace cairn::detail {

struct InferContext {
  Op op;
  std::span<const Tensor> inputs;
  const Attrs& attrs;

  const TensorType& type(int i) const { return inputs[i].type(); }
  const Shape& shape(int i) const { return inputs[i].shape(); }
  DType dtype(int i) const { return inputs[i].dtype(); }
  int count() const { return static_cast<int>(inputs.size()); }

  // Adds the operation, the operands' types and the source line.
  [[noreturn]] void fail(std::string what) const;

  // A result of the given dtype and shape with the placement and varying axes of the operands.
  TensorType result(DType dtype, Shape shape) const;
  // A size computed in 128 bits; fails when it is negative or too large for a tensor.
  int64_t size(__int128 value) const {
    if (value < 0 || value >= __int128{1} << 62) fail("a size of the result does not fit 62 bits");
    return static_cast<int64_t>(value);
  }
  // The attribute `axis` (or another key) checked against `rank`.
  int axis(int rank, Attr key = Attr::axis) const;
  // The attribute `axes`, checked: in range, without repeats.
  const Ints& axes(int rank) const;
};

using Types = std::vector<TensorType>;

// One function per primitive with a rule of its own (infer_products.cpp, infer_movement.cpp,
// infer_control.cpp).
Types infer_matmul(const InferContext& c);
Types infer_grouped_matmul(const InferContext& c);
Types infer_convolution(const InferContext& c);
Types infer_reduce(const InferContext& c);
Types infer_cumulative(const InferContext& c);
Types infer_arg_reduce(const InferContext& c);
Types infer_sort(const InferContext& c);
Types infer_top_k(const InferContext& c);
Types infer_random_bits(const InferContext& c);
Types infer_quantize(const InferContext& c);
Types infer_dequantize(const InferContext& c);

Types infer_reshape(const InferContext& c);
Types infer_broadcast(const InferContext& c);
Types infer_transpose(const InferContext& c);
Types infer_slice(const InferContext& c);
Types infer_reverse(const InferContext& c);
Types infer_dynamic_slice(const InferContext& c);
Types infer_dynamic_update_slice(const InferContext& c);
Types infer_pad(const InferContext& c);
Types infer_concatenate(const InferContext& c);
Types infer_gather(const InferContext& c);
Types infer_scatter(const InferContext& c);

Types infer_cond(const InferContext& c);
Types infer_loop(const InferContext& c);
Types infer_custom(const InferContext& c);
Types infer_barrier(const InferContext& c);
Types infer_axis_index(const InferContext& c);
Types infer_vary(const InferContext& c);
Types infer_all_reduce(const InferContext& c);
Types infer_all_gather(const InferContext& c);
Types infer_reduce_scatter(const InferContext& c);
Types infer_all_to_all(const InferContext& c);
Types infer_permute(const InferContext& c);
Types infer_transfer(const InferContext& c);

}  // namespace cairn::detail
