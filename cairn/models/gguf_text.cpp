#include "cairn/models/gguf_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cairn/text/gguf_vocabulary.h"

namespace cairn {
namespace {

constexpr std::string_view kNoTokenizer = "none";

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
  std::string bytes(const char* key) const {
    const io::GgufValue* value = find(key);
    if (!value) return "";
    if (!value->is_array() || io::size_of(value->kind()) != 1) complain(key, "a list of bytes");
    return std::string(value->bytes().text());
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
  v.squeeze_spaces = keys.flag("remove_extra_whitespaces");
  v.character_map = keys.bytes("precompiled_charsmap");
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
  return model && model != kNoTokenizer && model != "no_vocab";
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

io::GgufMetadata gguf_text_metadata(const text::Tokenizer& tokenizer, int64_t vocabulary,
                                    const std::vector<int>& ends,
                                    const std::string& chat_template) {
  text::GgufVocabulary v = tokenizer.to_gguf();
  if (std::cmp_greater(v.tokens.size(), vocabulary))
    throw_error(
        fmt::format("the tokenizer has {} tokens and the model {}; they do not belong "
                    "together",
                    v.tokens.size(), vocabulary));
  for (auto id = std::ssize(v.tokens); id < vocabulary; ++id) {
    constexpr int32_t kUnused = 5;
    v.tokens.push_back(fmt::format("[PAD{}]", id));
    v.token_types.push_back(kUnused);
    if (!v.scores.empty()) v.scores.push_back(0);
  }
  io::GgufMetadata metadata;
  const auto put = [&](const char* key, io::GgufValue value) {
    metadata.emplace_back(std::string("tokenizer.") + key, std::move(value));
  };
  const auto put_id = [&](const char* key, std::optional<int32_t> id) {
    if (id && *id >= 0) put(key, io::GgufValue::from_number(static_cast<uint32_t>(*id)));
  };
  const auto put_flag = [&](const char* key, std::optional<bool> flag) {
    if (flag) put(key, io::GgufValue::from_bool(*flag));
  };
  put("ggml.model", io::GgufValue::from_text(v.model));
  // Readers want a name where nothing is cut, too.
  put("ggml.pre", io::GgufValue::from_text(v.pre.empty() ? "default" : v.pre));
  put("ggml.tokens", io::GgufValue::from_texts(v.tokens));
  if (!v.scores.empty())
    put("ggml.scores", io::GgufValue::from_numbers(std::span<const float>(v.scores)));
  put("ggml.token_type", io::GgufValue::from_numbers(std::span<const int32_t>(v.token_types)));
  if (v.model == "gpt2") put("ggml.merges", io::GgufValue::from_texts(v.merges));
  put_id("ggml.bos_token_id", v.bos_id);
  // A model of chats ends its turns by another token than its texts.
  const std::optional<int32_t> eos = v.eos_id || ends.empty() ? v.eos_id : ends.front();
  put_id("ggml.eos_token_id", eos);
  const char* const more[] = {"ggml.eot_token_id", "ggml.eom_token_id"};
  size_t next = 0;
  for (const int end : ends)
    if (end != eos && next < std::size(more)) put_id(more[next++], end);
  put_id("ggml.unknown_token_id", v.unknown_id);
  put_flag("ggml.add_bos_token", v.add_bos);
  put_flag("ggml.add_eos_token", v.add_eos);
  put_flag("ggml.add_space_prefix", v.add_space_prefix);
  put_flag("ggml.remove_extra_whitespaces", v.squeeze_spaces);
  if (!chat_template.empty()) put("chat_template", io::GgufValue::from_text(chat_template));
  return metadata;
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
