// llama2.c's tokenizer.bin, on stories260K's, on Llama 2's, and on damaged ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cairn/text/tokenizer.h"
#include "cairn/text/tokenizer_formats.h"
#include "tests/text/golden.h"
#include "tests/text/llama2c_file.h"

namespace cairn::text {
namespace {

using testing::HasSubstr;
constexpr const char* kStories = "checkpoints/stories260K";

std::unique_ptr<Tokenizer> stories() {
  return load_tokenizer(test::data_path("checkpoints/stories260K/tok512.bin")).value();
}

nlohmann::json stories_reference() {
  return nlohmann::json::parse(
      read_file(test::data_path("checkpoints/stories260K/stories260K.reference.json").string())
          .value());
}

TEST(Llama2c, DecodesTheReferenceOfStories260K) {
  CAIRN_REQUIRE_DATA(kStories);
  const auto reference = stories_reference();
  const Ids ids = reference["greedy_ids"];
  const std::string text = reference["greedy_text"];
  const auto tokenizer = stories();
  EXPECT_EQ(tokenizer->vocabulary_size(), 512);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 2);
  EXPECT_EQ(tokenizer->decode(ids), text);
  // Cut anywhere, the parts are the whole.
  for (size_t cut = 0; cut <= ids.size(); ++cut) {
    const auto before = std::span(ids).first(cut), after = std::span(ids).subspan(cut);
    EXPECT_EQ(tokenizer->decode(before) + tokenizer->decode(after, before), text) << cut;
  }
}

// The model wrote the text token by token, and not always in the way the encoder would; on the
// parts where no merge was missed, encoding gives the ids back. The first sentence is such a part.
TEST(Llama2c, EncodesPromptsOfStories260K) {
  CAIRN_REQUIRE_DATA(kStories);
  const auto reference = stories_reference();
  const Ids ids = reference["greedy_ids"];
  const std::string text = reference["greedy_text"];
  const std::string sentence = text.substr(0, text.find('.') + 1);
  const auto tokenizer = stories();
  const Ids encoded = tokenizer->encode(sentence, {.add_special = true});
  EXPECT_EQ(encoded, Ids(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(encoded.size())));
  EXPECT_EQ(tokenizer->decode(encoded), sentence);
  EXPECT_EQ(tokenizer->encode("", {.add_special = true}), Ids{1});
  EXPECT_EQ(tokenizer->encode(""), Ids{});
}

TEST(Llama2c, UnknownCharactersAndBytesBecomeByteTokens) {
  CAIRN_REQUIRE_DATA(kStories);
  const auto tokenizer = stories();
  const Ids ids = tokenizer->encode("\u4e16\xFF");
  EXPECT_EQ(Ids(ids.end() - 4, ids.end()), (Ids{3 + 0xE4, 3 + 0xB8, 3 + 0x96, 3 + 0xFF}));
  const std::string all = all_bytes();
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(all)), all);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("  two spaces")), "  two spaces");
  EXPECT_EQ(tokenizer->encode("\u2581a"), tokenizer->encode(" a"));  // SentencePiece's space
}

// Llama 2's vocabulary in this format against the ids of the real SentencePiece.
TEST(Llama2c, EqualsSentencePieceOnLlama2) {
  CAIRN_REQUIRE_DATA("tokenizers/llama2");
  const auto tokenizer = load_tokenizer(test::data_path("tokenizers/llama2/tokenizer.bin")).value();
  EXPECT_EQ(tokenizer->vocabulary_size(), 32000);
  std::istringstream lines(
      read_file(test::data_path("tokenizers/llama2/reference.jsonl").string()).value());
  std::string line;
  size_t count = 0;
  for (; std::getline(lines, line); ++count) {
    const auto reference = nlohmann::json::parse(line);
    const std::string text = reference["text"];
    const Ids ids = tokenizer->encode(text);
    EXPECT_EQ(ids, reference["ids"].get<Ids>()) << text;
    EXPECT_EQ(tokenizer->decode(ids), reference["decoded"].get<std::string>());
  }
  EXPECT_GT(count, 100u);
}

// Written as tokenizer.json and read back, the same vocabulary gives the same ids.
TEST(Llama2c, SurvivesTokenizerJson) {
  CAIRN_REQUIRE_DATA("tokenizers/llama2");
  CAIRN_REQUIRE_DATA("text");
  const auto tokenizer = load_tokenizer(test::data_path("tokenizers/llama2/tokenizer.bin")).value();
  const auto read = parse_tokenizer_json(tokenizer->to_json()).value();
  const std::string text =
      read_file(test::data_path("text/tinyshakespeare.txt").string()).value().substr(0, 100000);
  EXPECT_EQ(read->encode(text, {.add_special = true}),
            tokenizer->encode(text, {.add_special = true}));
  EXPECT_EQ(read->decode(read->encode(text)), text);
}

std::string error_of(const std::string& file) {
  const auto loaded = parse_llama2c_tokenizer(file);
  return loaded.ok() ? "" : loaded.error().what();
}

TEST(Llama2c, DamagedFilesAreErrors) {
  const std::string good = llama2c_file({" ", "a", "b", " a", "ab"});
  const auto tokenizer = parse_llama2c_tokenizer(good).value();
  EXPECT_EQ(tokenizer->encode("ab"), (Ids{262, 261}));  // " a" has a better score than "ab"
  for (size_t size = 0; size < good.size(); ++size) {
    const std::string error = error_of(good.substr(0, size));
    // A file cut between tokens is a smaller vocabulary, good once the bytes are all there.
    if (error.empty()) EXPECT_GE(size, good.size() - 5 * 11) << size;
  }
  EXPECT_THAT(error_of(""), HasSubstr("ends at byte 0"));
  EXPECT_THAT(error_of(good + "abc"), HasSubstr("inside a score"));
  EXPECT_THAT(error_of(llama2c_file({"a", "a"})), HasSubstr("occurs twice"));
  EXPECT_THAT(error_of(llama2c_file({"\xFF"})), HasSubstr("not UTF-8"));
  EXPECT_THAT(error_of(llama2c_file({"a"}, 1000000)), HasSubstr("longest token"));
  EXPECT_THAT(error_of(llama2c_file({std::string(20, 'a')}, 6)), HasSubstr("at most 6"));
  std::string lying = good;
  lying[8] = lying[9] = lying[10] = lying[11] = '\xFF';  // the length of token 0 becomes -1
  EXPECT_THAT(error_of(lying), HasSubstr("token 0 has -1 bytes"));
  std::string other = good;
  other[other.find("<0x41>") + 1] = 'y';
  EXPECT_THAT(error_of(other), HasSubstr("'<0x41>'"));
}

}  // namespace
}  // namespace cairn::text
