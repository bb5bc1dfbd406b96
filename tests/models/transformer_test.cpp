// The transformer as a module: names of its fields, initial weights, a cache against the whole
// pass, documents that do not see each other, dropout.
#include "cairn/models/transformer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/random.h"
#include "tests/support/checked_runtime.h"

namespace cairn {
namespace {

TransformerConfig config(const std::string& family) {
  TransformerConfig c;
  c.family = family;
  c.vocabulary = 11;
  c.context = 12;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = family == "llama" ? 2 : 4;
  c.width = 16;
  c.head_width = 4;
  c.hidden = 24;
  if (family == "gpt") {
    c.norm = NormKind::layer;
    c.rotary = std::nullopt;
    c.activation = ActivationKind::gelu_tanh;
    c.gated = false;
    c.qkv_biases = c.output_bias = c.feed_forward_biases = true;
  }
  c.tied = family == "gpt";
  return c;
}

class TransformerTest : public testing::TestWithParam<const char*> {
 protected:
  TransformerTest() : model(config(GetParam())) { initialize(runtime, model, 7); }
  std::vector<float> values(const Tensor& t) { return eval(runtime, t).to_vector<float>(); }
  Runtime runtime{test::checked({.threads = 1})};
  Transformer model;
  const Tensor ids =
      Tensor::from<int32_t>({3, 1, 4, 1, 5, 9, 2, 6, 5, 10, 2, 7, 1, 8, 2, 8, 0, 8}, {2, 9});
};

TEST_P(TransformerTest, ACacheGivesTheSameBitsAsTheWholePass) {
  Context ctx;
  const auto whole = values(model.hidden(ctx, ids));
  const std::vector<std::vector<int64_t>> cuts = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {0, 5, 7, 9}};
  for (const auto& cut : cuts) {
    std::vector<KvCache> cache = model.empty_cache(2, 10);
    std::vector<Tensor> parts;
    for (size_t i = 0; i + 1 < cut.size(); ++i)
      parts.push_back(model.hidden(ctx, slice_axis(ids, 1, cut[i], cut[i + 1]), &cache));
    EXPECT_EQ(values(concatenate(parts, 1)), whole) << cut.size();
    for (const KvCache& layer : cache) EXPECT_EQ(eval(runtime, layer.length).item<int>(), 9);
  }
}

TEST_P(TransformerTest, ADocumentDoesNotSeeTheOneBeforeIt) {
  Context ctx;
  const Tensor segments =
      Tensor::from<int32_t>({0, 0, 0, 1, 1, 1, 1, 1, 1, 4, 4, 4, 4, 5, 5, 5, 5, 5}, {2, 9});
  const auto before = values(model.hidden(ctx, ids, nullptr, segments));
  // Another token in the first document of each row.
  const Tensor changed = where(equal(segments, 0), 8, where(equal(segments, 4), 8, ids));
  const auto after = values(model.hidden(ctx, changed, nullptr, segments));
  const auto row = [](int64_t r, int64_t t) { return static_cast<size_t>((r * 9 + t) * 16); };
  for (int64_t r = 0; r < 2; ++r)
    for (int64_t t = 0; t < 9; ++t) {
      const bool second = t >= (r == 0 ? 3 : 4);
      const bool equal_bits = std::equal(before.begin() + static_cast<int64_t>(row(r, t)),
                                         before.begin() + static_cast<int64_t>(row(r, t)) + 16,
                                         after.begin() + static_cast<int64_t>(row(r, t)));
      EXPECT_EQ(equal_bits, second) << r << " " << t;
    }
}

TEST_P(TransformerTest, DropoutActsInTrainingAndFollowsItsKey) {
  TransformerConfig c = config(GetParam());
  c.dropout = 0.5;
  Transformer dropping(c);
  initialize(runtime, dropping, 7);
  const auto run = [&](bool training, uint64_t seed) {
    Context ctx;
    ctx.training = training;
    ctx.key = random_key(seed);
    return values(dropping.hidden(ctx, ids));
  };
  Context ctx;
  EXPECT_EQ(run(false, 1), values(model.hidden(ctx, ids)));
  EXPECT_EQ(run(true, 1), run(true, 1));
  EXPECT_NE(run(true, 1), run(true, 2));
  EXPECT_NE(run(true, 1), run(false, 1));
}

INSTANTIATE_TEST_SUITE_P(Families, TransformerTest, testing::Values("gpt", "llama"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Transformer, FieldsAndTheirNames) {
  const auto paths = [](const TransformerConfig& c) {
    TransformerConfig one = c;
    one.layers = 1;
    Transformer model(one);
    std::vector<std::string> list;
    for (const Field& f : fields(model)) {
      EXPECT_EQ(f.kind, FieldKind::parameter);
      list.push_back(f.path);
    }
    return list;
  };
  EXPECT_EQ(
      paths(config("llama")),
      (std::vector<std::string>{
          "tokens.weight", "blocks.0.attention_norm.weight", "blocks.0.attention.query.weight",
          "blocks.0.attention.key.weight", "blocks.0.attention.value.weight",
          "blocks.0.attention.output.weight", "blocks.0.feed_forward_norm.weight",
          "blocks.0.feed_forward.gate.weight", "blocks.0.feed_forward.up.weight",
          "blocks.0.feed_forward.down.weight", "final_norm.weight", "head.weight"}));
  EXPECT_EQ(paths(config("gpt")), (std::vector<std::string>{"tokens.weight",
                                                            "positions.weight",
                                                            "blocks.0.attention_norm.weight",
                                                            "blocks.0.attention_norm.bias",
                                                            "blocks.0.attention.query.weight",
                                                            "blocks.0.attention.query.bias",
                                                            "blocks.0.attention.key.weight",
                                                            "blocks.0.attention.key.bias",
                                                            "blocks.0.attention.value.weight",
                                                            "blocks.0.attention.value.bias",
                                                            "blocks.0.attention.output.weight",
                                                            "blocks.0.attention.output.bias",
                                                            "blocks.0.feed_forward_norm.weight",
                                                            "blocks.0.feed_forward_norm.bias",
                                                            "blocks.0.feed_forward.up.weight",
                                                            "blocks.0.feed_forward.up.bias",
                                                            "blocks.0.feed_forward.down.weight",
                                                            "blocks.0.feed_forward.down.bias",
                                                            "final_norm.weight",
                                                            "final_norm.bias"}));
}

TEST(Transformer, InitialWeights) {
  TransformerConfig c = config("gpt");
  c.width = 64;
  c.head_width = 16;
  c.hidden = 256;
  c.layers = 8;
  Transformer model(c);
  Runtime runtime(test::checked({.threads = 1}));
  initialize(runtime, model, 1);
  for (const Field& f : fields(model)) {
    const std::vector<float> x = f.tensor->to_vector<float>();
    if (f.tensor->rank() == 1) {
      for (const float v : x) ASSERT_EQ(v, f.path.ends_with("bias") ? 0 : 1) << f.path;
      continue;
    }
    const bool is_added = f.path.ends_with("output.weight") || f.path.ends_with("down.weight");
    const double deviation = is_added ? 0.02 / 4 : 0.02;  // 4: the root of 2 x 8 parts
    double squares = 0;
    for (const float v : x) squares += v * v;
    const auto n = static_cast<double>(x.size());
    // A normal distribution's variance: five standard deviations of the statistic.
    EXPECT_NEAR(squares / n / deviation / deviation, 1, 5 * std::sqrt(2 / n)) << f.path;
  }
}

TEST(Transformer, MistakesNameTheKey) {
  const auto message = [](auto change) -> std::string {
    TransformerConfig c = config("llama");
    change(c);
    try {
      const Transformer model(c);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(message([](auto& c) { c.kv_heads = 3; }).find("model.kv_heads (3)"), std::string::npos);
  EXPECT_NE(message([](auto& c) { c.layers = 0; }).find("model.layers is 0"), std::string::npos);
  EXPECT_NE(message([](auto& c) { c.head_width = 3; }).find("must be even"), std::string::npos);
  Transformer model(config("gpt"));
  Context ctx;
  EXPECT_THROW(model.hidden(ctx, zeros({1, 13}, DType::i32)), Error);
  EXPECT_THROW(model.hidden(ctx, zeros({5}, DType::i32)), Error);
}

}  // namespace
}  // namespace cairn
