#include "cairn/models/gguf_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cairn/text/gguf_vocabulary.h"

namespace cairn {
namespace {

// Keys below tokenizer.ggml, of the kind that is expected or an Error.
class TokenizerKeys {
 public:
  explicit TokenizerKeys(const io::GgufFile& file) : file_(file) {}

  std::string text(const char* key) const {
    const io::GgufValue* value = find(key);
    if (!value) return "";
    if (!value->text()) complain(key, "text");
    return std::string(*value->text());
  }
  std::optional<int32_t> id(const char* key) const {
    const io::GgufValue* value = find(key);
    if (!value) return std::nullopt;
    const auto id = value->integer();
    if (!id || *id < -1 || *id > INT32_MAX) complain(key, "a token's id");
    // -1, as a u32 too, is how some files say that there is none.
    if (*id < 0) return std::nullopt;
    return static_cast<int32_t>(*id);
  }
  std::optional<bool> flag(const char* key) const {
    const io::GgufValue* value = find(key);
    if (!value) return std::nullopt;
    if (!value->boolean()) complain(key, "true or false");
    return value->boolean();
  }
  std::vector<std::string> texts(const char* key) const {
    const io::GgufValue* value = find(key);
    if (!value) return {};
    if (!value->is_array() || value->kind() != io::GgufKind::text) complain(key, "a list of texts");
    const auto views = value->texts();
    return {views.begin(), views.end()};
  }
  template <class T>
  std::vector<T> numbers(const char* key) const {
    const io::GgufValue* value = find(key);
    if (!value) return {};
    if (!value->is_array() || value->kind() == io::GgufKind::text)
      complain(key, "a list of numbers");
    std::vector<T> numbers(value->count());
    for (uint64_t i = 0; i < value->count(); ++i) {
      const double number = value->number_at(i);
      if constexpr (std::integral<T>)
        numbers[i] = number >= 0 && number <= 100 ? static_cast<T>(number) : T{0};
      else
        numbers[i] = static_cast<T>(number);
    }
    return numbers;
  }

 private:
  const io::GgufValue* find(const char* key) const {
    return file_.find(std::string("tokenizer.ggml.") + key);
  }
  [[noreturn]] static void complain(const char* key, const char* kind) {
    throw_error(fmt::format("key 'tokenizer.ggml.{}' must be {}", key, kind));
  }
  const io::GgufFile& file_;
};

text::GgufVocabulary read_vocabulary(const io::GgufFile& file) {
  const TokenizerKeys keys(file);
  text::GgufVocabulary v;
  v.model = keys.text("model");
  v.pre = keys.text("pre");
  v.tokens = keys.texts("tokens");
  v.scores = keys.numbers<float>("scores");
  v.token_types = keys.numbers<int32_t>("token_type");
  v.merges = keys.texts("merges");
  v.bos_id = keys.id("bos_token_id");
  v.eos_id = keys.id("eos_token_id");
  v.unknown_id = keys.id("unknown_token_id");
  v.cls_id = keys.id("cls_token_id");
  v.separator_id = keys.id("seperator_token_id");  // the format's spelling
  v.add_bos = keys.flag("add_bos_token");
  v.add_eos = keys.flag("add_eos_token");
  v.add_space_prefix = keys.flag("add_space_prefix");
  return v;
}

std::optional<std::string> text_of(const io::GgufFile& file, const std::string& key) {
  const io::GgufValue* value = file.find(key);
  if (!value || !value->text()) return std::nullopt;
  return std::string(*value->text());
}

}  // namespace

bool has_gguf_tokenizer(const io::GgufFile& file) {
  const auto model = text_of(file, "tokenizer.ggml.model");
  return model && model != "none" && model != "no_vocab";
}

Result<std::unique_ptr<text::Tokenizer>> gguf_tokenizer(const io::GgufFile& file) {
  try {
    return text::make_gguf_tokenizer(read_vocabulary(file));
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return error;
  }
}

Result<text::ModelTemplate> gguf_template(const io::GgufFile& file, bool with_tools) {
  constexpr const char* kKey = "tokenizer.chat_template";
  std::optional<std::string> source;
  if (with_tools) source = text_of(file, std::string(kKey) + ".tool_use");
  if (!source) source = text_of(file, kKey);
  if (!source)
    return Error(
        fmt::format("there is no chat template (key '{}'); name one with --template FILE", kKey));
  text::ModelTemplate result{std::move(*source), {}};
  const io::GgufValue* tokens = file.find("tokenizer.ggml.tokens");
  const std::vector<std::string_view> names =
      tokens ? tokens->texts() : std::vector<std::string_view>{};
  const std::pair<const char*, const char*> variables[] = {
      {"bos_token", "bos"},     {"eos_token", "eos"},       {"unk_token", "unknown"},
      {"pad_token", "padding"}, {"sep_token", "seperator"}, {"mask_token", "mask"}};
  for (const auto& [variable, key] : variables) {
    const io::GgufValue* value = file.find(fmt::format("tokenizer.ggml.{}_token_id", key));
    const int64_t id = value ? value->integer().value_or(-1) : -1;
    if (id < 0 || id >= std::ssize(names)) continue;
    // Tokens of a damaged file may be no UTF-8.
    result.variables.emplace_back(
        variable, nlohmann::json(names[static_cast<size_t>(id)])
                      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return result;
}

std::vector<int> gguf_end_tokens(const io::GgufFile& file) {
  std::vector<int> ends;
  const auto add = [&ends](int64_t id) {
    if (id >= 0 && id <= INT32_MAX && std::ranges::find(ends, static_cast<int>(id)) == ends.end())
      ends.push_back(static_cast<int>(id));
  };
  for (const char* key : {"eos", "eot", "eom"})
    if (const io::GgufValue* value = file.find(fmt::format("tokenizer.ggml.{}_token_id", key)))
      add(value->integer().value_or(-1));
  constexpr std::string_view kNames[] = {"<|eot_id|>",    "<|im_end|>",    "<|end|>",
                                         "<end_of_turn>", "<|endoftext|>", "<|eom_id|>"};
  const io::GgufValue* tokens = file.find("tokenizer.ggml.tokens");
  const io::GgufValue* types = file.find("tokenizer.ggml.token_type");
  if (!tokens || !types || !types->is_array() || types->kind() == io::GgufKind::text) return ends;
  const auto names = tokens->texts();
  constexpr double kControl = 3;
  for (size_t id = 0; id < names.size() && id < types->count(); ++id)
    if (types->number_at(id) == kControl &&
        std::ranges::find(kNames, names[id]) != std::end(kNames))
      add(static_cast<int64_t>(id));
  return ends;
}

}  // namespace cairn
