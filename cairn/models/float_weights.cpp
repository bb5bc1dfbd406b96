#include "cairn/models/float_weights.h"

#include <algorithm>

#include "cairn/compiler/panels.h"
#include "cairn/graph/scalar.h"
#include "cairn/ops/elementwise.h"

namespace cairn {
namespace {

Tensor as_f32(const Tensor& x) { return x.dtype() == DType::f32 ? x : cast(x, DType::f32); }

}  // namespace

bool is_narrow_float(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

HostArray rounded(const HostArray& values, DType dtype) {
  if (values.dtype() == dtype) return values;
  if (values.dtype() != DType::f32 && dtype != DType::f32)
    return rounded(rounded(values, DType::f32), dtype);
  HostArray out(dtype, values.shape());
  const auto count = static_cast<size_t>(values.elements());
  if (dtype == DType::f32) {
    float* to = out.mutable_span<float>().data();
    visit_dtype(values.dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      const auto* from = static_cast<const T*>(values.data());
      for (size_t i = 0; i < count; ++i) to[i] = cast_element<float>(from[i]);
    });
    return out;
  }
  const auto from = values.span<float>();
  visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto* to = static_cast<T*>(out.mutable_data());
    for (size_t i = 0; i < count; ++i) to[i] = cast_element<T>(from[i]);
  });
  return out;
}

Tensor float_weight(DType dtype, const Shape& shape, const RowsOf& rows, const std::string& name,
                    Runtime* runtime, PackedWeights* kept) {
  const int64_t count = shape[0], depth = shape[1];
  if (!runtime || !runtime->backend().packs_weights() || !is_worth_panels(depth, count))
    return as_f32(Tensor(rounded(rows(0, count), dtype)).named(name));
  const TensorType type{dtype, panels_shape(dtype, count, depth)};
  // Some MB at a time, so that a mapped file need not be in memory beside its panels.
  constexpr int64_t kSlab = 2048;  // rows: whole panels
  static_assert(kSlab % kPanelColumns == 0);
  const auto panel_bytes = static_cast<int64_t>(type.bytes()) / type.shape[0];
  const Tensor panels = packed_leaf(kept, *runtime, type, name, [&](void* data) {
    for (int64_t row = 0; row < count; row += kSlab) {
      const int64_t some = std::min(kSlab, count - row);
      write_panels(dtype, rounded(rows(row, some), dtype).data(), some, depth,
                   static_cast<std::byte*>(data) + row / kPanelColumns * panel_bytes,
                   runtime->pool());
    }
  });
  return as_f32(from_panels(panels, count, depth));
}

}  // namespace cairn
