#include "cairn/text/wordpiece_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "cairn/text/unicode.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

// The blocks of Han characters, each of which is a word.
bool is_han(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

// BERT's: ASCII symbols, too.
bool is_mark_of_its_own(char32_t c) {
  const bool ascii = (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
                     (c >= 123 && c <= 126);
  return ascii || is_punctuation(c) || is_han(c);
}

Vocabulary with_tokens(WordPieceDescription& description) {
  for (const auto& token : description.tokens) description.vocabulary.tokens.push_back(token.text);
  return std::move(description.vocabulary);
}

class WordPieceTokenizer final : public Tokenizer {
 public:
  explicit WordPieceTokenizer(WordPieceDescription description)
      : Tokenizer(with_tokens(description)), description_(std::move(description)) {
    std::vector<bool> plain(description_.tokens.size(), true);
    for (const AddedToken& token : vocabulary().added) plain[static_cast<size_t>(token.id)] = false;
    for (size_t id = 0; id < description_.tokens.size(); ++id) {
      const auto& token = description_.tokens[id];
      if (!plain[id] || token.text.empty()) continue;
      (token.continues ? inside_ : starts_).emplace(token.text, static_cast<int32_t>(id));
      longest_ = std::max(longest_, token.text.size());
    }
  }

  std::string to_json() const override {
    throw_error("WordPiece tokenizers are not written as tokenizer.json yet");
  }

 protected:
  void encode_segments(std::string_view, std::span<const Segment> segments,
                       std::vector<int32_t>& ids) const override {
    for (const Segment& segment : segments) {
      if (segment.token) {
        ids.push_back(*segment.token);
      } else {
        encode_text(segment.text, ids);
      }
    }
  }

  std::string decode_ids(std::span<const int32_t> ids, bool starts_text) const override {
    std::string out;
    bool first = starts_text;
    for (const int32_t id : ids) {
      const std::string_view bytes = token_bytes(id);
      if (!first && !description_.tokens[static_cast<size_t>(id)].continues) out += ' ';
      out += bytes;
      first = false;
    }
    return out;
  }

 private:
  std::string normalized(std::string_view text) const {
    std::string cleaned;
    for (; !text.empty(); text.remove_prefix(decode_utf8(text).size)) {
      const Utf8Character character = decode_utf8(text);
      const char32_t c = character.code_point;
      if (is_white_space(c)) {
        cleaned += ' ';
      } else if (c != 0 && c != kReplacementCharacter && !is_control(c)) {
        append_utf8(cleaned, c);
      }
    }
    if (!description_.lowercase) return cleaned;
    const std::string decomposed = normalize(cleaned, NormalForm::nfd);
    std::string out;
    for (std::string_view rest = decomposed; !rest.empty();
         rest.remove_prefix(decode_utf8(rest).size)) {
      const char32_t c = decode_utf8(rest).code_point;
      if (!is_combining_mark(c)) append_utf8(out, lower_character(c));
    }
    return out;
  }

  void encode_text(std::string_view text, std::vector<int32_t>& ids) const {
    const std::string clean = normalized(text);
    const std::string_view whole = clean;
    size_t begin = 0;
    for (size_t at = 0; at < whole.size();) {
      const Utf8Character character = decode_utf8(whole.substr(at));
      const bool space = is_white_space(character.code_point);
      const bool alone = !space && is_mark_of_its_own(character.code_point);
      if (space || alone) {
        encode_word(whole.substr(begin, at - begin), ids);
        if (alone) encode_word(whole.substr(at, character.size), ids);
        begin = at + character.size;
      }
      at += character.size;
    }
    encode_word(whole.substr(begin), ids);
  }

  void encode_word(std::string_view word, std::vector<int32_t>& ids) const {
    if (word.empty()) return;
    const size_t start = ids.size();
    const auto characters = static_cast<size_t>(std::count_if(
        word.begin(), word.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
    bool found = characters <= description_.longest_word;
    while (found && !word.empty()) {
      const auto& pieces = ids.size() == start ? starts_ : inside_;
      size_t size = std::min(word.size(), longest_);
      auto piece = pieces.end();
      for (; size > 0; --size) {
        piece = pieces.find(std::string(word.substr(0, size)));
        if (piece != pieces.end()) break;
      }
      found = size > 0;
      if (!found) break;
      ids.push_back(piece->second);
      word.remove_prefix(size);
    }
    if (found) return;
    ids.resize(start);
    ids.push_back(description_.unknown);
  }

  WordPieceDescription description_;  // its vocabulary is in the base
  std::unordered_map<std::string, int32_t> starts_, inside_;
  size_t longest_ = 0;
};

}  // namespace

std::unique_ptr<Tokenizer> make_wordpiece_tokenizer(WordPieceDescription description) {
  const auto count = static_cast<int64_t>(description.tokens.size());
  const auto require = [&](int32_t id, const char* role) {
    if (id < 0 || id >= count) {
      throw_error(fmt::format("[tokenizer] the id {} of {} is not in the vocabulary of {} tokens",
                              id, role, count));
    }
  };
  require(description.unknown, "the unknown token");
  const Vocabulary& vocabulary = description.vocabulary;
  for (const AddedToken& token : vocabulary.added) require(token.id, "an added token");
  for (const int32_t id : vocabulary.prefix) require(id, "the template");
  for (const int32_t id : vocabulary.suffix) require(id, "the template");
  if (vocabulary.bos) require(*vocabulary.bos, "BOS");
  if (vocabulary.eos) require(*vocabulary.eos, "EOS");
  return std::make_unique<WordPieceTokenizer>(std::move(description));
}

}  // namespace cairn::text
