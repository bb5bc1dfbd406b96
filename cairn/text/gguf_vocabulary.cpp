#include "cairn/text/gguf_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "cairn/text/byte_level_vocabulary.h"
#include "cairn/text/pieces.h"
#include "cairn/text/split_patterns.h"
#include "cairn/text/wordpiece_tokenizer.h"

namespace cairn::text {
namespace {

PieceKind kind_of(const GgufVocabulary& from, size_t id) {
  if (from.token_types.empty()) return PieceKind::normal;
  const int32_t kind = from.token_types[id];
  if (kind < 1 || kind > 6) return PieceKind::unused;  // 0: undefined
  return static_cast<PieceKind>(kind);
}

std::unique_ptr<Tokenizer> sentencepiece(const GgufVocabulary& from) {
  if (from.scores.size() != from.tokens.size()) {
    throw_error(fmt::format("{} scores for {} tokens", from.scores.size(), from.tokens.size()));
  }
  PieceVocabulary vocabulary;
  for (size_t id = 0; id < from.tokens.size(); ++id)
    vocabulary.pieces.push_back({from.tokens[id], from.scores[id], kind_of(from, id)});
  vocabulary.space_before = from.add_space_prefix.value_or(true);
  vocabulary.bos = from.bos_id;
  vocabulary.eos = from.eos_id;
  vocabulary.add_bos = from.add_bos.value_or(true);
  vocabulary.add_eos = from.add_eos.value_or(false);
  return make_bpe_tokenizer(describe_pieces(vocabulary));
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

// GGUF marks what begins a word by U+2581, and not what continues it.
std::unique_ptr<Tokenizer> wordpiece(const GgufVocabulary& from) {
  WordPieceDescription description;
  for (size_t id = 0; id < from.tokens.size(); ++id) {
    const std::string spaced = without_space_marks(from.tokens[id]);
    const PieceKind kind = kind_of(from, id);
    WordPieceDescription::Token token;
    const bool whole =
        kind == PieceKind::control || kind == PieceKind::unknown || kind == PieceKind::user_defined;
    token.continues = !whole && !spaced.starts_with(' ');
    token.text = spaced.starts_with(' ') ? spaced.substr(1) : spaced;
    if (whole && !token.text.empty()) {
      description.vocabulary.added.push_back({.id = static_cast<int32_t>(id),
                                              .content = token.text,
                                              .special = kind != PieceKind::user_defined});
    }
    description.tokens.push_back(std::move(token));
  }
  if (!from.unknown_id) throw_error("tokenizer.ggml.unknown_token_id is missing");
  description.unknown = *from.unknown_id;
  const auto first = from.cls_id ? from.cls_id : from.bos_id;
  const auto last = from.separator_id ? from.separator_id : from.eos_id;
  description.vocabulary.bos = first;
  description.vocabulary.eos = last;
  if (first && from.add_bos.value_or(true)) description.vocabulary.prefix = {*first};
  if (last && from.add_eos.value_or(true)) description.vocabulary.suffix = {*last};
  return make_wordpiece_tokenizer(std::move(description));
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
    if (from.model == "llama") return sentencepiece(from);
    if (from.model == "gpt2") return byte_level(from);
    if (from.model == "bert") return wordpiece(from);
    throw_error(
        fmt::format("tokenizer.ggml.model is '{}'; cairn reads llama, gpt2 and bert", from.model));
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return Error(fmt::format("tokenizer of the GGUF file: {}", error.what()));
  }
}

}  // namespace cairn::text
