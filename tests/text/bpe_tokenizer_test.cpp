// The kinds that need no file: bytes and characters; and added tokens, which all kinds share.
#include "cairn/text/bpe_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "cairn/text/train_bpe.h"
#include "tests/text/golden.h"

namespace cairn::text {
namespace {

using testing::HasSubstr;

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::unique_ptr<Tokenizer> characters_of(std::string_view text) {
  return make_character_tokenizer({&text, 1});
}

TEST(ByteTokenizer, IdsAreBytes) {
  const auto tokenizer = make_byte_tokenizer();
  EXPECT_EQ(tokenizer->vocabulary_size(), 256);
  const std::string all = all_bytes();
  Ids expected(256);
  for (int32_t i = 0; i < 256; ++i) expected[static_cast<size_t>(i)] = i;
  EXPECT_EQ(tokenizer->encode(all), expected);
  EXPECT_EQ(tokenizer->decode(expected), all);
  EXPECT_EQ(tokenizer->encode(""), Ids{});
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
  EXPECT_EQ(tokenizer->encode("ab", {.add_special = true, .parse_special = true}), (Ids{97, 98}));
}

TEST(CharacterTokenizer, IdsAreCodePointsInOrder) {
  const auto tokenizer = characters_of("hello \u4e16\u00e9\n");
  EXPECT_EQ(tokenizer->vocabulary_size(), 8);  // \n space e h l o é 世
  EXPECT_EQ(tokenizer->encode("hello \u4e16\u00e9\n"), (Ids{3, 2, 4, 4, 5, 1, 7, 6, 0}));
  EXPECT_EQ(tokenizer->decode(Ids{7, 6, 0}), "\u4e16\u00e9\n");
  EXPECT_EQ(tokenizer->token_bytes(6), "\u00e9");
  EXPECT_EQ(tokenizer->token_id("\u4e16"), 7);
  EXPECT_EQ(tokenizer->token_id("x"), std::nullopt);
}

TEST(CharacterTokenizer, TakesAllDocuments) {
  const std::string_view documents[] = {"ba", "", "cab"};
  EXPECT_EQ(make_character_tokenizer(documents)->encode("abc"), (Ids{0, 1, 2}));
}

TEST(CharacterTokenizer, UnknownCharactersAreNamed) {
  const auto tokenizer = characters_of("abc \u00e9");
  EXPECT_THAT(error_of([&] { tokenizer->encode("ab\u00e9\u4e16"); }),
              testing::AllOf(HasSubstr("'\u4e16' (U+4E16) at byte 4"), HasSubstr("5 characters")));
  EXPECT_THAT(error_of([&] { tokenizer->encode("a\tb"); }), HasSubstr("U+0009 at byte 1"));
  EXPECT_THAT(error_of([&] { tokenizer->encode("a\xFFz"); }),
              HasSubstr("byte 0xFF, which is not UTF-8, at byte 1"));
}

TEST(CharacterTokenizer, RefusesWhatIsNotText) {
  EXPECT_THAT(error_of([] { characters_of(""); }), HasSubstr("empty"));
  const std::string_view documents[] = {"fine", "ab\xC3("};
  EXPECT_THAT(error_of([&] { make_character_tokenizer(documents); }),
              HasSubstr("byte 0xC3 at byte 2 of document 1"));
}

// A small byte-level vocabulary with added tokens of each kind.
BpeDescription with_added() {
  BpeDescription description;
  auto& vocabulary = description.vocabulary;
  for (int32_t byte = 0; byte < 256; ++byte) {
    vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
    description.byte_ids[static_cast<size_t>(byte)] = byte;
  }
  const auto add = [&](std::string content, bool special, bool lstrip, bool rstrip) {
    const auto id = static_cast<int32_t>(vocabulary.tokens.size());
    vocabulary.tokens.push_back(content);
    vocabulary.added.push_back({id, std::move(content), special, lstrip, rstrip});
  };
  add("<s>", true, false, false);     // 256
  add("<s><s>", true, false, false);  // 257
  add("<sep>", false, true, true);    // 258
  add("<left>", false, true, false);  // 259
  vocabulary.prefix = {256};
  vocabulary.suffix = {257};
  return description;
}

TEST(AddedTokens, SpecialOnesAreTextUnlessAsked) {
  const auto tokenizer = make_bpe_tokenizer(with_added());
  EXPECT_EQ(tokenizer->encode("<s>"), (Ids{'<', 's', '>'}));
  EXPECT_EQ(tokenizer->encode("<s>", {.parse_special = true}), Ids{256});
  EXPECT_EQ(tokenizer->encode("a", {.add_special = true}), (Ids{256, 'a', 257}));
  EXPECT_EQ(tokenizer->encode("", {.add_special = true}), (Ids{256, 257}));
  EXPECT_EQ(tokenizer->decode(Ids{256, 'a', 258}), "<s>a<sep>");
}

TEST(AddedTokens, LongestAtTheLeftmostPlace) {
  const auto tokenizer = make_bpe_tokenizer(with_added());
  EXPECT_EQ(tokenizer->encode("<s><s><s>a<s", {.parse_special = true}),
            (Ids{257, 256, 'a', '<', 's'}));
}

TEST(AddedTokens, OthersAreAlwaysFoundAndTakeSpaceAlong) {
  const auto tokenizer = make_bpe_tokenizer(with_added());
  EXPECT_EQ(tokenizer->encode("a \u3000<sep>\n b"), (Ids{'a', 258, 'b'}));
  EXPECT_EQ(tokenizer->encode("a <left> b"), (Ids{'a', 259, ' ', 'b'}));
  EXPECT_EQ(tokenizer->encode(" <sep> <sep> "), (Ids{258, 258}));
}

TEST(BpeTokenizer, ManyThreadsShareOne) {
  const std::string_view document = "the cat sat on the mat; the cat's hat is 12 years old";
  const auto tokenizer = train_bpe({&document, 1}, 280);
  const std::string text = repeated(std::string(document) + "\n", 200);
  const Ids expected = tokenizer->encode(text);
  std::vector<Ids> results(3);
  std::vector<std::thread> threads;
  for (Ids& ids : results) threads.emplace_back([&] { ids = tokenizer->encode(text); });
  for (std::thread& thread : threads) thread.join();
  for (const Ids& ids : results) EXPECT_EQ(ids, expected);
}

TEST(BpeTokenizer, MissingBytesAreNamed) {
  BpeDescription description = with_added();
  description.byte_ids['x'] = -1;
  const auto tokenizer = make_bpe_tokenizer(std::move(description));
  EXPECT_THAT(error_of([&] { tokenizer->encode("<sep>ax"); }), HasSubstr("0x78 at byte 6"));
}

TEST(BpeTokenizer, RefusesDescriptionsThatContradictThemselves) {
  const auto refused = [](const std::function<void(BpeDescription&)>& change) {
    BpeDescription description = with_added();
    change(description);
    return error_of([&] { make_bpe_tokenizer(std::move(description)); });
  };
  EXPECT_THAT(refused([](auto& d) { d.merges.push_back({0, 300, 1, 0}); }), HasSubstr("300"));
  EXPECT_THAT(refused([](auto& d) { d.merges.push_back({-1, 0, 1, 0}); }), HasSubstr("-1"));
  EXPECT_THAT(refused([](auto& d) { d.byte_ids[0] = 260; }), HasSubstr("260"));
  EXPECT_THAT(refused([](auto& d) { d.vocabulary.prefix = {999}; }), HasSubstr("template"));
  EXPECT_THAT(refused([](auto& d) { d.vocabulary.eos = 999; }), HasSubstr("EOS"));
  EXPECT_THAT(refused([](auto& d) { d.vocabulary.added[0].id = 999; }), HasSubstr("added"));
  EXPECT_THAT(refused([](auto& d) { d.splits.push_back({"("}); }), HasSubstr("does not compile"));
  EXPECT_THAT(refused([](auto& d) { d = {}; }), HasSubstr("empty"));
}

}  // namespace
}  // namespace cairn::text
