#include "cairn/models/gguf_model.h"

#include <fmt/format.h>

#include "cairn/core/block_format.h"
#include "cairn/graph/scalar.h"
#include "cairn/models/block_weights.h"
#include "cairn/models/float_weights.h"
#include "cairn/models/gguf_families.h"
#include "cairn/models/gguf_text.h"
#include "cairn/models/weights.h"

namespace cairn {
namespace {

struct FieldOptions {
  std::optional<std::string_view> type;  // to encode it in; nothing: as it is
  Runtime* runtime = nullptr;            // as of block_weight()
  ThreadPool* pool = nullptr;            // to encode with
  DType floats;                          // that floats are kept in
  PackedWeights* kept = nullptr;         // as of block_weight()
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
  HostArray rows;
  const LateArray late{all.dtype(), {field.tensor->size(0), all.shape()[1]}, [&] {
                         rows = rows_of_field(all, field.tensor->shape(), place);
                         if (place.paired_heads) file.release_pages(*entry);
                         return rows;
                       }};
  const auto some = [&](int64_t first, int64_t count) {
    if (rows.elements() == 0) late.read();
    file.release_pages(*entry);
    return some_rows(rows, first, count);
  };
  Tensor weight;
  if (options.type && io::find_gguf_type(*options.type) != entry->type)
    weight = encoded_weight(
        field.tensor->shape(),
        [&](int64_t first, int64_t count) { return numbers_of(some(first, count), format); },
        *options.type, field.path, options.runtime, *options.pool, options.kept);
  else if (format)
    weight = block_weight(
        late, *format, field.path, options.runtime, [&] { file.release_pages(*entry); },
        options.kept);
  else
    weight = float_weight(options.type ? all.dtype() : options.floats, field.tensor->shape(), some,
                          field.path, options.runtime, options.kept);
  file.release_pages(*entry);
  return weight;
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
    // Of tables that no product reads rows are taken where they lie.
    Runtime* runtime = is_table(field.path, config) ? nullptr : options.runtime;
    const FilePlace place = names(field.path);
    FieldOptions how{std::nullopt, runtime, pool, DType::f32, options.kept};
    if (formats) how.type = formats->type_of(field.path, field.tensor->shape());
    if (const io::GgufEntry* entry = file.tensor(place.name); entry && entry->type->dtype)
      how.floats = kept_type(field.path, *entry->type->dtype, config, options.precision);
    *field.tensor = read_field(file, field, place, how);
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
