// GPT-2's tokenizer against Hugging Face's and tiktoken's ids (tools/make_tokenizer_goldens.py).
#include <gtest/gtest.h>

#include <ctime>
#include <sstream>

#include "cairn/text/tokenizer.h"
#include "tests/text/golden.h"

namespace cairn::text {
namespace {

constexpr const char* kFolder = "tokenizers/gpt2";

const Tokenizer& gpt2() {
  static const auto tokenizer =
      load_tokenizer(test::data_path("tokenizers/gpt2/tokenizer.json")).value();
  return *tokenizer;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

TEST(Gpt2, HostileStrings) {
  CAIRN_REQUIRE_DATA(kFolder);
  const auto cases = golden("gpt2_cases.json");
  for (const auto& c : cases["cases"]) {
    const std::string text = c["text"];
    const Ids ids = gpt2().encode(text, {.parse_special = c.value("parse_special", false)});
    EXPECT_EQ(ids, c["ids"].get<Ids>()) << c["name"];
    EXPECT_EQ(gpt2().decode(ids), text) << c["name"];
  }
  EXPECT_GT(cases["cases"].size(), 40u);
}

TEST(Gpt2, LongRuns) {
  CAIRN_REQUIRE_DATA(kFolder);
  const auto cases = golden("gpt2_cases.json");
  for (const auto& c : cases["runs"]) {
    const std::string text = repeated(c["unit"], c["times"]);
    const Ids ids = gpt2().encode(text);
    EXPECT_EQ(ids, c["ids"].get<Ids>()) << c["name"];
    EXPECT_EQ(gpt2().decode(ids), text) << c["name"];
  }
}

// Merging is O(n log n): 0.15 s, a second in a debug build. Were it quadratic, it
// would take 2^40 steps, 1,000 s at 1 ns a step.
TEST(Gpt2, AMillionOfOneLetter) {
  CAIRN_REQUIRE_DATA(kFolder);
  const auto cases = golden("gpt2_cases.json");
  for (const auto& c : cases["million"]) {
    const std::string text = repeated(c["unit"], c["times"]);
    const std::clock_t start = std::clock();  // of the process: other load does not count
    const Ids ids = gpt2().encode(text);
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 60);
    EXPECT_EQ(ids.size(), c["count"].get<size_t>());
    EXPECT_EQ(digest(ids), c["xxh64"].get<std::string>());
    EXPECT_EQ(gpt2().decode(ids), text);
  }
}

TEST(Gpt2, BytesThatAreNotUtf8) {
  CAIRN_REQUIRE_DATA(kFolder);
  const auto cases = golden("gpt2_cases.json");
  for (const auto& c : cases["invalid"]) {
    const std::string bytes = from_hex(c["hex"]);
    const Ids ids = gpt2().encode(bytes);
    EXPECT_EQ(ids, c["ids"].get<Ids>()) << c["name"];
    EXPECT_EQ(gpt2().decode(ids), bytes) << c["name"];
  }
  const std::string all = all_bytes();
  EXPECT_EQ(gpt2().decode(gpt2().encode(all)), all);
}

TEST(Gpt2, WholeFiles) {
  CAIRN_REQUIRE_DATA(kFolder);
  CAIRN_REQUIRE_DATA("text");
  const auto files = golden("gpt2_files.json");
  for (const auto& [name, expected] : files.items()) {
    const std::string text = read_file(test::data_path(name).string()).value();
    const Ids ids = gpt2().encode(text);
    EXPECT_EQ(ids.size(), expected["count"].get<size_t>()) << name;
    EXPECT_EQ(digest(ids), expected["xxh64"].get<std::string>()) << name;
    EXPECT_TRUE(gpt2().decode(ids) == text) << name;
  }
}

// llama.cpp's vectors: texts between separator lines, ids a line each.
TEST(Gpt2, LlamaCppVectors) {
  CAIRN_REQUIRE_DATA("tokenizers/gguf-vocab/ggml-vocab-gpt-2.gguf.inp");
  const auto read = [](const std::string& name) {
    return read_file(test::data_path("tokenizers/gguf-vocab/ggml-vocab-gpt-2.gguf" + name).string())
        .value();
  };
  const std::string texts = read(".inp"), separator = "\n__ggml_vocab_test__\n";
  std::istringstream lines(read(".out"));
  size_t count = 0;
  for (size_t at = 0;; ++count) {
    const size_t end = texts.find(separator, at);
    if (end == std::string::npos) break;
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    std::istringstream numbers(line);
    const Ids expected{std::istream_iterator<int32_t>(numbers), {}};
    EXPECT_EQ(gpt2().encode(texts.substr(at, end - at)), expected) << "case " << count;
    at = end + separator.size();
  }
  EXPECT_EQ(count, 46u);
}

TEST(Gpt2, SpecialTokens) {
  CAIRN_REQUIRE_DATA(kFolder);
  EXPECT_EQ(gpt2().vocabulary_size(), 50257);
  EXPECT_EQ(gpt2().bos(), 50256);
  EXPECT_EQ(gpt2().eos(), 50256);
  EXPECT_EQ(gpt2().token_id("<|endoftext|>"), 50256);
  EXPECT_TRUE(gpt2().is_special(50256));
  EXPECT_FALSE(gpt2().is_special(0));
  EXPECT_EQ(gpt2().token_bytes(220), " ");
  EXPECT_EQ(gpt2().encode("<|endoftext|>", {.parse_special = true}), Ids{50256});
  EXPECT_EQ(gpt2().encode("a", {.add_special = true}), gpt2().encode("a"));  // GPT-2 adds nothing
  EXPECT_EQ(gpt2().decode(Ids{50256}), "<|endoftext|>");
  EXPECT_THROW((void)gpt2().decode(Ids{50257}), Error);
  EXPECT_THROW((void)gpt2().decode(Ids{-1}), Error);
}

// The original pair of files, named in each way, gives the same tokenizer as tokenizer.json.
TEST(Gpt2, OriginalFiles) {
  CAIRN_REQUIRE_DATA(kFolder);
  const std::string text = golden("gpt2_cases.json").dump();
  const Ids expected = gpt2().encode(text);
  for (const char* name : {"vocab.bpe", "encoder.json"}) {
    const auto tokenizer = load_tokenizer(test::data_path(kFolder) / name).value();
    EXPECT_EQ(tokenizer->encode(text), expected) << name;
    EXPECT_EQ(tokenizer->vocabulary().tokens, gpt2().vocabulary().tokens);
    EXPECT_EQ(tokenizer->eos(), 50256);
  }
  EXPECT_EQ(load_tokenizer(test::data_path(kFolder)).value()->encode(text), expected);
}

// What is written is read back as the same tokenizer.
TEST(Gpt2, WrittenJsonRoundTrips) {
  CAIRN_REQUIRE_DATA(kFolder);
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "cairn_gpt2";
  std::filesystem::create_directories(folder);
  ASSERT_TRUE(save_tokenizer(gpt2(), folder).ok());
  const auto read = load_tokenizer(folder).value();
  const std::string text = golden("gpt2_cases.json").dump();
  EXPECT_EQ(read->encode(text), gpt2().encode(text));
  EXPECT_EQ(read->to_json(), gpt2().to_json());
  EXPECT_EQ(read->eos(), gpt2().eos());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace cairn::text
