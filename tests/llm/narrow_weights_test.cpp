// Models whose files hold matrices of floats: one copy of them in memory, as narrow as in the file,
// with the scores of weights that were widened.
#include "cairn/models/float_weights.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "cairn/io/safetensors_folder.h"
#include "cairn/llm/decoder.h"
#include "cairn/llm/generate.h"
#include "cairn/llm/model_memory.h"
#include "cairn/models/families.h"
#include "cairn/models/language_model.h"
#include "cairn/models/weights.h"
#include "tests/io/temporary_folder.h"
#include "tests/llm/config_with_panels.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

using Ids = std::vector<int32_t>;
using Scores = std::vector<float>;

Ids some_ids(size_t count) {
  Ids ids;
  for (size_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>((i * 7 + i / 5) % 20));
  return ids;
}

// After a prompt and after each of a few more tokens.
Scores scores_of(Runtime& runtime, Transformer& model, const std::string& activations) {
  Generator generator(runtime, model, 64, {.activations = activations});
  const Ids ids = some_ids(12);
  Scores all;
  for (size_t i = 9; i <= ids.size(); ++i) {
    generator.feed(i == 9 ? std::span(ids).first(9) : std::span(ids).subspan(i - 1, 1));
    const Scores scores = generator.logits().to_vector<float>();
    all.insert(all.end(), scores.begin(), scores.end());
  }
  return all;
}

double relative_error(const Scores& actual, const Scores& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double difference = 0, scale = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference = std::max(difference, std::fabs(double{actual[i]} - expected[i]));
    scale = std::max(scale, std::fabs(double{expected[i]}));
  }
  return difference / scale;
}

// The golden families: their folders and the GGUF twins beside are of bf16. Among them are tied
// heads, fields that share a tensor, and rows that the file has in another order.
class NarrowModel : public testing::TestWithParam<const char*> {
 protected:
  std::vector<std::filesystem::path> files() const {
    const auto folder = test::golden_path(fmt::format("families/{}", GetParam()));
    std::vector<std::filesystem::path> all = {folder};
    if (std::filesystem::exists(folder / "model.gguf")) all.push_back(folder / "model.gguf");
    return all;
  }
  Runtime runtime{test::checked()};
};

TEST_P(NarrowModel, HasTheScoresOfWideWeights) {
  for (const auto& path : files()) {
    SCOPED_TRACE(path.string());
    const LanguageModel plain = load_language_model(path).value();
    const LanguageModel packed = load_language_model(path, {.runtime = &runtime}).value();
    const Scores wide = scores_of(runtime, *plain.transformer, "");
    EXPECT_EQ(scores_of(runtime, *packed.transformer, ""), wide);
    // What is multiplied is rounded to bf16, of which half a unit is 2^-9, some ten times in a row;
    // norms and softmax of these weights amplify by some tens.
    const Scores rounded = scores_of(runtime, *packed.transformer, "q8_0");
    EXPECT_NE(rounded, wide);
    EXPECT_LT(relative_error(rounded, wide), 10 * 30 * 0x1p-9);
  }
}

TEST_P(NarrowModel, TakesAsMuchMemoryAsItSays) {
  for (const auto& path : files()) {
    SCOPED_TRACE(path.string());
    const LanguageModel model = load_language_model(path, {.runtime = &runtime}).value();
    uint64_t narrow = 0;
    for (const Field& field : fields(*model.transformer))
      if (field.tensor->rank() == 2) narrow += 2 * static_cast<uint64_t>(field.tensor->elements());
    const WeightBytes bytes = weight_bytes(*model.transformer);
    // Panels are filled up, which is much of matrices as small as these.
    EXPECT_GE(bytes.all, narrow);
    EXPECT_EQ(bytes.in_bf16, bytes.products);
    const ModelMemory memory = model_memory(path, {}).value();
    EXPECT_LE(memory.weights, bytes.all);
  }
}

INSTANTIATE_TEST_SUITE_P(All, NarrowModel,
                         testing::Values("llama3", "qwen3", "gemma3", "phi3-short", "granite",
                                         "stablelm"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

// A model whose matrices are all wide enough for panels, in a folder of that type: a Llama, or a
// GPT, whose files have matrices transposed and three of them in one tensor.
enum class Kind : uint8_t { apart, tied, gpt };
class NarrowFolder : public testing::TestWithParam<std::tuple<DType, Kind>> {
 protected:
  static bool is_tied() { return std::get<1>(GetParam()) != Kind::apart; }
  NarrowFolder() {
    const DType type = std::get<0>(GetParam());
    TransformerConfig c = test::config_with_panels();
    c.tied = is_tied();
    if (std::get<1>(GetParam()) == Kind::gpt) {
      c.family = "gpt";
      c.kv_heads = c.heads;
      c.head_width = 16;
      c.norm = NormKind::layer;
      c.rotary = std::nullopt;
      c.qkv_biases = c.output_bias = c.feed_forward_biases = true;
      c.activation = ActivationKind::gelu_tanh;
      c.gated = false;
    }
    Transformer model(c);
    initialize(runtime, model, 3);
    const std::vector<Field> all = fields(model);
    std::vector<Tensor> values;
    for (const Field& field : all) values.push_back(*field.tensor);
    std::vector<io::SafetensorsSource> tensors = file_tensors(all, values, hf_names(c));
    for (io::SafetensorsSource& tensor : tensors) {
      if (tensor.shape.rank() != 2) continue;
      tensor.dtype = type;
      tensor.load = [load = tensor.load, type = type] { return rounded(load(), type); };
    }
    EXPECT_TRUE(io::write_safetensors(folder / "model.safetensors", tensors).ok());
    std::ofstream(folder / "config.json") << to_hf_config(c, 1, 2);
  }
  io::TemporaryFolder folder;
  Runtime runtime{{.threads = 2}};
};

TEST_P(NarrowFolder, IsInMemoryOnceAndAsNarrow) {
  const LanguageModel model = load_language_model(folder / "", {.runtime = &runtime}).value();
  const std::string head = is_tied() ? "tokens.weight" : "head.weight";
  const uint64_t size = size_of(std::get<0>(GetParam()));
  uint64_t narrow = 0;
  for (const Field& field : fields(*model.transformer)) {
    uint64_t bytes = 0;
    for (const Node* node : topological_order(std::span(field.tensor, 1)))
      if (node->op() == Op::leaf) bytes += node->output().bytes();
    const auto elements = static_cast<uint64_t>(field.tensor->elements());
    const uint64_t expected = elements * (field.tensor->rank() == 2 ? size : 4);
    // 150 rows are filled up to 192.
    EXPECT_EQ(bytes, field.path == head ? expected * 192 / 150 : expected) << field.path;
    if (!is_table(field.path, model.transformer->config())) narrow += expected;
  }
  // Of a table in a mapped file a few rows are read.
  EXPECT_EQ(model_memory(folder / "", {}).value().weights, narrow);
}

TEST_P(NarrowFolder, HasTheScoresOfWideWeights) {
  const LanguageModel plain = load_language_model(folder / "").value();
  const LanguageModel packed = load_language_model(folder / "", {.runtime = &runtime}).value();
  const Scores wide = scores_of(runtime, *plain.transformer, "");
  EXPECT_EQ(scores_of(runtime, *packed.transformer, ""), wide);
  // With weights of bf16 half a unit of bf16, 2^-9, ten times, and what norms and softmax amplify.
  const Scores rounded = scores_of(runtime, *packed.transformer, "q8_0");
  EXPECT_EQ(rounded == wide, std::get<0>(GetParam()) != DType::bf16);
  EXPECT_LT(relative_error(rounded, wide), 10 * 30 * 0x1p-9);
}

// What products are computed in is what their weights are kept in, with the same scores.
TEST_P(NarrowFolder, IsKeptInTheTypeOfItsProducts) {
  int64_t held = 0;  // by the last one
  const auto scores = [&](const LanguageModel& model) {
    const auto before = static_cast<int64_t>(runtime.allocator().bytes_in_use());
    Decoder decoder(runtime, *model.transformer,
                    {.tokens = 64, .precision = DType::bf16, .activations = ""});
    const Ids ids = some_ids(12);
    const Decoder::Part one{decoder.open(), ids};
    const Scores all = decoder.feed(std::span(&one, 1)).to_vector<float>();
    held = static_cast<int64_t>(runtime.allocator().bytes_in_use()) - before;
    return all;
  };
  const LanguageModel as_it_is = load_language_model(folder / "", {.runtime = &runtime}).value();
  const Scores expected = scores(as_it_is);
  const int64_t held_with_copies = held;
  const LanguageModel kept =
      load_language_model(folder / "", {.runtime = &runtime, .precision = DType::bf16}).value();
  for (const Field& field : fields(*kept.transformer)) {
    if (field.tensor->rank() != 2 || is_table(field.path, kept.transformer->config())) continue;
    DType type = DType::f32;
    for (const Node* node : topological_order(std::span(field.tensor, 1)))
      if (node->op() == Op::leaf) type = node->output().dtype;
    EXPECT_EQ(type, field.path == "tokens.weight" ? std::get<0>(GetParam()) : DType::bf16);
  }
  EXPECT_EQ(scores(kept), expected);
  // The blocks have at least 65,536 weights, which are not there once more.
  if (std::get<0>(GetParam()) != DType::bf16)
    EXPECT_LE(held + 2 * 65'536, held_with_copies);
  else
    EXPECT_EQ(held, held_with_copies);
}

TEST_P(NarrowFolder, ASequenceDoesNotSeeWhoIsBesideIt) {
  const LanguageModel model = load_language_model(folder / "", {.runtime = &runtime}).value();
  const Ids ids = some_ids(40);
  const auto feed = [](Decoder& decoder, int sequence, std::span<const int32_t> part) {
    const Decoder::Part one{sequence, part};
    return decoder.feed(std::span(&one, 1)).to_vector<float>();
  };
  Decoder alone(runtime, *model.transformer, {.tokens = 64});
  const int one = alone.open();
  Scores expected = feed(alone, one, std::span(ids).first(39));
  const Scores last = feed(alone, one, std::span(ids).last(1));
  expected.insert(expected.end(), last.begin(), last.end());
  // As one of three, and token by token.
  Decoder beside(runtime, *model.transformer, {.tokens = 256, .max_sequences = 3});
  const int sequences[] = {beside.open(), beside.open(), beside.open()};
  const Ids other = some_ids(17);
  beside.feed(std::vector<Decoder::Part>{
      {sequences[0], other}, {sequences[1], std::span(ids).first(1)}, {sequences[2], other}});
  for (size_t i = 1; i < 38; ++i) feed(beside, sequences[1], std::span(ids).subspan(i, 1));
  Scores got = feed(beside, sequences[1], std::span(ids).subspan(38, 1));
  const Tensor all =
      beside.feed(std::vector<Decoder::Part>{{sequences[0], std::span(ids).first(1)},
                                             {sequences[1], std::span(ids).last(1)},
                                             {sequences[2], std::span(ids).first(1)}});
  const Scores rows = all.to_vector<float>();
  got.insert(got.end(), rows.begin() + 150, rows.begin() + 300);
  EXPECT_EQ(got, expected);
}

constexpr const char* kKinds[] = {"apart", "tied", "gpt"};
INSTANTIATE_TEST_SUITE_P(All, NarrowFolder,
                         testing::Combine(testing::Values(DType::f32, DType::f16, DType::bf16),
                                          testing::Values(Kind::apart, Kind::tied, Kind::gpt)),
                         [](const auto& info) {
                           const auto kind = static_cast<size_t>(std::get<1>(info.param));
                           return fmt::format("{}_{}", name(std::get<0>(info.param)), kKinds[kind]);
                         });

}  // namespace
}  // namespace cairn
