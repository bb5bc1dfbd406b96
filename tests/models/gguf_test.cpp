// GGUF files as models: twins of the families' goldens that llama.cpp's converter wrote, written
// metadata read back, and files whose metadata and tensors lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "cairn/llm/generate.h"
#include "cairn/models/families.h"
#include "cairn/models/gguf_families.h"
#include "cairn/models/gguf_model.h"
#include "cairn/ops/elementwise.h"
#include "tests/io/temporary_folder.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

using testing::AllOf;
using testing::HasSubstr;

double relative_error(const HostArray& actual, const HostArray& expected) {
  EXPECT_EQ(actual.elements(), expected.elements());
  double difference = 0, scale = 0;
  for (int64_t i = 0; i < expected.elements(); ++i) {
    difference = std::max(difference, std::fabs(actual.at(i) - expected.at(i)));
    scale = std::max(scale, std::fabs(expected.at(i)));
  }
  return difference / scale;
}

HostArray logits_of(Runtime& runtime, const LanguageModel& model, const HostArray& ids) {
  Context ctx;
  Tensor tokens(ids);
  if (tokens.rank() == 1) tokens = Tensor(ids.reshaped({1, ids.elements()}));
  const Tensor out = model.transformer->logits(ctx, model.transformer->hidden(ctx, tokens));
  return eval(runtime, std::span(&out, 1))[0].host();
}

// The file with other metadata, and tensors as `change` leaves them.
using Change = std::function<void(io::GgufMetadata&, std::vector<io::GgufSource>&)>;
std::filesystem::path rewritten(const std::filesystem::path& from, const io::TemporaryFolder& to,
                                const Change& change) {
  const auto file = std::make_shared<io::GgufFile>(io::GgufFile::open(from.string()).value());
  std::vector<io::GgufSource> tensors;
  for (const io::GgufEntry& entry : file->entries())
    tensors.push_back({entry.name, entry.type, entry.shape, [file, &entry] {
                         const HostArray array = file->read(entry).value();
                         return SharedBytes(
                             array.owner(),
                             {static_cast<const std::byte*>(array.data()), array.bytes()});
                       }});
  io::GgufMetadata metadata = file->metadata();
  change(metadata, tensors);
  const std::filesystem::path path = to / "model.gguf";
  EXPECT_TRUE(io::write_gguf(path.string(), metadata, tensors).ok());
  return path;
}

class GgufTwin : public testing::TestWithParam<const char*> {
 protected:
  // As of the families (families_test.cpp); the weights are the same numbers.
  static constexpr double kTolerance = 400 * 0x1p-23;
  std::filesystem::path folder = test::golden_path(GetParam());
  LanguageModel model = load_language_model(folder / "model.gguf").value();
  LanguageModel twin = load_language_model(folder).value();
  io::SafetensorsFile reference =
      io::SafetensorsFile::open((folder / "reference.safetensors").string()).value();
};

TEST_P(GgufTwin, LogitsOfTransformers) {
  Runtime runtime{test::checked()};
  const HostArray ids =
      eval(runtime, cast(Tensor(reference.read("ids").value()), DType::i32)).host();
  EXPECT_LT(relative_error(logits_of(runtime, model, ids), reference.read("logits").value()),
            kTolerance);
}

// Not how positions turn, which the file may say in another way.
TEST_P(GgufTwin, ConfigurationOfTheFolder) {
  TransformerConfig of_file = model.transformer->config(), of_folder = twin.transformer->config();
  for (TransformerConfig* c : {&of_file, &of_folder}) {
    c->rotary = c->window_rotary = std::nullopt;
    // Numbers are f32 in the file.
    for (double* number : {&c->norm_epsilon, &c->attention_cap, &c->logit_cap, &c->embedding_scale,
                           &c->residual_scale, &c->logit_scale})
      *number = static_cast<float>(*number);
    if (!c->attention_scale) c->attention_scale = 1 / std::sqrt(static_cast<double>(c->head_width));
    c->attention_scale = static_cast<float>(*c->attention_scale);
    c->dropout = 0;
  }
  EXPECT_TRUE(of_file == of_folder);
}

TEST_P(GgufTwin, WrittenMetadataAreReadBack) {
  Runtime runtime{test::checked()};
  const io::TemporaryFolder to;
  const TransformerConfig& config = twin.transformer->config();
  const auto path = rewritten(folder / "model.gguf", to, [&](auto& metadata, auto& tensors) {
    metadata = to_gguf_metadata(config);
    std::erase_if(tensors, [](const auto& t) { return t.name.starts_with("rope_"); });
    for (io::GgufSource& tensor : gguf_config_tensors(config)) tensors.push_back(tensor);
  });
  const LanguageModel again = load_language_model(path).value();
  const HostArray ids =
      eval(runtime, cast(Tensor(reference.read("ids").value()), DType::i32)).host();
  EXPECT_LT(relative_error(logits_of(runtime, again, ids), reference.read("logits").value()),
            kTolerance);
  EXPECT_EQ(again.transformer->config().family, config.family);
}

INSTANTIATE_TEST_SUITE_P(
    All, GgufTwin,
    testing::Values("families/llama3", "families/llama-linear", "families/llama-yarn",
                    "families/mistral", "families/qwen2", "families/qwen3", "families/gemma",
                    "families/gemma2", "families/gemma3", "families/phi3-short",
                    "families/phi3-long", "families/olmo2", "families/granite", "families/stablelm",
                    "families/stablelm-parallel", "twins/gpt2"),
    [](const auto& info) {
      std::string name = std::string(info.param).substr(std::string(info.param).find('/') + 1);
      std::ranges::replace(name, '-', '_');
      return name;
    });

// What loading says of a golden that was changed.
std::string complaint(const std::string& family, const Change& change) {
  const io::TemporaryFolder to;
  const auto path = rewritten(test::golden_path("families/" + family + "/model.gguf"), to, change);
  const auto model = load_language_model(path);
  return model ? "" : model.error().what();
}
Change with_key(const std::string& key, const io::GgufValue& value) {
  return [=](io::GgufMetadata& metadata, auto&) {
    std::erase_if(metadata, [&](const auto& pair) { return pair.first == key; });
    metadata.emplace_back(key, value);
  };
}
Change without_key(const std::string& key) {
  return [=](io::GgufMetadata& metadata, auto&) {
    std::erase_if(metadata, [&](const auto& pair) { return pair.first == key; });
  };
}
io::GgufValue number(uint32_t value) { return io::GgufValue::from_number(value); }

TEST(GgufModel, MetadataThatLieAreNamed) {
  EXPECT_THAT(complaint("llama3", without_key("llama.block_count")),
              HasSubstr("key 'llama.block_count' is missing"));
  EXPECT_THAT(complaint("llama3", with_key("llama.block_count", io::GgufValue::from_text("two"))),
              HasSubstr("key 'llama.block_count' must be a whole number"));
  EXPECT_THAT(complaint("llama3", with_key("llama.block_count", number(7))),
              HasSubstr("tensor 'blk.6.attn_output.weight' is missing"));
  EXPECT_THAT(complaint("llama3", with_key("llama.block_count", number(UINT32_MAX))),
              HasSubstr("layers"));
  EXPECT_THAT(complaint("llama3", with_key("llama.embedding_length", number(24))),
              AllOf(HasSubstr("has shape"), HasSubstr("metadata ask for")));
  EXPECT_THAT(complaint("llama3", with_key("llama.attention.head_count", number(0))),
              HasSubstr("heads"));
  EXPECT_THAT(complaint("llama3", with_key("llama.expert_count", number(8))), HasSubstr("experts"));
  EXPECT_THAT(complaint("llama3", with_key("llama.rope.dimension_count", number(99))),
              HasSubstr("turn 99 elements of a head of 8"));
  EXPECT_THAT(complaint("llama-yarn",
                        with_key("llama.rope.scaling.type", io::GgufValue::from_text("spiral"))),
              HasSubstr("is 'spiral'"));
  EXPECT_THAT(
      complaint("granite", with_key("granite.logit_scale", io::GgufValue::from_number(0.0F))),
      HasSubstr("key 'granite.logit_scale' is 0"));
  EXPECT_THAT(
      complaint("gemma3", with_key("gemma3.attention.sliding_window_pattern", number(UINT32_MAX))),
      "");
  EXPECT_THAT(
      complaint("llama3", with_key("general.architecture", io::GgufValue::from_text("lama"))),
      AllOf(HasSubstr("'lama' cannot be run"), HasSubstr("llama")));
  EXPECT_THAT(complaint("llama3", without_key("general.architecture")),
              HasSubstr("key 'general.architecture' is missing"));
}

TEST(GgufModel, TensorsThatDoNotFitAreNamed) {
  const auto change = [](const std::string& name, const std::function<void(io::GgufSource&)>& f) {
    return [=](auto&, std::vector<io::GgufSource>& tensors) {
      for (io::GgufSource& tensor : tensors)
        if (tensor.name == name) f(tensor);
    };
  };
  const auto renamed = [](io::GgufSource& tensor) { tensor.name = "other"; };
  EXPECT_THAT(complaint("qwen3", change("blk.1.ffn_up.weight", renamed)),
              HasSubstr("tensor 'blk.1.ffn_up.weight' (for blocks.1.feed_forward.up.weight) is "
                        "missing"));
  EXPECT_THAT(complaint("qwen3", change("token_embd.weight", renamed)),
              HasSubstr("tensor 'token_embd.weight' of two axes is missing"));
  EXPECT_THAT(complaint("qwen3", change("blk.0.ffn_up.weight",
                                        [](io::GgufSource& tensor) {
                                          std::swap(tensor.shape[0], tensor.shape[1]);
                                        })),
              AllOf(HasSubstr("'blk.0.ffn_up.weight' has shape"), HasSubstr("ask for")));
  EXPECT_THAT(complaint("llama3", change("rope_freqs.weight",
                                         [](io::GgufSource& tensor) { tensor.shape = {2, 2}; })),
              HasSubstr("tensor 'rope_freqs.weight' must be a short vector"));
}

}  // namespace
}  // namespace cairn
