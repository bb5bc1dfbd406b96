// Decoding: plans, memory and the state's address over a long conversation.
#include <gtest/gtest.h>

#include "cairn/models/generate.h"
#include "tests/support/checked_runtime.h"

namespace cairn {
namespace {

// What varies from token to token is data: one plan for prompts, one for decoding, one for
// sampling.
TEST(Decode, AThousandTokensArePlannedOnce) {
  Runtime runtime(test::checked({.threads = 1}));
  TransformerConfig c;
  c.family = "llama";
  c.vocabulary = 17;
  c.context = 1100;
  c.layers = 1;
  c.heads = 2;
  c.kv_heads = 1;
  c.width = 8;
  c.head_width = 4;
  c.hidden = 12;
  Transformer model(c);
  initialize(runtime, model, 3);
  Generator generator(runtime, model, 1100);
  const std::vector<int32_t> prompt{1, 5, 9, 2};
  generator.feed(prompt);
  const auto step = [&](int i) {
    const int32_t token = generator.sample(
        {.temperature = 0.5 + 0.001 * i, .top_k = 1 + i % 7, .seed = static_cast<uint64_t>(i)});
    generator.feed({&token, 1});
  };
  step(0);
  const RuntimeStats before = runtime.stats();
  for (int i = 1; i <= 1000; ++i) step(i);
  EXPECT_EQ(runtime.stats().plans_made, before.plans_made);
  EXPECT_EQ(runtime.stats().schedules_made, before.schedules_made);
  EXPECT_EQ(generator.length(), 1005);
}

}  // namespace
}  // namespace cairn
