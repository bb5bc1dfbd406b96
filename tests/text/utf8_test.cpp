#include "cairn/text/utf8.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "cairn/text/byte_map.h"

namespace cairn::text {
namespace {

constexpr const char* kFffd = "\xEF\xBF\xBD";

// Expected texts are what Python 3.11's bytes.decode("utf-8", "replace") gives.
TEST(Utf8, ReplacesMaximalSubparts) {
  const struct {
    std::string bytes;
    std::string expected;  // '?' for U+FFFD
  } cases[] = {
      {"plain", "plain"},
      {"\x80", "?"},
      {"\xC0\xAF", "??"},  // overlong
      {"\xC2", "?"},       // truncated
      {"\xC2 x", "? x"},
      {"\xE2\x82\xAC", "\xE2\x82\xAC"},  // the euro sign
      {"\xE2\x82", "?"},                 // two of three bytes: one unit
      {"\xE2\x82\xE2\x82\xAC", "?\xE2\x82\xAC"},
      {"\xE0\x80\x80", "???"},                   // overlong
      {"\xED\xA0\x80", "???"},                   // a surrogate
      {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},  // an emoji
      {"\xF0\x9F\x98", "?"},
      {"\xF0\x9F\x98z", "?z"},
      {"\xF0\x80\x80\x80", "????"},  // overlong
      {"\xF4\x90\x80\x80", "????"},  // past U+10FFFF
      {"\xF5\x80", "??"},
      {"\xFE\xFF", "??"},
      {std::string("a\0b", 3), std::string("a\0b", 3)},
      {"\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64", "a???b?c??d"},  // the standard's
  };
  for (const auto& c : cases) {
    std::string expected;
    for (const char byte : c.expected) byte == '?' ? expected += kFffd : expected += byte;
    EXPECT_EQ(replace_invalid_utf8(c.bytes), expected);
    EXPECT_EQ(is_valid_utf8(c.bytes), c.expected.find('?') == std::string::npos);
  }
}

TEST(Utf8, EncodesAndDecodesEveryScalarValue) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c == 0xD800) c = 0xE000;
    std::string bytes;
    append_utf8(bytes, c);
    const Utf8Character decoded = decode_utf8(bytes + "x");
    ASSERT_TRUE(decoded.valid) << static_cast<uint32_t>(c);
    ASSERT_EQ(static_cast<uint32_t>(decoded.code_point), static_cast<uint32_t>(c));
    ASSERT_EQ(decoded.size, bytes.size());
  }
}

TEST(Utf8, ValidPrefixStopsAtTheFirstInvalidByte) {
  const std::string text = "twelve bytes" + std::string("\xC3\xA9") + "and more";
  EXPECT_EQ(valid_utf8_prefix(text), text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string broken = text;
    broken[i] = '\xFF';
    // Breaking the second byte of the two-byte character makes its first byte invalid too.
    EXPECT_EQ(valid_utf8_prefix(broken), i == 13 ? 12 : i);
  }
}

TEST(Utf8, StreamEqualsWholeReplacementWhateverTheCuts) {
  std::mt19937 random(1);
  const std::string parts[] = {"a",        "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
                               "\xF0\x9F", "\x80",     "\xED\xA0",     "\xFF",
                               "\xE2\x82", " ",        "\xF4\x90",     "\xC2"};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i) bytes += parts[random() % std::size(parts)];
    Utf8Stream stream;
    std::string out;
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = random() % 4;
      const std::string text = stream.push(std::string_view(bytes).substr(at, size));
      EXPECT_TRUE(is_valid_utf8(text));
      out += text;
      at += size;
    }
    out += stream.finish();
    ASSERT_EQ(out, replace_invalid_utf8(bytes));
  }
}

TEST(Utf8, StreamHoldsBackOnlyWhatIsIncomplete) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xF0\x9F"), "a");
  EXPECT_EQ(stream.push("\x98"), "");
  EXPECT_EQ(stream.push("\x80!"), "\xF0\x9F\x98\x80!");
  EXPECT_EQ(stream.push("\xE2"), "");
  EXPECT_EQ(stream.push("x"), std::string(kFffd) + "x");
  EXPECT_EQ(stream.finish(), "");
}

TEST(ByteMap, RoundTripsEveryByte) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  const std::string mapped = bytes_to_mapped(all);
  EXPECT_TRUE(is_valid_utf8(mapped));
  EXPECT_EQ(mapped_to_bytes(mapped), all);
  EXPECT_EQ(bytes_to_mapped(" a\n"),
            "\xC4\xA0"
            "a"
            "\xC4\x8A");  // Ġ a Ċ
  EXPECT_EQ(mapped_to_bytes(" "), std::nullopt);
  EXPECT_EQ(mapped_to_bytes("\xC5\x84"), std::nullopt);  // U+0144, one past the last
  EXPECT_EQ(mapped_to_bytes("\xFF"), std::nullopt);
}

TEST(ByteMap, OrderIsThatOfGpt2sVocabulary) {
  const auto order = gpt2_byte_order();
  EXPECT_EQ(order[0], '!');
  EXPECT_EQ(order[93], '~');
  EXPECT_EQ(order[94], 0xA1);
  EXPECT_EQ(order[188], 0);
  EXPECT_EQ(order[198], '\n');
  EXPECT_EQ(order[220], ' ');
  EXPECT_EQ(order[255], 0xAD);
}

}  // namespace
}  // namespace cairn::text
