#include "cairn/models/hf_export.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cairn/base/file.h"
#include "cairn/core/block_format.h"
#include "cairn/io/safetensors.h"
#include "cairn/models/families.h"
#include "cairn/models/gguf_families.h"
#include "cairn/models/gguf_text.h"
#include "cairn/models/sampling_defaults.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// The tensors of a GGUF file, blocks as f32.
class DecodedFile : public io::TensorFile {
 public:
  explicit DecodedFile(const io::GgufFile& file) : file_(file) {}
  bool has(std::string_view name) const override { return file_.tensor(name); }
  Result<HostArray> read(std::string_view name) const override {
    const io::GgufEntry& entry = *file_.tensor(name);
    auto array = file_.read(entry);
    const BlockFormat* format = entry.type->block_format();
    if (!array || !format) return array;
    HostArray values(DType::f32, io::checked_shape(entry.shape, DType::f32));
    decode_blocks(*format, static_cast<const uint8_t*>(array.value().data()),
                  values.elements() / format->block_elements, values.mutable_span<float>().data());
    return values;
  }

 private:
  const io::GgufFile& file_;
};

uint64_t bytes_of(const io::SafetensorsSource& source) {
  return static_cast<uint64_t>(source.shape.elements()) * size_of(source.dtype);
}

// Tensors in shards of at most so many bytes; a tensor that is larger has one of its own.
std::vector<std::vector<io::SafetensorsSource>> in_shards(std::vector<io::SafetensorsSource> all,
                                                          uint64_t limit) {
  std::vector<std::vector<io::SafetensorsSource>> shards(1);
  uint64_t bytes = 0;
  for (io::SafetensorsSource& source : all) {
    const uint64_t more = bytes_of(source);
    if (bytes > 0 && bytes + more > limit) {
      shards.emplace_back();
      bytes = 0;
    }
    bytes += more;
    shards.back().push_back(std::move(source));
  }
  return shards;
}

HfExported write_weights(std::vector<io::SafetensorsSource> sources, const fs::path& folder,
                         uint64_t shard_bytes) {
  HfExported done{.tensors = sources.size(), .files = 0, .bytes = 0};
  for (const io::SafetensorsSource& source : sources) done.bytes += bytes_of(source);
  auto shards = in_shards(std::move(sources), shard_bytes);
  done.files = shards.size();
  Json places = Json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name =
        shards.size() == 1 ? "model.safetensors"
                           : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    for (const io::SafetensorsSource& source : shards[i]) places[source.name] = name;
    // The format that transformers asks for.
    io::write_safetensors((folder / name).string(), std::move(shards[i]), {{"format", "pt"}})
        .value();
  }
  if (done.files > 1) {
    const Json index = {{"metadata", {{"total_size", done.bytes}}}, {"weight_map", places}};
    write_file_atomically((folder / "model.safetensors.index.json").string(), index.dump(2) + "\n")
        .value();
  }
  return done;
}

// The name that transformers has for the type of most numbers.
const char* torch_name(DType dtype) {
  return dtype == DType::f16 ? "float16" : dtype == DType::bf16 ? "bfloat16" : "float32";
}

// Numbers that GGUF keeps as f32, as people write them: 1e-06, not 9.999999974752427e-07.
void shorten_numbers(Json& value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    const auto single = static_cast<float>(number);
    if (static_cast<double>(single) == number) value = std::stod(fmt::format("{}", single));
    return;
  }
  if (!value.is_structured()) return;
  for (Json& item : value) shorten_numbers(item);
}

void write_configs(const io::GgufFile& file, const TransformerConfig& config, DType dtype,
                   const fs::path& folder) {
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::string chat_template;
  if (has_gguf_tokenizer(file)) tokenizer = gguf_tokenizer(file).value();
  if (const auto found = gguf_template(file, false)) chat_template = found.value().source;
  const std::vector<int> ends = gguf_end_tokens(file);
  const int bos = tokenizer ? tokenizer->bos().value_or(-1) : -1;
  int eos = tokenizer ? tokenizer->eos().value_or(-1) : -1;
  if (eos < 0 && !ends.empty()) eos = ends.front();
  Json json = Json::parse(to_hf_config(config, bos, eos));
  // Without the key Phi-3's is 32000, whatever the vocabulary.
  const io::GgufValue* padding = file.find("tokenizer.ggml.padding_token_id");
  json["pad_token_id"] = padding && padding->integer() ? Json(*padding->integer()) : Json();
  json["torch_dtype"] = torch_name(dtype);
  shorten_numbers(json);
  write_file_atomically((folder / "config.json").string(), json.dump(2) + "\n").value();
  Json generation = Json::object();
  if (bos >= 0) generation["bos_token_id"] = bos;
  if (!ends.empty()) generation["eos_token_id"] = ends;
  write_file_atomically((folder / "generation_config.json").string(),
                        with_sampling_defaults(generation.dump(), gguf_sampling_defaults(file)))
      .value();
  if (tokenizer) text::save_tokenizer(*tokenizer, folder, chat_template).value();
}

HfExported write(const io::GgufFile& file, const fs::path& folder, const HfExport& options) {
  const TransformerConfig config = parse_gguf_config(file).value();
  Transformer transformer(config);
  const DecodedFile decoded(file);
  const NameMap from = gguf_names(config);
  std::vector<io::SafetensorsSource> sources;
  DType most = DType::f32;  // of matrices
  for (const MovedTensor& tensor :
       moved_tensors(fields(transformer), decoded, from, hf_names(config))) {
    const io::GgufEntry* entry = file.tensor(from(tensor.fields.front().path).name);
    const DType stored = entry && entry->type->dtype ? *entry->type->dtype : DType::f32;
    const DType dtype = options.dtype.value_or(stored);
    if (tensor.shape.rank() > 1) most = dtype;
    sources.push_back({tensor.name, dtype, tensor.shape, [&options, tensor, dtype] {
                         if (options.progress) options.progress(tensor.name);
                         return rounded(tensor.load(), dtype);
                       }});
  }
  write_configs(file, config, most, folder);
  return write_weights(std::move(sources), folder, options.shard_bytes);
}

}  // namespace

Result<HfExported> write_hf_folder(const io::GgufFile& file, const fs::path& folder,
                                   const HfExport& options) {
  try {
    return write(file, folder, options);
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return error;
  }
}

}  // namespace cairn
