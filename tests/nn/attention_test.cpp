// The attention module where its result is known: means over the keys that are seen, a cache
// against the whole pass, grouped heads against repeated ones.
#include "cairn/nn/attention.h"

#include <gtest/gtest.h>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "tests/nn/modules.h"

namespace cairn::test {
namespace {

// Values and output are the identity and queries 0: every key that a query sees weighs the same,
// so its result is the mean of the tokens that it sees.
Attention mean_of_seen(int64_t width) {
  Attention a({.width = width, .heads = 1, .biases = false});
  fill(a);
  std::vector<double> identity(static_cast<size_t>(width * width), 0);
  for (int64_t i = 0; i < width; ++i) identity[static_cast<size_t>(i * width + i)] = 1;
  set(a, "query.weight", std::vector<double>(identity.size(), 0));
  set(a, "value.weight", identity);
  set(a, "output.weight", identity);
  return a;
}

// Token t of each row is the number t.
constexpr int64_t kTokens = 5;
std::vector<double> means(const AttentionOptions& options) {
  Attention a = mean_of_seen(1);
  Context ctx;
  const Tensor x = leaf({0, 1, 2, 3, 4}, {1, kTokens, 1});
  return value(a.forward(ctx, x, options));
}

TEST(AttentionModule, EqualScoresGiveTheMeanOfWhatIsSeen) {
  constexpr double kRoundings = 8;  // a softmax and a sum of five terms
  expect_near(means({}), {2, 2, 2, 2, 2}, kRoundings, "all");
  expect_near(means({.causal = true}), {0, 0.5, 1, 1.5, 2}, kRoundings, "causal");
  expect_near(means({.causal = true, .window = 2}), {0, 0.5, 1.5, 2.5, 3.5}, kRoundings, "window");
  const Tensor lengths = Tensor::from<int32_t>({3}, {1});
  expect_near(means({.kv_lengths = lengths}), {1, 1, 1, 1, 1}, kRoundings, "lengths");
  const Tensor segments = Tensor::from<int32_t>({0, 0, 1, 1, 1}, {1, 5});
  AttentionOptions documents{.causal = true};
  documents.query_segments = documents.key_segments = segments;
  expect_near(means(documents), {0, 0.5, 2, 2.5, 3}, kRoundings, "documents");
  AttentionOptions masked;
  masked.mask = equal(remainder(arange(kTokens), 2), 0);  // even keys
  expect_near(means(masked), {2, 2, 2, 2, 2}, kRoundings, "mask");
}

TEST(AttentionModule, DocumentsDoNotSeeEachOther) {
  Attention a({.width = 8, .heads = 4, .kv_heads = 2, .rotary = Rotary{}});
  fill(a);
  Context ctx;
  const Tensor x = input({1, 7, 8});
  AttentionOptions options{.causal = true};
  options.query_segments = options.key_segments =
      Tensor::from<int32_t>({0, 0, 0, 1, 1, 1, 1}, {1, 7});
  const Tensor together = a.forward(ctx, x, options);
  const Tensor first = a.forward(ctx, slice_axis(x, 1, 0, 3), {.causal = true});
  const Tensor second = a.forward(ctx, slice_axis(x, 1, 3, 7), {.causal = true});
  // Rotary scores depend on distances, so positions from 3 on or from 0 on differ by rounding.
  const Tensor apart[] = {first, second};
  expect_near(value(together), value(concatenate(apart, 1)), 256);
}

class CacheTest : public testing::TestWithParam<bool> {
 protected:
  CacheTest()
      : attention({.width = 8,
                   .heads = 4,
                   .kv_heads = 2,
                   .head_width = 4,
                   .rotary = GetParam() ? std::optional(Rotary{50}) : std::nullopt}) {
    fill(attention);
  }
  // The results for x[:, from:to] after those before it.
  Tensor piece(KvCache& cache, int64_t from, int64_t to, const AttentionOptions& options) {
    const Tensor y = attention.forward(ctx, slice_axis(x, 1, from, to), options, &cache);
    const Tensor all[] = {y, cache.keys, cache.values, cache.length};
    const auto leaves = eval(runtime(), all);
    cache.keys = leaves[1];
    cache.values = leaves[2];
    cache.length = leaves[3];
    return leaves[0];
  }
  Attention attention;
  Context ctx;
  const Tensor x = input({2, 9, 8});
};

// In any cut, and with room to spare: bit for bit, since keys that are not seen add exact zeros.
TEST_P(CacheTest, DecodingEqualsTheWholePass) {
  for (const int window : {0, 3}) {
    const AttentionOptions options{.causal = true, .window = window};
    const auto whole = value(attention.forward(ctx, x, options));
    const std::vector<std::vector<int64_t>> cuts = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {0, 4, 5, 6, 9}, {0, 9}};
    for (const auto& cut : cuts) {
      KvCache cache = attention.empty_cache(2, 12);
      std::vector<Tensor> parts;
      for (size_t i = 0; i + 1 < cut.size(); ++i)
        parts.push_back(piece(cache, cut[i], cut[i + 1], options));
      EXPECT_EQ(value(concatenate(parts, 1)), whole) << window << " " << cut.size();
      EXPECT_EQ(cache.length.item<int>(), 9);
    }
  }
}

TEST_P(CacheTest, WithoutACausalMaskTheLastTokensSeeAllThatAreThere) {
  const auto whole = value(slice_axis(attention.forward(ctx, x), 1, 6, 9));
  KvCache cache = attention.empty_cache(2, 20);
  piece(cache, 0, 6, {});
  EXPECT_EQ(value(piece(cache, 6, 9, {})), whole);
}

TEST_P(CacheTest, ACopyStaysWhatItWas) {
  KvCache cache = attention.empty_cache(2, 9);
  piece(cache, 0, 4, {.causal = true});
  KvCache copy = cache;
  const auto once = value(piece(cache, 4, 9, {.causal = true}));
  piece(cache, 0, 1, {.causal = true});
  EXPECT_EQ(copy.length.item<int>(), 4);
  EXPECT_EQ(value(piece(copy, 4, 9, {.causal = true})), once);
}

INSTANTIATE_TEST_SUITE_P(Positions, CacheTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "rotary" : "none"; });

TEST(AttentionModule, GroupedHeadsAreRepeatedHeads) {
  Attention grouped({.width = 6, .heads = 6, .kv_heads = 2, .head_width = 2, .rotary = Rotary{}});
  Attention full({.width = 6, .heads = 6, .head_width = 2, .rotary = Rotary{}});
  fill(grouped);
  full.query = grouped.query;
  full.output = grouped.output;
  const auto repeated = [](const Linear& from, Linear& to) {  // each head three times
    to.weight = reshape(repeat(reshape(from.weight, {2, 2, 6}), 3, 0), {12, 6});
    to.bias = flatten(repeat(reshape(from.bias, {2, 2}), 3, 0));
  };
  repeated(grouped.key, full.key);
  repeated(grouped.value, full.value);
  Context ctx;
  const Tensor x = input({2, 5, 6});
  // The same sums of the same numbers.
  EXPECT_EQ(value(grouped.forward(ctx, x, {.causal = true})),
            value(full.forward(ctx, x, {.causal = true})));
}

TEST(AttentionModule, MistakesNameTheNumbers) {
  const auto message = [](const std::function<void()>& fn) -> std::string {
    try {
      fn();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(message([] {
              Attention({.width = 6, .heads = 4});
            }).find("a width of 6 does not divide into 4 heads"),
            std::string::npos);
  EXPECT_NE(message([] {
              Attention({.width = 8, .heads = 4, .kv_heads = 3});
            }).find("4 heads are no multiple of 3"),
            std::string::npos);
  EXPECT_NE(message([] { Attention({.width = 0, .heads = 4}); }).find("at least 1"),
            std::string::npos);
  Attention a({.width = 4, .heads = 2});
  Context ctx;
  EXPECT_NE(message([&] { a.forward(ctx, input({3, 4})); }).find("(batch, tokens, width)"),
            std::string::npos);
  KvCache cache = a.empty_cache(1, 2);
  EXPECT_NE(message([&] {
              a.forward(ctx, zeros({1, 65, 4}), {}, &cache);
            }).find("65 tokens do not fit a cache of 64"),
            std::string::npos);
}

}  // namespace
}  // namespace cairn::test
