// Text that is shown as it comes: stop texts over any cuts, whole characters, nothing lost.
#include "cairn/llm/text_stream.h"

#include <gtest/gtest.h>

#include "cairn/base/philox.h"
#include "cairn/text/utf8.h"

namespace cairn {
namespace {

TEST(TextStream, AStopTextEndsTheTextBeforeIt) {
  TextStream stream({"END", "ENOUGH"});
  EXPECT_EQ(stream.push("go E"), "go ");
  EXPECT_EQ(stream.push("N"), "");
  EXPECT_EQ(stream.push("TRY EN"), "ENTRY ");
  EXPECT_EQ(stream.push("D and more"), "");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.push("more"), "");
  EXPECT_EQ(stream.finish(), "");
  EXPECT_EQ(stream.text(), "go ENTRY ");
}

TEST(TextStream, TheFirstOfSeveralCounts) {
  TextStream stream({"bc", "ab", "abc"});
  EXPECT_EQ(stream.push("xabcx"), "x");
  EXPECT_TRUE(stream.stopped());
}

TEST(TextStream, WhatIsHeldBackComesAtTheEnd) {
  TextStream stream({"stop"});
  EXPECT_EQ(stream.push("a st"), "a ");
  EXPECT_EQ(stream.finish(), "st");
  EXPECT_EQ(stream.text(), "a st");
  TextStream cut({});
  EXPECT_EQ(cut.push("\xC3"), "");
  EXPECT_EQ(cut.push("\xBC\xE2\x82"), "\xC3\xBC");
  EXPECT_EQ(cut.finish(), "\xE2\x82");
}

// Random texts with parts of the stop texts in them, in random cuts.
TEST(TextStream, AnyCutsGiveTheSameText) {
  const std::string parts[] = {"a",        "ab",  "aba",       "ü",  "\xF0\x9F\x98\x80",
                               "\xE2\x82", "b\n", "\n\nUser:", "\n", "Us",
                               "\xFF",     " "};
  const std::vector<std::string> stops{"abab", "\n\nUser:", "\xF0\x9F\x98\x80\xF0\x9F\x98\x80"};
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    uint64_t drawn = 0;
    const auto draw = [&](uint64_t n) { return philox_bits({7, 1}, seed * 1000 + drawn++) % n; };
    std::string text;
    for (uint64_t i = draw(30); i > 0; --i) text += parts[draw(std::size(parts))];
    size_t end = text.size();
    for (const std::string& stop : stops) end = std::min(end, text.find(stop));
    TextStream stream(stops);
    std::string shown;
    for (size_t at = 0; at < text.size();) {
      const size_t size = std::min<size_t>(1 + draw(5), text.size() - at);
      const std::string piece = stream.push(std::string_view(text).substr(at, size));
      shown += piece;
      ASSERT_EQ(text.substr(0, shown.size()), shown);
      ASSERT_LE(shown.size(), end);
      // No character is split.
      ASSERT_EQ(text::replace_invalid_utf8(shown) +
                    text::replace_invalid_utf8(std::string_view(text).substr(shown.size())),
                text::replace_invalid_utf8(text));
      at += size;
    }
    EXPECT_EQ(stream.stopped(), end < text.size());
    shown += stream.finish();
    EXPECT_EQ(shown, text.substr(0, end));
    EXPECT_EQ(stream.text(), shown);
  }
}

}  // namespace
}  // namespace cairn
