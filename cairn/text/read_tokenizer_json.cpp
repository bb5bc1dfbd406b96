// tokenizer.json → BpeDescription where it has the form, else the pipeline that it describes.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "cairn/text/byte_level_vocabulary.h"
#include "cairn/text/json_members.h"
#include "cairn/text/pieces.h"
#include "cairn/text/pipeline_tokenizer.h"
#include "cairn/text/read_merges.h"
#include "cairn/text/read_split.h"
#include "cairn/text/tokenizer_formats.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space

// ---- Pre-tokenizer, normalizer, decoder.

// {"type": "Replace"} of a space by U+2581.
bool is_space_replacement(const Json& part) {
  return type_of(part, "normalizer") == "Replace" &&
         member(part, "pattern") == Json{{"String", " "}} &&
         text_of(member(part, "content"), "content") == kSpaceMark;
}

// Gemma's pre-tokenizer does nothing, because its normalizer replaces all spaces.
const Json kGemmaSplit = {{"type", "Split"},
                          {"pattern", {{"String", " "}}},
                          {"behavior", "MergedWithPrevious"},
                          {"invert", false}};

bool replaces_spaces(const Json& root) {
  const auto parts = flattened(root, "normalizer", "normalizers");
  return std::any_of(parts.begin(), parts.end(),
                     [](const Json* part) { return is_space_replacement(*part); });
}

// What follows reads a component into the description, or returns false where it is of a form that
// BpeDescription does not have.

bool read_pre_tokenizer(const Json& root, BpeDescription& description) {
  const auto parts = flattened(root, "pre_tokenizer", "pretokenizers");
  description.symbols = BpeDescription::Symbols::characters;
  for (const Json* part : parts) {
    const std::string& type = type_of(*part, "pre_tokenizer");
    if (parts.size() == 1 && replaces_spaces(root) && *part == kGemmaSplit) {
      continue;  // by spaces, of which the normalizer leaves none
    }
    if (type == "Split") {
      description.splits.push_back(read_split(*part));
    } else if (type == "Digits") {
      const bool each = flag(*part, "individual_digits", false);
      description.splits.push_back({each ? "\\p{N}" : "\\p{N}+"});
    } else if (type == "ByteLevel") {
      if (part != parts.back()) return false;
      description.symbols = BpeDescription::Symbols::bytes;
      if (flag(*part, "add_prefix_space", true)) {
        if (parts.size() > 1) return false;
        description.prefix_space = BpeDescription::PrefixSpace::if_missing;
      }
      if (flag(*part, "use_regex", true)) description.splits.push_back({std::string(kGpt2Pattern)});
    } else {
      return false;
    }
  }
  return true;
}

// NFC alone, before bytes (Qwen); or SentencePiece's "▁" for each space, with one before the text
// (Llama) or without (Gemma).
bool read_normalizer(const Json& root, BpeDescription& description) {
  auto parts = flattened(root, "normalizer", "normalizers");
  if (parts.empty()) return true;
  const bool by_bytes = description.symbols == BpeDescription::Symbols::bytes;
  std::string types;
  for (const Json* part : parts)
    types += (types.empty() ? "" : ", ") + type_of(*part, "normalizer");
  if (types == "NFC" && by_bytes) {
    description.normal_form = NormalForm::nfc;
    return true;
  }
  const bool prepends = types == "Prepend, Replace" && text_at(*parts[0], "prepend") == kSpaceMark;
  if (!(prepends || types == "Replace") || !is_space_replacement(*parts.back()) || by_bytes ||
      !description.splits.empty()) {
    return false;
  }
  description.space_marks = true;
  if (prepends) description.prefix_space = BpeDescription::PrefixSpace::always;
  return true;
}

bool has_its_decoder(const Json& root, const BpeDescription& description) {
  std::string types;
  for (const Json* part : flattened(root, "decoder", "decoders")) {
    types += (types.empty() ? "" : ", ") + type_of(*part, "decoder");
  }
  std::string_view expected = "Fuse";
  if (description.symbols == BpeDescription::Symbols::bytes) {
    if (types.empty()) return true;
    expected = "ByteLevel";
  } else if (description.prefix_space == BpeDescription::PrefixSpace::always) {
    expected = "Replace, ByteFallback, Fuse, Strip";
  } else if (description.space_marks) {
    expected = "Replace, ByteFallback, Fuse";
  }
  return types == expected;
}

// ---- Model and added tokens.

AddedToken read_added(const Json& entry) {
  AddedToken token;
  token.content = text_of(member(entry, "content"), "added_tokens[].content");
  token.special = flag(entry, "special", false);
  token.lstrip = flag(entry, "lstrip", false);
  token.rstrip = flag(entry, "rstrip", false);
  if (token.content.empty()) throw_error("an added token has no content");
  token.single_word = flag(entry, "single_word", false);
  token.normalized = flag(entry, "normalized", !token.special);
  return token;
}

std::vector<AddedToken> read_added_tokens(const Json& root) {
  std::vector<AddedToken> added;
  std::unordered_set<std::string_view> seen;
  if (member(root, "added_tokens").is_null()) return added;
  const Json& entries = list(root, "added_tokens");
  added.reserve(entries.size());  // `seen` views into it
  for (const Json& entry : entries) {
    AddedToken token = read_added(entry);
    const int64_t id = integer_of(member(entry, "id"), "added_tokens[].id");
    if (id < 0 || id > INT32_MAX)
      throw_error(fmt::format("added token '{}' has id {}", token.content, id));
    token.id = static_cast<int32_t>(id);
    added.push_back(std::move(token));
    if (!seen.insert(added.back().content).second)
      throw_error(fmt::format("added token '{}' is listed twice", added.back().content));
  }
  return added;
}

// Whether the model is a BPE without affixes, dropout, and a token for what is unknown.
bool is_plain_bpe(const Json& model, BpeDescription::Symbols symbols) {
  const Json& type = member(model, "type");  // missing in files of 2020
  if (type.is_null() ? !member(model, "vocab").is_object() || member(model, "merges").is_null()
                     : text_of(type, "model.type") != "BPE")
    return false;
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& affix = member(model, key);
    if (!affix.is_null() && !text_of(affix, key).empty()) return false;
  }
  const Json& dropout = member(model, "dropout");
  if (!dropout.is_null() && dropout != 0) return false;
  return symbols == BpeDescription::Symbols::bytes || flag(model, "byte_fallback", false) ||
         member(model, "unk_token").is_null();
}

// vocab and merges. Needs the added tokens, and the symbols and the prefix space to spell keys.
void read_model(const Json& model, BpeDescription& description) {
  description.whole_pieces_first = flag(model, "ignore_merges", false);
  const bool byte_fallback = flag(model, "byte_fallback", false);
  const bool by_bytes = description.symbols == BpeDescription::Symbols::bytes;

  const Json& vocabulary = member(model, "vocab");
  if (!vocabulary.is_object()) {
    throw_error(fmt::format("'vocab' must be an object, not {}", vocabulary.type_name()));
  }
  TokenKeys added_keys;
  for (const AddedToken& token : description.vocabulary.added)
    added_keys.emplace(token.content, token.id);

  TokenKeys keys;
  keys.reserve(vocabulary.size());
  TokenList tokens(vocabulary.size() + added_keys.size());
  for (const auto& [key, value] : vocabulary.items()) {
    const int64_t id = integer_of(value, key);
    const auto added = added_keys.find(key);
    std::string bytes;
    if (added != added_keys.end()) {
      if (added->second != id) {
        throw_error(fmt::format("added token '{}' has id {}, and {} in the vocabulary", key,
                                added->second, id));
      }
      bytes = key;
    } else if (by_bytes) {
      bytes = bytes_of_key(key);
    } else if (byte_fallback && byte_of_key(key) >= 0) {
      description.byte_ids[static_cast<size_t>(byte_of_key(key))] = static_cast<int32_t>(id);
      bytes = std::string(1, static_cast<char>(byte_of_key(key)));
    } else {
      bytes = description.space_marks ? without_space_marks(key) : key;
    }
    tokens.put(id, std::move(bytes), key);
    keys.emplace(key, static_cast<int32_t>(id));
  }
  for (const AddedToken& token : description.vocabulary.added) {
    if (!keys.contains(token.content)) tokens.put(token.id, token.content, token.content);
  }
  description.vocabulary.tokens = tokens.take();
  if (by_bytes) description.byte_ids = byte_ids_of(keys);
  if (byte_fallback && !by_bytes) {
    for (size_t byte = 0; byte < 256; ++byte) {
      if (description.byte_ids[byte] < 0) {
        throw_error(fmt::format("byte_fallback is on, but the token <0x{:02X}> is missing", byte));
      }
    }
  }
  description.merges = read_merges(model, keys);
}

// ---- Post-processor, BOS and EOS.

void read_template(const Json& processor, Vocabulary& vocabulary) {
  const Json& specials = member(processor, "special_tokens");
  bool after = false;
  for (const Json& item : list(processor, "single")) {
    const Json& special = member(item, "SpecialToken");
    if (special.is_null()) {
      if (after || text_of(member(member(item, "Sequence"), "id"), "Sequence.id") != "A") {
        throw_error("TemplateProcessing 'single' must have the sequence A once");
      }
      after = true;
      continue;
    }
    const std::string& name = text_of(member(special, "id"), "SpecialToken.id");
    for (const Json& id : list(member(specials, name.c_str()), "ids")) {
      const int64_t value = integer_of(id, "special_tokens.ids");
      if (value < 0 || value > INT32_MAX)
        throw_error(fmt::format("template token '{}' has id {}", name, value));
      (after ? vocabulary.suffix : vocabulary.prefix).push_back(static_cast<int32_t>(value));
    }
  }
  if (!after) throw_error("TemplateProcessing 'single' must have the sequence A once");
}

// BERT's and RoBERTa's: {"cls": ["[CLS]", 101], "sep": ["[SEP]", 102]} around a text.
void read_ends(const Json& processor, Vocabulary& vocabulary) {
  const auto id_of = [&](const char* key) {
    const Json& pair = list(processor, key);
    if (pair.size() != 2) throw_error(fmt::format("'{}' must be a token and its id", key));
    const int64_t id = integer_of(pair[1], key);
    if (id < 0 || id > INT32_MAX) throw_error(fmt::format("'{}' has id {}", key, id));
    return static_cast<int32_t>(id);
  };
  vocabulary.prefix = {id_of("cls")};
  vocabulary.suffix = {id_of("sep")};
}

void read_post_processor(const Json& root, Vocabulary& vocabulary) {
  bool found = false;
  for (const Json* part : flattened(root, "post_processor", "processors")) {
    const std::string& type = type_of(*part, "post_processor");
    if (type == "ByteLevel") continue;  // changes offsets only
    const bool ends = type == "BertProcessing" || type == "RobertaProcessing";
    if ((!ends && type != "TemplateProcessing") || found) {
      unsupported("post_processor", type,
                  "ByteLevel and one of TemplateProcessing, BertProcessing, RobertaProcessing");
    }
    found = true;
    ends ? read_ends(*part, vocabulary) : read_template(*part, vocabulary);
  }
}

// tokenizer_config.json: "bos_token" is a string, or an object with "content", or null.
void read_config(const Json& config, Vocabulary& vocabulary) {
  const auto named = [&](const char* key, std::optional<int32_t>& id) {
    const Json& value = member(config, key);
    if (value.is_null()) return;
    const std::string& content = text_of(value.is_object() ? member(value, "content") : value, key);
    for (const AddedToken& token : vocabulary.added) {
      if (token.content == content) id = token.id;
    }
  };
  named("bos_token", vocabulary.bos);
  named("eos_token", vocabulary.eos);
}

}  // namespace

void guess_bos_and_eos(Vocabulary& vocabulary) {
  if (!vocabulary.prefix.empty()) vocabulary.bos = vocabulary.prefix.front();
  if (!vocabulary.suffix.empty()) vocabulary.eos = vocabulary.suffix.back();
  const auto named = [&](std::initializer_list<std::string_view> names,
                         std::optional<int32_t>& id) {
    for (const std::string_view name : names) {
      for (const AddedToken& token : vocabulary.added) {
        if (!id && token.special && token.content == name) id = token.id;
      }
    }
  };
  named({"<|endoftext|>", "<s>", "<|begin_of_text|>"}, vocabulary.bos);
  named({"<|endoftext|>", "</s>", "<|end_of_text|>"}, vocabulary.eos);
}

Result<std::unique_ptr<Tokenizer>> parse_tokenizer_json(std::string_view json,
                                                        std::string_view config) {
  const char* file = "tokenizer.json";
  try {
    const Json root = Json::parse(json);
    BpeDescription description;
    Vocabulary& vocabulary = description.vocabulary;
    vocabulary.added = read_added_tokens(root);
    read_post_processor(root, vocabulary);
    guess_bos_and_eos(vocabulary);
    if (!config.empty()) {
      file = "tokenizer_config.json";
      read_config(Json::parse(config), vocabulary);
    }
    file = "tokenizer.json";
    const Json& model = member(root, "model");
    const bool plain = read_pre_tokenizer(root, description) &&
                       read_normalizer(root, description) && has_its_decoder(root, description) &&
                       is_plain_bpe(model, description.symbols);
    if (!plain) return make_pipeline_tokenizer(root, std::move(vocabulary));
    for (AddedToken& token : vocabulary.added) token.normalized = false;
    read_model(model, description);
    return make_bpe_tokenizer(std::move(description));
  } catch (const Error& error) {
    return Error(fmt::format("{}: {}", file, error.what()));
  } catch (const Json::exception& error) {
    return Error(fmt::format("{} is not valid JSON: {}", file, error.what()));
  }
}

}  // namespace cairn::text
