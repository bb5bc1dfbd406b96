#include "cairn/models/language_model.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cairn/base/file.h"
#include "cairn/io/llama2c.h"
#include "cairn/models/families.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

// A token id of config.json: a number, the first of a list, or -1.
int token_id(const nlohmann::json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return -1;
  if (found->is_number_integer()) return found->get<int>();
  if (found->is_array() && !found->empty() && (*found)[0].is_number_integer())
    return (*found)[0].get<int>();
  return -1;
}

Result<LanguageModel> load_hf(const fs::path& folder) {
  auto text = read_file((folder / "config.json").string(), 1 << 24);
  if (!text) return text.error();
  auto config = parse_hf_config(text.value());
  if (!config) return Error(fmt::format("{}: {}", folder.string(), config.error().what()));
  const fs::path weights = folder / "model.safetensors";
  auto file = io::SafetensorsFile::open(weights.string());
  if (!file) return file.error();
  // Before a model of as many layers is built: the last of them must be in the file.
  const NameMap names = hf_names(config.value());
  const std::string last =
      names(fmt::format("blocks.{}.attention_norm.weight", config.value().layers - 1)).name;
  if (!file.value().find(last))
    return Error(
        fmt::format("{}: tensor '{}' is missing from the file, and config.json says that "
                    "there are {} layers",
                    weights.string(), last, config.value().layers));
  LanguageModel model;
  model.transformer = std::make_unique<Transformer>(config.value());
  if (auto status = load_fields(*model.transformer, file.value(), names); !status)
    return Error(fmt::format("{}: {}", weights.string(), status.error().what()));
  const auto json = nlohmann::json::parse(text.value());
  model.bos = token_id(json, "bos_token_id");
  model.eos = token_id(json, "eos_token_id");
  bool has_tokenizer = false;
  for (const char* name : {"tokenizer.json", "vocab.json", "encoder.json"})
    has_tokenizer |= fs::exists(folder / name);
  if (has_tokenizer) {
    auto tokenizer = text::load_tokenizer(folder);
    if (!tokenizer) return tokenizer.error();
    model.tokenizer = std::move(tokenizer).value();
  }
  return model;
}

// llama2.c keeps tensors by kind over all layers; a field of layer i is row i of its kind.
Result<LanguageModel> load_llama2c(const fs::path& path) {
  auto opened = io::Llama2cFile::open(path.string());
  if (!opened) return opened.error();
  const io::Llama2cFile& file = opened.value();
  const io::Llama2cConfig& from = file.config();
  TransformerConfig c;
  c.family = "llama";
  c.vocabulary = from.vocab_size;
  c.context = from.seq_len;
  c.layers = from.n_layers;
  c.heads = from.n_heads;
  c.kv_heads = from.n_kv_heads;
  c.width = from.dim;
  c.head_width = from.head_size();
  c.hidden = from.hidden_dim;
  c.norm_epsilon = 1e-5;
  c.rope_interleaved = true;
  c.tied = from.shared_classifier;
  LanguageModel model;
  model.transformer = std::make_unique<Transformer>(c);
  static const std::pair<const char*, const char*> kKinds[] = {
      {"attention_norm.weight", "rms_att_weight"},
      {"feed_forward_norm.weight", "rms_ffn_weight"},
      {"attention.query.weight", "wq"},
      {"attention.key.weight", "wk"},
      {"attention.value.weight", "wv"},
      {"attention.output.weight", "wo"},
      {"feed_forward.gate.weight", "w1"},
      {"feed_forward.down.weight", "w2"},
      {"feed_forward.up.weight", "w3"}};
  for (const Field& field : fields(*model.transformer)) {
    const Shape& shape = field.tensor->shape();
    std::string kind;
    int64_t layer = 0;
    if (field.path == "tokens.weight")
      kind = "token_embedding_table";
    else if (field.path == "final_norm.weight")
      kind = "rms_final_weight";
    else if (field.path == "head.weight")
      kind = "wcls";
    else {
      const size_t dot = field.path.find('.', 7);
      layer = std::stoll(field.path.substr(7, dot - 7));
      for (const auto& [ours, theirs] : kKinds)
        if (field.path.substr(dot + 1) == ours) kind = theirs;
    }
    const HostArray& all = file.tensor(kind);
    const float* first = all.span<float>().data() + layer * shape.elements();
    *field.tensor = Tensor(HostArray(DType::f32, shape, all.owner(), first)).named(field.path);
  }
  model.bos = 1;
  model.eos = 2;
  std::error_code ignored;
  for (const auto& entry :
       fs::directory_iterator(path.parent_path().empty() ? "." : path.parent_path(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("tok", 0) != 0 || entry.path().extension() != ".bin") continue;
    auto tokenizer = text::load_tokenizer(entry.path());
    if (!tokenizer) return tokenizer.error();
    model.tokenizer = std::move(tokenizer).value();
  }
  return model;
}

}  // namespace

Result<LanguageModel> load_language_model(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    if (fs::exists(path / "config.json")) return load_hf(path);
    return Error(fmt::format(
        "{} has no config.json; expected a Hugging Face folder, a folder that cairn train wrote, "
        "or a llama2.c .bin file",
        path.string()));
  }
  if (!fs::exists(path, ignored))
    return Error(fmt::format("{}: no such file or folder", path.string()));
  if (path.extension() == ".bin") return load_llama2c(path);
  return Error(fmt::format(
      "{} is not a model that cairn reads; expected a Hugging Face folder or a llama2.c .bin file",
      path.string()));
}

Status save_language_model(const fs::path& folder, Transformer& transformer,
                           const text::Tokenizer* tokenizer) {
  const std::vector<Field> all = fields(transformer);
  std::vector<Tensor> values;
  for (const Field& f : all) values.push_back(*f.tensor);
  const TransformerConfig& config = transformer.config();
  // The format that transformers asks for.
  if (auto status =
          io::write_safetensors((folder / "model.safetensors").string(),
                                file_tensors(all, values, hf_names(config)), {{"format", "pt"}});
      !status)
    return status;
  const int bos = tokenizer && tokenizer->bos() ? *tokenizer->bos() : -1;
  const int eos = tokenizer && tokenizer->eos() ? *tokenizer->eos() : -1;
  if (auto status =
          write_file_atomically((folder / "config.json").string(), to_hf_config(config, bos, eos));
      !status)
    return status;
  return tokenizer ? text::save_tokenizer(*tokenizer, folder) : Status(Nothing{});
}

}  // namespace cairn
