// Weights: safetensors, Hugging Face folders, llama2.c checkpoints.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "apps/cairn/inspect.h"
#include "cairn/base/file.h"
#include "cairn/io/llama2c.h"
#include "cairn/io/safetensors_folder.h"
#include "cairn/models/classifier_files.h"
#include "cairn/models/families.h"

namespace cairn::app {
namespace {

namespace fs = std::filesystem;

// "F8_E4M3" is cairn's f8e4m3; types that cairn does not have keep their names in lower case:
// "u64".
std::string dtype_word(std::string word) {
  std::transform(word.begin(), word.end(), word.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (word == "f8_e4m3" || word == "f8_e5m2") word.erase(2, 1);
  return word;
}

int64_t elements_of(const std::vector<int64_t>& shape) {
  return std::max<int64_t>(checked_elements(shape), 0);
}

void add_entries(const io::SafetensorsFile& file, Subject& subject) {
  for (const io::SafetensorsEntry& entry : file.entries()) {
    subject.tensors.push_back(
        {entry.name, dtype_word(entry.dtype), entry.shape, entry.end - entry.begin});
    subject.parameters += elements_of(entry.shape);
  }
}

// Training with Adam keeps weights, gradients and two moments in f32.
void add_memory(Subject& subject, uint64_t file_bytes) {
  uint64_t tensor_bytes = 0;
  for (const TensorEntry& tensor : subject.tensors) tensor_bytes += tensor.bytes;
  const auto parameters = static_cast<uint64_t>(subject.parameters);
  subject.memory = {{"file_bytes", file_bytes},
                    {"tensor_bytes", tensor_bytes},
                    {"f32_bytes", 4 * parameters},
                    {"training_bytes", 16 * parameters}};
}

// Keys and values of one token, in f32.
uint64_t cache_bytes(int64_t layers, int64_t kv_width) {
  return static_cast<uint64_t>(2 * 4 * layers * kv_width);
}

void add_config(const std::string& path, Subject& subject) {
  constexpr uint64_t kLargest = uint64_t{16} << 20;
  const Json config = read_json(path, kLargest);
  if (!config.is_object()) throw_error(fmt::format("'{}' holds no JSON object", path));
  subject.metadata["config"] = config;
  if (const auto type = config.find("model_type"); type != config.end() && type->is_string())
    subject.family = type->get<std::string>();
  // Classifiers, which only cairn has, say so in a prefix.
  constexpr std::string_view kOwn = "cairn_";
  if (subject.family && subject.family->starts_with(kOwn)) {
    const auto classifier = cairn::load_classifier(fs::path(path).parent_path());
    subject.family->erase(0, kOwn.size());
    subject.metadata["runs"] = classifier.ok();
    if (!classifier) subject.metadata["why_not"] = classifier.error().what();
    return;
  }
  const auto parsed = parse_hf_config(read_file(path, kLargest).value());
  subject.metadata["runs"] = parsed.ok();
  if (!parsed) {
    subject.metadata["why_not"] = parsed.error().what();
    return;
  }
  const TransformerConfig& c = parsed.value().transformer;
  if (!parsed.value().left_out.empty())
    subject.metadata["runs_only"] = "text part only, without " + parsed.value().left_out;
  subject.memory["kv_cache_bytes_per_token"] = cache_bytes(c.layers, c.kv_heads * c.head_width);
}

}  // namespace

Subject open_safetensors(const std::string& path, uint64_t bytes) {
  const auto file = std::make_shared<io::SafetensorsFile>(io::SafetensorsFile::open(path).value());
  Subject subject;
  subject.kind = "safetensors";
  add_entries(*file, subject);
  for (const auto& [key, value] : file->metadata()) subject.metadata[key] = value;
  add_memory(subject, bytes);
  subject.read = [file](const TensorEntry& tensor) { return file->read(tensor.name).value(); };
  return subject;
}

Subject open_model_folder(const std::string& path) {
  std::vector<fs::path> files;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(path, failure))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  if (failure) throw file_error("read", path, failure.value());
  std::sort(files.begin(), files.end());
  const fs::path config = fs::path(path) / "config.json";
  if (files.empty() && !fs::exists(config, failure)) {
    if (fs::exists(fs::path(path) / "tokenizer.json", failure) ||
        fs::exists(fs::path(path) / "vocab.bpe", failure))
      return open_tokenizer(path, 0);
    throw_error(
        fmt::format("'{}' is a folder without config.json and *.safetensors, so no model; `cairn "
                    "data list {}` lists its files",
                    path, path));
  }

  Subject subject;
  subject.kind = "model";
  // Which file each tensor lies in.
  const auto open = std::make_shared<std::vector<io::SafetensorsFile>>();
  uint64_t bytes = 0;
  Json names = Json::array();
  for (const fs::path& file : files) {
    open->push_back(io::SafetensorsFile::open(file.string()).value());
    add_entries(open->back(), subject);
    bytes += fs::file_size(file, failure);
    names.push_back(file.filename().string());
  }
  add_memory(subject, bytes);
  if (fs::exists(config, failure)) add_config(config.string(), subject);
  subject.metadata["files"] = names;
  if (const fs::path index = fs::path(path) / "model.safetensors.index.json";
      fs::exists(index, failure))
    io::SafetensorsFolder::open(path).value();  // says what does not fit
  for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json", "vocab.bpe"}) {
    if (!fs::exists(fs::path(path) / name, failure)) continue;
    subject.metadata["tokenizer"] = name;
    break;
  }
  subject.read = [open](const TensorEntry& tensor) -> HostArray {
    for (const io::SafetensorsFile& file : *open)
      if (file.find(tensor.name)) return file.read(tensor.name).value();
    throw_error(fmt::format("no file of the folder has a tensor '{}'", tensor.name));
  };
  if (subject.metadata.value("tokenizer", "") == "tokenizer.json") {
    const Subject tokenizer = open_tokenizer(path, 0);
    subject.metadata["vocabulary"] = tokenizer.metadata["vocabulary"];
    subject.verify = tokenizer.verify;
  }
  return subject;
}

Subject open_llama2c(const std::string& path, uint64_t bytes) {
  const auto file = std::make_shared<io::Llama2cFile>(io::Llama2cFile::open(path).value());
  Subject subject;
  subject.kind = "llama2c";
  subject.family = "llama";
  for (const io::NamedArray& tensor : file->tensors()) {
    const Shape& shape = tensor.array.shape();
    subject.tensors.push_back({tensor.name,
                               std::string(name(tensor.array.dtype())),
                               {shape.begin(), shape.end()},
                               tensor.array.bytes()});
    subject.parameters += tensor.array.elements();
  }
  const io::Llama2cConfig& c = file->config();
  subject.metadata = {
      {"width", c.dim},       {"hidden", c.hidden_dim},      {"layers", c.n_layers},
      {"heads", c.n_heads},   {"kv_heads", c.n_kv_heads},    {"vocabulary", c.vocab_size},
      {"context", c.seq_len}, {"tied", c.shared_classifier}, {"runs", true}};
  add_memory(subject, bytes);
  subject.memory["kv_cache_bytes_per_token"] = cache_bytes(c.n_layers, c.kv_dim());
  subject.read = [file](const TensorEntry& tensor) { return file->tensor(tensor.name); };
  return subject;
}

}  // namespace cairn::app
