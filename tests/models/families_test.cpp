// Every family of decoders: logits of small random models that transformers made and computed in
// f64 (tests/golden/families), the cache, and configurations written and read back.
#include "cairn/models/families.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "cairn/base/file.h"
#include "cairn/llm/generate.h"
#include "cairn/models/language_model.h"
#include "tests/io/temporary_folder.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::filesystem::path folder_of(const std::string& name) {
  return test::golden_path("families/" + name);
}

class Family : public testing::TestWithParam<const char*> {
 protected:
  Family() : model(load_language_model(folder_of(GetParam())).value()) {
    const auto path = (folder_of(GetParam()) / "reference.safetensors").string();
    const auto reference = io::SafetensorsFile::open(path).value();
    ids = reference.read("ids").value();
    logits = reference.read("logits").value();
  }
  double relative_error(const HostArray& actual) const {
    EXPECT_EQ(actual.elements(), logits.elements());
    double difference = 0, scale = 0;
    for (int64_t i = 0; i < logits.elements(); ++i) {
      difference = std::max(difference, std::fabs(actual.at(i) - logits.at(i)));
      scale = std::max(scale, std::fabs(logits.at(i)));
    }
    return difference / scale;
  }
  // As of the twins (twin_test.cpp): about 60 roundings to f32 on a path through two layers, which
  // norms and softmax of weights of deviation 0.3 amplify by some tens.
  static constexpr double kTolerance = 400 * 0x1p-23;

  Runtime runtime{test::checked()};
  LanguageModel model;
  HostArray ids, logits;
};

TEST_P(Family, LogitsOfTransformers) {
  Context ctx;
  const Tensor tokens(ids);
  const Tensor out = model.transformer->logits(ctx, model.transformer->hidden(ctx, tokens));
  const double error = relative_error(eval(runtime, std::span(&out, 1))[0].host());
  EXPECT_LT(error, kTolerance);
}

TEST_P(Family, TokenByTokenAndInChunksAsAtOnce) {
  const int64_t tokens = ids.shape()[1], vocabulary = logits.shape()[2];
  HostArray stepped(DType::f32, logits.shape());
  float* out = stepped.mutable_span<float>().data();
  for (int64_t row = 0; row < ids.shape()[0]; ++row) {
    const auto all =
        ids.span<int32_t>().subspan(static_cast<size_t>(row * tokens), static_cast<size_t>(tokens));
    // The capacity counts for how positions turn: as many tokens as were computed at once.
    Generator generator(runtime, *model.transformer, tokens);
    generator.feed(all.first(9));
    for (size_t i = 9; i <= all.size(); ++i) {
      const HostArray last = generator.logits().host();
      for (int64_t v = 0; v < vocabulary; ++v)
        out[(row * tokens + static_cast<int64_t>(i) - 1) * vocabulary + v] = last.span<float>()[v];
      if (i < all.size()) generator.feed(all.subspan(i, 1));
    }
    // Tokens before the last of the first chunk have no scores here.
    for (int64_t i = 0; i < 8 * vocabulary; ++i)
      out[row * tokens * vocabulary + i] =
          static_cast<float>(logits.at(row * tokens * vocabulary + i));
  }
  EXPECT_LT(relative_error(stepped), kTolerance);
}

TEST_P(Family, WrittenConfigurationIsReadBack) {
  const TransformerConfig& config = model.transformer->config();
  const auto again = parse_hf_config(to_hf_config(config, 1, 2)).value().transformer;
  EXPECT_TRUE(again == config) << to_hf_config(again, 1, 2) << to_hf_config(config, 1, 2);
}

TEST_P(Family, SavedModelIsTheSame) {
  const io::TemporaryFolder saved;
  ASSERT_TRUE(save_language_model(saved / "", *model.transformer, nullptr).ok());
  const LanguageModel again = load_language_model(saved / "").value();
  const auto before = fields(*model.transformer), after = fields(*again.transformer);
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    ASSERT_EQ(before[i].path, after[i].path);
    EXPECT_EQ(before[i].tensor->to_vector<float>(), after[i].tensor->to_vector<float>())
        << before[i].path;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Family,
                         testing::Values("llama3", "llama-linear", "llama-dynamic", "llama-yarn",
                                         "llama-yarn-mscale", "mistral", "qwen2", "qwen3", "gemma",
                                         "gemma2", "gemma3", "phi3-short", "phi3-long", "olmo2",
                                         "granite", "stablelm", "stablelm-parallel"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

// A family is a reader of its configuration, a map of names and options: nothing that computes.
TEST(FamilyConfig, NoFamilyHasAForwardPass) {
  const auto models = test::golden_path("../../cairn/models");
  int files = 0;
  for (const char* name : {"families.cpp", "families.h", "family_configs.cpp", "gguf_families.h",
                           "gguf_config.cpp", "gguf_names.cpp"}) {
    const std::string text = read_file((models / name).string()).value();
    for (const char* word : {"forward(", "Tensor ", "cairn/ops", "Module "})
      EXPECT_EQ(text.find(word), std::string::npos) << name << ": " << word;
    ++files;
  }
  for (const auto& entry : std::filesystem::directory_iterator(models))
    files -= entry.path().filename().string().starts_with("famil");
  files -= 3;  // those of GGUF
  EXPECT_EQ(files, 0) << "a file of families that is not looked at";
}

// A configuration of `family`'s golden with a change, or the complaint about it.
std::string complaint(const std::string& family,
                      const std::function<void(nlohmann::json&)>& change) {
  auto json =
      nlohmann::json::parse(read_file((folder_of(family) / "config.json").string()).value());
  change(json);
  const auto parsed = parse_hf_config(json.dump());
  return parsed ? "" : parsed.error().what();
}

TEST(FamilyConfig, ComplaintsNameTheKey) {
  using Json = nlohmann::json;
  EXPECT_THAT(complaint("llama3", [](Json& j) { j["model_type"] = "lama"; }),
              AllOf(HasSubstr("'lama' cannot be run"), HasSubstr("llama")));
  EXPECT_THAT(complaint("llama3", [](Json& j) { j["rope_parameters"]["rope_type"] = "spiral"; }),
              HasSubstr("rope type 'spiral' is not default, linear"));
  EXPECT_THAT(complaint("llama3", [](Json& j) { j["rope_parameters"].erase("factor"); }),
              HasSubstr("no key 'factor'"));
  EXPECT_THAT(complaint("llama3", [](Json& j) { j["rope_parameters"]["factor"] = -1; }),
              HasSubstr("the factor must be a number above 0"));
  EXPECT_THAT(complaint("llama3", [](Json& j) { j["hidden_act"] = "sin"; }),
              HasSubstr("hidden_act 'sin'"));
  EXPECT_THAT(complaint("phi3-long", [](Json& j) { j["rope_parameters"]["long_factor"] = {1.0}; }),
              HasSubstr("1 factors are given for 3 pairs"));
  EXPECT_THAT(
      complaint("phi3-long", [](Json& j) { j["rope_parameters"]["long_factor"] = {1, "x"}; }),
      HasSubstr("'long_factor' must be a list of numbers"));
  EXPECT_THAT(
      complaint("phi3-long", [](Json& j) { j["rope_parameters"]["partial_rotary_factor"] = 1.5; }),
      HasSubstr("partial_rotary_factor is 1.5"));
  EXPECT_THAT(complaint("gemma3", [](Json& j) { j["layer_types"].erase(0); }),
              HasSubstr("layer_types has 3 entries for 4 layers"));
  EXPECT_THAT(complaint("gemma3", [](Json& j) { j["layer_types"][0] = "linear_attention"; }),
              HasSubstr("layer type 'linear_attention'"));
  EXPECT_THAT(complaint("gemma2", [](Json& j) { j["query_pre_attn_scalar"] = 0; }),
              HasSubstr("query_pre_attn_scalar is 0"));
  EXPECT_THAT(complaint("mistral", [](Json& j) { j["sliding_window"] = -1; }),
              HasSubstr("a window of -1 tokens"));
  EXPECT_THAT(complaint("granite", [](Json& j) { j["logits_scaling"] = 0; }),
              HasSubstr("logits_scaling is 0"));
}

// What Gemma's first files say, and what published files leave to the family's defaults.
TEST(FamilyConfig, DefaultsAreTheFamilys) {
  const auto parsed = [](const char* text) { return parse_hf_config(text).value().transformer; };
  const TransformerConfig gemma = parsed(R"({"model_type": "gemma", "vocab_size": 9,
      "hidden_size": 3072, "intermediate_size": 8, "num_hidden_layers": 1, "hidden_act": "gelu",
      "num_attention_heads": 16})");
  EXPECT_EQ(gemma.head_width, 256);
  EXPECT_EQ(gemma.activation, ActivationKind::gelu_tanh);
  EXPECT_DOUBLE_EQ(gemma.embedding_scale, std::sqrt(3072.0));
  EXPECT_TRUE(gemma.tied);
  const TransformerConfig gemma3 = parsed(R"({"model_type": "gemma3_text", "vocab_size": 9,
      "hidden_size": 64, "intermediate_size": 8, "num_hidden_layers": 7, "num_attention_heads": 4,
      "sliding_window": 512, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}})");
  EXPECT_THAT(gemma3.windows, ElementsAre(512, 512, 512, 512, 512, 0, 512));
  EXPECT_EQ(gemma3.rotary->theta, 1e6);
  EXPECT_EQ(gemma3.rotary->factor, 8);
  EXPECT_EQ(gemma3.window_rotary->theta, 10000);
  EXPECT_EQ(gemma3.window_rotary->scaling, RotaryScaling::none);
  const TransformerConfig phi = parsed(R"({"model_type": "phi3", "vocab_size": 9, "hidden_size": 8,
      "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
      "max_position_embeddings": 131072, "original_max_position_embeddings": 4096,
      "rope_scaling": {"type": "su", "short_factor": [1, 1], "long_factor": [2, 2]}})");
  EXPECT_EQ(phi.rotary->scaling, RotaryScaling::longrope);
  EXPECT_EQ(phi.rotary->factor, 32);
  // sqrt(1 + log(32) / log(4096)), as in Ding et al. 2024.
  EXPECT_NEAR(rotary_table(*phi.rotary, 4, 10).scale, 1.1902, 1e-4);
}

TEST(FamilyConfig, TextPartOfLargerModel) {
  auto text =
      nlohmann::json::parse(read_file((folder_of("gemma3") / "config.json").string()).value());
  const nlohmann::json whole = {
      {"model_type", "gemma3"}, {"vision_config", {{"hidden_size", 8}}}, {"text_config", text}};
  const HfConfig config = parse_hf_config(whole.dump()).value();
  EXPECT_EQ(config.left_out, "vision");
  EXPECT_TRUE(config.transformer == parse_hf_config(text.dump()).value().transformer);
}

// A copy of a golden folder that a test may damage.
class FamilyFolder : public testing::Test {
 protected:
  FamilyFolder() {
    std::filesystem::copy(folder_of("qwen2"), path, std::filesystem::copy_options::recursive);
  }
  std::string failure() const {
    const auto model = load_language_model(path);
    return model ? "" : model.error().what();
  }
  void change(const std::string& file, const std::function<void(nlohmann::json&)>& edit) const {
    auto json = nlohmann::json::parse(read_file((path / file).string()).value());
    edit(json);
    io::write_bytes((path / file).string(), json.dump());
  }
  io::TemporaryFolder folder;
  std::filesystem::path path{folder / "model"};
};

TEST_F(FamilyFolder, ShardsThatDoNotFitTheIndex) {
  EXPECT_EQ(failure(), "");
  const std::string index = "model.safetensors.index.json";
  change(index, [](auto& j) { j["weight_map"]["model.norm.weight"] = "../other.safetensors"; });
  EXPECT_THAT(failure(), HasSubstr("'../other.safetensors' is no name of a file in the folder"));
  change(index, [](auto& j) {
    j["weight_map"]["model.norm.weight"] = j["weight_map"]["model.embed_tokens.weight"];
  });
  EXPECT_THAT(failure(), AllOf(HasSubstr("'model.norm.weight' lies in"), HasSubstr("it is not")));
  change(index, [](auto& j) { j["weight_map"].erase("model.norm.weight"); });
  EXPECT_THAT(failure(), HasSubstr("'model.norm.weight' (for final_norm.weight) is missing"));
  std::filesystem::remove(path / "model-00001-of-00004.safetensors");
  EXPECT_THAT(failure(), HasSubstr("model-00001-of-00004.safetensors, which is not in the folder"));
  change(index, [](auto& j) { j = {1}; });
  EXPECT_THAT(failure(), HasSubstr("it has no weight_map"));
}

TEST_F(FamilyFolder, EveryEndOfGenerationConfig) {
  io::write_bytes((path / "generation_config.json").string(),
                  R"({"bos_token_id": 5, "eos_token_id": [7, 8]})");
  const LanguageModel model = load_language_model(path).value();
  EXPECT_EQ(model.bos, 5);
  EXPECT_THAT(model.ends, ElementsAre(7, 8));
  EXPECT_TRUE(model.is_end(8));
  EXPECT_FALSE(model.is_end(2));
  io::write_bytes((path / "generation_config.json").string(), "[");
  EXPECT_THAT(failure(), HasSubstr("generation_config.json' is no JSON object"));
}

}  // namespace
}  // namespace cairn
