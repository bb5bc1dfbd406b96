// tokenizer.json: files that Hugging Face's `tokenizers` made, files for it, and bad files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cairn/text/bpe_tokenizer.h"
#include "cairn/text/tokenizer_formats.h"
#include "cairn/text/train_bpe.h"
#include "tests/text/golden.h"
#include "tests/text/llama2c_file.h"

namespace cairn::text {
namespace {

using nlohmann::json;
using testing::HasSubstr;

void expect_cases(const Tokenizer& tokenizer, const json& cases) {
  for (const auto& c : cases) {
    const std::string text = c["text"];
    const Ids ids = tokenizer.encode(text, {.parse_special = true});
    EXPECT_EQ(ids, c["ids"].get<Ids>()) << c["text"];
    EXPECT_EQ(tokenizer.encode(text, {.add_special = true, .parse_special = true}),
              c["with_special"].get<Ids>())
        << c["text"];
    EXPECT_EQ(tokenizer.decode(ids), c["decoded"].get<std::string>()) << c["text"];
  }
  EXPECT_FALSE(cases.empty());
}

class HuggingFaceFile : public testing::TestWithParam<const char*> {};

TEST_P(HuggingFaceFile, GivesItsIds) {
  const std::string name = GetParam();
  const auto tokenizer = parse_tokenizer_json(golden_text(name + ".json")).value();
  const json cases = golden(name + "_cases.json");
  expect_cases(*tokenizer, cases);
  // Written again and read back, it is the same.
  const std::string written = tokenizer->to_json();
  const auto again = parse_tokenizer_json(written).value();
  expect_cases(*again, cases);
  EXPECT_EQ(again->to_json(), written);
  EXPECT_EQ(again->bos(), tokenizer->bos());
  EXPECT_EQ(again->eos(), tokenizer->eos());
}
INSTANTIATE_TEST_SUITE_P(All, HuggingFaceFile,
                         testing::Values("hf_pattern", "hf_prefix_space", "hf_digits", "hf_removed",
                                         "hf_llama", "hf_gemma", "hf_qwen"));

// The text that the small tokenizers were trained on, from their cases.
std::string english() {
  const json cases = golden("hf_pattern_cases.json");
  return cases[cases.size() - 2]["text"];
}

std::unique_ptr<Tokenizer> made(const std::string& name) {
  const std::string text = english();
  if (name == "cairn_bytes") return make_byte_tokenizer();
  if (name == "cairn_characters") {
    using std::string_view_literals::operator""sv;
    const std::string_view documents[] = {text,
                                          "caf\u00e9 \U0001f600 \u4e16\u754c\0\t\u2581\"\\"sv};
    return make_character_tokenizer(documents);
  }
  if (name == "cairn_bpe") {
    const std::vector<std::string> specials = {"<|endoftext|>", "<s>", "</s>"};
    const std::string_view document = text;
    return train_bpe({&document, 1}, 400, specials);
  }
  const auto llama = parse_tokenizer_json(golden_text("hf_llama.json")).value();
  const auto& tokens = llama->vocabulary().tokens;
  return parse_llama2c_tokenizer(llama2c_file({tokens.begin() + 259, tokens.end()})).value();
}

// What cairn writes is, byte for byte, what tools/make_tokenizer_goldens.py has loaded into
// `tokenizers` and transformers; and these gave the ids that cairn gives.
class CairnFile : public testing::TestWithParam<const char*> {};

TEST_P(CairnFile, IsWhatHuggingFaceHasRead) {
  const std::string name = GetParam();
  const auto tokenizer = made(name);
  for (const auto& [suffix, written] : {std::pair{".json", tokenizer->to_json()},
                                        {"_config.json", write_tokenizer_config(*tokenizer)}}) {
    const auto golden_file = test::golden_path("text/" + name + suffix).string();
    const auto expected = read_file(golden_file);
    if (!expected.ok() || expected.value() != written) {
      const std::string path = testing::TempDir() + name + suffix;
      ASSERT_TRUE(write_file_atomically(path, written).ok());
      ADD_FAILURE() << golden_file << " differs from what is written now, " << path
                    << "; if the new one is right, copy it there and run the tool";
    }
  }
  const json all = golden("cairn_cases.json");
  ASSERT_TRUE(all.contains(name));
  expect_cases(*tokenizer, all[name]);
  expect_cases(*parse_tokenizer_json(tokenizer->to_json()).value(), all[name]);
}
INSTANTIATE_TEST_SUITE_P(All, CairnFile,
                         testing::Values("cairn_bytes", "cairn_characters", "cairn_bpe",
                                         "cairn_llama"));

TEST(TokenizerJson, SavedFolderKeepsBosAndEos) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / "cairn_text_save";
  std::filesystem::create_directories(folder);
  ASSERT_TRUE(save_tokenizer(*made("cairn_bpe"), folder).ok());
  const auto read = load_tokenizer(folder).value();
  EXPECT_EQ(read->bos(), 0);
  EXPECT_EQ(read->eos(), 0);
  // tokenizer_config.json decides, where it is there.
  ASSERT_TRUE(write_file_atomically((folder / "tokenizer_config.json").string(),
                                    R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>"})")
                  .ok());
  EXPECT_EQ(load_tokenizer(folder).value()->bos(), 1);
  EXPECT_EQ(load_tokenizer(folder).value()->eos(), 2);
  ASSERT_TRUE(write_file_atomically((folder / "tokenizer_config.json").string(), "{").ok());
  EXPECT_FALSE(load_tokenizer(folder).ok());
  std::filesystem::remove_all(folder);
}

std::string error_of(const std::string& text) {
  const auto loaded = parse_tokenizer_json(text);
  return loaded.ok() ? "" : loaded.error().what();
}

// A change at a place of a good file, and a part of the error it must give.
TEST(TokenizerJson, BadFilesAreErrorsThatNameWhatIsWrong) {
  const json good = golden("hf_pattern.json");
  ASSERT_EQ(error_of(good.dump()), "");
  const struct {
    const char* place;
    const char* value;
    const char* error;
  } cases[] = {
      {"/model/type", R"("Bigram")", "model 'Bigram' is not supported"},
      {"/model/type", "7", "'model.type' must be a string"},
      {"/model", "null", "expected an object with 'type'"},
      {"/model/vocab", "[]", "'vocab' must be an object"},
      {"/model/vocab/a", "-1", "id -1"},
      {"/model/vocab/a", "2000000000", "id 2000000000"},
      {"/model/vocab/a", "99999999999999999999", "must be an integer"},
      {"/model/vocab/a", "1.5", "must be an integer"},
      {"/model/vocab/a", "66", "belongs to two tokens"},
      {"/model/merges", "7", "'merges' must be a list"},
      {"/model/merges/0", R"("abc")", "expected two tokens"},
      {"/model/merges/0", R"(["a", "zzz"])", "needs the token 'zzz'"},
      {"/model/merges/0", R"(["z", "q"])", "needs the token 'zq'"},
      {"/model/dropout", "0.1", "dropout"},
      {"/model/end_of_word_suffix", "7", "'end_of_word_suffix' must be a string"},
      {"/model/ignore_merges", "1", "'ignore_merges' must be true or false"},
      {"/normalizer", R"({"type": "NFX"})", "normalizer 'NFX' is not supported"},
      {"/pre_tokenizer", R"({"type": "Scripts"})", "pre_tokenizer 'Scripts' is not supported"},
      {"/pre_tokenizer", R"({"type": 1})", "'pre_tokenizer.type' must be a string"},
      {"/pre_tokenizer/pretokenizers/0/behavior", R"("Merged")", "behavior 'Merged'"},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", R"("(")", "does not compile"},
      {"/pre_tokenizer/pretokenizers/0/pattern", "{}", "'pattern.Regex' must be a string"},
      {"/pre_tokenizer/pretokenizers/1/add_prefix_space", "1", "add_prefix_space"},
      {"/decoder", R"({"type": "CTC"})", "decoder 'CTC' is not supported"},
      {"/post_processor", R"({"type": "Pairs"})", "post_processor 'Pairs'"},
      {"/post_processor/processors/1/single", "[]", "the sequence A once"},
      {"/post_processor/processors/1/special_tokens", "{}", "'ids'"},
      {"/post_processor/processors/1/special_tokens/<s>/ids/0", "5000", "5000"},
      {"/added_tokens/0/content", R"("")", "no content"},
      {"/added_tokens/0/id", "5", "belongs to two tokens"},
      {"/added_tokens/0/id", "1e99", "must be an integer"},
      {"/added_tokens/0/single_word", "7", "single_word"},
      {"/added_tokens/1/content", R"("<s>")", "listed twice"},
      {"/added_tokens", "{}", "'added_tokens' must be a list"},
  };
  for (const auto& c : cases) {
    json bad = good;
    bad[json::json_pointer(c.place)] = json::parse(c.value);
    EXPECT_THAT(error_of(bad.dump()), HasSubstr(c.error)) << c.place << " = " << c.value;
  }
  EXPECT_THAT(error_of(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(error_of(good.dump().substr(0, 1000)), HasSubstr("not valid JSON"));
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += R"({"type": "Sequence", "pretokenizers": [)";
  deep += R"({"type": "ByteLevel"})";
  for (int i = 0; i < 1000; ++i) deep += "]}";
  json nested = good;
  nested["pre_tokenizer"] = json::parse(deep);
  EXPECT_THAT(error_of(nested.dump()), HasSubstr("nests too deeply"));
}

// A template may name any token, one of half a character too.
TEST(TokenizerJson, TemplatesSpellTheirTokensAsTheVocabularyDoes) {
  BpeDescription description;
  description.vocabulary.tokens = {"a", "\xC3"};
  description.vocabulary.prefix = {1};
  const std::string written = make_bpe_tokenizer(description)->to_json();
  EXPECT_EQ(parse_tokenizer_json(written).value()->encode("", {.add_special = true}), Ids{1});
}

TEST(TokenizerJson, VocabulariesThatItCannotExpressAreErrors) {
  BpeDescription description;
  description.symbols = BpeDescription::Symbols::characters;
  description.vocabulary.tokens = {"a", "a"};
  EXPECT_THROW((void)make_bpe_tokenizer(description)->to_json(), Error);
  description.vocabulary.tokens = {"a", "\xFF"};
  EXPECT_THROW((void)make_bpe_tokenizer(description)->to_json(), Error);
}

TEST(Gpt2Files, BadFilesAreErrorsThatNameWhatIsWrong) {
  const auto error = [](std::string_view vocabulary, std::string_view merges) -> std::string {
    const auto loaded = parse_gpt2_files(vocabulary, merges);
    return loaded.ok() ? "" : loaded.error().what();
  };
  const std::string vocabulary = R"({"a": 0, "b": 1, "ab": 2, "#": 3, "##": 4})";
  EXPECT_EQ(error(vocabulary, "#version: 0.2\r\na b\r\n# #\n\n"), "");
  EXPECT_EQ(parse_gpt2_files(vocabulary, "a b\n# #").value()->encode("ab##"), (Ids{2, 4}));
  EXPECT_THAT(error("[1]", ""), HasSubstr("must be an object"));
  EXPECT_THAT(error("{", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(error("{}", ""), HasSubstr("empty"));
  EXPECT_THAT(error(R"({"": 6})", ""), HasSubstr("empty"));
  EXPECT_THAT(error(R"({"a": -1})", ""), HasSubstr("'a' has the id -1"));
  EXPECT_THAT(error(R"({"a": 4294967296})", ""), HasSubstr("4294967296"));
  EXPECT_THAT(error(R"({"a": 90000})", ""), HasSubstr("90000"));
  EXPECT_THAT(error(R"({"a": 0, "b": 0})", ""), HasSubstr("belongs to two tokens"));
  EXPECT_THAT(error(vocabulary, "a b\na"), HasSubstr("line 2"));
  EXPECT_THAT(error(vocabulary, "a b c"), HasSubstr("line 1"));
  EXPECT_THAT(error(vocabulary, " a"), HasSubstr("line 1"));
  EXPECT_THAT(error(vocabulary, "a \xFF"), HasSubstr("needs the token"));
  EXPECT_THAT(error(vocabulary, "a c"), HasSubstr("'c'"));
  EXPECT_THAT(error(vocabulary, "b a"), HasSubstr("'ba'"));
}

TEST(LoadTokenizer, SaysWhatItLooksFor) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / "cairn_text_load";
  std::filesystem::create_directories(folder);
  const auto error = [](const std::filesystem::path& path) -> std::string {
    const auto loaded = load_tokenizer(path);
    return loaded.ok() ? "" : loaded.error().what();
  };
  const auto put = [&](const char* name, std::string_view text) {
    ASSERT_TRUE(write_file_atomically((folder / name).string(), text).ok());
  };
  EXPECT_THAT(error(folder / "absent.json"), HasSubstr("no such file"));
  EXPECT_THAT(error(folder), HasSubstr("expected tokenizer.json"));
  put("tokenizer.model", "x");
  EXPECT_THAT(error(folder), HasSubstr("SentencePiece"));
  EXPECT_THAT(error(folder / "tokenizer.model"), HasSubstr("ends inside a field"));
  put("tokenizer.txt", "x");
  EXPECT_THAT(error(folder / "tokenizer.txt"), HasSubstr("no kind of tokenizer"));
  put("vocab.bpe", "");
  EXPECT_THAT(error(folder / "vocab.bpe"), HasSubstr("needs encoder.json"));
  put("tok1.bin", llama2c_file({"a"}));
  EXPECT_EQ(load_tokenizer(folder).value()->vocabulary_size(), 260);
  EXPECT_EQ(load_tokenizer(folder / "tok1.bin").value()->vocabulary_size(), 260);
  put("tok2.bin", "");
  EXPECT_THAT(error(folder), HasSubstr("2 tok*.bin"));
  EXPECT_THAT(error(folder / "tok2.bin"), HasSubstr("tok2.bin"));
  put("encoder.json", R"({"a": 0})");
  EXPECT_EQ(load_tokenizer(folder).value()->vocabulary_size(), 1);
  put("tokenizer.json", "{}");
  EXPECT_THAT(error(folder), HasSubstr("tokenizer.json"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace cairn::text
