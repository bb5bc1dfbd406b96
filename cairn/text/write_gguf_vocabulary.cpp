// BpeDescription → the metadata of a GGUF file.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/text/byte_level_vocabulary.h"
#include "cairn/text/gguf_vocabulary.h"
#include "cairn/text/pieces.h"
#include "cairn/text/split_patterns.h"

namespace cairn::text {
namespace {

using Symbols = BpeDescription::Symbols;

// Characters of one byte are bytes, so GPT-2's form has them.
bool are_bytes(const Vocabulary& vocabulary) {
  return std::all_of(vocabulary.tokens.begin(), vocabulary.tokens.end(),
                     [](const std::string& token) {
                       return token.size() <= 1 && (token.empty() || (token[0] & 0x80) == 0);
                     });
}

std::vector<int32_t> token_types(const Vocabulary& vocabulary, const BpeDescription& description,
                                 std::vector<std::string>& keys) {
  const auto number = [](PieceKind kind) { return static_cast<int32_t>(kind); };
  std::vector<int32_t> types(keys.size(), number(PieceKind::normal));
  if (description.symbols == Symbols::characters) {
    for (const int32_t id : description.byte_ids)
      if (id >= 0) types[static_cast<size_t>(id)] = number(PieceKind::byte);
  }
  for (const AddedToken& token : vocabulary.added) {
    PieceKind kind = token.special ? PieceKind::control : PieceKind::user_defined;
    if (description.space_marks && token.content == "<unk>") kind = PieceKind::unknown;
    types[static_cast<size_t>(token.id)] = number(kind);
  }
  for (size_t id = 0; id < keys.size(); ++id) {
    if (!keys[id].empty()) continue;
    keys[id] = fmt::format("[PAD{}]", id);
    types[id] = number(PieceKind::unused);
  }
  return types;
}

// SentencePiece merges by the score of what is made; ranks say the same.
std::vector<float> scores_of(const BpeDescription& description, size_t tokens) {
  std::vector<float> scores(tokens, 0);
  std::vector<bool> made(tokens);
  for (const Merge& merge : description.merges) {
    const auto id = static_cast<size_t>(merge.result);
    const float score = -static_cast<float>(merge.rank);
    scores[id] = made[id] ? std::max(scores[id], score) : score;
    made[id] = true;
  }
  return scores;
}

void write_pieces(const BpeDescription& description, GgufVocabulary& out) {
  if (!description.splits.empty() || description.byte_ids[0] < 0)
    throw_error(
        "[to_gguf] a vocabulary of characters goes into a GGUF file when it has all bytes and cuts "
        "text nowhere, as SentencePiece's have");
  out.model = "llama";
  out.scores = scores_of(description, out.tokens.size());
  if (description.prefix_space != BpeDescription::PrefixSpace::always) out.add_space_prefix = false;
  if (description.squeeze_spaces) out.squeeze_spaces = true;
}

void write_bytes(const Vocabulary& vocabulary, const BpeDescription& description,
                 GgufVocabulary& out) {
  out.model = "gpt2";
  if (description.prefix_space != BpeDescription::PrefixSpace::never)
    throw_error(
        "[to_gguf] GGUF has no way to say that a space goes before a text (add_prefix_space)");
  // Where nothing merges, it does not matter where text is cut.
  const bool cuts = !description.merges.empty();
  out.pre = cuts ? pre_tokenizer_name(description.splits, description.whole_pieces_first) : "gpt-2";
  if (out.pre.empty()) {
    std::string patterns;
    for (const SplitRule& rule : description.splits) patterns += fmt::format(" '{}'", rule.pattern);
    throw_error(
        fmt::format("[to_gguf] GGUF has names for ways to cut text, and cairn knows none for{}",
                    patterns.empty() ? " no cutting" : patterns));
  }
  std::vector<Merge> merges = description.merges;
  std::stable_sort(merges.begin(), merges.end(),
                   [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
  const std::vector<std::string> keys = keys_of(vocabulary, description);
  for (const Merge& merge : merges)
    out.merges.push_back(keys[static_cast<size_t>(merge.left)] + ' ' +
                         keys[static_cast<size_t>(merge.right)]);
}

}  // namespace

GgufVocabulary write_gguf_vocabulary(const Vocabulary& vocabulary, const BpeDescription& from) {
  BpeDescription description = from;
  if (from.symbols == Symbols::characters && !from.space_marks && are_bytes(vocabulary))
    description.symbols = Symbols::bytes;
  GgufVocabulary out;
  out.tokens = keys_of(vocabulary, description);
  out.token_types = token_types(vocabulary, description, out.tokens);
  description.symbols == Symbols::bytes ? write_bytes(vocabulary, description, out)
                                        : write_pieces(description, out);
  out.bos_id = vocabulary.bos;
  out.eos_id = vocabulary.eos;
  for (const AddedToken& token : vocabulary.added)
    if (token.content == "<unk>") out.unknown_id = token.id;
  // What add_special adds beyond these has no key.
  const auto is_one = [](const std::vector<int32_t>& ids, std::optional<int32_t> id) {
    return id && ids.size() == 1 && ids[0] == *id;
  };
  out.add_bos = is_one(vocabulary.prefix, vocabulary.bos);
  out.add_eos = is_one(vocabulary.suffix, vocabulary.eos);
  if ((!vocabulary.prefix.empty() && !*out.add_bos) ||
      (!vocabulary.suffix.empty() && !*out.add_eos))
    throw_error("[to_gguf] GGUF has no way to say what is added to a text beside BOS and EOS");
  return out;
}

}  // namespace cairn::text
