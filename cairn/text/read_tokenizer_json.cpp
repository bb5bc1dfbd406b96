// tokenizer.json → BpeDescription where it has the form, else the pipeline that it describes.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "cairn/text/byte_level_vocabulary.h"
#include "cairn/text/json_view.h"
#include "cairn/text/pieces.h"
#include "cairn/text/pipeline_tokenizer.h"
#include "cairn/text/read_merges.h"
#include "cairn/text/read_split.h"
#include "cairn/text/tokenizer_formats.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space

// ---- Pre-tokenizer, normalizer, decoder.

// {"type": "Replace"} of a space by U+2581.
bool is_space_replacement(JsonView part) {
  return type_of(part, "normalizer") == "Replace" &&
         part.member("pattern").dump() == R"({"String":" "})" &&
         part.text_at("content") == kSpaceMark;
}

// Gemma's pre-tokenizer does nothing, because its normalizer replaces all spaces.
bool is_gemma_split(JsonView part) {
  return type_of(part, "pre_tokenizer") == "Split" &&
         part.member("pattern").dump() == R"({"String":" "})" &&
         part.text_at("behavior") == "MergedWithPrevious" && !part.flag("invert", false);
}

bool replaces_spaces(JsonView root) {
  const auto parts = flattened(root, "normalizer", "normalizers");
  return std::any_of(parts.begin(), parts.end(),
                     [](JsonView part) { return is_space_replacement(part); });
}

// What follows reads a component into the description, or returns false where it is of a form that
// BpeDescription does not have.

bool read_pre_tokenizer(JsonView root, BpeDescription& description) {
  const auto parts = flattened(root, "pre_tokenizer", "pretokenizers");
  description.symbols = BpeDescription::Symbols::characters;
  for (const JsonView& part : parts) {
    const std::string& type = type_of(part, "pre_tokenizer");
    if (parts.size() == 1 && replaces_spaces(root) && is_gemma_split(part)) {
      continue;  // by spaces, of which the normalizer leaves none
    }
    if (type == "Split") {
      description.splits.push_back(read_split(part));
    } else if (type == "Digits") {
      const bool each = part.flag("individual_digits", false);
      description.splits.push_back({each ? "\\p{N}" : "\\p{N}+"});
    } else if (type == "ByteLevel") {
      if (&part != &parts.back()) return false;
      description.symbols = BpeDescription::Symbols::bytes;
      if (part.flag("add_prefix_space", true)) {
        if (parts.size() > 1) return false;
        description.prefix_space = BpeDescription::PrefixSpace::if_missing;
      }
      if (part.flag("use_regex", true)) description.splits.push_back({std::string(kGpt2Pattern)});
    } else {
      return false;
    }
  }
  return true;
}

// NFC alone, before bytes (Qwen); or SentencePiece's "▁" for each space, with one before the text
// (Llama) or without (Gemma).
bool read_normalizer(JsonView root, BpeDescription& description) {
  auto parts = flattened(root, "normalizer", "normalizers");
  if (parts.empty()) return true;
  const bool by_bytes = description.symbols == BpeDescription::Symbols::bytes;
  std::string types;
  for (const JsonView part : parts)
    types += (types.empty() ? "" : ", ") + type_of(part, "normalizer");
  if (types == "NFC" && by_bytes) {
    description.normal_form = NormalForm::nfc;
    return true;
  }
  const bool prepends = types == "Prepend, Replace" && parts[0].text_at("prepend") == kSpaceMark;
  if (!(prepends || types == "Replace") || !is_space_replacement(parts.back()) || by_bytes ||
      !description.splits.empty()) {
    return false;
  }
  description.space_marks = true;
  if (prepends) description.prefix_space = BpeDescription::PrefixSpace::always;
  return true;
}

bool has_its_decoder(JsonView root, const BpeDescription& description) {
  std::string types;
  for (const JsonView part : flattened(root, "decoder", "decoders")) {
    types += (types.empty() ? "" : ", ") + type_of(part, "decoder");
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

AddedToken read_added(JsonView entry) {
  AddedToken token;
  token.content = entry.member("content").text("added_tokens[].content");
  token.special = entry.flag("special", false);
  token.lstrip = entry.flag("lstrip", false);
  token.rstrip = entry.flag("rstrip", false);
  if (token.content.empty()) throw_error("an added token has no content");
  token.single_word = entry.flag("single_word", false);
  token.normalized = entry.flag("normalized", !token.special);
  return token;
}

std::vector<AddedToken> read_added_tokens(JsonView root) {
  std::vector<AddedToken> added;
  std::unordered_set<std::string_view> seen;
  if (root.member("added_tokens").is_null()) return added;
  const auto entries = root.list("added_tokens");
  added.reserve(entries.size());  // `seen` views into it
  for (const JsonView entry : entries) {
    AddedToken token = read_added(entry);
    const int64_t id = entry.member("id").integer("added_tokens[].id");
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
bool is_plain_bpe(JsonView model, BpeDescription::Symbols symbols) {
  const JsonView type = model.member("type");  // missing in files of 2020
  if (type.is_null() ? !model.member("vocab").is_object() || model.member("merges").is_null()
                     : type.text("model.type") != "BPE")
    return false;
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const JsonView affix = model.member(key);
    if (!affix.is_null() && !affix.text(key).empty()) return false;
  }
  const JsonView dropout = model.member("dropout");
  if (!dropout.is_null() && dropout.real("dropout") != 0) return false;
  return symbols == BpeDescription::Symbols::bytes || model.flag("byte_fallback", false) ||
         model.member("unk_token").is_null();
}

// vocab and merges. Needs the added tokens, and the symbols and the prefix space to spell keys.
void read_model(JsonView model, BpeDescription& description) {
  description.whole_pieces_first = model.flag("ignore_merges", false);
  const bool byte_fallback = model.flag("byte_fallback", false);
  const bool by_bytes = description.symbols == BpeDescription::Symbols::bytes;

  const JsonView vocabulary = model.member("vocab");
  TokenKeys added_keys;
  for (const AddedToken& token : description.vocabulary.added)
    added_keys.emplace(token.content, token.id);

  TokenKeys keys;
  keys.reserve(vocabulary.size());
  TokenList tokens(vocabulary.size() + added_keys.size());
  vocabulary.each_member("vocab", [&](const std::string& key, JsonView value) {
    const int64_t id = value.integer(key);
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
  });
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

void read_template(JsonView processor, Vocabulary& vocabulary) {
  const JsonView specials = processor.member("special_tokens");
  bool after = false;
  for (const JsonView item : processor.list("single")) {
    const JsonView special = item.member("SpecialToken");
    if (special.is_null()) {
      if (after || item.member("Sequence").member("id").text("Sequence.id") != "A") {
        throw_error("TemplateProcessing 'single' must have the sequence A once");
      }
      after = true;
      continue;
    }
    const std::string& name = special.member("id").text("SpecialToken.id");
    for (const JsonView id : specials.member(name.c_str()).list("ids")) {
      const int64_t value = id.integer("special_tokens.ids");
      if (value < 0 || value > INT32_MAX)
        throw_error(fmt::format("template token '{}' has id {}", name, value));
      (after ? vocabulary.suffix : vocabulary.prefix).push_back(static_cast<int32_t>(value));
    }
  }
  if (!after) throw_error("TemplateProcessing 'single' must have the sequence A once");
}

// BERT's and RoBERTa's: {"cls": ["[CLS]", 101], "sep": ["[SEP]", 102]} around a text.
void read_ends(JsonView processor, Vocabulary& vocabulary) {
  const auto id_of = [&](const char* key) {
    const auto pair = processor.list(key);
    if (pair.size() != 2) throw_error(fmt::format("'{}' must be a token and its id", key));
    const int64_t id = pair[1].integer(key);
    if (id < 0 || id > INT32_MAX) throw_error(fmt::format("'{}' has id {}", key, id));
    return static_cast<int32_t>(id);
  };
  vocabulary.prefix = {id_of("cls")};
  vocabulary.suffix = {id_of("sep")};
}

void read_post_processor(JsonView root, Vocabulary& vocabulary) {
  bool found = false;
  for (const JsonView part : flattened(root, "post_processor", "processors")) {
    const std::string& type = type_of(part, "post_processor");
    if (type == "ByteLevel") continue;  // changes offsets only
    const bool ends = type == "BertProcessing" || type == "RobertaProcessing";
    if ((!ends && type != "TemplateProcessing") || found) {
      unsupported("post_processor", type,
                  "ByteLevel and one of TemplateProcessing, BertProcessing, RobertaProcessing");
    }
    found = true;
    ends ? read_ends(part, vocabulary) : read_template(part, vocabulary);
  }
}

// tokenizer_config.json: "bos_token" is a string, or an object with "content", or null.
void read_config(JsonView config, Vocabulary& vocabulary) {
  const auto named = [&](const char* key, std::optional<int32_t>& id) {
    const JsonView value = config.member(key);
    if (value.is_null()) return;
    const std::string& content = (value.is_object() ? value.member("content") : value).text(key);
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
    const JsonText parsed(json);
    const JsonView root = parsed.root();
    BpeDescription description;
    Vocabulary& vocabulary = description.vocabulary;
    vocabulary.added = read_added_tokens(root);
    read_post_processor(root, vocabulary);
    guess_bos_and_eos(vocabulary);
    if (!config.empty()) {
      file = "tokenizer_config.json";
      read_config(JsonText(config).root(), vocabulary);
    }
    file = "tokenizer.json";
    const JsonView model = root.member("model");
    const bool plain = read_pre_tokenizer(root, description) &&
                       read_normalizer(root, description) && has_its_decoder(root, description) &&
                       is_plain_bpe(model, description.symbols);
    if (!plain) return make_pipeline_tokenizer(root, std::move(vocabulary));
    for (AddedToken& token : vocabulary.added) token.normalized = false;
    read_model(model, description);
    return make_bpe_tokenizer(std::move(description));
  } catch (const Error& error) {
    return Error(fmt::format("{}: {}", file, error.what()));
  }
}

}  // namespace cairn::text
