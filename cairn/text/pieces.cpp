#include "cairn/text/pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581
// Bytes of a token; published ones have up to 256. Bounds the work of cutting tokens, which grows
// with the square of their length.
constexpr size_t kLongest = 2048;

}  // namespace

int byte_of_key(std::string_view key) {
  if (key.size() != 6 || !key.starts_with("<0x") || key[5] != '>') return -1;
  int value = 0;
  for (const char digit : key.substr(3, 2)) {
    const bool decimal = digit >= '0' && digit <= '9';
    if (!decimal && (digit < 'A' || digit > 'F')) return -1;
    value = value * 16 + (decimal ? digit - '0' : digit - 'A' + 10);
  }
  return value;
}

std::string without_space_marks(std::string_view key) {
  std::string out;
  for (size_t i = 0; i < key.size();) {
    const bool mark = key.substr(i).starts_with(kSpaceMark);
    out += mark ? ' ' : key[i];
    i += mark ? kSpaceMark.size() : 1;
  }
  return out;
}

std::vector<Merge> merges_from_scores(std::span<const std::string> tokens,
                                      std::span<const float> scores,
                                      std::span<const int32_t> usable) {
  const auto token = [&](int32_t id) -> std::string_view {
    return tokens[static_cast<size_t>(id)];
  };
  const auto score = [&](int32_t id) { return scores[static_cast<size_t>(id)]; };
  std::unordered_map<std::string_view, int32_t> ids;
  for (const int32_t id : usable) {
    if (!ids.emplace(token(id), id).second)
      throw_error(fmt::format("token {} ('{}') occurs twice", id, token(id)));
  }
  std::vector<int32_t> order(usable.begin(), usable.end());
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return score(a) > score(b); });
  std::vector<Merge> merges;
  uint32_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && score(order[i]) != score(order[i - 1])) ++rank;  // equal scores, equal ranks
    const std::string_view whole = token(order[i]);
    for (size_t cut = 1; cut < whole.size(); ++cut) {
      const auto left = ids.find(whole.substr(0, cut)), right = ids.find(whole.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      merges.push_back({left->second, right->second, order[i], rank});
    }
  }
  return merges;
}

BpeDescription describe_pieces(const PieceVocabulary& from) {
  BpeDescription description;
  description.symbols = BpeDescription::Symbols::characters;
  description.prefix_space =
      from.space_before ? BpeDescription::PrefixSpace::always : BpeDescription::PrefixSpace::never;
  description.space_marks = true;
  description.squeeze_spaces = from.squeeze_spaces;
  Vocabulary& vocabulary = description.vocabulary;
  std::vector<float> scores;
  std::vector<int32_t> usable;
  std::unordered_map<std::string_view, int32_t> added;
  for (const Piece& piece : from.pieces) {
    const auto id = static_cast<int32_t>(vocabulary.tokens.size());
    const int byte = byte_of_key(piece.text);
    if (piece.text.empty() || piece.text.size() > kLongest || std::isnan(piece.score) ||
        !is_valid_utf8(piece.text)) {
      throw_error(fmt::format(
          "piece {} is empty, no UTF-8, longer than {} bytes, or its score is no number", id,
          kLongest));
    }
    std::string text = piece.text;
    switch (piece.kind) {
      case PieceKind::normal:
        text = without_space_marks(piece.text);
        usable.push_back(id);
        break;
      case PieceKind::byte:
        if (byte < 0)
          throw_error(fmt::format("piece {} is a byte, but it is '{}'", id, piece.text));
        text.assign(1, static_cast<char>(byte));
        description.byte_ids[static_cast<size_t>(byte)] = id;
        break;
      case PieceKind::unused: text = without_space_marks(piece.text); break;
      case PieceKind::unknown:
      case PieceKind::control:
      case PieceKind::user_defined: {
        const bool special = piece.kind != PieceKind::user_defined;
        if (!special) text = without_space_marks(piece.text);
        if (added.emplace(piece.text, id).second)
          vocabulary.added.push_back({.id = id, .content = text, .special = special});
        break;
      }
      default: throw_error(fmt::format("piece {} is of an unknown kind", id));
    }
    vocabulary.tokens.push_back(std::move(text));
    scores.push_back(piece.score);
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    if (description.byte_ids[byte] < 0) {
      throw_error(fmt::format(
          "there is no piece <0x{:02X}>; vocabularies without all bytes are not supported", byte));
    }
  }
  description.merges = merges_from_scores(vocabulary.tokens, scores, usable);
  vocabulary.bos = from.bos;
  vocabulary.eos = from.eos;
  if (from.add_bos && from.bos) vocabulary.prefix = {*from.bos};
  if (from.add_eos && from.eos) vocabulary.suffix = {*from.eos};
  return description;
}

}  // namespace cairn::text
