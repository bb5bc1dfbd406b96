// Sampling from logits that are known, and the generator's cache.
#include "cairn/llm/generate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

namespace cairn {
namespace {

constexpr int kVocabulary = 6;

// A model whose logits are the same after any token: the final norm gives (1, 0, ...), which the
// head turns into `logits`.
std::unique_ptr<Transformer> constant_model(Runtime& runtime, const std::vector<float>& logits) {
  TransformerConfig c;
  c.vocabulary = kVocabulary;
  c.context = 64;
  c.layers = 1;
  c.heads = c.kv_heads = 2;
  c.width = 4;
  c.head_width = 2;
  c.hidden = 4;
  c.norm = NormKind::layer;
  c.tied = false;
  auto model = std::make_unique<Transformer>(c);
  initialize(runtime, *model, 1);
  for (const Field& f : fields(*model)) {
    if (f.path == "final_norm.weight") *f.tensor = Tensor::from<float>({0, 0, 0, 0}, {4});
    if (f.path == "final_norm.bias") *f.tensor = Tensor::from<float>({1, 0, 0, 0}, {4});
    if (f.path != "head.weight") continue;
    std::vector<float> rows(kVocabulary * 4, 0.5f);
    for (size_t v = 0; v < kVocabulary; ++v) rows[v * 4] = logits[v];
    *f.tensor = Tensor::from<float>(std::span<const float>(rows), {kVocabulary, 4});
  }
  return model;
}

class SamplingTest : public testing::Test {
 protected:
  // Shares of the tokens over many seeds.
  std::vector<double> shares(SamplingOptions options, int draws = 2000) {
    std::vector<double> share(kVocabulary, 0);
    for (int i = 0; i < draws; ++i) {
      options.seed = static_cast<uint64_t>(i);
      ++share[static_cast<size_t>(generator.sample(options))];
    }
    for (double& s : share) s /= draws;
    return share;
  }
  // `weights`: of the tokens that may be drawn, at a temperature of 1; the rest must not be.
  static void expect_shares(const std::vector<double>& actual, std::vector<double> weights,
                            const std::string& what, int draws = 2000) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (size_t v = 0; v < weights.size(); ++v) {
      const double p = weights[v] / total;
      // Five standard deviations of a share.
      EXPECT_NEAR(actual[v], p, 5 * std::sqrt(p * (1 - p) / draws)) << what << " token " << v;
    }
  }
  // Probabilities in order of the tokens: the likeliest is 2, then 4, 0, 5, 1, 3.
  const std::vector<double> p{0.2, 0.06, 0.4, 0.01, 0.25, 0.08};
  static std::vector<float> logarithms(const std::vector<double>& p) {
    std::vector<float> logits;
    for (const double v : p) logits.push_back(static_cast<float>(std::log(v)) + 3);
    return logits;
  }
  Runtime runtime{{.threads = 1}};
  std::unique_ptr<Transformer> model = constant_model(runtime, logarithms(p));
  Generator generator{runtime, *model, 32};
  void SetUp() override {
    const int32_t start[] = {0};
    generator.feed(start);
  }
};

TEST_F(SamplingTest, GreedyTakesTheLikeliest) {
  EXPECT_EQ(shares({.temperature = 0}, 20), (std::vector<double>{0, 0, 1, 0, 0, 0}));
}

TEST_F(SamplingTest, TemperatureOneFollowsTheProbabilities) {
  expect_shares(shares({.temperature = 1}), p, "temperature 1");
}

TEST_F(SamplingTest, TemperatureSharpensAndFlattens) {
  for (const double t : {0.5, 2.0}) {
    std::vector<double> weights;
    for (const double v : p) weights.push_back(std::pow(v, 1 / t));
    expect_shares(shares({.temperature = t}), weights, "temperature " + std::to_string(t));
  }
}

TEST_F(SamplingTest, TopKKeepsTheKLikeliest) {
  expect_shares(shares({.temperature = 1, .top_k = 3}), {0.2, 0, 0.4, 0, 0.25, 0}, "top 3");
  expect_shares(shares({.temperature = 1, .top_k = 1}, 20), {0, 0, 1, 0, 0, 0}, "top 1");
  expect_shares(shares({.temperature = 1, .top_k = 100}), p, "more than there are");
}

TEST_F(SamplingTest, TopPKeepsTheFewestThatReachP) {
  // 0.4 + 0.25 = 0.65, + 0.2 = 0.85.
  expect_shares(shares({.temperature = 1, .top_p = 0.6}), {0, 0, 0.4, 0, 0.25, 0}, "0.6");
  expect_shares(shares({.temperature = 1, .top_p = 0.7}), {0.2, 0, 0.4, 0, 0.25, 0}, "0.7");
  expect_shares(shares({.temperature = 1, .top_p = 0}, 20), {0, 0, 1, 0, 0, 0}, "0: the first");
  expect_shares(shares({.temperature = 1, .top_p = 1}), p, "1: all");
}

TEST_F(SamplingTest, MinPKeepsThoseLikelyBesideTheFirst) {
  // 0.4 * 0.3 = 0.12; 0.4 * 0.18 = 0.072.
  expect_shares(shares({.temperature = 1, .min_p = 0.3}), {0.2, 0, 0.4, 0, 0.25, 0}, "0.3");
  expect_shares(shares({.temperature = 1, .min_p = 0.18}), {0.2, 0, 0.4, 0, 0.25, 0.08}, "0.18");
}

TEST_F(SamplingTest, AllTogether) {
  // top-k keeps 2, 4, 0, 5; top-p of 0.9 too; min-p of 0.3 drops 5.
  expect_shares(shares({.temperature = 1, .top_k = 4, .top_p = 0.9, .min_p = 0.3}),
                {0.2, 0, 0.4, 0, 0.25, 0}, "together");
  // Of the two that top-k keeps the first has 0.4 / 0.65 = 0.62, enough for 0.6.
  expect_shares(shares({.temperature = 1, .top_k = 2, .top_p = 0.6}, 20), {0, 0, 1, 0, 0, 0},
                "top-p of what top-k leaves");
}

TEST_F(SamplingTest, ASeedAndAPositionGiveOneToken) {
  const SamplingOptions options{.temperature = 1, .seed = 4};
  const int32_t first = generator.sample(options);
  EXPECT_EQ(generator.sample(options), first);
  // Positions draw different numbers: 20 equal tokens have a chance below 1e-7.
  std::map<int32_t, int> seen;
  for (int i = 0; i < 20; ++i) {
    const int32_t next = generator.sample(options);
    ++seen[next];
    generator.feed(std::span(&next, 1));
  }
  EXPECT_GT(seen.size(), 1u);
}

class GeneratorTest : public testing::Test {
 protected:
  GeneratorTest() {
    TransformerConfig c;
    c.vocabulary = 20;
    c.context = 512;
    c.layers = 2;
    c.heads = 4;
    c.kv_heads = 2;
    c.width = 16;
    c.head_width = 4;
    c.hidden = 24;
    c.initial_deviation = 0.3;
    model = std::make_unique<Transformer>(c);
    initialize(runtime, *model, 3);
    for (int32_t i = 0; i < 150; ++i) ids.push_back((i * 7 + i / 5) % 20);
  }
  Runtime runtime{{.threads = 1}};
  std::unique_ptr<Transformer> model;
  std::vector<int32_t> ids;
};

// 150 tokens are three chunks, the last with padding; any other cut gives the same bits, and so
// does one pass over all of them.
TEST_F(GeneratorTest, PrefillInAnyPiecesIsTheWholePass) {
  const auto all = full_logits(runtime, *model, ids).to_vector<float>();
  const std::vector<float> expected(all.end() - 20, all.end());
  Generator generator(runtime, *model, 200);
  for (const std::vector<size_t>& pieces :
       {std::vector<size_t>{150}, {1, 149}, {63, 1, 1, 64, 21}, {149, 1}}) {
    generator.reset();
    size_t at = 0;
    for (const size_t n : pieces) {
      generator.feed(std::span(ids).subspan(at, n));
      at += n;
    }
    EXPECT_EQ(generator.length(), 150);
    EXPECT_EQ(generator.logits().to_vector<float>(), expected) << pieces.size();
  }
}

TEST_F(GeneratorTest, AThousandTokensMakeNoNewPlan) {
  Generator generator(runtime, *model, 1200);
  // Temperature, the other options and the seed are data.
  const auto one = [&](int i) {
    const int32_t next = generator.sample(
        {.temperature = 0.5 + 0.001 * i, .top_k = 1 + i % 7, .seed = static_cast<uint64_t>(i)});
    generator.feed(std::span(&next, 1));
  };
  generator.feed(ids);
  one(0);
  const RuntimeStats before = runtime.stats();
  for (int i = 1; i <= 1000; ++i) one(i);
  EXPECT_EQ(runtime.stats().plans_made, before.plans_made);
  EXPECT_EQ(runtime.stats().schedules_made, before.schedules_made);
  EXPECT_EQ(generator.length(), 1151);
}

// What is prepared is all that feeding needs; only what is kept of the weights is computed for it.
TEST_F(GeneratorTest, PreparedItMakesNoPlanAnyMore) {
  for (const size_t tokens : {size_t{1}, size_t{2}, size_t{64}, size_t{65}, size_t{150}}) {
    Runtime fresh({.threads = 1});
    Generator generator(fresh, *model, 200);
    const RuntimeStats before = fresh.stats();
    generator.prepare(tokens);
    const RuntimeStats prepared = fresh.stats();
    EXPECT_GT(prepared.plans_made, before.plans_made);
    generator.feed(std::span(ids).first(tokens));
    EXPECT_EQ(fresh.stats().plans_made, prepared.plans_made) << tokens;
    EXPECT_EQ(fresh.stats().executions - prepared.executions,
              static_cast<int64_t>(tokens + 63) / 64);
  }
}

TEST_F(GeneratorTest, MistakesNameTheNumbers) {
  Generator generator(runtime, *model, 10);
  EXPECT_THROW(generator.sample({}), Error);
  const auto message = [&](std::vector<int32_t> tokens) -> std::string {
    try {
      generator.feed(tokens);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(message({1, 2, 20}).find("token 20 is not in the model's vocabulary of 20"),
            std::string::npos);
  EXPECT_NE(message({-1}).find("token -1"), std::string::npos);
  EXPECT_NE(message(std::vector<int32_t>(11, 1)).find("0 tokens and 11 more"), std::string::npos);
  EXPECT_EQ(generator.length(), 0);
}

}  // namespace
}  // namespace cairn
