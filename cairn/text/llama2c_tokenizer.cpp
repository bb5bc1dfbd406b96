// llama2.c's tokenizer.bin: SentencePiece BPE with its scores.
//
// SentencePiece merges any two neighbours whose concatenation is a token, best score first. Here
// every way to cut a token into two tokens becomes a merge with the rank of its score, so the one
// merge loop of BPE serves, and tokenizer.json can express it (Hugging Face converts the same way).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <unordered_map>

#include "cairn/text/pieces.h"
#include "cairn/text/tokenizer_formats.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

constexpr int32_t kUnknown = 0, kBos = 1, kEos = 2, kFirstByte = 3, kFirstPlain = kFirstByte + 256;
// Bytes of the longest token; Llama 2 has 27. Bounds the work of cutting tokens, which grows with
// the square of their length.
constexpr int32_t kLongest = 512;

class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes), size_(bytes.size()) {}
  bool empty() const { return bytes_.empty(); }

  template <class T>
  T number(const char* what) {
    T value;
    const std::string_view bytes = take(sizeof(T), what);
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  std::string_view take(size_t size, const char* what) {
    if (size > bytes_.size()) {
      throw_error(fmt::format("the file ends at byte {} inside {}", size_, what));
    }
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

 private:
  std::string_view bytes_;
  size_t size_;
};

BpeDescription read(std::string_view file) {
  Bytes bytes(file);
  BpeDescription description;
  description.symbols = BpeDescription::Symbols::characters;
  description.prefix_space = BpeDescription::PrefixSpace::always;
  description.space_marks = true;
  std::vector<std::string>& tokens = description.vocabulary.tokens;
  std::vector<float> scores;
  const auto longest = bytes.number<int32_t>("the header");
  if (longest < 1 || longest > kLongest) {
    throw_error(fmt::format("the longest token has {} bytes; expected 1 to {}", longest, kLongest));
  }
  while (!bytes.empty()) {
    scores.push_back(bytes.number<float>("a score"));
    const auto size = bytes.number<int32_t>("a length");
    if (size < 0 || size > longest) {
      throw_error(fmt::format("token {} has {} bytes; the header says at most {}", tokens.size(),
                              size, longest));
    }
    tokens.emplace_back(bytes.take(static_cast<size_t>(size), "a token"));
    if (std::isnan(scores.back()) || !is_valid_utf8(tokens.back())) {
      throw_error(fmt::format("token {} has a score that is no number, or is not UTF-8",
                              tokens.size() - 1));
    }
  }
  if (tokens.size() < static_cast<size_t>(kFirstPlain)) {
    throw_error(fmt::format("{} tokens; a tokenizer of llama2.c begins with {}", tokens.size(),
                            kFirstPlain));
  }
  for (int32_t byte = 0; byte < 256; ++byte) {
    const int32_t id = kFirstByte + byte;
    std::string& token = tokens[static_cast<size_t>(id)];
    const std::string expected = fmt::format("<0x{:02X}>", byte);
    if (token != expected) {
      throw_error(fmt::format("token {} is '{}'; in a tokenizer of llama2.c it is '{}'", id, token,
                              expected));
    }
    token.assign(1, static_cast<char>(byte));
    description.byte_ids[static_cast<size_t>(byte)] = id;
  }
  std::vector<int32_t> plain(tokens.size() - kFirstPlain);
  std::iota(plain.begin(), plain.end(), kFirstPlain);
  description.merges = merges_from_scores(tokens, scores, plain);
  // llama2.c writes them with newlines around, for its own printing.
  const char* controls[] = {"<unk>", "<s>", "</s>"};
  for (const int32_t id : {kUnknown, kBos, kEos}) {
    tokens[static_cast<size_t>(id)] = controls[id];
    description.vocabulary.added.push_back({id, controls[id]});
  }
  description.vocabulary.bos = kBos;
  description.vocabulary.eos = kEos;
  description.vocabulary.prefix = {kBos};
  return description;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> parse_llama2c_tokenizer(std::string_view bytes) {
  try {
    return make_bpe_tokenizer(read(bytes));
  } catch (const Error& error) {
    return Error(fmt::format("llama2.c tokenizer: {}", error.what()));
  }
}

}  // namespace cairn::text
