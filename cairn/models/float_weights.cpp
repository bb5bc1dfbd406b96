#include "cairn/models/narrow_weights.h"

#include <algorithm>

#include "cairn/compiler/panels.h"
#include "cairn/ops/elementwise.h"

namespace cairn {

bool is_narrow_float(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

Tensor narrow_weight(const LateArray& rows, const std::string& name, Runtime* runtime,
                     const std::function<void()>& packed, PackedWeights* kept) {
  const int64_t count = rows.shape[0], depth = rows.shape[1];
  if (!runtime || !runtime->backend().packs_weights() || !is_worth_panels(depth, count))
    return cast(Tensor(rows.read()).named(name), DType::f32);
  const TensorType type{rows.dtype, panels_shape(rows.dtype, count, depth)};
  // Some MB at a time, so that a mapped file need not be in memory beside its panels.
  constexpr int64_t kSlab = 2048;  // rows: whole panels
  static_assert(kSlab % kPanelColumns == 0);
  const int64_t row_bytes = depth * static_cast<int64_t>(size_of(type.dtype));
  const auto panel_bytes = static_cast<int64_t>(type.bytes()) / type.shape[0];
  const Tensor panels = packed_leaf(kept, *runtime, type, name, [&](void* data) {
    const HostArray all = rows.read();
    for (int64_t row = 0; row < count; row += kSlab) {
      write_panels(type.dtype, static_cast<const std::byte*>(all.data()) + row * row_bytes,
                   std::min(kSlab, count - row), depth,
                   static_cast<std::byte*>(data) + row / kPanelColumns * panel_bytes,
                   runtime->pool());
      if (packed) packed();
    }
  });
  return cast(from_panels(panels, count, depth), DType::f32);
}

}  // namespace cairn
