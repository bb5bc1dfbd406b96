// BpeDescription → tokenizer.json.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "cairn/text/byte_level_vocabulary.h"
#include "cairn/text/tokenizer_formats.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

using Json = nlohmann::ordered_json;
using Symbols = BpeDescription::Symbols;
using PrefixSpace = BpeDescription::PrefixSpace;

constexpr const char* kSpaceMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space

Json normalizer_json(const BpeDescription& description) {
  if (description.normal_form == NormalForm::nfc) return {{"type", "NFC"}};
  if (!description.space_marks) return nullptr;
  const Json prepend = {{"type", "Prepend"}, {"prepend", kSpaceMark}};
  const Json replace = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceMark}};
  if (description.prefix_space != PrefixSpace::always) return replace;
  return {{"type", "Sequence"}, {"normalizers", Json::array({prepend, replace})}};
}

Json split_json(const SplitRule& rule) {
  return {{"type", "Split"},
          {"pattern", {{rule.literal ? "String" : "Regex", rule.pattern}}},
          {"behavior", rule.keep == SplitRule::Keep::everything ? "Isolated" : "Removed"},
          {"invert", rule.keep == SplitRule::Keep::matches}};
}

Json pre_tokenizer_json(const BpeDescription& description) {
  std::vector<SplitRule> splits = description.splits;
  Json parts = Json::array();
  if (description.symbols == Symbols::bytes) {
    const bool gpt2 = !splits.empty() && splits.back() == SplitRule{std::string(kGpt2Pattern)};
    if (gpt2) splits.pop_back();
    for (const SplitRule& rule : splits) parts.push_back(split_json(rule));
    parts.push_back({{"type", "ByteLevel"},
                     {"add_prefix_space", description.prefix_space == PrefixSpace::if_missing},
                     {"trim_offsets", true},
                     {"use_regex", gpt2}});
  } else {
    for (const SplitRule& rule : splits) parts.push_back(split_json(rule));
  }
  if (parts.empty()) return nullptr;
  if (parts.size() == 1) return parts[0];
  return {{"type", "Sequence"}, {"pretokenizers", parts}};
}

Json decoder_json(const BpeDescription& description) {
  if (description.symbols == Symbols::bytes) {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", true},
            {"trim_offsets", true},
            {"use_regex", true}};
  }
  const Json fuse = {{"type", "Fuse"}};
  if (!description.space_marks) return fuse;
  const Json replace = {
      {"type", "Replace"}, {"pattern", {{"String", kSpaceMark}}}, {"content", " "}};
  const Json bytes = {{"type", "ByteFallback"}};
  if (description.prefix_space != PrefixSpace::always)
    return {{"type", "Sequence"}, {"decoders", Json::array({replace, bytes, fuse})}};
  const Json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  return {{"type", "Sequence"}, {"decoders", Json::array({replace, bytes, fuse, strip})}};
}

Json post_processor_json(const Vocabulary& vocabulary, const std::vector<std::string>& keys) {
  if (vocabulary.prefix.empty() && vocabulary.suffix.empty()) return nullptr;
  Json specials = Json::object();
  const auto special = [&](int32_t id, int type_id) -> Json {
    // Ids without a token have names of their own, or one would stand for the other.
    std::string name = keys[static_cast<size_t>(id)];
    if (name.empty()) name = fmt::format("[id {}]", id);
    specials[name] = {{"id", name}, {"ids", {id}}, {"tokens", {name}}};
    return {{"SpecialToken", {{"id", name}, {"type_id", type_id}}}};
  };
  const auto around = [&](Json& items, const char* sequence, int type_id) {
    for (const int32_t id : vocabulary.prefix) items.push_back(special(id, type_id));
    items.push_back({{"Sequence", {{"id", sequence}, {"type_id", type_id}}}});
    for (const int32_t id : vocabulary.suffix) items.push_back(special(id, type_id));
  };
  Json single = Json::array(), pair = Json::array();
  around(single, "A", 0);
  around(pair, "A", 0);
  around(pair, "B", 1);
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", specials}};
}

Json added_tokens_json(const Vocabulary& vocabulary) {
  Json list = Json::array();
  std::vector<AddedToken> added = vocabulary.added;
  std::sort(added.begin(), added.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (const AddedToken& token : added) {
    list.push_back({{"id", token.id},
                    {"content", token.content},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", false},
                    {"special", token.special}});
  }
  return list;
}

void check_keys(const std::vector<std::string>& keys) {
  std::unordered_set<std::string_view> seen;
  for (size_t id = 0; id < keys.size(); ++id) {
    if (keys[id].empty()) continue;
    if (!is_valid_utf8(keys[id]) || !seen.insert(keys[id]).second) {
      throw_error(fmt::format(
          "[tokenizer.json] token {} ('{}') is not UTF-8 or is spelled as another one, so the file "
          "cannot express this vocabulary; keep the tokenizer in its own format",
          id, replace_invalid_utf8(keys[id])));
    }
  }
}

std::string merges_json(const BpeDescription& description, const std::vector<std::string>& keys) {
  std::vector<Merge> merges = description.merges;
  std::stable_sort(merges.begin(), merges.end(),
                   [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
  // Every version of `tokenizers` reads "left right"; pairs in lists are for tokens with spaces.
  const bool spaces = std::any_of(merges.begin(), merges.end(), [&](const Merge& merge) {
    return keys[static_cast<size_t>(merge.left)].find(' ') != std::string::npos ||
           keys[static_cast<size_t>(merge.right)].find(' ') != std::string::npos;
  });
  std::string out;
  for (const Merge& merge : merges) {
    const std::string& left = keys[static_cast<size_t>(merge.left)];
    const std::string& right = keys[static_cast<size_t>(merge.right)];
    out += out.empty() ? "\n" : ",\n";
    out +=
        spaces ? Json::array({left, right}).dump() : Json(fmt::format("{} {}", left, right)).dump();
  }
  return "[" + out + "]";
}

}  // namespace

// "vocab" and "merges" are written by hand: an ordered JSON object of n keys takes O(n^2) to build.
std::string write_tokenizer_json(const Vocabulary& vocabulary, const BpeDescription& description) {
  if (description.squeeze_spaces) {
    throw_error(
        "[to_json] tokenizer.json cannot say that runs of spaces become one "
        "(remove_extra_whitespaces); keep the tokenizer.model");
  }
  const std::vector<std::string> keys = keys_of(vocabulary, description);
  check_keys(keys);
  std::string vocab;
  for (size_t id = 0; id < keys.size(); ++id) {
    if (keys[id].empty()) continue;
    vocab += fmt::format("{}{}: {}", vocab.empty() ? "\n" : ",\n", Json(keys[id]).dump(), id);
  }
  const bool fallback = description.symbols == Symbols::characters && description.byte_ids[0] >= 0;
  return fmt::format(
      "{{\n\"version\": \"1.0\",\n\"truncation\": null,\n\"padding\": null,\n"
      "\"added_tokens\": {},\n\"normalizer\": {},\n\"pre_tokenizer\": {},\n"
      "\"post_processor\": {},\n\"decoder\": {},\n"
      "\"model\": {{\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
      "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false, "
      "\"byte_fallback\": {}, \"ignore_merges\": {},\n\"vocab\": {{{}}},\n\"merges\": {}}}\n}}\n",
      added_tokens_json(vocabulary).dump(), normalizer_json(description).dump(),
      pre_tokenizer_json(description).dump(), post_processor_json(vocabulary, keys).dump(),
      decoder_json(description).dump(), fallback, description.whole_pieces_first, vocab,
      merges_json(description, keys));
}

std::string write_tokenizer_config(const Tokenizer& tokenizer, std::string_view chat_template) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false}};
  const auto put = [&](const char* key, std::optional<int32_t> id) {
    if (id && tokenizer.is_special(*id)) config[key] = std::string(tokenizer.token_bytes(*id));
  };
  put("bos_token", tokenizer.bos());
  put("eos_token", tokenizer.eos());
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  return config.dump(2) + "\n";
}

}  // namespace cairn::text
