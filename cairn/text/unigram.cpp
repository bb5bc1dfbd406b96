#include "cairn/text/unigram.h"

#include <algorithm>

#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

PrefixTrie trie_of(const std::vector<Unigram::Token>& tokens) {
  std::vector<std::pair<std::string_view, int32_t>> keys;
  keys.reserve(tokens.size());
  for (const Unigram::Token& token : tokens) keys.emplace_back(token.text, token.id);
  return PrefixTrie(std::move(keys));
}

}  // namespace

Unigram::Unigram(const std::vector<Token>& tokens, double unknown_score, bool single)
    : trie_(trie_of(tokens)), unknown_score_(unknown_score), single_(single) {
  for (const Token& token : tokens) {
    const auto id = static_cast<size_t>(token.id);
    if (scores_.size() <= id) scores_.resize(id + 1);
    scores_[id] = token.score;
  }
}

std::vector<Unigram::Part> Unigram::cut(std::string_view text) const {
  // The best way to each place in the text: where its last token begins.
  struct Best {
    double score = 0;
    size_t begin = SIZE_MAX;
    int32_t id = -1;
  };
  std::vector<Best> best(text.size() + 1);
  for (size_t at = 0; at < text.size();) {
    const size_t character = decode_utf8(text.substr(at)).size;
    const double before = best[at].score;
    bool covered = false;
    const auto offer = [&](size_t size, int32_t id, double score) {
      double sum = before + score;
      if (single_) sum = static_cast<double>(static_cast<float>(sum));
      Best& target = best[at + size];
      if (target.begin == SIZE_MAX || sum > target.score) target = {sum, at, id};
    };
    trie_.match(text.substr(at), [&](size_t size, int32_t id) {
      offer(size, id, scores_[static_cast<size_t>(id)]);
      covered |= size == character;
    });
    if (!covered) offer(character, -1, unknown_score_);
    at += character;
  }
  std::vector<Part> parts;
  for (size_t end = text.size(); end > 0;) {
    const Best& last = best[end];
    if (last.id < 0 && !parts.empty() && parts.back().id < 0)
      parts.back().begin = last.begin;
    else
      parts.push_back({last.begin, end, last.id});
    end = last.begin;
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace cairn::text
