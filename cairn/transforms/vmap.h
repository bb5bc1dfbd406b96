// vmap: a function of single examples becomes a function of batches. Names and meaning are JAX's.
#pragma once

#include <optional>

#include "cairn/transforms/vjp.h"

namespace cairn {

// Axis of the batch in an argument or result; none: the argument is the same for all of the batch.
using BatchAxis = std::optional<int>;

// The graph on batches of `size`. in_axes, out_axes: one per input and output; a result without an
// axis must not depend on a batched input (Error).
Graph vmap(const Graph& graph, std::span<const BatchAxis> in_axes,
           std::span<const BatchAxis> out_axes, int64_t size);

// fn on batches. in_axes: one per argument (fewer: the last holds for the rest; at least one must
// be an axis); out_axes likewise for the results. Negative axes count from the end. fn sees
// arguments without their batch axis; what it captures is shared by the batch. Inside, a batched
// loop runs until its longest member is done, and a cond on a batched condition computes both
// branches.
TensorFunction vmap(TensorFunction fn, std::vector<BatchAxis> in_axes = {0},
                    std::vector<BatchAxis> out_axes = {0});

template <TensorCallable F>
auto vmap(F f, std::vector<BatchAxis> in_axes = {0}, BatchAxis out_axis = 0) {
  return [f = std::move(f), in_axes = std::move(in_axes),
          out_axis](const std::same_as<Tensor> auto&... args) -> Tensor {
    const std::array<Tensor, sizeof...(args)> list{args...};
    return vmap(detail::pack<sizeof...(args)>(f), in_axes, {out_axis})(list)[0];
  };
}

}  // namespace cairn
