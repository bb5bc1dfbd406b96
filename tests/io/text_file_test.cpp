#include "cairn/io/text_file.h"

#include <gmock/gmock.h>

#include <cstring>

#include "cairn/io/bytes.h"
#include "cairn/io/gzip.h"
#include "cairn/io/jsonl.h"
#include "cairn/io/lines.h"
#include "tests/io/temporary_folder.h"
#include "tests/support/test_data.h"

namespace cairn::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string packed(std::string_view text) {
  return gzip(std::as_bytes(std::span(text.data(), text.size())));
}

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  LineReader reader = LineReader::open(path).value();
  while (const auto line = reader.next().value()) lines.emplace_back(*line);
  EXPECT_EQ(reader.number(), static_cast<int64_t>(lines.size()));
  return lines;
}

TEST(Lines, EndingsMarksAndEmptyLines) {
  TemporaryFolder folder;
  const auto lines = [&](std::string_view text) {
    write_bytes(folder / "a", text);
    write_bytes(folder / "a.gz", packed(text));
    const auto plain = lines_of(folder / "a");
    EXPECT_EQ(plain, lines_of(folder / "a.gz"));
    return plain;
  };
  EXPECT_THAT(lines(""), ElementsAre());
  EXPECT_THAT(lines("\n"), ElementsAre(""));
  EXPECT_THAT(lines("one\r\n\ntwo"), ElementsAre("one", "", "two"));
  EXPECT_THAT(lines("\xef\xbb\xbfone\n\xef\xbb\xbftwo\n"), ElementsAre("one", "\xef\xbb\xbftwo"));
}

TEST(Lines, LongFilesAcrossChunksAndMembers) {
  TemporaryFolder folder;
  std::string text;
  std::vector<std::string> expected;
  for (int i = 0; i < 3000; ++i) {
    expected.emplace_back(static_cast<size_t>(i), static_cast<char>('a' + i % 26));
    text += expected.back() + "\n";
  }
  write_bytes(folder / "a", text);
  write_bytes(folder / "a.gz",
              packed(text.substr(0, 777'777)) + packed("") + packed(text.substr(777'777)));
  EXPECT_TRUE(lines_of(folder / "a") == expected);
  EXPECT_TRUE(lines_of(folder / "a.gz") == expected);
}

TEST(Lines, TooLongALineAndACutFileAreErrors) {
  TemporaryFolder folder;
  const std::string text = "short\n" + std::string(2'000'000, 'x') + "\nshort\n";
  write_bytes(folder / "a", text);
  const std::string gz = packed(text);
  write_bytes(folder / "a.gz", gz);
  for (const char* name : {"a", "a.gz"}) {
    LineReader reader = LineReader::open(folder / name, 1'000'000).value();
    EXPECT_TRUE(reader.next().ok());
    EXPECT_THAT(reader.next().error().what(), HasSubstr("line 2 has more than 1000000 bytes"));
  }
  write_bytes(folder / "cut.gz", gz.substr(0, gz.size() - 9));
  LineReader reader = LineReader::open(folder / "cut.gz").value();
  std::string error;
  for (int i = 0; i < 5 && error.empty(); ++i)
    if (const auto line = reader.next(); !line) error = line.error().what();
  EXPECT_THAT(error, HasSubstr("cut off"));
}

TEST(Jsonl, FieldsInTheOrderAskedFor) {
  TemporaryFolder folder;
  write_bytes(folder / "a.jsonl",
              "{\"question\": \"q\\u00e91\", \"n\": [1, {\"answer\": \"inner\"}], \"answer\": "
              "\"a1\"}\n\n  \n{\"answer\":\"a2\",\"question\":\"q2\"}");
  auto reader = JsonlReader::open(folder / "a.jsonl", {"answer", "question"}).value();
  EXPECT_THAT(*reader.next().value(), ElementsAre("a1", "q\u00e91"));
  EXPECT_EQ(reader.line(), 1);
  EXPECT_THAT(*reader.next().value(), ElementsAre("a2", "q2"));
  EXPECT_EQ(reader.line(), 4);
  EXPECT_FALSE(reader.next().value().has_value());
}

TEST(Jsonl, ErrorsNameTheLineAndOneMayGoOn) {
  TemporaryFolder folder;
  write_bytes(folder / "a.jsonl",
              "{\"text\":\n{\"title\":\"x\"}\n{\"text\":3}\n[1]\n{\"text\":[\"x\"]}\n"
              "{\"text\":\"\xff\"}\n{\"text\":\"good\"} x\n\"text\"\n{\"text\":\"good\"}\n");
  auto reader = JsonlReader::open(folder / "a.jsonl", {"text"}).value();
  const auto error = [&] { return std::string(reader.next().error().what()); };
  EXPECT_THAT(error(), HasSubstr("a.jsonl': line 1 is not JSON"));
  EXPECT_THAT(error(), HasSubstr("line 2 has no field 'text'; it has: title"));
  EXPECT_THAT(error(), HasSubstr("line 3 has a number in 'text', where text is wanted"));
  EXPECT_THAT(error(), HasSubstr("line 4 is a list, not a JSON object"));
  EXPECT_THAT(error(), HasSubstr("line 5 has a list in 'text'"));
  EXPECT_THAT(error(), HasSubstr("line 6 is not JSON at byte 10"));
  EXPECT_THAT(error(), HasSubstr("line 7 is not JSON"));
  EXPECT_THAT(error(), HasSubstr("line 8 is text, not a JSON object"));
  EXPECT_THAT(*reader.next().value(), ElementsAre("good"));
}

TEST(Jsonl, TheDataSets) {
  const auto count = [](const char* name, std::vector<std::string> fields) {
    auto reader = JsonlReader::open(test::data_path(name), std::move(fields)).value();
    int lines = 0;
    while (reader.next().value()) ++lines;
    return lines;
  };
  CAIRN_REQUIRE_DATA("text/c4_demo.jsonl");
  CAIRN_REQUIRE_DATA("text/gsm8k-train.jsonl");
  CAIRN_REQUIRE_DATA("text/HumanEval.jsonl.gz");
  EXPECT_EQ(count("text/c4_demo.jsonl", {"text"}), 300);
  EXPECT_EQ(count("text/gsm8k-train.jsonl", {"question", "answer"}), 7473);
  EXPECT_EQ(count("text/HumanEval.jsonl.gz", {"prompt"}), 164);
}

std::vector<std::string> documents(const std::string& path, const DocumentOptions& options = {}) {
  std::vector<std::string> result;
  for_each_document(path, options, [&](std::string_view text) -> Status {
    result.emplace_back(text);
    return Nothing{};
  }).value();
  return result;
}

TEST(Documents, WholeFilesSeparatorsAndJsonLines) {
  TemporaryFolder folder;
  write_bytes(folder / "a.txt", "one|two||three|");
  write_bytes(folder / "a.txt.gz", packed("one|two||three|"));
  write_bytes(folder / "a.jsonl",
              "{\"text\":\"one|two\"}\n{\"text\":\"\"}\n{\"text\":\"three\"}\n");
  write_bytes(folder / "b.jsonl.gz", packed("{\"body\":\"one\"}\n"));
  write_bytes(folder / "empty.txt", "");
  EXPECT_THAT(documents(folder / "a.txt"), ElementsAre("one|two||three|"));
  EXPECT_THAT(documents(folder / "a.txt", {.separator = "|"}), ElementsAre("one", "two", "three"));
  EXPECT_THAT(documents(folder / "a.txt.gz", {.separator = "|"}),
              ElementsAre("one", "two", "three"));
  EXPECT_THAT(documents(folder / "a.jsonl"), ElementsAre("one|two", "three"));
  EXPECT_THAT(documents(folder / "a.jsonl", {.separator = "|"}),
              ElementsAre("one", "two", "three"));
  EXPECT_THAT(documents(folder / "b.jsonl.gz", {.field = "body"}), ElementsAre("one"));
  EXPECT_THAT(documents(folder / "empty.txt"), ElementsAre());
}

TEST(Documents, AVisitorEndsTheWalk) {
  TemporaryFolder folder;
  write_bytes(folder / "a.txt", "one|two|three");
  int visited = 0;
  const auto status =
      for_each_document(folder / "a.txt", {.separator = "|"}, [&](std::string_view) -> Status {
        if (++visited == 2) return Error("enough");
        return Nothing{};
      });
  EXPECT_STREQ(status.error().what(), "enough");
  EXPECT_EQ(visited, 2);
}

TEST(Documents, AByteThatIsNotUtf8IsNamed) {
  TemporaryFolder folder;
  write_bytes(folder / "latin1.txt", "caf\xe9 au lait");
  const auto visit = [](std::string_view) -> Status { return Nothing{}; };
  const auto status = for_each_document(folder / "latin1.txt", {}, visit);
  EXPECT_THAT(status.error().what(), HasSubstr("latin1.txt': byte 3 (0xe9) is not UTF-8"));
  EXPECT_THAT(documents(folder / "latin1.txt", {.require_utf8 = false}),
              ElementsAre("caf\xe9 au lait"));
}

TEST(Utf8, WellFormedSequencesAndTheirNeighbours) {
  const auto bad = [](std::string_view text) { return first_invalid_utf8(text); };
  EXPECT_EQ(bad(""), std::nullopt);
  EXPECT_EQ(bad(std::string_view("\0a", 2)), std::nullopt);
  for (const char* good : {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(bad(good), std::nullopt);
    EXPECT_EQ(bad(std::string("12345678") + good + "12345678" + good), std::nullopt);
    const std::string cut = std::string("1234567") + std::string(good).substr(0, strlen(good) - 1);
    EXPECT_EQ(bad(cut), 7u);
    EXPECT_EQ(bad(cut + "x"), 7u);
  }
  for (const char* wrong : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
                            "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                            "\xf5\x80\x80\x80", "\xff", "\xe1\x80\x41", "\xf1\x80\x80\xc0"})
    EXPECT_EQ(bad(std::string("123456789") + wrong), 9u);
}

TEST(Utf8, RealTextIsValid) {
  CAIRN_REQUIRE_DATA("text/war-and-peace.txt");
  EXPECT_EQ(documents(test::data_path("text/war-and-peace.txt")).size(), 1u);
  CAIRN_REQUIRE_DATA("text/tinystories_sample.txt");
  EXPECT_GT(
      documents(test::data_path("text/tinystories_sample.txt"), {.separator = "<|endoftext|>"})
          .size(),
      1000u);
}

}  // namespace
}  // namespace cairn::io
