// cairn tokenize.
#include "cairn/text/utf8.h"
#include "tests/cli/program.h"
#include "tests/support/test_data.h"

namespace cairn::test {
namespace {

class TokenizeTest : public CliTest {
 protected:
  Ran tokenize(std::vector<std::string> more,
               const std::string& tokenizer = "tokenizer.json") const {
    more.insert(more.begin(), {"tokenize", "--tokenizer", tokenizer});
    return run(more);
  }
  std::string ids_of(const std::vector<std::string>& more) const {
    std::vector<std::string> all = more;
    all.push_back("--json");
    return tokenize(all).json()["ids"].dump();
  }
};

// Ids of the fixture's tokenizer: <|endoftext|>, then the bytes in GPT-2's order, '!' (33) first.
int byte_id(char c) { return 1 + (c - '!'); }

TEST_F(TokenizeTest, TextToIdsAndBack) {
  const std::string expected =
      "[" + std::to_string(byte_id('H')) + "," + std::to_string(byte_id('i')) + "]";
  EXPECT_EQ(ids_of({"--text", "Hi"}), expected);
  EXPECT_EQ(tokenize({"--text", "Hi"}).out, expected.substr(1, expected.size() - 2) + "\n");
  const std::string ids = tokenize({"--text", "Once\nupon a time"}).out;
  EXPECT_EQ(tokenize({"--ids", ids.substr(0, ids.size() - 1)}).out, "Once\nupon a time");
  EXPECT_EQ(ids_of({"--text", ""}), "[]");
  EXPECT_EQ(tokenize({"--ids", ""}).out, "");
  EXPECT_EQ(tokenize({"--ids", "", "--json"}).json()["text"], "");
}

TEST_F(TokenizeTest, BracketsAndDashesAreText) {
  EXPECT_EQ(ids_of({"--text", "[a,b]"}),
            "[" + std::to_string(byte_id('[')) + "," + std::to_string(byte_id('a')) + "," +
                std::to_string(byte_id(',')) + "," + std::to_string(byte_id('b')) + "," +
                std::to_string(byte_id(']')) + "]");
  EXPECT_EQ(ids_of({"--text", "--"}),
            "[" + std::to_string(byte_id('-')) + "," + std::to_string(byte_id('-')) + "]");
  EXPECT_EQ(ids_of({"--text", "chat"}), ids_of({"--text=chat"}));
}

TEST_F(TokenizeTest, AFileIsItsBytes) {
  write("bytes.txt", std::string("a\n\xff\0b\n", 6));
  const auto ids = tokenize({"--file", "bytes.txt", "--json"}).json()["ids"];
  ASSERT_EQ(ids.size(), 6u);
  write("ids.json", ids.dump());
  // Raw bytes on stdout, U+FFFD in JSON.
  EXPECT_EQ(tokenize({"--ids", "@ids.json"}).out, std::string("a\n\xff\0b\n", 6));
  EXPECT_EQ(tokenize({"--ids", "@ids.json", "--json"}).json()["text"].get<std::string>(),
            std::string("a\n\xef\xbf\xbd\0b\n", 8));
}

TEST_F(TokenizeTest, SpecialTokens) {
  EXPECT_EQ(ids_of({"--text", "<|endoftext|>", "--parse-special"}), "[0]");
  EXPECT_EQ(nlohmann::json::parse(ids_of({"--text", "<|endoftext|>"})).size(), 13u);
  const auto plain = nlohmann::json::parse(ids_of({"--text", "a"}));
  const auto added = nlohmann::json::parse(ids_of({"--text", "a", "--add-special"}));
  EXPECT_GE(added.size(), plain.size());
}

TEST_F(TokenizeTest, AModelsFolderHasOne) {
  const Ran ran = run({"tokenize", "--model", "llama", "--text", "Hi", "--json"});
  EXPECT_EQ(ran.json()["ids"].dump(), ids_of({"--text", "Hi"}));
}

TEST_F(TokenizeTest, WrongCommandLines) {
  EXPECT_TRUE(fails(run({"tokenize", "--text", "a"}), 2, "one of --model and --tokenizer"));
  EXPECT_TRUE(
      fails(run({"tokenize", "--model", "llama", "--tokenizer", "tokenizer.json", "--text", "a"}),
            2, "one of --model and --tokenizer"));
  EXPECT_TRUE(fails(tokenize({}), 2, "one of --text, --file and --ids"));
  EXPECT_TRUE(fails(tokenize({"--text", "a", "--ids", "1"}), 2, "one of --text, --file and --ids"));
  for (const char* ids : {"1,x", "1,,2", ",1", "1,", "-1", "1.5", "99999999999"})
    EXPECT_TRUE(fails(tokenize({"--ids=" + std::string(ids)}), 2, "--ids takes numbers")) << ids;
}

TEST_F(TokenizeTest, BadFiles) {
  EXPECT_TRUE(fails(tokenize({"--text", "a"}, "nothing.json"), 1, "nothing.json"));
  EXPECT_TRUE(fails(tokenize({"--text", "a"}, "x.npy"), 1, "x.npy"));
  EXPECT_TRUE(fails(tokenize({"--file", "nothing.txt"}), 1, "nothing.txt"));
  EXPECT_TRUE(fails(tokenize({"--ids", "1000"}), 1, "1000"));
  EXPECT_TRUE(fails(tokenize({"--ids", "@nothing.json"}), 1, "nothing.json"));
  for (const char* bad : {"{}", "[1, \"a\"]", "[-1]", "[1.5]", "[3000000000]", "[1", ""}) {
    write("bad.json", bad);
    EXPECT_TRUE(fails(tokenize({"--ids", "@bad.json"}), 1, "bad.json")) << bad;
  }
  std::string deep(100'000, '[');
  write("bad.json", deep);
  EXPECT_TRUE(fails(tokenize({"--ids", "@bad.json"}), 1, "bad.json"));
}

TEST_F(TokenizeTest, RealTokenizers) {
  CAIRN_REQUIRE_DATA("tokenizers/gpt2/tokenizer.json");
  // From Hugging Face's tokenizers.
  EXPECT_EQ(tokenize({"--text", "Hello, world!"}, data_path("tokenizers/gpt2/tokenizer.json")).out,
            "15496,11,995,0\n");
  EXPECT_EQ(tokenize({"--text", "Hello, world!"}, data_path("tokenizers/gpt2/vocab.bpe")).out,
            "15496,11,995,0\n");
  // The reference of stories260K begins so.
  EXPECT_EQ(run({"tokenize", "--model", data_path("checkpoints/stories260K/stories260K.bin"),
                 "--text", "Once upon a time", "--add-special"})
                .out,
            "1,403,407,261,378\n");
}

}  // namespace
}  // namespace cairn::test
