// Values that are the same in every run, by a seed.
#pragma once

#include <algorithm>

#include "cairn/base/philox.h"
#include "cairn/core/host_array.h"

namespace cairn::test {

inline HostArray random_bits(const Shape& shape, uint64_t seed) {
  HostArray bits(DType::u32, shape);
  philox_fill(fold_in(PhiloxKey{}, seed), 0, bits.mutable_span<uint32_t>());
  return bits;
}

// f32 in -1 to 1.
inline HostArray random_numbers(const Shape& shape, uint64_t seed) {
  const HostArray bits = random_bits(shape, seed);
  HostArray values(DType::f32, shape);
  std::ranges::transform(bits.span<uint32_t>(), values.mutable_span<float>().begin(),
                         [](uint32_t b) { return static_cast<float>(b >> 8) * 0x1p-23f - 1; });
  return values;
}

}  // namespace cairn::test
