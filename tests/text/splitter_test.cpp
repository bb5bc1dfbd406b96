#include "cairn/text/splitter.h"

#include <gtest/gtest.h>

#include <random>

#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

using Pieces = std::vector<std::string>;

Pieces split(std::vector<SplitRule> rules, std::string_view text) {
  Pieces pieces;
  Splitter::make(std::move(rules)).value().split(text, [&](std::string_view piece) {
    pieces.emplace_back(piece);
  });
  return pieces;
}

Pieces split_gpt2(std::string_view text) { return split({{std::string(kGpt2Pattern)}}, text); }

TEST(Splitter, CutsAsGpt2Does) {
  EXPECT_EQ(split_gpt2("Hello, it's 2024!  Bye \n"),
            (Pieces{"Hello", ",", " it", "'s", " 2024", "!", " ", " Bye", " \n"}));
  EXPECT_EQ(split_gpt2("a   b"), (Pieces{"a", "  ", " b"}));
  EXPECT_EQ(split_gpt2(""), Pieces{});
}

// White_Space, where PCRE2's own \s would also take U+180E (a format character since Unicode 6.3).
TEST(Splitter, WhiteSpaceIsUnicodes) {
  EXPECT_EQ(split({{R"(\s+)"}}, "a\u180E\u3000\u0085b"), (Pieces{"a\u180E", "\u3000\u0085", "b"}));
  EXPECT_EQ(split({{R"([\S]+)"}}, "a\u180E b"), (Pieces{"a\u180E", " ", "b"}));
  EXPECT_EQ(split({{R"(\\s)"}}, "a\\sb s"), (Pieces{"a", "\\s", "b s"}));  // an escaped backslash
}

TEST(Splitter, LineAnchorsMatchAtEachLine) {
  EXPECT_EQ(split({{"^a$"}}, "a\na\nb"), (Pieces{"a", "\n", "a", "\nb"}));
}

TEST(Splitter, KeepsMatchesGapsOrBoth) {
  using Keep = SplitRule::Keep;
  EXPECT_EQ(split({{"-", true, Keep::everything}}, "-a--b"), (Pieces{"-", "a", "-", "-", "b"}));
  EXPECT_EQ(split({{"-", true, Keep::gaps}}, "-a--b"), (Pieces{"a", "b"}));
  EXPECT_EQ(split({{"-", true, Keep::matches}}, "-a--b"), (Pieces{"-", "-", "-"}));
  EXPECT_EQ(split({{".", true, Keep::gaps}}, "a.bc"), (Pieces{"a", "bc"}));  // literal
  EXPECT_EQ(split({{"x*"}}, "axxb"), (Pieces{"a", "xx", "b"}));              // empty matches: none
}

TEST(Splitter, RulesCutThePiecesOfTheOneBefore) {
  EXPECT_EQ(split({{"\\p{N}"}, {std::string(kGpt2Pattern)}}, "ab12 cd"),
            (Pieces{"ab", "1", "2", " cd"}));
  EXPECT_EQ(split({}, "ab12 cd"), (Pieces{"ab12 cd"}));
}

// Bytes that are not UTF-8 are cut as U+FFFD would be, and kept.
TEST(Splitter, InvalidBytesAreCutAsReplacementCharacters) {
  EXPECT_EQ(split_gpt2("ab\xFF\xFE cd \x80!x"), (Pieces{"ab", "\xFF\xFE", " cd", " \x80!", "x"}));
  EXPECT_EQ(split_gpt2("\xE2\x82"), (Pieces{"\xE2\x82"}));
  std::mt19937 random(2);
  const std::string parts[] = {"a",    "'s",       " ",        "\n",       "7",
                               "\xFF", "\xE2\x82", "\xC3\xA9", "\xF0\x9F", "."};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 12; ++i) text += parts[random() % std::size(parts)];
    const Pieces pieces = split_gpt2(text), expected = split_gpt2(replace_invalid_utf8(text));
    ASSERT_EQ(pieces.size(), expected.size());
    std::string joined;
    for (size_t i = 0; i < pieces.size(); ++i) {
      joined += pieces[i];
      ASSERT_EQ(replace_invalid_utf8(pieces[i]), expected[i]);
    }
    ASSERT_EQ(joined, text);
  }
}

TEST(Splitter, BadPatternsAreErrorsThatNameThem) {
  const auto bad = Splitter::make({{"(unclosed"}});
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(std::string(bad.error().what()).find("(unclosed"), std::string::npos);
  EXPECT_FALSE(Splitter::make({{std::string(1 << 17, 'a')}}).ok());
  EXPECT_FALSE(Splitter::make({{"\xFF"}}).ok());
  // Catastrophic backtracking ends at PCRE2's limit.
  EXPECT_THROW(split({{"(a+)+[bc]"}}, std::string(100, 'a')), Error);
}

// Nested repetition needs more stack than the JIT has; the interpreter takes over.
TEST(Splitter, DeepBacktrackingLeavesTheJit) {
  const std::string text(300000, 'a');
  EXPECT_EQ(split({{"(?:a|b)+"}}, text).size(), 1u);
}

}  // namespace
}  // namespace cairn::text
