// Tokens decoded one by one as they come are the text of all of them, for every kind of tokenizer.
#include <filesystem>

#include "cairn/base/philox.h"
#include "cairn/text/gguf_vocabulary.h"
#include "cairn/text/tokenizer.h"
#include "cairn/text/utf8.h"
#include "tests/text/gguf_file.h"
#include "tests/text/golden.h"

namespace cairn::text {
namespace {

std::string one_by_one(const Tokenizer& tokenizer, const Ids& ids) {
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i)
    text += tokenizer.decode(std::span(ids).subspan(i, 1), std::span(ids).first(i));
  return text;
}

// `bos`: whether BOS may be there, behind which a text begins.
void expect_streams(const Tokenizer& tokenizer, const std::string& name, bool bos = true) {
  for (const std::string text :
       {"Hello, world! It's  12345 \n\n x",
        "\xC3\xBC\xE4\xB8\x96\xE7\x95\x8C \xF0\x9F\x98\x80\xF0\x9F\xA4\xA6", " leading",
        "trailing  ", ""})
    for (const bool special : {false, true}) {
      if (special && !bos) continue;
      Ids ids;
      try {
        ids = tokenizer.encode(text, {.add_special = special});
      } catch (const Error&) {
        continue;  // a vocabulary of characters lacks some
      }
      EXPECT_EQ(one_by_one(tokenizer, ids), tokenizer.decode(ids)) << name << ": " << text;
    }
  // Any ids that a model may write: parts of characters, special tokens, bytes.
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Ids ids;
    for (uint64_t i = 0; i < 20; ++i)
      ids.push_back(static_cast<int32_t>(philox_bits({5, 5}, seed * 20 + i) %
                                         static_cast<uint32_t>(tokenizer.vocabulary_size())));
    if (bos && seed % 5 == 0 && tokenizer.bos()) ids[7] = *tokenizer.bos();
    EXPECT_EQ(one_by_one(tokenizer, ids), tokenizer.decode(ids)) << name << " " << seed;
    // As text it comes in whole characters.
    Utf8Stream stream;
    std::string shown;
    for (size_t i = 0; i < ids.size(); ++i)
      shown += stream.push(tokenizer.decode(std::span(ids).subspan(i, 1), std::span(ids).first(i)));
    shown += stream.finish();
    EXPECT_EQ(shown, replace_invalid_utf8(tokenizer.decode(ids))) << name << " " << seed;
  }
}

TEST(Streaming, TokenizersOfFiles) {
  int read = 0;
  for (const auto& file : std::filesystem::directory_iterator(test::golden_path("text"))) {
    const std::string name = file.path().filename().string();
    if (name.find("_cases") != name.npos || name.find("_config") != name.npos) continue;
    const auto tokenizer = load_tokenizer(file.path());
    if (!tokenizer) continue;
    expect_streams(*tokenizer.value(), name);
    ++read;
  }
  EXPECT_GE(read, 10);
}

TEST(Streaming, VocabulariesOfGguf) {
  for (const char* name : {"llama-spm", "phi-3", "gpt-2", "bert-bge"}) {
    const std::string file = std::string("tokenizers/gguf-vocab/ggml-vocab-") + name + ".gguf";
    CAIRN_REQUIRE_DATA(file);
    const std::string bytes = read_file(test::data_path(file).string()).value();
    // BERT writes no texts, and its [CLS] takes a space behind it in a whole text only.
    expect_streams(*make_gguf_tokenizer(read_gguf_vocabulary(bytes)).value(), name,
                   name != std::string("bert-bge"));
  }
}

TEST(Streaming, OtherFiles) {
  for (const char* name : {"tokenizers/llama2/tokenizer.model", "tokenizers/llama2/tokenizer.bin",
                           "tokenizers/llama3/tokenizer.model"}) {
    CAIRN_REQUIRE_DATA(name);
    expect_streams(*load_tokenizer(test::data_path(name)).value(), name);
  }
}

// Places where special tokens are text.
TEST(PlainAt, ATokenThatBeginsThereIsText) {
  const std::string file = "tokenizers/gguf-vocab/ggml-vocab-phi-3.gguf";
  CAIRN_REQUIRE_DATA(file);
  const auto tokenizer =
      make_gguf_tokenizer(read_gguf_vocabulary(read_file(test::data_path(file).string()).value()))
          .value();
  const std::string text = "a<|end|>b<|end|>";
  const auto count = [&](std::vector<size_t> plain_at) {
    const Ids ids = tokenizer->encode(text, {.parse_special = true, .plain_at = plain_at});
    EXPECT_NE(tokenizer->decode(ids), "");
    return std::ranges::count(ids, *tokenizer->token_id("<|end|>"));
  };
  EXPECT_EQ(count({}), 2);
  EXPECT_EQ(count({1}), 1);
  EXPECT_EQ(count({9}), 1);
  EXPECT_EQ(count({1, 9}), 0);
  EXPECT_EQ(count({0, 2, 8}), 2);
}

}  // namespace
}  // namespace cairn::text
