// tokenizer.json with every component that cairn reads, and SentencePiece's models, against
// `tokenizers` and `sentencepiece` (tools/goldens/make_pipelines.py).
#include <gmock/gmock.h>

#include "cairn/text/base64.h"
#include "cairn/text/character_map.h"
#include "cairn/text/tokenizer_formats.h"
#include "cairn/text/utf8.h"
#include "tests/text/golden.h"

namespace cairn::text {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const json& pipelines() {
  static const json file = golden("pipelines.json");
  return file;
}

std::vector<std::string> names_of(const char* part) {
  std::vector<std::string> names;
  for (const auto& [name, value] : pipelines()[part].items()) names.push_back(name);
  return names;
}

// Of bytes that are no character, Hugging Face writes U+FFFD for each, and the text here has one
// for a unit of them; so only their places are compared.
std::string shown(const std::string& bytes) {
  std::string out;
  for (const char c : replace_invalid_utf8(bytes)) {
    out += c;
    if (out.ends_with("\uFFFD\uFFFD")) out.resize(out.size() - 3);
  }
  return out;
}

// Decoding in any two parts gives the same.
void expect_streams(const Tokenizer& tokenizer, const Ids& ids, const std::string& whole) {
  for (size_t cut = 0; cut <= ids.size(); cut += 1 + ids.size() / 7) {
    const std::span<const int32_t> all(ids);
    EXPECT_EQ(tokenizer.decode(all.first(cut)) + tokenizer.decode(all.subspan(cut), all.first(cut)),
              whole);
  }
}

class PipelineFile : public testing::TestWithParam<std::string> {};

TEST_P(PipelineFile, GivesHuggingFacesIds) {
  const json& file = pipelines()["pipelines"][GetParam()];
  const auto tokenizer = parse_tokenizer_json(file["json"].get<std::string>()).value();
  const auto again = parse_tokenizer_json(tokenizer->to_json()).value();
  ASSERT_EQ(file["cases"].size(), pipelines()["texts"].size());
  for (size_t i = 0; i < file["cases"].size(); ++i) {
    const std::string text = pipelines()["texts"][i];
    const json& one = file["cases"][i];
    SCOPED_TRACE(text);
    const Ids ids = tokenizer->encode(text, {.parse_special = true});
    EXPECT_EQ(ids, one["ids"].get<Ids>());
    EXPECT_EQ(again->encode(text, {.parse_special = true}), ids);
    if (one.contains("with_special")) {
      EXPECT_EQ(tokenizer->encode(text, {.add_special = true, .parse_special = true}),
                one["with_special"].get<Ids>());
    }
    const std::string decoded = tokenizer->decode(ids);
    if (one.contains("decoded"))
      EXPECT_EQ(shown(decoded), shown(one["decoded"].get<std::string>()));
    expect_streams(*tokenizer, ids, decoded);
  }
}
INSTANTIATE_TEST_SUITE_P(All, PipelineFile, testing::ValuesIn(names_of("pipelines")),
                         [](const auto& info) { return info.param; });

class SentencePieceFile : public testing::TestWithParam<std::string> {};

TEST_P(SentencePieceFile, GivesItsOwnersIds) {
  const json& file = pipelines()["sentencepiece"][GetParam()];
  const std::string model = decode_base64(file["model"].get<std::string>()).value();
  const auto tokenizer = parse_sentencepiece_model(model).value();
  for (size_t i = 0; i < file["cases"].size(); ++i) {
    const std::string text = pipelines()["texts"][i];
    SCOPED_TRACE(text);
    const Ids ids = tokenizer->encode(text);
    EXPECT_EQ(ids, file["cases"][i]["ids"].get<Ids>());
    const std::string decoded = tokenizer->decode(ids);
    EXPECT_EQ(shown(decoded), shown(file["cases"][i]["decoded"].get<std::string>()));
    expect_streams(*tokenizer, ids, decoded);
  }
}
INSTANTIATE_TEST_SUITE_P(All, SentencePieceFile, testing::ValuesIn(names_of("sentencepiece")),
                         [](const auto& info) { return info.param; });

TEST(Pipeline, SpecialTokensInATextAreTextUnlessAskedFor) {
  const auto tokenizer =
      parse_tokenizer_json(pipelines()["pipelines"]["added"]["json"].get<std::string>()).value();
  const auto special = tokenizer->token_id("<s>");
  ASSERT_TRUE(special);
  EXPECT_EQ(tokenizer->encode("<s>", {.parse_special = true}), Ids{*special});
  EXPECT_THAT(tokenizer->encode("<s>"), testing::Not(testing::Contains(*special)));
}

TEST(Pipeline, BytesThatAreNoTextAreReplaced) {
  const auto tokenizer =
      parse_tokenizer_json(pipelines()["pipelines"]["llama_first"]["json"].get<std::string>())
          .value();
  EXPECT_EQ(tokenizer->encode("a\xFF"), tokenizer->encode("a\uFFFD"));
}

std::string error_of(const json& root) {
  const auto loaded = parse_tokenizer_json(root.dump());
  return loaded.ok() ? "" : loaded.error().what();
}

TEST(Pipeline, ErrorsNameWhatIsWrong) {
  const struct {
    const char* of;
    const char* place;
    const char* value;
    const char* error;
  } cases[] = {
      {"t5", "/model/vocab/3", R"(["a"])", "entry 3 must be a token and its score"},
      {"t5", "/model/vocab/3/1", R"("x")", "'vocab[][1]' must be a number"},
      {"t5", "/model/vocab/3/0", "7", "must be a string"},
      {"t5", "/model/unk_id", "5000", "'unk_id' is 5000"},
      {"t5", "/model/type", R"("Bigram")", "model 'Bigram' is not supported"},
      {"t5", "/normalizer/normalizers/0/precompiled_charsmap", R"("?")", "no base64"},
      {"t5", "/normalizer/normalizers/0/precompiled_charsmap", R"("/////w==")", "damaged"},
      {"t5", "/normalizer/normalizers/0/type", R"("NFX")", "normalizer 'NFX' is not supported"},
      {"t5", "/normalizer/normalizers/1/pattern/Regex", R"("(")", "does not compile"},
      {"t5", "/pre_tokenizer/type", R"("UnicodeScripts")", "'UnicodeScripts' is not supported"},
      {"t5", "/pre_tokenizer/prepend_scheme", R"("last")", "prepend_scheme 'last'"},
      {"t5", "/decoder", R"({"type": "CTC"})", "decoder 'CTC' is not supported"},
      {"t5", "/post_processor/special_tokens/<~1s>/ids/0", "5000", "5000"},
      {"word_ends", "/model/unk_token", R"("<nobody>")", "'unk_token' is '<nobody>'"},
      {"word_ends", "/model/merges/0", R"(["a", "zzz"])", "needs the token 'zzz'"},
      {"word_ends", "/model/dropout", "0.5", "dropout '0.5'"},
      {"bert", "/post_processor/cls", "[]", "'cls' must be a token and its id"},
      {"bert", "/model/max_input_chars_per_word", R"("x")", "must be an integer"},
      {"cut_with_next", "/pre_tokenizer/behavior", R"("Merged")", "behavior 'Merged'"},
      {"llama_first", "/decoder/decoders/3/stop", "1", "of a text's end"},
      {"llama_first", "/decoder/decoders/0/pattern", R"({"Regex": "a"})", "regular expression"},
      {"added", "/added_tokens/0/id", "7", "added token '[PAD]' has id 7, and 0"},
  };
  for (const auto& c : cases) {
    json bad = json::parse(pipelines()["pipelines"][c.of]["json"].get<std::string>());
    ASSERT_EQ(error_of(bad), "") << c.of;
    bad[json::json_pointer(c.place)] = json::parse(c.value);
    EXPECT_THAT(error_of(bad), HasSubstr(c.error)) << c.of << c.place << " = " << c.value;
  }
}

TEST(CharacterMap, DamagedOnesNeverReadOutside) {
  const json& file = pipelines()["pipelines"]["t5"];
  const json root = json::parse(file["json"].get<std::string>());
  const std::string good =
      decode_base64(root["normalizer"]["normalizers"][0]["precompiled_charsmap"].get<std::string>())
          .value();
  EXPECT_EQ(CharacterMap(good).longest("\uFB01x").replacement, "fi");
  EXPECT_EQ(CharacterMap(good).longest("x").size, 0u);
  EXPECT_EQ(CharacterMap(good).map_clusters("e\u0301\u3000"), "\u00e9 ");
  for (size_t at = 4; at < good.size(); at += 3) {
    std::string bad = good;
    for (const int bit : {0, 3, 6}) {
      bad[at] = static_cast<char>(static_cast<uint8_t>(good[at]) ^ (1u << bit));
      (void)CharacterMap(bad).map_clusters("\uFB01\uFF21e\u0301 \u00a0\t");
    }
  }
  for (size_t size = 1; size < 4; ++size)
    EXPECT_THROW((void)CharacterMap(good.substr(0, size)), Error);
}

TEST(Base64, RefusesWhatIsNone) {
  EXPECT_EQ(decode_base64("IQ=="), "!");
  EXPECT_EQ(decode_base64("ISI="), "!\"");
  EXPECT_EQ(decode_base64("ISIj"), "!\"#");
  EXPECT_EQ(decode_base64(""), "");
  for (const char* bad : {"IQ", "I===", "====", "I?==", "IQ=I"}) EXPECT_FALSE(decode_base64(bad));
}

}  // namespace
}  // namespace cairn::text
