// Vocabularies that people have: GGUF metadata, SentencePiece's and tiktoken's files, against
// llama.cpp, SentencePiece and tiktoken (tools/make_vocabulary_goldens.py).
#include <gmock/gmock.h>

#include <array>
#include <sstream>

#include "cairn/text/gguf_vocabulary.h"
#include "cairn/text/tokenizer_formats.h"
#include "tests/text/gguf_file.h"
#include "tests/text/golden.h"

namespace cairn::text {
namespace {

using testing::HasSubstr;

std::string data_text(const std::string& name) {
  return read_file(test::data_path(name).string()).value();
}

// ---- GGUF

struct Case {
  std::string text;
  Ids ids;
};

// The cases of llama.cpp: texts with a mark between them, and a line of ids for each.
std::vector<Case> llama_cpp_cases(const std::string& file) {
  const std::string texts = data_text(file + ".inp");
  std::istringstream lines(data_text(file + ".out"));
  const std::string mark = "\n__ggml_vocab_test__\n";
  std::vector<Case> cases;
  size_t at = 0;
  for (std::string line; std::getline(lines, line);) {
    const size_t end = texts.find(mark, at);
    Case one{.text = texts.substr(at, end - at), .ids = {}};
    std::istringstream numbers(line);
    for (int32_t id; numbers >> id;) one.ids.push_back(id);
    cases.push_back(std::move(one));
    if (end == texts.npos) break;
    at = end + mark.size();
  }
  return cases;
}

class GgufVocabularyTest : public testing::TestWithParam<const char*> {};

TEST_P(GgufVocabularyTest, EqualsLlamaCpp) {
  const std::string file = std::string("tokenizers/gguf-vocab/ggml-vocab-") + GetParam() + ".gguf";
  CAIRN_REQUIRE_DATA(file);
  const auto tokenizer = make_gguf_tokenizer(read_gguf_vocabulary(data_text(file))).value();
  const std::vector<Case> cases = llama_cpp_cases(file);
  ASSERT_EQ(cases.size(), 46u);
  for (const Case& one : cases) {
    EXPECT_EQ(tokenizer->encode(one.text), one.ids) << one.text;
    if (GetParam() != std::string("bert-bge")) EXPECT_EQ(tokenizer->decode(one.ids), one.text);
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GgufVocabularyTest,
                         testing::Values("llama-spm", "phi-3", "gpt-2", "deepseek-coder",
                                         "bert-bge"));

TEST(GgufVocabulary, SpecialTokensAreAskedFor) {
  const std::string file = "tokenizers/gguf-vocab/ggml-vocab-phi-3.gguf";
  CAIRN_REQUIRE_DATA(file);
  const auto tokenizer = make_gguf_tokenizer(read_gguf_vocabulary(data_text(file))).value();
  EXPECT_EQ(tokenizer->encode("a", {.add_special = true}), (Ids{1, 263}));
  const Ids with = tokenizer->encode("<|endoftext|>", {.parse_special = true});
  EXPECT_EQ(with, Ids{32000});
  EXPECT_GT(tokenizer->encode("<|endoftext|>").size(), 1u);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 32000);
}

TEST(GgufVocabulary, WordPieceAddsItsEnds) {
  const std::string file = "tokenizers/gguf-vocab/ggml-vocab-bert-bge.gguf";
  CAIRN_REQUIRE_DATA(file);
  const auto tokenizer = make_gguf_tokenizer(read_gguf_vocabulary(data_text(file))).value();
  const Ids ids = tokenizer->encode("Ünlikely, words!", {.add_special = true});
  EXPECT_EQ(ids.front(), 101);
  EXPECT_EQ(ids.back(), 102);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("Ünlikely words")), "unlikely words");
}

TEST(GgufVocabulary, ErrorsSayWhatIsWrong) {
  const auto refused = [](const GgufVocabulary& vocabulary) -> std::string {
    const auto made = make_gguf_tokenizer(vocabulary);
    return made ? "no error" : made.error().what();
  };
  GgufVocabulary vocabulary;
  EXPECT_THAT(refused(vocabulary), HasSubstr("tokens is missing"));
  vocabulary.tokens = {"a", "b"};
  EXPECT_THAT(refused(vocabulary), HasSubstr("model is ''"));
  vocabulary.model = "gpt2";
  EXPECT_THAT(refused(vocabulary), HasSubstr("tokenizer.ggml.pre is missing"));
  vocabulary.pre = "nobody's";
  EXPECT_THAT(refused(vocabulary),
              HasSubstr("pre-tokenizer 'nobody's' is unknown; cairn knows gpt-2"));
  vocabulary.pre = "qwen2";
  vocabulary.merges = {"ab"};
  EXPECT_THAT(refused(vocabulary), HasSubstr("merge 0 is 'ab'"));
  vocabulary.merges = {"a b"};
  EXPECT_THAT(refused(vocabulary), HasSubstr("needs the token 'ab'"));
  vocabulary.merges.clear();
  vocabulary.bos_id = 7;
  EXPECT_THAT(refused(vocabulary), HasSubstr("7"));
  vocabulary.token_types = {1};
  EXPECT_THAT(refused(vocabulary), HasSubstr("1 token types for 2 tokens"));
  vocabulary.model = "llama";
  vocabulary.token_types.clear();
  EXPECT_THAT(refused(vocabulary), HasSubstr("0 scores for 2 tokens"));
  vocabulary.scores = {0, 0};
  EXPECT_THAT(refused(vocabulary), HasSubstr("there is no piece <0x00>"));
  vocabulary.model = "bert";
  EXPECT_THAT(refused(vocabulary), HasSubstr("unknown_token_id"));
}

// Read back from what to_gguf gives, a tokenizer is the same.
TEST(GgufVocabulary, WrittenOnesReadBack) {
  const std::string texts[] = {
      "The quick brown fox's 12345 jumps,  over\n\n the lazy dog: caf\u00e9!", "", " ",
      "\u4e16\U0001f600 x<s>y</s>", "  three   spaces \t"};
  for (const char* name : {"hf_pattern", "hf_digits", "hf_llama", "hf_gemma", "hf_qwen",
                           "cairn_bytes", "cairn_bpe", "cairn_llama"}) {
    SCOPED_TRACE(name);
    const auto tokenizer = parse_tokenizer_json(golden_text(std::string(name) + ".json")).value();
    const GgufVocabulary vocabulary = tokenizer->to_gguf();
    const auto again = make_gguf_tokenizer(vocabulary).value();
    EXPECT_EQ(vocabulary.tokens.size(), vocabulary.token_types.size());
    EXPECT_EQ(again->bos(), tokenizer->bos());
    EXPECT_EQ(again->eos(), tokenizer->eos());
    for (const std::string& text : texts) {
      for (const bool special : {false, true}) {
        const EncodeOptions options{.add_special = special, .parse_special = special};
        EXPECT_EQ(again->encode(text, options), tokenizer->encode(text, options)) << text;
      }
      EXPECT_EQ(again->decode(again->encode(text)), tokenizer->decode(tokenizer->encode(text)));
    }
    // And so on.
    EXPECT_EQ(again->to_gguf().tokens, vocabulary.tokens);
    EXPECT_EQ(again->to_gguf().merges, vocabulary.merges);
  }
  const auto character = make_character_tokenizer(std::array{std::string_view("ab c")});
  EXPECT_EQ(make_gguf_tokenizer(character->to_gguf()).value()->encode("cab "),
            character->encode("cab "));
}

TEST(GgufVocabulary, WhatItCannotSayIsAnError) {
  const auto refused = [](const Tokenizer& tokenizer) -> std::string {
    try {
      (void)tokenizer.to_gguf();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const auto json = [](const char* name) {
    return parse_tokenizer_json(golden_text(std::string(name) + ".json")).value();
  };
  EXPECT_THAT(refused(*json("hf_removed")), HasSubstr("names for ways to cut text"));
  EXPECT_THAT(refused(*json("hf_prefix_space")), HasSubstr("add_prefix_space"));
  EXPECT_THAT(refused(*make_character_tokenizer(std::array{std::string_view("a\u00e9")})),
              HasSubstr("has all bytes"));
}

// ---- Files

TEST(VocabularyFiles, EqualTheirOwners) {
  CAIRN_REQUIRE_DATA("tokenizers/llama3/tokenizer.model");
  const nlohmann::json golden_cases = golden("vocabulary_cases.json");
  for (const auto& [name, expected] : golden_cases["vocabularies"].items()) {
    SCOPED_TRACE(name);
    const auto tokenizer = load_tokenizer(test::data_path(name)).value();
    for (size_t i = 0; i < golden_cases["texts"].size(); ++i) {
      if (expected["ids"][i].is_null()) continue;
      const auto text = golden_cases["texts"][i].get<std::string>();
      const Ids ids = tokenizer->encode(text);
      EXPECT_EQ(ids, expected["ids"][i].get<Ids>()) << text.substr(0, 200);
      // stories260K's drops spaces.
      if (name.find("tok512") == name.npos) EXPECT_EQ(tokenizer->decode(ids), text);
    }
    for (size_t i = 0; i < golden_cases["files"].size(); ++i) {
      const Ids ids = tokenizer->encode(data_text(golden_cases["files"][i].get<std::string>()));
      EXPECT_EQ(ids.size(), expected["files"][i]["count"].get<size_t>());
      EXPECT_EQ(digest(ids), expected["files"][i]["xxh64"].get<std::string>())
          << golden_cases["files"][i];
    }
  }
}

TEST(VocabularyFiles, SpecialTokensOfLlama3) {
  CAIRN_REQUIRE_DATA("tokenizers/llama3/tokenizer.model");
  const auto tokenizer = load_tokenizer(test::data_path("tokenizers/llama3")).value();
  EXPECT_EQ(tokenizer->vocabulary_size(), 128'256);
  EXPECT_EQ(tokenizer->token_id("<|eot_id|>"), 128'009);
  EXPECT_EQ(tokenizer->token_id("<|start_header_id|>"), 128'006);
  EXPECT_EQ(tokenizer->encode("a<|eot_id|>", {.add_special = true, .parse_special = true}),
            (Ids{128'000, 64, 128'009}));
}

TEST(VocabularyFiles, DamagedOnesAreRefused) {
  CAIRN_REQUIRE_DATA("tokenizers/tok512-tinystories.model");
  const std::string good = data_text("tokenizers/tok512-tinystories.model");
  ASSERT_TRUE(parse_sentencepiece_model(good));
  size_t refused = 0, cuts = 0;
  for (size_t size = 0; size < good.size(); size += 7, ++cuts)
    refused += !parse_sentencepiece_model(good.substr(0, size)).ok();
  EXPECT_GT(refused, cuts - 10);  // one or two cuts leave a whole file without the last fields
  EXPECT_THAT(parse_sentencepiece_model(std::string("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 10))
                  .error()
                  .what(),
              HasSubstr("ends inside a field"));
  EXPECT_THAT(parse_tiktoken_file("IQ== 0\n").error().what(), HasSubstr("1 ranks; cairn knows"));
  EXPECT_THAT(parse_tiktoken_file("IQ== 4000000\n").error().what(), HasSubstr("does not follow"));
  EXPECT_THAT(parse_tiktoken_file("I?== 0\n").error().what(), HasSubstr("line 1: expected base64"));
  EXPECT_THAT(parse_tiktoken_file("IQ==\n").error().what(), HasSubstr("line 1: expected a token"));
}

}  // namespace
}  // namespace cairn::text
