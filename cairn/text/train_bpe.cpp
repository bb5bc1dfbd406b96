#include "cairn/text/train_bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "cairn/text/bpe_tokenizer.h"
#include "cairn/text/byte_map.h"
#include "cairn/text/tokenizer_formats.h"

namespace cairn::text {
namespace {

using PairKey = uint64_t;
PairKey pair_key(int32_t left, int32_t right) {
  return static_cast<PairKey>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}
int32_t left_of(PairKey pair) { return static_cast<int32_t>(pair >> 32); }
int32_t right_of(PairKey pair) { return static_cast<int32_t>(pair); }

class Trainer {
 public:
  Trainer(const PieceCounts& pieces, BpeDescription& description)
      : tokens_(description.vocabulary.tokens),
        merges_(description.merges),
        count_(pieces.counts()) {
    for (size_t id = 0; id < tokens_.size(); ++id) {
      ids_.emplace(tokens_[id], static_cast<int32_t>(id));
    }
    words_.reserve(pieces.pieces().size());
    for (const std::string_view text : pieces.pieces()) {
      std::vector<int32_t>& word = words_.emplace_back();
      for (const char byte : text) {
        word.push_back(description.byte_ids[static_cast<uint8_t>(byte)]);
      }
      for (size_t i = 0; i + 1 < word.size(); ++i) add(word[i], word[i + 1], words_.size() - 1);
    }
    push_grown();
  }

  void train(size_t vocabulary_size) {
    while (tokens_.size() < vocabulary_size && !heap_.empty()) {
      const Candidate best = heap_.top();
      heap_.pop();
      const int64_t now = pairs_[best.pair].count;
      if (now == best.count) {
        merge(best.pair);
      } else if (now > 0 && now < best.count) {
        heap_.push({now, best.pair});  // it shrank since; a pair that grew was pushed then
      }
    }
  }

 private:
  struct Pair {
    int64_t count = 0;
    std::vector<uint32_t> words;  // those that have had the pair; may repeat and be out of date
  };
  struct Candidate {
    int64_t count;
    PairKey pair;
  };

  void add(int32_t left, int32_t right, size_t word) {
    const PairKey key = pair_key(left, right);
    Pair& pair = pairs_[key];
    pair.count += count_[word];
    if (pair.words.empty() || pair.words.back() != word) {
      pair.words.push_back(static_cast<uint32_t>(word));
    }
    grown_.push_back(key);
  }
  void remove(int32_t left, int32_t right, size_t word) {
    pairs_[pair_key(left, right)].count -= count_[word];
  }

  void push_grown() {
    std::sort(grown_.begin(), grown_.end());
    grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
    for (const PairKey pair : grown_) {
      if (const int64_t count = pairs_[pair].count; count > 0) heap_.push({count, pair});
    }
    grown_.clear();
  }

  void merge(PairKey pair) {
    const int32_t left = left_of(pair), right = right_of(pair);
    // Two pairs can spell the same bytes ("a"+"bc", "ab"+"c"); they share one token.
    std::string bytes = tokens_[static_cast<size_t>(left)] + tokens_[static_cast<size_t>(right)];
    const auto [found, is_new] = ids_.try_emplace(bytes, static_cast<int32_t>(tokens_.size()));
    const int32_t result = found->second;
    if (is_new) tokens_.push_back(std::move(bytes));
    merges_.push_back({left, right, result, static_cast<uint32_t>(merges_.size())});
    const std::vector<uint32_t> words = std::move(pairs_[pair].words);
    pairs_[pair].words.clear();
    for (const uint32_t index : words) merge_in(index, left, right, result);
    push_grown();
  }

  void merge_in(uint32_t index, int32_t left, int32_t right, int32_t result) {
    std::vector<int32_t>& word = words_[index];
    size_t out = 0;
    for (size_t i = 0; i < word.size(); ++i) {
      if (word[i] != left || i + 1 == word.size() || word[i + 1] != right) {
        word[out++] = word[i];
        continue;
      }
      remove(left, right, index);
      if (out > 0) {
        remove(word[out - 1], left, index);
        add(word[out - 1], result, index);
      }
      if (i + 2 < word.size()) {
        remove(right, word[i + 2], index);
        add(result, word[i + 2], index);
      }
      word[out++] = result;
      ++i;
    }
    word.resize(out);
  }

  struct Later {  // than which other candidate it is merged
    const std::vector<std::string>& tokens;
    bool operator()(const Candidate& a, const Candidate& b) const {
      if (a.count != b.count) return a.count < b.count;
      const auto bytes = [&](int32_t id) -> const std::string& {
        return tokens[static_cast<size_t>(id)];
      };
      const int order = bytes(left_of(a.pair)).compare(bytes(left_of(b.pair)));
      return order != 0 ? order < 0 : bytes(right_of(a.pair)) < bytes(right_of(b.pair));
    }
  };

  std::vector<std::string>& tokens_;
  std::vector<Merge>& merges_;
  std::span<const int64_t> count_;
  std::vector<std::vector<int32_t>> words_;
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_map<PairKey, Pair> pairs_;
  std::vector<PairKey> grown_;  // since the last push_grown
  std::priority_queue<Candidate, std::vector<Candidate>, Later> heap_{Later{tokens_}};
};

}  // namespace

struct PieceCounts::Index {
  // Found by views of a document; only a new piece is copied.
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  Splitter splitter;
  std::unordered_map<std::string, size_t, Hash, std::equal_to<>> numbers = {};
};

PieceCounts::PieceCounts(std::span<const std::string> special_tokens)
    : special_tokens_(special_tokens.begin(), special_tokens.end()) {
  std::vector<SplitRule> rules;
  for (const std::string& token : special_tokens_) {
    if (token.empty() || std::count(special_tokens_.begin(), special_tokens_.end(), token) > 1) {
      throw_error(
          fmt::format("[train_bpe] the special token '{}' is empty or listed twice", token));
    }
    rules.push_back({token, true, SplitRule::Keep::gaps});
  }
  // A token inside of another one must not cut it.
  std::stable_sort(rules.begin(), rules.end(), [](const SplitRule& a, const SplitRule& b) {
    return a.pattern.size() > b.pattern.size();
  });
  rules.push_back({std::string(kGpt2Pattern)});
  index_ = std::make_unique<Index>(Splitter::make(std::move(rules)).value());
}
PieceCounts::PieceCounts(PieceCounts&&) noexcept = default;
PieceCounts::~PieceCounts() = default;

void PieceCounts::add(std::string_view document) {
  index_->splitter.split(document, [&](std::string_view piece) {
    auto found = index_->numbers.find(piece);
    if (found == index_->numbers.end()) {
      found = index_->numbers.emplace(piece, pieces_.size()).first;
      pieces_.push_back(found->first);
      counts_.push_back(0);
    }
    ++counts_[found->second];
  });
}

std::unique_ptr<Tokenizer> train_bpe(const PieceCounts& pieces, int32_t vocabulary_size) {
  const std::vector<std::string>& special_tokens = pieces.special_tokens();
  const size_t smallest = 256 + special_tokens.size();
  if (vocabulary_size < 0 || static_cast<size_t>(vocabulary_size) < smallest) {
    throw_error(fmt::format(
        "[train_bpe] a vocabulary of {} tokens cannot hold the 256 bytes and {} special tokens; "
        "ask for at least {}",
        vocabulary_size, special_tokens.size(), smallest));
  }
  BpeDescription description;
  std::vector<std::string>& tokens = description.vocabulary.tokens;
  for (const std::string& token : special_tokens) {
    description.vocabulary.added.push_back({static_cast<int32_t>(tokens.size()), token});
    tokens.push_back(token);
  }
  for (const uint8_t byte : gpt2_byte_order()) {
    description.byte_ids[byte] = static_cast<int32_t>(tokens.size());
    tokens.emplace_back(1, static_cast<char>(byte));
  }
  description.splits.push_back({std::string(kGpt2Pattern)});
  Trainer(pieces, description).train(static_cast<size_t>(vocabulary_size));
  guess_bos_and_eos(description.vocabulary);
  return make_bpe_tokenizer(std::move(description));
}

std::unique_ptr<Tokenizer> train_bpe(std::span<const std::string_view> documents,
                                     int32_t vocabulary_size,
                                     std::span<const std::string> special_tokens) {
  PieceCounts pieces(special_tokens);
  for (const std::string_view document : documents) pieces.add(document);
  return train_bpe(pieces, vocabulary_size);
}

}  // namespace cairn::text
