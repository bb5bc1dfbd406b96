// What a model takes, from its headers, and what is said when there is less.
#include "cairn/llm/model_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cairn/models/language_model.h"
#include "cairn/models/weights.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::filesystem::path kFile = test::golden_path("families/qwen3/model.gguf");
const std::filesystem::path kFolder = test::golden_path("families/qwen3");

std::string complaint(const std::filesystem::path& model, const MemoryQuestion& asked,
                      uint64_t available) {
  try {
    check_model_memory(model, asked, available);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ModelMemory, WeightsAreThoseThatAreLoaded) {
  for (const auto& path : {kFile, kFolder}) {
    Runtime runtime({.device = "ref", .threads = 1});
    const LanguageModel model = load_language_model(path, {.runtime = &runtime}).value();
    const ModelMemory memory = model_memory(path, {}).value();
    EXPECT_EQ(memory.weights, weight_bytes(*model.transformer).all) << path;
    EXPECT_EQ(memory.cache, 0u);
  }
}

TEST(ModelMemory, TypesAndTheCacheCount) {
  const ModelMemory plain = model_memory(kFolder, {}).value();
  const ModelMemory with_cache = model_memory(kFolder, {.cache = {.tokens = 60}}).value();
  EXPECT_EQ(with_cache.weights, plain.weights);
  EXPECT_EQ(with_cache.cache,
            Decoder::pool_bytes(load_language_model(kFolder).value().transformer->config(),
                                {.tokens = 60}));
  EXPECT_LT(model_memory(kFolder, {.quantize = "q8_0"}).value().weights, plain.weights);
  Runtime runtime({.device = "ref", .threads = 1});
  const LanguageModel rows =
      load_language_model(kFolder, {.runtime = &runtime, .quantize = "int8"}).value();
  EXPECT_EQ(model_memory(kFolder, {.quantize = "int8"}).value().weights,
            weight_bytes(*rows.transformer).all);
  // Matrices of f32 that only products read become what those are computed in.
  const auto wide = test::golden_path("twins/llama-tied");
  const LanguageModel narrow =
      load_language_model(wide, {.runtime = &runtime, .precision = DType::bf16}).value();
  const uint64_t bytes = model_memory(wide, {.precision = DType::bf16}).value().weights;
  EXPECT_EQ(bytes, weight_bytes(*narrow.transformer).all);
  EXPECT_LT(bytes, model_memory(wide, {}).value().weights * 6 / 10);
}

TEST(ModelMemory, SaysWhatWouldFit) {
  // As many sequences as make the cache large beside the weights.
  const MemoryQuestion asked = {.cache = {.tokens = 1 << 20, .max_sequences = 1 << 14}};
  const ModelMemory memory = model_memory(kFolder, asked).value();
  EXPECT_EQ(complaint(kFolder, asked, memory.total()), "");
  EXPECT_THAT(complaint(kFolder, asked, memory.total() - 1),
              AllOf(HasSubstr("of memory (weights"), HasSubstr("a cache of 1048576 tokens"),
                    HasSubstr("are available; it would fit with"),
                    HasSubstr("a context of 524288 tokens")));
  EXPECT_THAT(complaint(kFolder, asked, 1000), HasSubstr("take a smaller model"));
  // A sequence is no longer than the model's context.
  EXPECT_EQ(model_memory(kFolder, {.cache = {.tokens = INT64_MAX / 4}}).value().cache,
            model_memory(kFolder, {.cache = {.tokens = 64}}).value().cache);
  const MemoryQuestion weights_alone = {};
  EXPECT_THAT(
      complaint(kFolder, weights_alone, model_memory(kFolder, weights_alone).value().total() - 1),
      HasSubstr("it would fit with --quantize Q8_0"));
}

TEST(ModelMemory, NothingIsSaidWhereNothingIsKnown) {
  check_model_memory(kFolder, {.cache = {.tokens = 1 << 20}}, std::nullopt);
}

}  // namespace
}  // namespace cairn
