#include "cairn/nn/kv_cache.h"

#include <fmt/format.h>

#include "cairn/base/error.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"

namespace cairn {
std::string_view name(KvType type) {
  switch (type) {
    case KvType::f32: return "f32";
    case KvType::f16: return "f16";
    case KvType::q8_0: return "q8_0";
  }
  return "";
}

KvType kv_type_of(std::string_view wanted) {
  for (const KvType type : {KvType::f32, KvType::f16, KvType::q8_0})
    if (name(type) == wanted) return type;
  throw_error(fmt::format("keys and values are kept in f32, f16 or q8_0, not in '{}'", wanted));
}

DType dtype_of(KvType type) {
  switch (type) {
    case KvType::f32: return DType::f32;
    case KvType::f16: return DType::f16;
    case KvType::q8_0: return DType::i8;
  }
  return DType::f32;
}

std::vector<Tensor*> KvCache::pool() {
  std::vector<Tensor*> all = {&keys, &values};
  if (key_scales.defined()) all.insert(all.end(), {&key_scales, &value_scales});
  return all;
}

KvCache KvCache::empty_pool(DType dtype, int64_t blocks, int64_t kv_heads, int64_t head_width) {
  KvCache cache;
  cache.keys = cache.values = zeros({blocks, kv_heads, kKvBlock, head_width}, dtype);
  if (dtype != DType::i8) return cache;
  if (head_width % kKvGroup)
    throw_error(
        fmt::format("keys and values of q8_0 come in groups of {} numbers, and the model's heads "
                    "have {}; use f16",
                    kKvGroup, head_width));
  cache.key_scales = cache.value_scales =
      zeros({blocks, kv_heads, kKvBlock, head_width / kKvGroup}, DType::f16);
  return cache;
}

KvNumbers to_kv(const Tensor& x, DType dtype) {
  if (dtype != DType::i8) return {cast(x, dtype), {}};
  Shape grouped = x.shape();
  grouped.back() /= kKvGroup;
  const Shape scales = grouped;
  grouped.push_back(kKvGroup);
  const Tensor groups = reshape(cast(x, DType::f32), grouped);
  // As ggml: the factor is rounded, the numbers are divided by what it was before.
  const Tensor factor = max(abs(groups), {-1}, true) / 127;
  const Tensor inverse = where(equal(factor, 0), 0.0, 1.0 / factor);
  return {reshape(cast(round(groups * inverse), DType::i8), x.shape()),
          reshape(cast(factor, DType::f16), scales)};
}

Tensor from_kv(const KvNumbers& numbers) {
  const Tensor wide = cast(numbers.values, DType::f32);
  if (!numbers.scales.defined()) return wide;
  return wide * repeat(cast(numbers.scales, DType::f32), kKvGroup, -1);
}

Tensor kv_rows(const Tensor& block, const Tensor& offset, int64_t kv_heads, int axis) {
  Shape heads;
  for (int i = 0; i <= block.rank(); ++i) heads.push_back(i == axis ? kv_heads : 1);
  return (expand_dims(block, axis) * static_cast<int>(kv_heads) + iota(heads, axis)) *
             static_cast<int>(kKvBlock) +
         expand_dims(offset, axis);
}

Tensor set_kv_rows(const Tensor& pool, const Tensor& rows, const Tensor& x) {
  const int64_t width = pool.size(3);
  return reshape(index_set(reshape(pool, {-1, width}), rows, x), pool.shape());
}

void KvCache::append(const Tensor& k, const Tensor& v) {
  const int64_t B = k.size(0), T = k.size(2);
  const auto column = [&](const Tensor& t) {  // 0-d or (B) → (B or 1, 1)
    return reshape(t, {t.rank() ? t.size(0) : 1, 1});
  };
  const Tensor next = iota({1, T}, 1);
  const Tensor position = broadcast_to(column(length) + next, {B, T});
  const Tensor at = floor_divide(position, static_cast<int>(kKvBlock));
  const Tensor last = full({}, block_table.size(1) - 1, DType::i32);
  Tensor block = take_along_axis(block_table, minimum(at, last), 1);
  if (count.defined()) block = where(next < column(count), block, 0);
  const Tensor rows =
      kv_rows(block, remainder(position, static_cast<int>(kKvBlock)), keys.size(1), 1);
  const auto put = [&](Tensor& pool, Tensor& scales, const Tensor& x) {
    const KvNumbers numbers = to_kv(x, pool.dtype());
    pool = set_kv_rows(pool, rows, numbers.values);
    if (scales.defined()) scales = set_kv_rows(scales, rows, numbers.scales);
  };
  put(keys, key_scales, k);
  put(values, value_scales, v);
}

}  // namespace cairn
