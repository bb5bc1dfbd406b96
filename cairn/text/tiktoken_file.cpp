// tiktoken's files: a token in base64 and its rank on each line. Patterns and special tokens are
// not in the file; how many ranks it has says whose it is.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cairn/text/base64.h"
#include "cairn/text/pieces.h"
#include "cairn/text/split_patterns.h"
#include "cairn/text/tokenizer_formats.h"

namespace cairn::text {
namespace {

struct Family {
  std::string_view name;
  size_t ranks;
  std::string_view pattern;
  std::string_view bos, eos;
  std::vector<AddedToken> special;
};

std::vector<AddedToken> llama3_special() {
  std::vector<std::string> names = {"<|begin_of_text|>", "<|end_of_text|>"};
  const auto reserved = [&](int from, int to) {
    for (int i = from; i < to; ++i)
      names.push_back(fmt::format("<|reserved_special_token_{}|>", i));
  };
  reserved(0, 4);
  names.insert(names.end(), {"<|start_header_id|>", "<|end_header_id|>"});
  reserved(4, 5);
  names.emplace_back("<|eot_id|>");
  reserved(5, 251);
  std::vector<AddedToken> special;
  for (const std::string& name : names)
    special.push_back({.id = 128'000 + static_cast<int32_t>(special.size()), .content = name});
  return special;
}

std::vector<Family> families() {
  const auto token = [](int32_t id, const char* name) {
    return AddedToken{.id = id, .content = name};
  };
  constexpr const char* kEnd = "<|endoftext|>";
  return {
      {"Llama 3", 128'000, kLlama3Pattern, "<|begin_of_text|>", "<|end_of_text|>",
       llama3_special()},
      {"cl100k_base",
       100'256,
       kLlama3Pattern,
       "",
       kEnd,
       {token(100'257, kEnd), token(100'258, "<|fim_prefix|>"), token(100'259, "<|fim_middle|>"),
        token(100'260, "<|fim_suffix|>"), token(100'276, "<|endofprompt|>")}},
      {"o200k_base",
       199'998,
       kGpt4oPattern,
       "",
       kEnd,
       {token(199'999, kEnd), token(200'018, "<|endofprompt|>")}},
      {"r50k_base", 50'256, kGpt2Pattern, "", kEnd, {token(50'256, kEnd)}},
      {"p50k_base", 50'280, kGpt2Pattern, "", kEnd, {token(50'256, kEnd)}},
  };
}

std::string token_of_base64(std::string_view text, size_t line) {
  std::optional<std::string> token = decode_base64(text);
  if (!token || token->empty()) throw_error(fmt::format("line {}: expected base64", line));
  return std::move(*token);
}

BpeDescription read(std::string_view file) {
  // A tenth of the work of the largest published file; longer tokens are no text.
  constexpr size_t kLongest = 1024;
  BpeDescription description;
  Vocabulary& vocabulary = description.vocabulary;
  std::vector<int32_t> usable;
  std::vector<float> scores;
  size_t line = 0, ranks = 0;
  while (!file.empty()) {
    ++line;
    const std::string_view text = file.substr(0, file.find('\n'));
    file.remove_prefix(std::min(text.size() + 1, file.size()));
    if (text.empty()) continue;
    const size_t space = std::min(text.find(' '), text.size());
    std::string token = token_of_base64(text.substr(0, space), line);
    const std::string_view digits = text.substr(std::min(space + 1, text.size()));
    int32_t rank = -1;
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (end.ec != std::errc() || end.ptr != digits.data() + digits.size() || rank < 0 ||
        token.size() > kLongest) {
      throw_error(fmt::format("line {}: expected a token of at most {} bytes and its rank", line,
                              kLongest));
    }
    // Ranks ascend; p50k_base leaves one out.
    const auto id = static_cast<size_t>(rank);
    if (id < vocabulary.tokens.size() || id > vocabulary.tokens.size() + 16)
      throw_error(
          fmt::format("line {}: rank {} does not follow {}", line, rank, vocabulary.tokens.size()));
    vocabulary.tokens.resize(id + 1);
    scores.resize(id + 1);
    scores[id] = -static_cast<float>(rank);
    usable.push_back(rank);
    if (token.size() == 1) description.byte_ids[static_cast<uint8_t>(token[0])] = rank;
    vocabulary.tokens[id] = std::move(token);
    ++ranks;
  }
  const std::vector<Family> known = families();
  const auto family = std::find_if(known.begin(), known.end(),
                                   [&](const Family& one) { return one.ranks == ranks; });
  if (family == known.end()) {
    throw_error(
        fmt::format("{} ranks; cairn knows Llama 3 (128000), cl100k_base (100256), "
                    "o200k_base (199998), r50k_base (50256) and p50k_base (50280)",
                    ranks));
  }
  // Whichever way two tokens make a third, they merge by the rank of that.
  description.merges = merges_from_scores(vocabulary.tokens, scores, usable);
  description.splits = {{.pattern = std::string(family->pattern)}};
  description.whole_pieces_first = true;
  for (const AddedToken& token : family->special) {
    const auto id = static_cast<size_t>(token.id);
    vocabulary.tokens.resize(std::max(vocabulary.tokens.size(), id + 1));
    vocabulary.tokens[id] = token.content;
    if (token.content == family->bos) vocabulary.bos = token.id;
    if (token.content == family->eos) vocabulary.eos = token.id;
  }
  vocabulary.added = family->special;
  if (vocabulary.bos) vocabulary.prefix = {*vocabulary.bos};
  return description;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> parse_tiktoken_file(std::string_view bytes) {
  try {
    return make_bpe_tokenizer(read(bytes));
  } catch (const Error& error) {
    return Error(fmt::format("tiktoken file: {}", error.what()));
  }
}

}  // namespace cairn::text
