#include "cairn/text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/text/gguf_vocabulary.h"
#include "cairn/text/unicode.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

// The last character of a text that is not empty.
Utf8Character last_character(std::string_view text) {
  size_t begin = text.size() - 1;
  while (begin > 0 && text.size() - begin < 4 && (text[begin] & 0xC0) == 0x80) --begin;
  const Utf8Character character = decode_utf8(text.substr(begin));
  if (character.size == text.size() - begin) return character;
  return {.code_point = kReplacementCharacter, .size = 1, .valid = false, .truncated = false};
}

bool ends_in_word(std::string_view text) {
  return !text.empty() && is_word(last_character(text).code_point);
}

bool begins_in_word(std::string_view text) {
  return !text.empty() && is_word(decode_utf8(text).code_point);
}

// White space at the end of `text`, and at its front, in bytes.
size_t trailing_space(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    const Utf8Character character = last_character(text.substr(0, end));
    if (!character.valid || !is_white_space(character.code_point)) break;
    end -= character.size;
  }
  return text.size() - end;
}

size_t leading_space(std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    const Utf8Character character = decode_utf8(text.substr(size));
    if (!is_white_space(character.code_point)) break;
    size += character.size;
  }
  return size;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::span<const AddedToken> tokens) : tokens_(tokens) {
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    CAIRN_ASSERT(!tokens[i].content.empty());
    if (!tokens[i].normalized) by_byte_[static_cast<uint8_t>(tokens[i].content[0])].push_back(i);
  }
  for (auto& list : by_byte_) {
    std::stable_sort(list.begin(), list.end(), [&](uint32_t a, uint32_t b) {
      return tokens[a].content.size() > tokens[b].content.size();
    });
  }
}

std::vector<TextSegment> AddedTokenFinder::find(std::string_view text, bool parse_special,
                                                std::span<const size_t> plain_at) const {
  std::vector<TextSegment> segments;
  size_t done = 0;
  for (size_t i = 0; i < text.size();) {
    const AddedToken* found = nullptr;
    for (const uint32_t index : by_byte_[static_cast<uint8_t>(text[i])]) {
      const AddedToken& token = tokens_[index];
      if (token.special && (!parse_special || std::ranges::binary_search(plain_at, i))) continue;
      if (text.substr(i, token.content.size()) == token.content) {
        found = &token;
        break;
      }
    }
    if (!found) {
      ++i;
      continue;
    }
    const size_t end = i + found->content.size();
    if (found->single_word &&
        (ends_in_word(text.substr(0, i)) || begins_in_word(text.substr(end)))) {
      i = end;
      continue;
    }
    std::string_view before = text.substr(done, i - done);
    if (found->lstrip) before.remove_suffix(trailing_space(before));
    if (!before.empty()) segments.push_back({before, std::nullopt});
    segments.push_back({text.substr(i, found->content.size()), found->id});
    i = end;
    if (found->rstrip) i += leading_space(text.substr(i));
    done = i;
  }
  if (done < text.size()) segments.push_back({text.substr(done), std::nullopt});
  return segments;
}

Tokenizer::Tokenizer(Vocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)), added_(vocabulary_.added) {}

std::vector<int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::vector<int32_t> ids;
  if (options.add_special) ids = vocabulary_.prefix;
  encode_segments(text, added_.find(text, options.parse_special, options.plain_at), options, ids);
  if (options.add_special) {
    ids.insert(ids.end(), vocabulary_.suffix.begin(), vocabulary_.suffix.end());
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, std::span<const int32_t> after) const {
  return decode_ids(ids, after);
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  if (id < 0 || id >= vocabulary_size()) {
    throw_error(fmt::format("[tokenizer] id {} is not in the vocabulary of {} tokens", id,
                            vocabulary_size()));
  }
  return vocabulary_.tokens[static_cast<size_t>(id)];
}

std::optional<int32_t> Tokenizer::token_id(std::string_view bytes) const {
  for (const AddedToken& token : vocabulary_.added) {
    if (token.content == bytes) return token.id;
  }
  if (bytes.empty()) return std::nullopt;
  const auto& tokens = vocabulary_.tokens;
  const auto found = std::find(tokens.begin(), tokens.end(), bytes);
  if (found == tokens.end()) return std::nullopt;
  return static_cast<int32_t>(found - tokens.begin());
}

bool Tokenizer::is_special(int32_t id) const {
  return std::any_of(vocabulary_.added.begin(), vocabulary_.added.end(),
                     [&](const AddedToken& token) { return token.special && token.id == id; });
}

GgufVocabulary Tokenizer::to_gguf() const {
  throw_error("[to_gguf] cairn writes BPE tokenizers into GGUF files; this one is of another kind");
}

}  // namespace cairn::text
