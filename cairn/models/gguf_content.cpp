#include "cairn/models/gguf_content.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/io/probe.h"
#include "cairn/models/gguf_families.h"
#include "cairn/models/gguf_text.h"
#include "cairn/models/hf_folder.h"
#include "cairn/models/language_model.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

GgufContent content_of_file(const std::string& path) {
  const auto file = std::make_shared<const io::GgufFile>(io::GgufFile::open(path).value());
  GgufContent content;
  for (const auto& pair : file->metadata())
    if (!pair.first.starts_with("split.")) content.metadata.push_back(pair);
  for (const io::GgufEntry& entry : file->entries())
    content.tensors.push_back({entry.name, entry.type, entry.shape,
                               [file, &entry] { return file->read(entry).value(); }});
  return content;
}

// The values of a module's fields, by their paths.
class FieldsFile : public io::TensorFile {
 public:
  explicit FieldsFile(const std::vector<Field>& all) {
    for (const Field& field : all) values_.emplace(field.path, *field.tensor);
  }
  bool has(std::string_view name) const override { return values_.contains(name); }
  Result<HostArray> read(std::string_view name) const override {
    return values_.find(name)->second.host();
  }

 private:
  std::map<std::string, Tensor, std::less<>> values_;
};

bool is_always_f32(std::string_view name) {
  return name.ends_with("_norm.weight") || name == "position_embd.weight";
}

// The type of a matrix in the file where it lies; f32 for what GGUF has no type of.
DType stored_dtype(const io::TensorFile& file, const NameMap& names, const MovedTensor& tensor) {
  if (tensor.shape.rank() < 2 || is_always_f32(tensor.name)) return DType::f32;
  const auto array = file.read(names(tensor.fields.front().path).name);
  const DType dtype = array ? array.value().dtype() : DType::f32;
  return dtype == DType::f16 || dtype == DType::bf16 ? dtype : DType::f32;
}

// Everything that outlives the reading of one tensor after the other.
struct Kept {
  std::unique_ptr<Transformer> transformer;
  std::unique_ptr<io::TensorFile> file;
};

void add_tensors(GgufContent& content, const std::shared_ptr<Kept>& kept, const NameMap& names) {
  const TransformerConfig& config = kept->transformer->config();
  for (io::GgufSource& source : gguf_config_tensors(config)) {
    const HostArray array(DType::f32, io::checked_shape(source.shape, DType::f32),
                          source.load().owner(), source.load().data());
    content.tensors.push_back({source.name, source.type, source.shape, [array] { return array; }});
  }
  for (const MovedTensor& tensor :
       moved_tensors(fields(*kept->transformer), *kept->file, names, gguf_names(config))) {
    const DType dtype = stored_dtype(*kept->file, names, tensor);
    const io::GgufType* type = io::find_gguf_type(name(dtype));
    content.tensors.push_back(
        {tensor.name, type, {tensor.shape.begin(), tensor.shape.end()}, [kept, tensor, dtype] {
           return rounded(tensor.load(), dtype);
         }});
  }
}

struct TextParts {
  const text::Tokenizer* tokenizer = nullptr;
  int bos = -1;
  std::vector<int> ends;
  std::string chat_template;
  SamplingDefaults sampling;
};

GgufContent content_of_model(const fs::path& path, const std::shared_ptr<Kept>& kept,
                             const NameMap& names, const TextParts& text) {
  const TransformerConfig& config = kept->transformer->config();
  GgufContent content;
  content.metadata = to_gguf_metadata(config);
  const fs::path named = path.filename().empty() ? path.parent_path() : path;
  content.metadata.emplace_back("general.type", io::GgufValue::from_text("model"));
  content.metadata.emplace_back("general.name", io::GgufValue::from_text(named.stem().string()));
  std::ranges::move(to_gguf_metadata(text.sampling), std::back_inserter(content.metadata));
  if (text.tokenizer) {
    io::GgufMetadata keys =
        gguf_text_metadata(*text.tokenizer, config.vocabulary, text.ends, text.chat_template);
    std::ranges::move(keys, std::back_inserter(content.metadata));
  } else {
    content.metadata.emplace_back("tokenizer.ggml.model", io::GgufValue::from_text("none"));
  }
  add_tensors(content, kept, names);
  return content;
}

GgufContent content_of_folder(const fs::path& path) {
  HfFolder folder = HfFolder::open(path).value();
  const auto kept = std::make_shared<Kept>();
  kept->transformer = std::make_unique<Transformer>(folder.config);
  kept->file = std::make_unique<io::SafetensorsFolder>(std::move(folder.tensors));
  TextParts text{folder.tokenizer.get(), folder.bos, folder.ends, {}, folder.sampling};
  if (const auto found = text::load_model_template(path, false))
    text.chat_template = found.value().source;
  GgufContent content = content_of_model(path, kept, folder.names, text);
  content.note = folder.left_out;
  return content;
}

GgufContent content_of_llama2c(const fs::path& path) {
  LanguageModel model = load_language_model(path).value();
  const auto kept = std::make_shared<Kept>();
  kept->transformer = std::move(model.transformer);
  kept->file = std::make_unique<FieldsFile>(fields(*kept->transformer));
  const TextParts text{model.tokenizer.get(), model.bos, model.ends, {}, {}};
  return content_of_model(
      path, kept, [](const std::string& field) { return FilePlace{field}; }, text);
}

}  // namespace

bool GgufTensor::is_matrix() const {
  return shape.size() >= 2 && type->decodes() && (!type->dtype || is_float(*type->dtype));
}

bool GgufTensor::stays_f32() const { return is_always_f32(name); }

const io::GgufValue* GgufContent::find(std::string_view key) const {
  const auto found =
      std::ranges::find_if(metadata, [&](const auto& pair) { return pair.first == key; });
  return found == metadata.end() ? nullptr : &found->second;
}

const GgufTensor* GgufContent::tensor(std::string_view name) const {
  const auto found = std::ranges::find_if(tensors, [&](const auto& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

uint64_t GgufContent::bytes() const {
  uint64_t sum = 0;
  for (const GgufTensor& tensor : tensors) sum += tensor.bytes();
  return sum;
}

Result<GgufContent> read_gguf_content(const fs::path& path) {
  try {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
      if (fs::exists(path / "config.json", ignored)) return content_of_folder(path);
      return Error(
          fmt::format("'{}' has no config.json; expected a Hugging Face folder, a GGUF "
                      "file or a llama2.c .bin",
                      path.string()));
    }
    if (path.extension() == ".bin") return content_of_llama2c(path);
    const auto probe = io::probe_file(path.string());
    if (probe && probe.value().kind != io::FileKind::gguf)
      return Error(
          fmt::format("'{}' is {}; expected a Hugging Face folder, a GGUF file or a "
                      "llama2.c .bin",
                      path.string(), io::name(probe.value().kind)));
    return content_of_file(path.string());
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return error;
  }
}

}  // namespace cairn
