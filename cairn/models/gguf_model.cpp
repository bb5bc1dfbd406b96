#include "cairn/models/gguf_model.h"

#include <fmt/format.h>

#include "cairn/core/block_format.h"
#include "cairn/graph/scalar.h"
#include "cairn/models/block_weights.h"
#include "cairn/models/gguf_families.h"
#include "cairn/models/gguf_text.h"
#include "cairn/models/narrow_weights.h"
#include "cairn/ops/elementwise.h"

namespace cairn {
namespace {

struct FieldOptions {
  const BlockFormat* format = nullptr;  // to encode it in; null: as it is
  Runtime* runtime = nullptr;           // as of block_weight()
  ThreadPool* pool = nullptr;           // to encode with
  Runtime* narrow_runtime = nullptr;    // as of narrow_weight()
  PackedWeights* kept = nullptr;        // as of both
};

// A vector of a model, as f32.
Tensor vector_of_field(const HostArray& all, const Field& field, const FilePlace& place) {
  const int64_t count = field.tensor->elements();
  HostArray values(DType::f32, {count});
  float* out = values.mutable_span<float>().data();
  const auto added = static_cast<float>(place.added);
  visit_dtype(all.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* in = static_cast<const T*>(all.data());
    for (int64_t i = 0; i < count; ++i)
      out[i] = cast_element<float>(in[place.file_output(i, count)]) + added;
  });
  return Tensor(values).named(field.path);
}

// Any floats or blocks as f32.
HostArray numbers_of(const HostArray& rows, const BlockFormat* format) {
  const int64_t count = rows.shape()[0];
  if (format) {
    const int64_t blocks = rows.shape()[1] / format->block_bytes;
    HostArray values(DType::f32, {count, blocks * format->block_elements});
    decode_blocks(*format, static_cast<const uint8_t*>(rows.data()), count * blocks,
                  values.mutable_span<float>().data());
    return values;
  }
  return rounded(rows, DType::f32);
}

Tensor read_field(const io::GgufFile& file, const Field& field, const FilePlace& place,
                  const FieldOptions& options) {
  const io::GgufEntry* entry = file.tensor(place.name);
  if (!entry)
    throw_error(
        fmt::format("tensor '{}' (for {}) is missing from the file", place.name, field.path));
  const Shape wanted = file_shape(field.tensor->shape(), place);
  if (!std::ranges::equal(entry->shape, wanted))
    throw_error(fmt::format("tensor '{}' has shape ({}); the metadata ask for {}", place.name,
                            fmt::join(entry->shape, ", "), to_string(wanted)));
  const HostArray all = file.read(*entry).value();
  const BlockFormat* format = entry->type->block_format();
  if (!format && !is_float(all.dtype()))
    throw_error(fmt::format("tensor '{}' has the type {}; weights are floats or blocks", place.name,
                            entry->type->name));
  if (field.tensor->rank() == 1) {
    if (format)
      throw_error(fmt::format("tensor '{}' is a vector in blocks of {}; vectors are floats",
                              place.name, entry->type->name));
    return vector_of_field(all, field, place);
  }
  const LateArray late{all.dtype(), {field.tensor->size(0), all.shape()[1]}, [&] {
                         HostArray rows = rows_of_field(all, field.tensor->shape(), place);
                         if (place.paired_heads) file.release_pages(*entry);
                         return rows;
                       }};
  if (options.format && options.format != format) {
    HostArray rows;
    const auto numbers = [&](int64_t first, int64_t count) {
      if (first == 0) rows = late.read();
      file.release_pages(*entry);
      const auto row_bytes = static_cast<int64_t>(rows.bytes()) / rows.shape()[0];
      return numbers_of(HostArray(rows.dtype(), {count, rows.shape()[1]}, rows.owner(),
                                  static_cast<const std::byte*>(rows.data()) + first * row_bytes),
                        format);
    };
    Tensor weight = encoded_weight(field.tensor->shape(), numbers, *options.format, field.path,
                                   options.runtime, *options.pool, options.kept);
    file.release_pages(*entry);
    return weight;
  }
  const auto release = [&] { file.release_pages(*entry); };
  if (format)
    return block_weight(late, *format, field.path, options.runtime, release, options.kept);
  if (is_narrow_float(all.dtype()))
    return narrow_weight(late, field.path, options.narrow_runtime, release, options.kept);
  const Tensor leaf = Tensor(late.read()).named(field.path);
  return leaf.dtype() == DType::f32 ? leaf : cast(leaf, DType::f32);
}

LanguageModel load(const io::GgufFile& file, const LoadOptions& options) {
  const TransformerConfig config = parse_gguf_config(file).value();
  const NameMap names = gguf_names(config);
  // Before a model of as many layers is built: the last of them must be in the file.
  const std::string last =
      names(fmt::format("blocks.{}.attention.output.weight", config.layers - 1)).name;
  if (!file.tensor(last))
    throw_error(
        fmt::format("tensor '{}' is missing from the file, and the metadata say that there "
                    "are {} layers",
                    last, config.layers));
  LanguageModel model;
  model.transformer = std::make_unique<Transformer>(config);
  std::optional<WeightFormats> formats;
  if (!options.quantize.empty()) formats = WeightFormats::parse(options.quantize, config).value();
  std::optional<ThreadPool> own_pool;
  if (formats && !options.runtime) own_pool.emplace(physical_cores());
  ThreadPool* pool = options.runtime ? &options.runtime->pool() : own_pool ? &*own_pool : nullptr;
  const std::vector<Field> all = fields(*model.transformer);
  for (size_t i = 0; i < all.size(); ++i) {
    const Field& field = all[i];
    if (options.progress) options.progress(i, all.size());
    FieldOptions how{nullptr, options.runtime, pool, nullptr, options.kept};
    if (formats) how.format = formats->format_of(field.path, field.tensor->shape());
    // Of tables rows are read, so they stay in order; a head that shares one has it in panels.
    const bool is_table = field.path == "tokens.weight" || field.path == "positions.weight";
    if (is_table) how.runtime = nullptr;
    // Of panels of 16-bit floats rows are taken, too, where products read them.
    const bool is_product = !is_table || (field.path == "tokens.weight" && config.tied);
    if (is_product) how.narrow_runtime = options.runtime;
    *field.tensor = read_field(file, field, names(field.path), how);
    if (field.path != "tokens.weight" || !config.tied || !options.runtime) continue;
    Tensor head = head_of_table(*field.tensor, options.runtime, options.kept);
    if (!head.defined()) continue;
    model.transformer->keep_head_apart(std::move(head));
    if (const io::GgufEntry* entry = file.tensor(names(field.path).name))
      file.release_pages(*entry);
  }
  if (has_gguf_tokenizer(file)) {
    model.tokenizer = gguf_tokenizer(file).value();
    model.bos = model.tokenizer->bos().value_or(-1);
  }
  model.ends = gguf_end_tokens(file);
  model.sampling = gguf_sampling_defaults(file);
  return model;
}

}  // namespace

Result<LanguageModel> load_gguf_model(const std::filesystem::path& path,
                                      const LoadOptions& options) {
  const auto file = io::GgufFile::open(path.string());
  if (!file) return file.error();
  try {
    return load(file.value(), options);
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return Error(fmt::format("{}: {}", path.string(), error.what()));
  }
}

}  // namespace cairn
