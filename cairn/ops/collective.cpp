#include "cairn/ops/collective.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/helpers.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"

namespace cairn {
namespace {

Attrs along(const MeshAxis& mesh_axis) {
  return {{Attr::mesh_axis, mesh_axis.name}, {Attr::size, mesh_axis.size}};
}

Attrs along(const MeshAxis& mesh_axis, Attr key, int axis) {
  Attrs attrs = along(mesh_axis);
  attrs.set(key, int64_t{axis});
  return attrs;
}

Tensor varying(const Tensor& x, const MeshAxis& mesh_axis) {
  const auto& axes = x.type().varying;
  if (std::find(axes.begin(), axes.end(), mesh_axis.name) != axes.end()) return x;
  return make(Op::vary, {x}, along(mesh_axis));
}

}  // namespace

Tensor axis_index(const MeshAxis& mesh_axis, const std::source_location& where) {
  const Provenance provenance(where);
  return make(Op::axis_index, {}, along(mesh_axis));
}

Tensor vary(Operand x, const MeshAxis& mesh_axis) {
  const Provenance provenance(x.where());
  return varying(x.value(), mesh_axis);
}

Tensor all_reduce(Operand x, const MeshAxis& mesh_axis, std::string_view kind) {
  const Provenance provenance(x.where());
  Attrs attrs = along(mesh_axis);
  attrs.set(Attr::kind, std::string(kind));
  return make(Op::all_reduce, {varying(x.value(), mesh_axis)}, std::move(attrs));
}

Tensor all_reduce_mean(Operand x, const MeshAxis& mesh_axis) {
  return detail::in_wide("all_reduce_mean", x, [&](const Tensor& w) {
    return all_reduce(w, mesh_axis) / static_cast<double>(mesh_axis.size);
  });
}

Tensor all_gather(Operand input, const MeshAxis& mesh_axis, int axis, bool invariant) {
  const Provenance provenance(input.where());
  const Tensor x = varying(input.value(), mesh_axis);
  return make(invariant ? Op::all_gather_invariant : Op::all_gather, {x},
              along(mesh_axis, Attr::axis, normalize_axis("all_gather", axis, x.rank())));
}

Tensor reduce_scatter(Operand input, const MeshAxis& mesh_axis, int axis) {
  const Provenance provenance(input.where());
  const Tensor x = varying(input.value(), mesh_axis);
  return make(Op::reduce_scatter, {x},
              along(mesh_axis, Attr::axis, normalize_axis("reduce_scatter", axis, x.rank())));
}

Tensor all_to_all(Operand input, const MeshAxis& mesh_axis, int split_axis, int concat_axis) {
  const Provenance provenance(input.where());
  const Tensor x = varying(input.value(), mesh_axis);
  Attrs attrs =
      along(mesh_axis, Attr::split_axis, normalize_axis("all_to_all", split_axis, x.rank()));
  attrs.set(Attr::concat_axis, int64_t{normalize_axis("all_to_all", concat_axis, x.rank())});
  return make(Op::all_to_all, {x}, std::move(attrs));
}

Tensor all_to_all(Operand input, const MeshAxis& mesh_axis, int split_axis, int concat_axis,
                  Operand counts) {
  const Provenance provenance(input.where());
  const Tensor& x = input.tensor();
  const Tensor& limits = counts.tensor();
  if (limits.shape() != Shape{mesh_axis.size} || !is_integer(limits.dtype()))
    detail::fail("all_to_all", fmt::format("counts are integers [{}], one per rank, not {}",
                                           mesh_axis.size, to_string(limits.type())));
  const int axis = normalize_axis("all_to_all", split_axis, x.rank());
  const int64_t rows = x.shape()[axis], block = rows / mesh_axis.size;
  // A block that does not divide is refused by the operation itself.
  if (block * mesh_axis.size != rows) return all_to_all(input, mesh_axis, split_axis, concat_axis);
  Shape along_axis = x.shape();
  for (int i = 0; i < along_axis.rank(); ++i)
    if (i != axis) along_axis[i] = 1;
  const Tensor row = remainder(iota({rows}, 0), block);
  const Tensor counted = less(row, cast(repeat(limits, block, 0), DType::i32));
  return all_to_all(where(reshape(counted, along_axis), x, 0), mesh_axis, split_axis, concat_axis);
}

Tensor permute(Operand x, const MeshAxis& mesh_axis, std::span<const int32_t> destinations) {
  const Provenance provenance(x.where());
  Attrs attrs = along(mesh_axis);
  const auto count = static_cast<int64_t>(destinations.size());
  attrs.set(Attr::literal, HostArray::from<int32_t>(destinations, {count}));
  return make(Op::permute, {varying(x.value(), mesh_axis)}, std::move(attrs));
}

Tensor shift(Operand x, const MeshAxis& mesh_axis, int64_t by) {
  const Provenance provenance(x.where());
  if (mesh_axis.size < 1)
    detail::fail("shift", fmt::format("size={} is not a number of ranks", mesh_axis.size));
  std::vector<int32_t> destinations;
  for (int64_t rank = 0; rank < mesh_axis.size; ++rank)
    destinations.push_back(
        static_cast<int32_t>(((rank + by) % mesh_axis.size + mesh_axis.size) % mesh_axis.size));
  return permute(x, mesh_axis, destinations);
}

}  // namespace cairn
