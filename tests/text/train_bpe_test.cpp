#include "cairn/text/train_bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <sstream>

#include "cairn/text/byte_map.h"
#include "cairn/text/splitter.h"
#include "tests/text/golden.h"

namespace cairn::text {
namespace {

// The definition, counting everything anew for each merge; no special tokens.
std::vector<std::string> train_plainly(const std::string& text, size_t vocabulary_size) {
  std::vector<std::vector<std::string>> pieces;
  Splitter::make({{std::string(kGpt2Pattern)}}).value().split(text, [&](std::string_view piece) {
    auto& symbols = pieces.emplace_back();
    for (const char byte : piece) symbols.emplace_back(1, byte);
  });
  std::vector<std::string> tokens;
  for (const uint8_t byte : gpt2_byte_order()) tokens.emplace_back(1, static_cast<char>(byte));
  while (tokens.size() < vocabulary_size) {
    std::map<std::pair<std::string, std::string>, int64_t> counts;
    for (const auto& piece : pieces) {
      for (size_t i = 0; i + 1 < piece.size(); ++i) ++counts[{piece[i], piece[i + 1]}];
    }
    if (counts.empty()) break;
    auto best = counts.begin();  // in increasing order of pairs, so >= takes the greatest
    for (auto it = counts.begin(); it != counts.end(); ++it) {
      if (it->second >= best->second) best = it;
    }
    const auto [left, right] = best->first;
    if (std::find(tokens.begin(), tokens.end(), left + right) == tokens.end()) {
      tokens.push_back(left + right);
    }
    for (auto& piece : pieces) {
      for (size_t i = 0; i + 1 < piece.size(); ++i) {
        if (piece[i] != left || piece[i + 1] != right) continue;
        piece[i] += right;
        piece.erase(piece.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return tokens;
}

TEST(TrainBpe, EqualsTheDefinition) {
  std::mt19937 random(5);
  const std::string letters = "aaabbc ";
  for (int round = 0; round < 30; ++round) {
    std::string text;
    for (int i = 0; i < 400; ++i) text += letters[random() % letters.size()];
    const std::string_view document = text;
    const auto tokenizer = train_bpe({&document, 1}, 330);
    EXPECT_EQ(tokenizer->vocabulary().tokens, train_plainly(text, 330)) << text;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

// Documents are counted and forgotten, in whatever order they come.
TEST(TrainBpe, CountsPiecesAndKeepsNoDocument) {
  const std::vector<std::string> documents = {"the cat, the\nhat", "a hat", "<s>the<s>cat"};
  const std::vector<std::string> specials = {"<s>"};
  PieceCounts forward(specials), backward(specials);
  for (size_t i = 0; i < documents.size(); ++i) {
    std::string copy = documents[i];
    forward.add(copy);
    copy.assign(copy.size(), 'x');
    backward.add(documents[documents.size() - 1 - i]);
  }
  std::map<std::string, int64_t> counts;
  for (size_t i = 0; i < forward.pieces().size(); ++i)
    counts[std::string(forward.pieces()[i])] = forward.counts()[i];
  EXPECT_EQ(counts, (std::map<std::string, int64_t>{{"the", 2},
                                                    {" cat", 1},
                                                    {",", 1},
                                                    {" the", 1},
                                                    {"\n", 1},
                                                    {"hat", 1},
                                                    {"a", 1},
                                                    {" hat", 1},
                                                    {"cat", 1}}));
  EXPECT_EQ(train_bpe(forward, 270)->to_json(), train_bpe(backward, 270)->to_json());
}

TEST(TrainBpe, TiesGoToTheGreaterPair) {
  const std::string_view document = "ab,ba,bb,aa";  // each pair once; commas are pieces
  const auto tokenizer = train_bpe({&document, 1}, 260);
  const auto& tokens = tokenizer->vocabulary().tokens;
  EXPECT_EQ(std::vector<std::string>(tokens.begin() + 256, tokens.end()),
            (std::vector<std::string>{"bb", "ba", "ab", "aa"}));
}

TEST(TrainBpe, SpecialTokensComeFirstAndNeverMerge) {
  const std::string_view documents[] = {"ab<|endoftext|>ab ab<pad>ab", "ab<|endoftext|>"};
  const std::vector<std::string> specials = {"<|endoftext|>", "<pad>"};
  const auto tokenizer = train_bpe(documents, 300, specials);
  EXPECT_EQ(tokenizer->vocabulary_size(), 260);  // the text has no more pairs
  EXPECT_EQ(tokenizer->token_id("<|endoftext|>"), 0);
  EXPECT_EQ(tokenizer->eos(), 0);
  EXPECT_EQ(tokenizer->token_bytes(2), "!");
  EXPECT_EQ(tokenizer->token_bytes(258), "ab");
  EXPECT_EQ(tokenizer->token_bytes(259), " ab");
  EXPECT_EQ(tokenizer->encode("ab<pad>", {.parse_special = true}), (Ids{258, 1}));
}

TEST(TrainBpe, BytesThatAreNotUtf8AndNoTextAtAll) {
  const std::string all = all_bytes() + all_bytes();
  const std::string_view document = all;
  const auto tokenizer = train_bpe({&document, 1}, 270);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(all)), all);
  EXPECT_EQ(train_bpe({}, 300)->vocabulary_size(), 256);
}

TEST(TrainBpe, RefusesWhatCannotBe) {
  const std::vector<std::string> twice = {"<s>", "<s>"}, empty = {""};
  EXPECT_THROW(train_bpe({}, 255), Error);
  EXPECT_THROW(train_bpe({}, -1), Error);
  EXPECT_THROW(train_bpe({}, 300, twice), Error);
  EXPECT_THROW(train_bpe({}, 300, empty), Error);
}

// The reference of Stanford's CS336 (assignment 1): vocabulary 500 of its corpus, exactly.
TEST(TrainBpe, ReproducesTheCs336Reference) {
  CAIRN_REQUIRE_DATA("text/cs336-bpe");
  const auto read = [](const char* name) {
    return read_file(test::data_path("text/cs336-bpe").string() + "/" + name).value();
  };
  const std::string corpus = read("corpus.en");
  const std::string_view document = corpus;
  const std::vector<std::string> specials = {"<|endoftext|>"};
  const auto tokenizer = train_bpe({&document, 1}, 500, specials);
  const auto vocabulary = nlohmann::json::parse(read("train-bpe-reference-vocab.json"));
  ASSERT_EQ(tokenizer->vocabulary_size(), 500);
  for (const auto& [key, id] : vocabulary.items()) {
    EXPECT_EQ(bytes_to_mapped(tokenizer->token_bytes(id)), key);
  }
  // Merge i makes token 257 + i; the parts are checked through what tokenizer.json says.
  const auto written = nlohmann::json::parse(tokenizer->to_json());
  std::istringstream lines(read("train-bpe-reference-merges.txt"));
  std::string line;
  size_t count = 0;
  for (; std::getline(lines, line); ++count) {
    ASSERT_LT(count, written["model"]["merges"].size());
    EXPECT_EQ(written["model"]["merges"][count], line);
  }
  EXPECT_EQ(count, written["model"]["merges"].size());
}

}  // namespace
}  // namespace cairn::text
