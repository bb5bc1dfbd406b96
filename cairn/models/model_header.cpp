#include "cairn/models/model_header.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/base/file.h"
#include "cairn/io/safetensors_folder.h"
#include "cairn/models/families.h"
#include "cairn/models/gguf_families.h"
#include "cairn/models/hf_folder.h"
#include "cairn/models/language_model.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

// Of a module that is not filled: its fields as f32.
ModelHeader as_f32(Transformer& model) {
  ModelHeader header{model.config(), {}};
  for (const Field& field : fields(model))
    header.weights.push_back({field.path, field.tensor->shape(), field.tensor->type().bytes()});
  return header;
}

ModelHeader of_gguf(const io::GgufFile& file) {
  const TransformerConfig config = parse_gguf_config(file).value();
  const NameMap names = gguf_names(config);
  Transformer model(config);
  ModelHeader header = as_f32(model);
  for (ModelHeader::Weight& w : header.weights) {
    const FilePlace place = names(w.field);
    const io::GgufEntry* entry = file.tensor(place.name);
    if (!entry)
      throw_error(
          fmt::format("tensor '{}' (for {}) is missing from the file", place.name, w.field));
    if (w.shape.rank() != 2) continue;
    // Some tensors hold several fields.
    const auto all = Shape(Ints(entry->shape)).elements();
    if (all == 0) continue;
    w.bytes =
        static_cast<uint64_t>(static_cast<double>(entry->bytes) *
                              static_cast<double>(w.shape.elements()) / static_cast<double>(all));
    w.in_blocks = entry->type->block_format() != nullptr;
    if (entry->type->dtype) w.floats = *entry->type->dtype;
    w.is_mapped = place.paired_heads == 0;
  }
  return header;
}

// As load_fields() has it.
void see_kept_weights(const io::SafetensorsFolder& file, ModelHeader& header) {
  const NameMap names = folder_names(header.config, file);
  for (ModelHeader::Weight& w : header.weights) {
    const FilePlace place = names(w.field);
    const io::SafetensorsEntry* entry = file.find(place.name);
    if (!entry || w.shape.rank() != 2) continue;
    w.floats = entry->dtype == "F16" ? DType::f16 : entry->dtype == "BF16" ? DType::bf16 : w.floats;
    w.bytes = static_cast<uint64_t>(w.shape.elements()) * size_of(w.floats);
    w.is_mapped = !place.transposed && (w.floats != DType::f32 || entry->dtype == "F32");
  }
}

}  // namespace

Result<ModelHeader> read_model_header(const fs::path& path) {
  try {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
      constexpr uint64_t kLargest = 1 << 24;
      const auto config =
          parse_hf_config(read_file((path / "config.json").string(), kLargest).value());
      if (!config) return Error(fmt::format("{}: {}", path.string(), config.error().what()));
      Transformer model(config.value().transformer);
      ModelHeader header = as_f32(model);
      const auto file = io::SafetensorsFolder::open(path);
      if (!file) return file.error();
      see_kept_weights(file.value(), header);
      return header;
    }
    if (is_gguf_file(path)) {
      const auto file = io::GgufFile::open(path.string());
      if (!file) return file.error();
      return of_gguf(file.value());
    }
    auto model = load_language_model(path);
    if (!model) return model.error();
    return as_f32(*model.value().transformer);
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return Error(fmt::format("{}: {}", path.string(), error.what()));
  }
}

bool has_f32_matrices(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    const auto folder = io::SafetensorsFolder::open(path);
    return folder && folder.value().matrices_are("F32");
  }
  const auto file = io::GgufFile::open(path.string());
  if (!file) return path.extension() == ".bin";
  return std::ranges::all_of(file.value().entries(), [](const io::GgufEntry& entry) {
    return entry.shape.size() < 2 || entry.type->dtype == DType::f32;
  });
}

}  // namespace cairn
