// Sampling: transformers' probabilities, the draws, and what does not depend on what.
#include "cairn/llm/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>

#include "cairn/io/safetensors.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

SamplingOptions options_of(const nlohmann::json& c) {
  SamplingOptions o;
  o.temperature = c.value("temperature", 1.0);
  o.top_k = c.value("top_k", 0);
  o.typical_p = c.value("typical_p", 1.0);
  o.top_p = c.value("top_p", 1.0);
  o.min_p = c.value("min_p", 0.0);
  o.repeat_last_n = c.value("repeat_last_n", -1);
  o.repeat_penalty = c.value("repeat_penalty", 1.0);
  o.frequency_penalty = c.value("frequency_penalty", 0.0);
  o.presence_penalty = c.value("presence_penalty", 0.0);
  if (c.contains("logit_bias"))
    for (const auto& [id, bias] : c["logit_bias"].get<std::vector<std::pair<int, std::string>>>())
      o.logit_bias.emplace_back(id, std::stof(bias));
  return o;
}

TEST(Sampling, ProbabilitiesAreThoseOfTransformers) {
  const auto stem = test::golden_path("sampling/cases").string();
  const auto file = io::SafetensorsFile::open(stem + ".safetensors").value();
  std::ifstream in(stem + ".json");
  const auto cases = nlohmann::json::parse(in)["cases"];
  const HostArray logits = file.read("logits").value();
  const HostArray before = file.read("before").value();
  const auto rows = static_cast<size_t>(logits.shape()[0]);
  const auto V = static_cast<size_t>(logits.shape()[1]);
  Sampler sampler;
  ASSERT_GE(cases.size(), 30u);
  for (size_t i = 0; i < cases.size(); ++i) {
    const HostArray expected = file.read("probabilities." + std::to_string(i)).value();
    for (size_t row = 0; row < rows; ++row) {
      const auto list = sampler.candidates(logits.span<float>().subspan(row * V, V),
                                           options_of(cases[i]), before.span<int32_t>());
      double total = 0;
      for (const auto& c : list) total += c.weight;
      std::vector<double> actual(V, 0);
      for (const auto& c : list) actual[static_cast<size_t>(c.id)] = c.weight / total;
      for (size_t v = 0; v < V; ++v) {
        // Theirs are f32: scores of up to 25, rounded at each step, have errors of 25 * 2^-24 each.
        const double e = expected.at(static_cast<int64_t>(row * V + v));
        EXPECT_NEAR(actual[v], e, 1e-5 * e + 1e-12)
            << cases[i].dump() << " row " << row << ", " << v;
        EXPECT_EQ(actual[v] > 0, e > 0) << cases[i].dump() << " row " << row << ", " << v;
      }
    }
  }
}

class DrawTest : public testing::Test {
 protected:
  // Shares of the tokens over many seeds.
  std::vector<double> shares(SamplingOptions options, int draws = 2000) {
    std::vector<double> share(p.size(), 0);
    for (int i = 0; i < draws; ++i) {
      options.seed = static_cast<uint64_t>(i);
      ++share[static_cast<size_t>(sampler.sample(logits, options, before))];
    }
    for (double& s : share) s /= draws;
    return share;
  }
  // `weights`: of the tokens that may be drawn, the rest must not be.
  static void expect_shares(const std::vector<double>& actual, const std::vector<double>& weights,
                            const std::string& what, int draws = 2000) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (size_t v = 0; v < weights.size(); ++v) {
      const double share = weights[v] / total;
      // Five standard deviations of a share.
      EXPECT_NEAR(actual[v], share, 5 * std::sqrt(share * (1 - share) / draws))
          << what << " token " << v;
    }
  }
  // Probabilities in order of the tokens: the likeliest is 2, then 4, 0, 5, 1, 3.
  const std::vector<double> p{0.2, 0.06, 0.4, 0.01, 0.25, 0.08};
  std::vector<float> logits = [this] {
    std::vector<float> all;
    for (const double v : p) all.push_back(static_cast<float>(std::log(v)) + 3);
    return all;
  }();
  const std::vector<int32_t> before{0};
  Sampler sampler;
};

TEST_F(DrawTest, GreedyTakesTheLikeliest) {
  EXPECT_EQ(shares({.temperature = 0}, 20), (std::vector<double>{0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(shares({.temperature = 1, .top_k = 1}, 20), (std::vector<double>{0, 0, 1, 0, 0, 0}));
  // Of equal ones the first; bias and penalties count.
  logits[4] = logits[2];
  EXPECT_EQ(shares({}, 1), (std::vector<double>{0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(shares({.logit_bias = {{2, -1}}}, 1), (std::vector<double>{0, 0, 0, 0, 1, 0}));
  const int32_t likeliest[] = {2};
  EXPECT_EQ(sampler.sample(logits, {.repeat_penalty = 1.5}, likeliest), 4);
}

TEST_F(DrawTest, FollowsTheProbabilities) {
  expect_shares(shares({.temperature = 1}), p, "temperature 1");
  for (const double t : {0.5, 2.0}) {
    std::vector<double> weights;
    for (const double v : p) weights.push_back(std::pow(v, 1 / t));
    expect_shares(shares({.temperature = t}), weights, "temperature " + std::to_string(t));
  }
  expect_shares(shares({.temperature = 1, .top_k = 3}), {0.2, 0, 0.4, 0, 0.25, 0}, "top 3");
  expect_shares(shares({.temperature = 1, .top_k = 100}), p, "more than there are");
  // 0.4 + 0.25 = 0.65, + 0.2 = 0.85.
  expect_shares(shares({.temperature = 1, .top_p = 0.7}), {0.2, 0, 0.4, 0, 0.25, 0}, "top-p");
  // Of the two that top-k keeps the first has 0.4 / 0.65 = 0.62, enough for 0.6.
  expect_shares(shares({.temperature = 1, .top_k = 2, .top_p = 0.6}, 20), {0, 0, 1, 0, 0, 0},
                "top-p of what top-k leaves");
}

TEST_F(DrawTest, ASeedAndAPositionGiveOneToken) {
  const SamplingOptions options{.temperature = 1, .seed = 4};
  // Other calls between do not matter, and neither do the tokens before, only their number.
  std::vector<int32_t> tokens;
  std::vector<int32_t> drawn;
  for (int i = 0; i < 40; ++i) {
    drawn.push_back(sampler.sample(logits, options, tokens));
    tokens.push_back(drawn.back());
  }
  for (const size_t i : {size_t{39}, size_t{3}, size_t{17}}) {
    sampler.sample(logits, {.temperature = 2, .repeat_penalty = 1.2, .seed = 9}, tokens);
    const std::vector<int32_t> others(i, 5);
    EXPECT_EQ(Sampler().sample(logits, options, others), drawn[i]);
    EXPECT_EQ(sampler.sample(logits, options, others), drawn[i]);
  }
  std::map<int32_t, int> seen;
  for (const int32_t id : drawn) ++seen[id];
  EXPECT_GT(seen.size(), 2u);
}

// One pass with a bound and a partial sort: the same as sorting everything.
TEST(Sampling, TopKOfManyTiesIsTheSortedPrefix) {
  std::vector<float> scores(5000);
  for (size_t i = 0; i < scores.size(); ++i)
    scores[i] = static_cast<float>((i * 7919) % 61) - (i % 3 == 0 ? 100.f : 0.f);
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  Sampler sampler;
  for (const int k : {1, 2, 40, 61, 700, 2500, 4999}) {
    const auto list = sampler.candidates(scores, {.temperature = 1, .top_k = k}, {});
    std::vector<int32_t> ids;
    for (const auto& c : list) ids.push_back(c.id);
    std::vector<int32_t> expected(order.begin(), order.begin() + k);
    std::sort(ids.begin(), ids.end());
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(ids, expected) << k;
  }
  // A share that takes several steps of the partial sort: all tokens weigh the same.
  const std::vector<float> flat(5000, 1.5f);
  const auto half = sampler.candidates(flat, {.temperature = 1, .top_p = 0.5}, {});
  ASSERT_EQ(half.size(), 2500u);
  for (const auto& c : half) EXPECT_LT(c.id, 2500);
}

TEST(Sampling, ForbiddenTokensAreNeverDrawn) {
  const float none = -std::numeric_limits<float>::infinity();
  const std::vector<float> logits{none, 1, none, 0.5f, none};
  Sampler sampler;
  for (uint64_t seed = 0; seed < 50; ++seed)
    for (const SamplingOptions& o :
         {SamplingOptions{.temperature = 5, .seed = seed},
          SamplingOptions{.temperature = 5, .top_k = 4, .seed = seed},
          SamplingOptions{.temperature = 5, .typical_p = 0.99, .top_p = 0.99, .seed = seed}}) {
      const int32_t id = sampler.sample(logits, o, {});
      EXPECT_TRUE(id == 1 || id == 3) << id;
    }
}

TEST(Sampling, MistakesAreNamed) {
  const auto mistake = [](const SamplingOptions& o) -> std::string {
    const Status status = check_sampling(o, 10);
    return status ? "" : status.error().what();
  };
  const double nan = std::nan("");
  EXPECT_EQ(mistake({}), "");
  EXPECT_NE(mistake({.temperature = -1}).find("temperature"), std::string::npos);
  EXPECT_NE(mistake({.temperature = nan}).find("temperature"), std::string::npos);
  EXPECT_NE(mistake({.top_k = -1}).find("top-k"), std::string::npos);
  EXPECT_NE(mistake({.typical_p = 0}).find("typical-p"), std::string::npos);
  EXPECT_NE(mistake({.top_p = 1.5}).find("top-p"), std::string::npos);
  EXPECT_NE(mistake({.min_p = nan}).find("min-p"), std::string::npos);
  EXPECT_NE(mistake({.repeat_last_n = -2}).find("repeat-last-n"), std::string::npos);
  EXPECT_NE(mistake({.repeat_penalty = 0}).find("repeat-penalty"), std::string::npos);
  EXPECT_NE(mistake({.frequency_penalty = nan}).find("frequency-penalty"), std::string::npos);
  EXPECT_NE(mistake({.presence_penalty = nan}).find("presence-penalty"), std::string::npos);
  EXPECT_NE(mistake({.logit_bias = {{10, 1}}}).find("token 10, and the vocabulary has 10"),
            std::string::npos);
  EXPECT_NE(mistake({.logit_bias = {{1, std::numeric_limits<float>::infinity()}}}).find("finite"),
            std::string::npos);
  // Scores that are none.
  Sampler sampler;
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {std::nanf(""), inf})
    for (const size_t at : {size_t{0}, size_t{17}, size_t{36}})
      for (const double temperature : {0.0, 1.0}) {
        std::vector<float> logits(37, 0.f);
        logits[at] = bad;
        EXPECT_THROW(sampler.sample(logits, {.temperature = temperature}, {}), Error);
      }
  EXPECT_THROW(sampler.sample(std::vector<float>(5, -inf), {}, {}), Error);
}

}  // namespace
}  // namespace cairn
