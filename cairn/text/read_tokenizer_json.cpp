// tokenizer.json → BpeDescription.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cairn/text/byte_level_vocabulary.h"
#include "cairn/text/pieces.h"
#include "cairn/text/tokenizer_formats.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space

// ---- Members, with errors that name them.

const Json& member(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) {
    throw_error(fmt::format("expected an object with '{}', found {}", key, object.type_name()));
  }
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

const std::string& text(const Json& value, std::string_view what) {
  if (!value.is_string()) {
    throw_error(fmt::format("'{}' must be a string, not {}", what, value.type_name()));
  }
  return value.get_ref<const std::string&>();
}

bool flag(const Json& object, const char* key, bool fallback) {
  const Json& value = member(object, key);
  if (value.is_null()) return fallback;
  if (!value.is_boolean()) {
    throw_error(fmt::format("'{}' must be true or false, not {}", key, value.type_name()));
  }
  return value.get<bool>();
}

int64_t integer(const Json& value, std::string_view what) {
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX)) {
    throw_error(fmt::format("'{}' must be an integer, not {}", what, value.dump().substr(0, 40)));
  }
  return value.get<int64_t>();
}

const Json& list(const Json& object, const char* key) {
  const Json& value = member(object, key);
  if (!value.is_array()) {
    throw_error(fmt::format("'{}' must be a list, not {}", key, value.type_name()));
  }
  return value;
}

const std::string& type_of(const Json& component, std::string_view role) {
  return text(member(component, "type"), fmt::format("{}.type", role));
}

[[noreturn]] void unsupported(std::string_view role, std::string_view type,
                              std::string_view supported) {
  throw_error(fmt::format("{} '{}' is not supported; cairn reads {}", role, type, supported));
}

// The components of a possibly nested Sequence, in order; none for null.
void flatten(const Json& component, std::string_view role, const char* members,
             std::vector<const Json*>& out, int depth = 0) {
  constexpr int kDeepest = 8;  // published files nest once
  if (component.is_null()) return;
  if (type_of(component, role) != "Sequence") {
    out.push_back(&component);
    return;
  }
  if (depth == kDeepest) throw_error(fmt::format("{} nests too deeply", role));
  for (const Json& part : list(component, members)) flatten(part, role, members, out, depth + 1);
}

std::vector<const Json*> flattened(const Json& root, const char* role, const char* members) {
  std::vector<const Json*> parts;
  flatten(member(root, role), role, members, parts);
  return parts;
}

// ---- Pre-tokenizer, normalizer, decoder.

SplitRule read_split(const Json& split) {
  SplitRule rule;
  const Json& pattern = member(split, "pattern");
  const Json& literal = member(pattern, "String");
  rule.literal = !literal.is_null();
  rule.pattern = rule.literal ? text(literal, "pattern.String")
                              : text(member(pattern, "Regex"), "pattern.Regex");
  const std::string& behavior = text(member(split, "behavior"), "behavior");
  if (behavior == "Removed") {
    rule.keep = flag(split, "invert", false) ? SplitRule::Keep::matches : SplitRule::Keep::gaps;
  } else if (behavior != "Isolated") {
    unsupported("the Split behavior", behavior, "Isolated and Removed");
  }
  return rule;
}

// {"type": "Replace"} of a space by U+2581.
bool is_space_replacement(const Json& part) {
  return type_of(part, "normalizer") == "Replace" &&
         member(part, "pattern") == Json{{"String", " "}} &&
         text(member(part, "content"), "content") == kSpaceMark;
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

void read_pre_tokenizer(const Json& root, BpeDescription& description) {
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
      if (part != parts.back()) throw_error("pre_tokenizer 'ByteLevel' must be the last");
      description.symbols = BpeDescription::Symbols::bytes;
      if (flag(*part, "add_prefix_space", true)) {
        if (parts.size() > 1) {
          throw_error(
              "pre_tokenizer 'ByteLevel' with add_prefix_space after others is not supported");
        }
        description.prefix_space = BpeDescription::PrefixSpace::if_missing;
      }
      if (flag(*part, "use_regex", true)) description.splits.push_back({std::string(kGpt2Pattern)});
    } else {
      unsupported("pre_tokenizer", type, "ByteLevel, Split, Digits and Sequence");
    }
  }
}

// NFC alone, before bytes (Qwen); or SentencePiece's "▁" for each space, with one before the text
// (Llama) or without (Gemma).
void read_normalizer(const Json& root, BpeDescription& description) {
  auto parts = flattened(root, "normalizer", "normalizers");
  if (parts.empty()) return;
  const bool by_bytes = description.symbols == BpeDescription::Symbols::bytes;
  std::string types;
  for (const Json* part : parts)
    types += (types.empty() ? "" : ", ") + type_of(*part, "normalizer");
  if (types == "NFC" && by_bytes) {
    description.normal_form = NormalForm::nfc;
    return;
  }
  const bool prepends =
      types == "Prepend, Replace" && text(member(*parts[0], "prepend"), "prepend") == kSpaceMark;
  if (!(prepends || types == "Replace") || !is_space_replacement(*parts.back()) || by_bytes ||
      !description.splits.empty()) {
    unsupported(
        "normalizer", types,
        "NFC before ByteLevel; and Replace of a space by U+2581, with or without Prepend of "
        "U+2581, without a pre_tokenizer");
  }
  description.space_marks = true;
  if (prepends) description.prefix_space = BpeDescription::PrefixSpace::always;
}

void check_decoder(const Json& root, const BpeDescription& description) {
  std::string types;
  for (const Json* part : flattened(root, "decoder", "decoders")) {
    types += (types.empty() ? "" : ", ") + type_of(*part, "decoder");
  }
  std::string_view expected = "Fuse";
  if (description.symbols == BpeDescription::Symbols::bytes) {
    if (types.empty()) return;
    expected = "ByteLevel";
  } else if (description.prefix_space == BpeDescription::PrefixSpace::always) {
    expected = "Replace, ByteFallback, Fuse, Strip";
  } else if (description.space_marks) {
    expected = "Replace, ByteFallback, Fuse";
  }
  if (types != expected) unsupported("decoder", types, fmt::format("'{}' here", expected));
}

// ---- Model and added tokens.

std::vector<Merge> read_merges(const Json& model, const TokenKeys& keys) {
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  for (const Json& merge : list(model, "merges")) {
    if (merge.is_array() && merge.size() == 2) {
      pairs.emplace_back(text(merge[0], "merges[][0]"), text(merge[1], "merges[][1]"));
      continue;
    }
    const std::string_view line = text(merge, "merges[]");
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      throw_error(fmt::format("merge {} is '{}', expected two tokens with a space between",
                              pairs.size(), line));
    }
    pairs.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return make_merges(pairs, keys);
}

AddedToken read_added(const Json& entry) {
  AddedToken token;
  token.content = text(member(entry, "content"), "added_tokens[].content");
  token.special = flag(entry, "special", false);
  token.lstrip = flag(entry, "lstrip", false);
  token.rstrip = flag(entry, "rstrip", false);
  if (token.content.empty()) throw_error("an added token has no content");
  if (flag(entry, "single_word", false)) {
    throw_error(
        fmt::format("added token '{}' has single_word, which is not supported", token.content));
  }
  return token;
}

// vocab, merges and added_tokens. Needs the symbols and the prefix space to spell keys.
void read_model(const Json& root, BpeDescription& description) {
  const Json& model = member(root, "model");
  const Json& type = member(model, "type");  // missing in files of 2020
  if (!type.is_null() && text(type, "model.type") != "BPE") {
    unsupported("model", text(type, "model.type"), "BPE");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& affix = member(model, key);
    if (!affix.is_null() && !text(affix, key).empty()) {
      unsupported(key, text(affix, key), "models without one");
    }
  }
  const Json& dropout = member(model, "dropout");
  if (!dropout.is_null() && dropout != 0)
    unsupported("dropout", dropout.dump(), "models without it");
  description.whole_pieces_first = flag(model, "ignore_merges", false);
  const bool byte_fallback = flag(model, "byte_fallback", false);
  const bool by_bytes = description.symbols == BpeDescription::Symbols::bytes;

  const Json& vocabulary = member(model, "vocab");
  if (!vocabulary.is_object()) {
    throw_error(fmt::format("'vocab' must be an object, not {}", vocabulary.type_name()));
  }
  const Json& added_list = member(root, "added_tokens");
  TokenKeys added_keys;
  for (const Json& entry : added_list.is_null() ? Json::array() : list(root, "added_tokens")) {
    AddedToken token = read_added(entry);
    const int64_t id = integer(member(entry, "id"), "added_tokens[].id");
    if (id < 0 || id > INT32_MAX)
      throw_error(fmt::format("added token '{}' has id {}", token.content, id));
    token.id = static_cast<int32_t>(id);
    description.vocabulary.added.push_back(std::move(token));
  }
  for (const AddedToken& token : description.vocabulary.added) {
    if (!added_keys.emplace(token.content, token.id).second) {
      throw_error(fmt::format("added token '{}' is listed twice", token.content));
    }
  }

  TokenKeys keys;
  keys.reserve(vocabulary.size());
  TokenList tokens(vocabulary.size() + added_keys.size());
  for (const auto& [key, value] : vocabulary.items()) {
    const int64_t id = integer(value, key);
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
      if (after || text(member(member(item, "Sequence"), "id"), "Sequence.id") != "A") {
        throw_error("TemplateProcessing 'single' must have the sequence A once");
      }
      after = true;
      continue;
    }
    const std::string& name = text(member(special, "id"), "SpecialToken.id");
    for (const Json& id : list(member(specials, name.c_str()), "ids")) {
      const int64_t value = integer(id, "special_tokens.ids");
      if (value < 0 || value > INT32_MAX)
        throw_error(fmt::format("template token '{}' has id {}", name, value));
      (after ? vocabulary.suffix : vocabulary.prefix).push_back(static_cast<int32_t>(value));
    }
  }
  if (!after) throw_error("TemplateProcessing 'single' must have the sequence A once");
}

void read_post_processor(const Json& root, Vocabulary& vocabulary) {
  bool found = false;
  for (const Json* part : flattened(root, "post_processor", "processors")) {
    const std::string& type = type_of(*part, "post_processor");
    if (type == "ByteLevel") continue;  // changes offsets only
    if (type != "TemplateProcessing" || found) {
      unsupported("post_processor", type, "ByteLevel and one TemplateProcessing");
    }
    found = true;
    read_template(*part, vocabulary);
  }
}

// tokenizer_config.json: "bos_token" is a string, or an object with "content", or null.
void read_config(const Json& config, Vocabulary& vocabulary) {
  const auto named = [&](const char* key, std::optional<int32_t>& id) {
    const Json& value = member(config, key);
    if (value.is_null()) return;
    const std::string& content = text(value.is_object() ? member(value, "content") : value, key);
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
    read_pre_tokenizer(root, description);
    read_normalizer(root, description);
    check_decoder(root, description);
    read_model(root, description);
    read_post_processor(root, description.vocabulary);
    guess_bos_and_eos(description.vocabulary);
    if (!config.empty()) {
      file = "tokenizer_config.json";
      read_config(Json::parse(config), description.vocabulary);
    }
    file = "tokenizer.json";
    return make_bpe_tokenizer(std::move(description));
  } catch (const Error& error) {
    return Error(fmt::format("{}: {}", file, error.what()));
  } catch (const Json::exception& error) {
    return Error(fmt::format("{} is not valid JSON: {}", file, error.what()));
  }
}

}  // namespace cairn::text
