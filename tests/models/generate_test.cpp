// The generator's cache.
#include "cairn/llm/generate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

namespace cairn {
namespace {

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
  const auto one = [&](int i) {
    generator.feed(std::span(ids).subspan(static_cast<size_t>(i % 150), 1));
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
