#include "cairn/models/hf_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cairn/base/file.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

// Token ids at `key`: a number, or a list of them.
std::vector<int> token_ids(const nlohmann::json& config, const char* key) {
  std::vector<int> ids;
  const auto found = config.find(key);
  if (found == config.end()) return ids;
  const auto add = [&ids](const nlohmann::json& id) {
    if (id.is_number_integer()) ids.push_back(id.get<int>());
  };
  if (!found->is_array())
    add(*found);
  else
    for (const auto& id : *found) add(id);
  return ids;
}

// generation_config.json says more than config.json, where there is one.
Status read_generation(const fs::path& folder, nlohmann::json config, HfFolder& out) {
  std::error_code ignored;
  if (const fs::path path = folder / "generation_config.json"; fs::exists(path, ignored)) {
    auto text = read_file(path.string(), 1 << 24);
    if (!text) return text.error();
    const auto more = nlohmann::json::parse(text.value(), nullptr, false);
    if (!more.is_object()) return Error(fmt::format("'{}' is no JSON object", path.string()));
    config.update(more);
    out.sampling = parse_sampling_defaults(text.value());
  }
  if (const auto bos = token_ids(config, "bos_token_id"); !bos.empty()) out.bos = bos.front();
  out.ends = token_ids(config, "eos_token_id");
  return Nothing{};
}

// What stands before the names of the decoder's tensors.
std::string decoder_prefix(const io::TensorFile& file) {
  for (const char* prefix : {"language_model.model.", "model.language_model."})
    if (file.has(std::string(prefix) + "embed_tokens.weight")) return prefix;
  return "model.";
}

}  // namespace

NameMap folder_names(const TransformerConfig& config, const io::TensorFile& file) {
  return hf_names(config, decoder_prefix(file));
}

Result<HfFolder> HfFolder::open(const fs::path& folder) {
  auto text = read_file((folder / "config.json").string(), 1 << 24);
  if (!text) return text.error();
  auto config = parse_hf_config(text.value());
  if (!config) return Error(fmt::format("{}: {}", folder.string(), config.error().what()));
  auto tensors = io::SafetensorsFolder::open(folder);
  if (!tensors) return tensors.error();
  const TransformerConfig& c = config.value().transformer;
  HfFolder out{.config = c,
               .tensors = std::move(tensors).value(),
               .names = {},
               .tokenizer = nullptr,
               .sampling = {},
               .left_out = config.value().left_out};
  out.names = folder_names(c, out.tensors);
  // Before a model of as many layers is built: the last of them must be in the file.
  const std::string last =
      out.names(fmt::format("blocks.{}.attention.output.weight", c.layers - 1)).name;
  if (!out.tensors.has(last))
    return Error(
        fmt::format("{}: tensor '{}' is missing from the file, and config.json says that "
                    "there are {} layers",
                    folder.string(), last, c.layers));
  if (auto status = read_generation(folder, nlohmann::json::parse(text.value()), out); !status)
    return status.error();
  bool has_tokenizer = false;
  for (const char* name : {"tokenizer.json", "vocab.json", "encoder.json", "tokenizer.model"})
    has_tokenizer |= fs::exists(folder / name);
  if (has_tokenizer) {
    auto tokenizer = text::load_tokenizer(folder);
    if (!tokenizer) return tokenizer.error();
    out.tokenizer = std::move(tokenizer).value();
    const auto eos = out.tokenizer->eos();
    if (eos && std::ranges::find(out.ends, *eos) == out.ends.end()) out.ends.push_back(*eos);
  }
  return out;
}

}  // namespace cairn
