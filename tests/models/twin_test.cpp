// GPT-2 and Llama twins made in PyTorch with random weights: logits, hidden states, loss, every
// gradient, greedy text and a ten-step loss curve (tests/golden/twins).
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cairn/llm/generate.h"
#include "cairn/llm/sampling.h"
#include "cairn/models/families.h"
#include "cairn/models/language_model.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/loss.h"
#include "cairn/ops/movement.h"
#include "cairn/train/train_step.h"
#include "cairn/transforms/vjp.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

int32_t greedy(const Generator& generator) {
  return Sampler().sample(generator.logits().host().span<float>(), {}, {});
}

class Twin : public testing::TestWithParam<const char*> {
 protected:
  Twin()
      : folder(test::golden_path(std::string("twins/") + GetParam())),
        model(load_language_model(folder).value()),
        reference(io::SafetensorsFile::open((folder / "reference.safetensors").string()).value()) {}
  Tensor ids() { return eval(runtime, cast(Tensor(reference.read("ids").value()), DType::i32)); }
  Tensor loss(Context& ctx, const Tensor& tokens) {
    const Tensor logits = model.transformer->logits(ctx, model.transformer->hidden(ctx, tokens));
    const int64_t T = tokens.size(1);
    return cross_entropy(slice_axis(logits, 1, 0, T - 1), slice_axis(tokens, 1, 1, T));
  }
  // Largest difference over the largest magnitude.
  static double relative_error(const HostArray& actual, const HostArray& expected) {
    EXPECT_EQ(actual.elements(), expected.elements());
    double difference = 0, scale = 0;
    for (int64_t i = 0; i < expected.elements(); ++i) {
      difference = std::max(difference, std::fabs(actual.at(i) - expected.at(i)));
      scale = std::max(scale, std::fabs(expected.at(i)));
    }
    return scale > 0 ? difference / scale : difference;
  }
  // Each of the about 60 operations in a row on a path through two layers rounds once to f32, and
  // norms and softmax of weights of deviation 0.3 amplify by some tens: a few hundred epsilons.
  static constexpr double kTolerance = 400 * 0x1p-23;

  std::filesystem::path folder;
  Runtime runtime{test::checked()};
  LanguageModel model;
  io::SafetensorsFile reference;
};

TEST_P(Twin, LogitsHiddenAndLoss) {
  Context ctx;
  const Tensor tokens = ids();
  const Tensor hidden = model.transformer->hidden(ctx, tokens);
  const Tensor outputs[] = {hidden, model.transformer->logits(ctx, hidden), loss(ctx, tokens)};
  const auto values = eval(runtime, outputs);
  EXPECT_LT(relative_error(values[0].host(), reference.read("hidden").value()), kTolerance);
  EXPECT_LT(relative_error(values[1].host(), reference.read("logits").value()), kTolerance);
  EXPECT_LT(relative_error(values[2].host(), reference.read("loss").value()), kTolerance);
}

TEST_P(Twin, EveryGradient) {
  Context ctx;
  const std::vector<Field> all = fields(*model.transformer);
  std::vector<Tensor> parameters;
  for (const Field& f : all) parameters.push_back(*f.tensor);
  const std::vector<Tensor> g = eval(runtime, gradients(loss(ctx, ids()), parameters));
  int compared = 0;
  for (const auto& tensor : file_tensors(all, g, hf_names(model.transformer->config()))) {
    EXPECT_LT(relative_error(tensor.load(), reference.read("grad." + tensor.name).value()),
              kTolerance)
        << tensor.name;
    ++compared;
  }
  EXPECT_GE(compared, static_cast<int>(all.size()) / 2);
}

TEST_P(Twin, TenStepsOfAdamW) {
  std::ifstream in(folder / "reference.json");
  const auto adamw = nlohmann::json::parse(in)["adamw"];
  OptimizerConfig config;
  config.learning_rate = adamw["learning_rate"];
  config.betas = adamw["betas"].get<std::vector<double>>();
  config.epsilon = adamw["epsilon"].get<double>();
  config.weight_decay = adamw["weight_decay"].get<double>();
  const auto fn =
      mean_loss([&](Context& ctx, std::span<const Tensor> batch) { return loss(ctx, batch[0]); });
  TrainStep step(runtime, *model.transformer, fn, make_optimizer(config));
  const HostArray curve = reference.read("loss_curve").value();
  const Tensor batch[] = {ids()};
  for (int i = 0; i < 10; ++i)
    // The first gradients of Adam have the size of their sign: a rounding error of a gradient near
    // zero moves a weight by up to the learning rate. Measured growth: about a factor 3 a step at
    // first.
    EXPECT_NEAR(step.step(batch, config.learning_rate, i + 1).loss, curve.at(i),
                2e-4 * (i + 1) * curve.at(0))
        << i;
}

TEST_P(Twin, GreedyText) {
  const HostArray expected = reference.read("generated").value();
  const HostArray tokens = ids().host();
  Generator generator(runtime, *model.transformer, model.transformer->config().context);
  for (int64_t row = 0; row < 2; ++row) {
    generator.reset();
    const auto all = tokens.span<int32_t>();
    generator.feed(all.subspan(static_cast<size_t>(row) * 16, 8));
    for (int64_t i = 0; i < 8; ++i) {
      const int32_t next = greedy(generator);
      EXPECT_EQ(next, static_cast<int32_t>(expected.at(row * 8 + i))) << row << " " << i;
      generator.feed(std::span(&next, 1));
    }
  }
}

TEST_P(Twin, SavedFolderLoadsWithTheSameBytes) {
  const auto copy =
      std::filesystem::temp_directory_path() / (std::string("cairn-twin-") + GetParam());
  std::filesystem::create_directories(copy);
  ASSERT_TRUE(save_language_model(copy, *model.transformer, nullptr).ok());
  LanguageModel again = load_language_model(copy).value();
  const auto before = fields(*model.transformer);
  const auto after = fields(*again.transformer);
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_EQ(before[i].tensor->to_vector<float>(), after[i].tensor->to_vector<float>())
        << before[i].path;
  std::filesystem::remove_all(copy);
}

INSTANTIATE_TEST_SUITE_P(Families, Twin, testing::Values("gpt2", "llama", "llama-tied"),
                         [](const auto& info) {
                           return std::string(info.param) == "llama-tied" ? "llama_tied"
                                                                          : info.param;
                         });

TEST(Stories260K, GreedyTextAndLogits) {
  CAIRN_REQUIRE_DATA("checkpoints/stories260K/stories260K.bin");
  LanguageModel model =
      load_language_model(test::data_path("checkpoints/stories260K/stories260K.bin")).value();
  std::ifstream in(test::data_path("checkpoints/stories260K/stories260K.reference.json"));
  const auto reference = nlohmann::json::parse(in);
  const auto ids = reference["greedy_ids"].get<std::vector<int32_t>>();
  Runtime runtime{test::checked()};
  Generator generator(runtime, *model.transformer, 512);
  generator.feed(std::span(ids).first(1));
  std::vector<int32_t> made{ids[0]};
  while (made.size() < ids.size()) {
    made.push_back(greedy(generator));
    generator.feed(std::span(made).last(1));
  }
  EXPECT_EQ(made, ids);
  ASSERT_TRUE(model.tokenizer);
  EXPECT_EQ(model.tokenizer->decode(made), reference["greedy_text"].get<std::string>());
  const auto expected = reference["logits_pos63"].get<std::vector<double>>();
  const auto all =
      full_logits(runtime, *model.transformer, std::span(ids).first(64)).to_vector<float>();
  ASSERT_EQ(all.size(), 64 * expected.size());
  for (size_t v = 0; v < expected.size(); ++v)
    EXPECT_NEAR(all[63 * expected.size() + v], expected[v], 1e-4);
}

}  // namespace
}  // namespace cairn
