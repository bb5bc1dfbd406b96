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
  cache.keys = zeros({blocks, kv_heads, head_width, kKvBlock}, dtype);
  cache.values = zeros({blocks, kv_heads, kKvBlock, head_width}, dtype);
  if (dtype != DType::i8) return cache;
  if (head_width % kKvGroup)
    throw_error(
        fmt::format("keys and values of q8_0 come in groups of {} numbers, and the model's heads "
                    "have {}; use f16",
                    kKvGroup, head_width));
  cache.key_scales = cache.value_scales =
      zeros({blocks, kv_heads, head_width / kKvGroup, kKvBlock}, DType::f16);
  return cache;
}

namespace {

// As a pool keeps numbers.
struct Narrow {
  Tensor values;
  Tensor scales;  // of i8
};

Narrow narrowed(const Tensor& x, DType dtype) {
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

// A pool's tensor has rows of places behind an axis of heads; (B, heads, T) of them, i32 as long as
// the tensor's elements can be counted in it.
Tensor rows_of(const Tensor& pool, const KvCache::Places& places, const Tensor& in_block,
               int64_t rows) {
  const int64_t heads = pool.size(1);
  const DType dtype = pool.elements() > INT32_MAX ? DType::i64 : DType::i32;
  const Tensor head = iota({1, heads, 1}, 1, dtype);
  return (expand_dims(cast(places.block, dtype), 1) * static_cast<int>(heads) + head) *
             static_cast<int>(rows) +
         expand_dims(cast(in_block, dtype), 1);
}

// Of values: rows of numbers.
Tensor value_rows(const Tensor& pool, const KvCache::Places& places) {
  return rows_of(pool, places, places.offset, kKvBlock);
}
void put_rows(Tensor& pool, const KvCache::Places& places, const Tensor& x) {
  pool = reshape(index_set(reshape(pool, {-1, pool.size(3)}), value_rows(pool, places), x),
                 pool.shape());
}
Tensor rows_at(const Tensor& pool, const KvCache::Places& places) {
  return take(reshape(pool, {-1, pool.size(3)}), value_rows(pool, places), 0);
}

// Of keys and scales: single numbers, (B, heads, T, width).
Tensor key_elements(const Tensor& pool, const KvCache::Places& places) {
  const int64_t width = pool.size(2);
  const Tensor first = rows_of(pool, places, places.offset, width * kKvBlock);
  return expand_dims(first, 3) +
         iota({1, 1, 1, width}, 3, first.dtype()) * static_cast<int>(kKvBlock);
}
void put_columns(Tensor& pool, const KvCache::Places& places, const Tensor& x) {
  pool = reshape(index_set(reshape(pool, {-1}), key_elements(pool, places), x), pool.shape());
}
Tensor columns_at(const Tensor& pool, const KvCache::Places& places) {
  return take(reshape(pool, {-1}), key_elements(pool, places), 0);
}

}  // namespace

void KvCache::put_keys(const Places& places, const Tensor& k) {
  const Narrow numbers = narrowed(k, keys.dtype());
  put_columns(keys, places, numbers.values);
  if (key_scales.defined()) put_columns(key_scales, places, numbers.scales);
}
void KvCache::put_values(const Places& places, const Tensor& v) {
  const Narrow numbers = narrowed(v, values.dtype());
  put_rows(values, places, numbers.values);
  if (value_scales.defined()) put_columns(value_scales, places, numbers.scales);
}
Tensor KvCache::keys_at(const Places& places) const {
  const Tensor wide = cast(columns_at(keys, places), DType::f32);
  if (!key_scales.defined()) return wide;
  return wide * repeat(cast(columns_at(key_scales, places), DType::f32), kKvGroup, -1);
}
void KvCache::move_values(const Places& from, const Places& to) {
  put_rows(values, to, rows_at(values, from));
  if (value_scales.defined()) put_columns(value_scales, to, columns_at(value_scales, from));
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
  const Places places{block, remainder(position, static_cast<int>(kKvBlock))};
  put_keys(places, k);
  put_values(places, v);
}

}  // namespace cairn
