#include "cairn/models/block_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "cairn/base/environment.h"
#include "cairn/compiler/block_panels.h"
#include "cairn/io/gguf_types.h"
#include "cairn/models/gguf_families.h"
#include "cairn/ops/quantize.h"
#include "cairn/quant/encode.h"
#include "cairn/quant/recipe.h"
#include "cairn/tile/quantized.h"

namespace cairn {
namespace {

// Rows that are read, encoded and put in panels at a time: some MB, so that neither a mapped file
// nor its numbers need be in memory beside the panels.
constexpr int64_t kSlab = 2048;
static_assert(kSlab % tile::kMostPanelRows == 0);

bool goes_in_panels(const BlockFormat& format, Runtime* runtime) {
  return runtime && runtime->backend().packs_weights() && tile::has_product_kernel(format);
}

// The bytes of some rows.
using BytesOf = std::function<const uint8_t*(int64_t first, int64_t count)>;

// u8[rows, row_bytes] in panels, for products.
Tensor in_panels(int64_t rows, int64_t row_bytes, const BytesOf& bytes, const BlockFormat& format,
                 const std::string& name, Runtime& runtime, PackedWeights* kept) {
  const TensorType type{DType::u8, block_panels_shape(format, rows, row_bytes)};
  const int64_t panel_bytes = type.shape[1] * type.shape[2];
  const auto write = [&](void* data) {
    for (int64_t row = 0; row < rows; row += kSlab)
      write_block_panels(format, bytes(row, std::min(kSlab, rows - row)),
                         std::min(kSlab, rows - row), row_bytes,
                         static_cast<uint8_t*>(data) + row / tile::panel_rows(format) * panel_bytes,
                         runtime.pool());
  };
  return from_block_panels(packed_leaf(kept, runtime, type, name, write), format, rows);
}

// f32 [count, K] in blocks, and for each row a scale where the format has none.
void encode(const HostArray& values, const BlockFormat& format, ThreadPool& pool, uint8_t* bytes,
            float* scales) {
  const int64_t columns = values.shape()[1];
  const int64_t row_bytes = columns / format.block_elements * format.block_bytes;
  const float* from = values.span<float>().data();
  const CpuTarget target = choose_cpu_target(read_environment().target);
  // 16,384 elements take 0.1 to 0.5 ms.
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(columns, 1));
  pool.parallel_for(values.shape()[0], grain, [&](int64_t begin, int64_t end) {
    if (!scales)
      encode_rows(format, from + begin * columns, end - begin, columns, {},
                  bytes + begin * row_bytes, target);
    else
      for (int64_t row = begin; row < end; ++row)
        scales[row] = encode_scaled_row(from + row * columns, columns, bytes + row * row_bytes);
  });
}

}  // namespace

Tensor block_weight(const LateArray& bytes, const BlockFormat& format, const std::string& name,
                    Runtime* runtime, const std::function<void()>& packed, PackedWeights* kept) {
  if (!goes_in_panels(format, runtime))
    return dequantize(Tensor(bytes.read()).named(name), format.name);
  HostArray all;
  const auto rows = [&](int64_t first, int64_t) {
    if (first == 0) all = bytes.read();
    if (first && packed) packed();
    return static_cast<const uint8_t*>(all.data()) + first * bytes.shape[1];
  };
  const Tensor panels =
      in_panels(bytes.shape[0], bytes.shape[1], rows, format, name, *runtime, kept);
  if (packed) packed();
  return dequantize(panels, format.name);
}

Tensor encoded_weight(const Shape& shape, const RowsOf& values, std::string_view type,
                      const std::string& name, Runtime* runtime, ThreadPool& pool,
                      PackedWeights* kept) {
  const BlockFormat* found = find_block_format(type);
  if (!found) return float_weight(DType::f16, shape, values, name, runtime, kept);
  const BlockFormat& format = *found;
  const int64_t rows = shape[0], row_bytes = shape[1] / format.block_elements * format.block_bytes;
  const bool has_row_scales = format.scale_type == ScaleType::none;
  HostArray scales(DType::f32, {has_row_scales ? rows : 0});
  bool is_encoded = false;
  const auto encode_into = [&](uint8_t* to, int64_t first, int64_t count) {
    is_encoded = true;
    encode(values(first, count), format, pool, to,
           has_row_scales ? scales.mutable_span<float>().data() + first : nullptr);
  };
  Tensor bytes;
  std::vector<uint8_t> slab;
  const auto encoded = [&](int64_t first, int64_t count) {
    slab.resize(static_cast<size_t>(std::min(rows, kSlab) * row_bytes));
    encode_into(slab.data(), first, count);
    return slab.data();
  };
  if (goes_in_panels(format, runtime)) {
    bytes = in_panels(rows, row_bytes, encoded, format, name, *runtime, kept);
  } else {
    const auto write = [&](void* data) {
      for (int64_t row = 0; row < rows; row += kSlab)
        encode_into(static_cast<uint8_t*>(data) + row * row_bytes, row,
                    std::min(kSlab, rows - row));
    };
    const TensorType of_rows{DType::u8, {rows, row_bytes}};
    if (kept) {
      bytes = kept->leaf(of_rows, name, write);
    } else {
      HostArray all(of_rows.dtype, of_rows.shape);
      write(all.mutable_data());
      bytes = Tensor(all).named(name);
    }
  }
  if (!has_row_scales) return dequantize(bytes, format.name);
  const std::string of_scales = name + ".scales";
  if (!kept) return dequantize_rows(bytes, Tensor(scales).named(of_scales));
  return dequantize_rows(bytes, kept->leaf({DType::f32, {rows}}, of_scales, [&](void* data) {
    // They come with the codes, which may have been found alone.
    const bool is_missing = !is_encoded;
    for (int64_t row = 0; row < rows && is_missing; row += kSlab)
      encoded(row, std::min(kSlab, rows - row));
    std::memcpy(data, scales.data(), scales.bytes());
  }));
}

struct WeightFormats::Wanted {
  TypeChoice choice;
  NameMap names;  // which recipes go by
  ModelFacts facts;
};

namespace {

// Null where there is none of that name.
const BlockFormat* weight_format(std::string_view type) {
  if (type == kRowFormat) return find_block_format(type);
  const io::GgufType* known = io::find_gguf_type(type);
  return known ? known->block_format() : nullptr;
}

}  // namespace

Status check_weight_type(std::string_view type) {
  if (find_recipe(type) || weight_format(type)) return Nothing{};
  std::vector<std::string_view> formats;
  for (const BlockFormat& format : block_formats()) formats.push_back(format.name);
  return Error(
      fmt::format("weights cannot become '{}'; known are the recipes {} and the types {}, {}", type,
                  fmt::join(recipe_names(), ", "), fmt::join(formats, ", "), kRowFormat));
}

Result<WeightFormats> WeightFormats::parse(std::string_view type, const TransformerConfig& c) {
  if (auto status = check_weight_type(type); !status) return status.error();
  const Recipe* recipe = find_recipe(type);
  WeightFormats result;
  result.wanted_ = std::make_shared<const Wanted>(Wanted{
      {recipe, recipe ? std::string_view() : weight_format(type)->name},
      gguf_names(c),
      {.layers = c.layers, .heads_per_kv_head = c.heads / c.kv_heads, .tied_embeddings = c.tied}});
  return result;
}

std::optional<std::string_view> WeightFormats::type_of(const std::string& field,
                                                       const Shape& shape) const {
  if (shape.rank() != 2) return std::nullopt;
  const Wanted& w = *wanted_;
  const auto type = type_for(w.choice, w.names(field).name, shape, w.facts);
  return type ? std::optional(type_that_divides(*type, shape[1])) : std::nullopt;
}

}  // namespace cairn
