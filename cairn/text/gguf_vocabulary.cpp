#include "cairn/text/gguf_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "cairn/text/byte_level_vocabulary.h"
#include "cairn/text/pieces.h"
#include "cairn/text/sentencepiece_tokenizer.h"
#include "cairn/text/split_patterns.h"
#include "cairn/text/tokenizer_formats.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

PieceKind kind_of(const GgufVocabulary& from, size_t id) {
  if (from.token_types.empty()) return PieceKind::normal;
  const int32_t kind = from.token_types[id];
  if (kind < 1 || kind > 6) return PieceKind::unused;  // 0: undefined
  return static_cast<PieceKind>(kind);
}

std::unique_ptr<Tokenizer> sentencepiece(const GgufVocabulary& from, bool unigram) {
  if (from.scores.size() != from.tokens.size()) {
    throw_error(fmt::format("{} scores for {} tokens", from.scores.size(), from.tokens.size()));
  }
  PieceVocabulary vocabulary;
  for (size_t id = 0; id < from.tokens.size(); ++id)
    vocabulary.pieces.push_back({from.tokens[id], from.scores[id], kind_of(from, id)});
  vocabulary.space_before = from.add_space_prefix.value_or(true);
  vocabulary.bos = from.bos_id;
  vocabulary.eos = from.eos_id;
  vocabulary.add_bos = from.add_bos.value_or(!unigram);
  vocabulary.add_eos = from.add_eos.value_or(unigram);
  vocabulary.squeeze_spaces = from.squeeze_spaces.value_or(false);
  if (!unigram) return make_bpe_tokenizer(describe_pieces(vocabulary));
  vocabulary.unknown = from.unknown_id;
  vocabulary.character_map = from.character_map;
  return make_sentencepiece_tokenizer(vocabulary,
                                      {.unigram = true, .user_defined_score = 0, .single = false});
}

std::unique_ptr<Tokenizer> byte_level(const GgufVocabulary& from) {
  if (from.pre.empty()) {
    throw_error(
        "tokenizer.ggml.pre is missing, which says how text is cut; convert the model again "
        "with a newer converter");
  }
  PreTokenizer pre = pre_tokenizer(from.pre);
  BpeDescription description;
  description.splits = std::move(pre.splits);
  description.whole_pieces_first = pre.whole_pieces_first;
  Vocabulary& vocabulary = description.vocabulary;
  TokenKeys keys;
  keys.reserve(from.tokens.size());
  std::unordered_set<std::string_view> added;
  for (size_t id = 0; id < from.tokens.size(); ++id) {
    const std::string& token = from.tokens[id];
    const PieceKind kind = kind_of(from, id);
    const auto number = static_cast<int32_t>(id);
    if (kind == PieceKind::control || kind == PieceKind::user_defined) {
      vocabulary.tokens.push_back(token);
      if (!token.empty() && added.insert(token).second) {
        vocabulary.added.push_back(
            {.id = number, .content = token, .special = kind == PieceKind::control});
      }
      keys.emplace(token, number);
      continue;
    }
    vocabulary.tokens.push_back(bytes_of_key(token));
    keys.emplace(token, number);
  }
  description.byte_ids = byte_ids_of(keys);
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  for (const std::string_view merge : from.merges) {
    const size_t space = merge.find(' ', 1);
    if (space == merge.npos)
      throw_error(fmt::format("merge {} is '{}'; expected two tokens with a space between",
                              pairs.size(), merge));
    pairs.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  description.merges = make_merges(pairs, keys);
  vocabulary.bos = from.bos_id;
  vocabulary.eos = from.eos_id;
  if (from.add_bos.value_or(pre.add_bos) && from.bos_id) vocabulary.prefix = {*from.bos_id};
  if (from.add_eos.value_or(false) && from.eos_id) vocabulary.suffix = {*from.eos_id};
  return make_bpe_tokenizer(std::move(description));
}

// GGUF marks what begins a word by U+2581, and not what continues it. The tokenizer is BERT's
// without capitals and accents, as llama.cpp has it.
std::unique_ptr<Tokenizer> wordpiece(const GgufVocabulary& from) {
  using Json = nlohmann::json;
  const auto require = [&](std::optional<int32_t> id, const char* role) -> const std::string& {
    if (!id || *id < 0 || static_cast<size_t>(*id) >= from.tokens.size()) {
      throw_error(fmt::format("the id {} of {} is not in the vocabulary of {} tokens",
                              id.value_or(-1), role, from.tokens.size()));
    }
    if (!is_valid_utf8(from.tokens[static_cast<size_t>(*id)]))
      throw_error(fmt::format("{}, token {}, is no UTF-8", role, *id));
    return from.tokens[static_cast<size_t>(*id)];
  };
  if (!from.unknown_id) throw_error("tokenizer.ggml.unknown_token_id is missing");
  Json vocabulary = Json::object(), added = Json::array();
  for (size_t id = 0; id < from.tokens.size(); ++id) {
    const std::string& token = from.tokens[id];
    const PieceKind kind = kind_of(from, id);
    const bool whole =
        kind == PieceKind::control || kind == PieceKind::unknown || kind == PieceKind::user_defined;
    if (token.empty() || !is_valid_utf8(token)) continue;
    if (whole) {
      vocabulary.emplace(token, id);
      added.push_back({{"id", id},
                       {"content", token},
                       {"normalized", false},
                       {"special", kind != PieceKind::user_defined}});
    } else if (token.starts_with(kSpaceMark)) {
      vocabulary.emplace(token.substr(kSpaceMark.size()), id);
    } else {
      vocabulary.emplace("##" + token, id);
    }
  }
  Json root = {{"added_tokens", added},
               {"normalizer", {{"type", "BertNormalizer"}, {"lowercase", true}}},
               {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
               {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", false}}},
               {"model",
                {{"type", "WordPiece"},
                 {"unk_token", require(from.unknown_id, "the unknown token")},
                 {"continuing_subword_prefix", "##"},
                 {"max_input_chars_per_word", 100},
                 {"vocab", vocabulary}}}};
  const auto first = from.cls_id ? from.cls_id : from.bos_id;
  const auto last = from.separator_id ? from.separator_id : from.eos_id;
  Json single = Json::array(), specials = Json::object();
  const auto put = [&](std::optional<int32_t> id, const char* role, bool adds) {
    if (!id || !adds) return;
    const std::string& name = require(id, role);
    single.push_back({{"SpecialToken", {{"id", name}, {"type_id", 0}}}});
    specials[name] = {{"id", name}, {"ids", {*id}}, {"tokens", {name}}};
  };
  put(first, "the class token", from.add_bos.value_or(true));
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  put(last, "the separator", from.add_eos.value_or(true));
  root["post_processor"] = {
      {"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", specials}};
  Json config = Json::object();
  if (first) config["bos_token"] = require(first, "the class token");
  if (last) config["eos_token"] = require(last, "the separator");
  return parse_tokenizer_json(root.dump(), config.dump()).value();
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_gguf_tokenizer(const GgufVocabulary& from) {
  try {
    if (from.tokens.empty() || from.tokens.size() > INT32_MAX)
      throw_error("tokenizer.ggml.tokens is missing or too long");
    if (!from.token_types.empty() && from.token_types.size() != from.tokens.size()) {
      throw_error(
          fmt::format("{} token types for {} tokens", from.token_types.size(), from.tokens.size()));
    }
    if (from.model == "llama") return sentencepiece(from, false);
    if (from.model == "t5") return sentencepiece(from, true);
    if (from.model == "gpt2") return byte_level(from);
    if (from.model == "bert") return wordpiece(from);
    throw_error(fmt::format("tokenizer.ggml.model is '{}'; cairn reads llama, gpt2, bert and t5",
                            from.model));
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return Error(fmt::format("tokenizer of the GGUF file: {}", error.what()));
  }
}

}  // namespace cairn::text
