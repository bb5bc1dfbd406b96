// Collectives: what the ranks along one axis of a device mesh compute together. In a program that
// every rank runs (the convention of JAX's shard_map), a tensor carries the mesh axes along which
// it may differ from rank to rank; derivatives follow from that.
//
// An operand that is equal on every rank is first allowed to vary. All ranks must call the same
// collectives in the same order.
#pragma once

#include "cairn/ops/operand.h"

namespace cairn {

// A mesh axis by name, with its number of ranks.
struct MeshAxis {
  std::string name;
  int64_t size;
};

// i32, 0-d: this rank's place along the axis.
Tensor axis_index(const MeshAxis& mesh_axis,
                  const std::source_location& where = std::source_location::current());
// The same value, from now on allowed to differ along the axis; x itself when it is already.
Tensor vary(Operand x, const MeshAxis& mesh_axis);
// Sum, max or min over the ranks ("sum", "max", "min"); equal everywhere after.
Tensor all_reduce(Operand x, const MeshAxis& mesh_axis, std::string_view kind = "sum");
Tensor all_reduce_mean(Operand x, const MeshAxis& mesh_axis);
// The ranks' tensors one after the other along `axis`. `invariant` tells derivatives that the
// result is equal everywhere: then it does not vary, and the transpose is this rank's slice;
// otherwise it is reduce_scatter.
Tensor all_gather(Operand x, const MeshAxis& mesh_axis, int axis = 0, bool invariant = false);
// Summed over the ranks; each keeps its part of `axis`, which the number of ranks divides.
Tensor reduce_scatter(Operand x, const MeshAxis& mesh_axis, int axis = 0);
// Part i of split_axis goes to rank i; what arrives is joined along concat_axis in the order of
// ranks.
Tensor all_to_all(Operand x, const MeshAxis& mesh_axis, int split_axis, int concat_axis);
// The same where parts are filled to different heights, as with experts: of the part for rank r
// only the first counts[r] rows along split_axis count, and the rest arrives as zeros. counts:
// integers [ranks]; all_to_all(counts, mesh_axis, 0, 0) tells each rank what it was sent.
Tensor all_to_all(Operand x, const MeshAxis& mesh_axis, int split_axis, int concat_axis,
                  Operand counts);
// Rank r's value goes to rank destinations[r] (-1: to nobody); who gets nothing has zeros.
Tensor permute(Operand x, const MeshAxis& mesh_axis, std::span<const int32_t> destinations);
// To the rank `by` places further, around the ring.
Tensor shift(Operand x, const MeshAxis& mesh_axis, int64_t by = 1);

}  // namespace cairn
