#include "cairn/models/block_weights.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/base/environment.h"
#include "cairn/compiler/block_panels.h"
#include "cairn/graph/graph.h"
#include "cairn/io/gguf_types.h"
#include "cairn/models/gguf_families.h"
#include "cairn/ops/quantize.h"
#include "cairn/quant/encode.h"
#include "cairn/quant/recipe.h"
#include "cairn/tile/quantized.h"

namespace cairn {
namespace {

// Rows that take 0.1 to 0.5 ms.
int64_t grain_of(int64_t columns) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(columns, 1));
}

// f32 [N, K] in blocks: u8[N, bytes of a row].
HostArray encoded(const HostArray& values, const BlockFormat& format, ThreadPool& pool) {
  const int64_t rows = values.shape()[0], columns = values.shape()[1];
  const int64_t row_bytes = columns / format.block_elements * format.block_bytes;
  HostArray bytes(DType::u8, {rows, row_bytes});
  const float* from = values.span<float>().data();
  uint8_t* to = bytes.mutable_span<uint8_t>().data();
  const CpuTarget target = choose_cpu_target(read_environment().target);
  pool.parallel_for(rows, grain_of(columns), [&](int64_t begin, int64_t end) {
    encode_rows(format, from + begin * columns, end - begin, columns, {}, to + begin * row_bytes,
                target);
  });
  return bytes;
}

// A weight in kRowFormat: its codes, and the scales of its rows.
struct ScaledRows {
  HostArray codes, scales;
};
ScaledRows in_scaled_rows(const HostArray& values, ThreadPool& pool) {
  const int64_t rows = values.shape()[0], columns = values.shape()[1];
  ScaledRows result{HostArray(DType::u8, {rows, columns}), HostArray(DType::f32, {rows})};
  const float* from = values.span<float>().data();
  uint8_t* codes = result.codes.mutable_span<uint8_t>().data();
  float* scales = result.scales.mutable_span<float>().data();
  pool.parallel_for(rows, grain_of(columns), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      scales[row] = encode_scaled_row(from + row * columns, columns, codes + row * columns);
  });
  return result;
}

}  // namespace

Tensor block_weight(const HostArray& bytes, const BlockFormat& format, const std::string& name,
                    Runtime* runtime, const std::function<void()>& packed) {
  if (!runtime || !runtime->backend().packs_weights() || !tile::has_product_kernel(format))
    return dequantize(Tensor(bytes).named(name), format.name);
  const int64_t rows = bytes.shape()[0], row_bytes = bytes.shape()[1];
  const TensorType type{DType::u8, block_panels_shape(format, rows, row_bytes)};
  const auto buffer = runtime->allocator().allocate(type.bytes());
  // Some MB at a time, so that a mapped file need not be in memory beside its panels.
  constexpr int64_t kSlab = 2048;  // rows: whole panels
  static_assert(kSlab % tile::kMostPanelRows == 0);
  const int64_t panel_bytes = type.shape[1] * type.shape[2];
  for (int64_t row = 0; row < rows; row += kSlab) {
    write_block_panels(
        format, static_cast<const uint8_t*>(bytes.data()) + row * row_bytes,
        std::min(kSlab, rows - row), row_bytes,
        static_cast<uint8_t*>(buffer->data) + row / tile::panel_rows(format) * panel_bytes,
        runtime->pool());
    if (packed) packed();
  }
  const Tensor panels = Tensor::leaf(type, buffer, name);
  return dequantize(from_block_panels(panels, format, rows), format.name);
}

Tensor encoded_weight(const HostArray& values, const BlockFormat& format, const std::string& name,
                      Runtime* runtime, ThreadPool& pool) {
  if (format.scale_type != ScaleType::none)
    return block_weight(encoded(values, format, pool), format, name, runtime);
  const ScaledRows rows = in_scaled_rows(values, pool);
  const Tensor codes = block_weight(rows.codes, format, name, runtime).node().input(0);
  return dequantize_rows(codes, Tensor(rows.scales).named(name + ".scales"));
}

Tensor head_of_table(const Tensor& table, Runtime* runtime) {
  const Node& node = table.node();
  if (node.op() == Op::multiply) {
    const Tensor head = head_of_table(node.input(0), runtime);
    return head.defined() ? rebuild(node, {head, node.input(1)})[0] : Tensor();
  }
  if (node.op() != Op::dequantize) return {};
  const BlockFormat& format = *find_block_format(node.attrs().text(Attr::format));
  return block_weight(node.input(0).host(), format, "head.weight", runtime);
}

struct WeightFormats::Wanted {
  const Recipe* recipe;
  const BlockFormat* format;  // where there is no recipe
  NameMap names;              // which recipes go by
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
      recipe,
      recipe ? nullptr : weight_format(type),
      gguf_names(c),
      {.layers = c.layers, .heads_per_kv_head = c.heads / c.kv_heads, .tied_embeddings = c.tied}});
  return result;
}

const BlockFormat* WeightFormats::format_of(const std::string& field, const Shape& shape) const {
  if (shape.rank() != 2) return nullptr;
  const Wanted& w = *wanted_;
  std::optional<std::string_view> format;
  if (w.format)
    format = w.format->name;
  else
    format = format_for(*w.recipe, w.names(field).name, shape, w.facts);
  if (format) format = format_that_divides(*format, shape[1]);
  return format ? find_block_format(*format) : nullptr;
}

}  // namespace cairn
