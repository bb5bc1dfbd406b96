// Derivatives of every module with respect to its parameters and its input, in f64: vjp against
// finite differences and against jvp (tests/transforms/numeric.h has the bounds).
#include <gtest/gtest.h>

#include "cairn/nn/attention.h"
#include "cairn/nn/convolution.h"
#include "cairn/nn/feed_forward.h"
#include "cairn/nn/norms.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/random.h"
#include "tests/nn/modules.h"

namespace cairn::test {
namespace {

void check(Module& module, const Forward& forward, const Tensor& x, const std::string& what,
           bool training = false) {
  fill(module);
  const std::vector<Field> all = fields(module);
  std::vector<Tensor> args;
  for (const Field& field : all) args.push_back(*field.tensor);
  args.push_back(x);
  const TensorFunction fn = [&](std::span<const Tensor> a) {
    const Bound bound(all, a.first(all.size()));
    Context ctx;
    ctx.training = training;
    ctx.key = random_key(3);
    return std::vector<Tensor>{forward(ctx, a.back())};
  };
  check_derivatives(fn, args, what);
}

template <class M>
void check(M module, const Shape& shape, const std::string& what, bool training = false) {
  check(
      module, [&](Context& ctx, const Tensor& x) { return module.forward(ctx, x); }, input(shape),
      what, training);
}

TEST(ModuleGradients, Layers) {
  check(Linear(5, 3), {2, 4, 5}, "linear");
  check(Linear(5, 3, false), {5}, "linear of a vector");
  Embedding table(6, 3);
  const Tensor ids = Tensor::from<int32_t>({5, 0, 5, 2}, {2, 2});
  check(
      table, [&](Context& ctx, const Tensor& x) { return table.forward(ctx, ids) * x; },
      input({2, 2, 3}), "embedding");
  Dropout dropout{0.4};
  Linear one(4, 4);
  check(
      one, [&](Context& ctx, const Tensor& x) { return dropout.forward(ctx, one.forward(ctx, x)); },
      input({6, 4}), "dropout", true);
}

TEST(ModuleGradients, Norms) {
  check(LayerNorm(6), {2, 3, 6}, "layer norm");
  check(RmsNorm(6), {2, 3, 6}, "rms norm");
  check(GroupNorm(2, 4), {2, 4, 3, 2}, "group norm");
  check(GroupNorm(3, 3), {2, 3, 4}, "instance norm");
  for (const bool training : {true, false}) {
    check(BatchNorm(3), {5, 3}, "batch norm 1d", training);
    check(BatchNorm(3), {2, 3, 3, 2}, "batch norm 2d", training);
  }
}

TEST(ModuleGradients, Convolutions) {
  check(Conv1d(2, 3, 3, {.padding = {1}}), {2, 2, 5}, "conv 1d");
  check(Conv2d(4, 6, 3, {.stride = {2}, .padding = {1}, .groups = 2}), {2, 4, 5, 4}, "conv 2d");
  check(Conv2d(2, 3, 3, {.channels_last = true}, false), {1, 4, 5, 2}, "conv 2d, channels last");
  check(Conv(1, 2, {2, 1, 3}), {1, 1, 3, 2, 4}, "conv 3d");
  check(ConvTranspose1d(2, 4, 3, {.stride = {2}, .groups = 2}), {2, 2, 4}, "conv transpose 1d");
  check(ConvTranspose2d(2, 3, 3, {.stride = {2}, .padding = {1}, .output_padding = {1}}),
        {1, 2, 3, 2}, "conv transpose 2d");
}

TEST(ModuleGradients, FeedForward) {
  check(Mlp(4, 5, 3, [](Operand x) { return gelu(x); }), {2, 3, 4}, "mlp");
  check(GatedMlp(4, 6), {2, 3, 4}, "swiglu");
  check(GatedMlp(4, 6, silu, true), {4}, "swiglu with biases");
  check(OneOf<Mlp, GatedMlp>(GatedMlp(3, 5)), {2, 3}, "one of");
}

TEST(ModuleGradients, Attention) {
  const auto attend = [](const AttentionConfig& config, const AttentionOptions& options,
                         const std::string& what) {
    Attention module(config);
    check(
        module, [&](Context& ctx, const Tensor& x) { return module.forward(ctx, x, options); },
        input({2, 5, config.width}), what);
  };
  attend({.width = 6, .heads = 3}, {}, "attention");
  attend({.width = 8, .heads = 4, .kv_heads = 2, .rotary = Rotary{100}}, {.causal = true},
         "grouped and rotary");
  attend({.width = 4, .heads = 2, .kv_heads = 1, .head_width = 4, .biases = false},
         {.causal = true, .window = 2, .soft_cap = 3}, "one key head, window, soft cap");
}

// Through a cache: the second tokens' results depend on the first tokens' keys and values.
TEST(ModuleGradients, AttentionThroughACache) {
  Attention module({.width = 4, .heads = 2, .rotary = Rotary{}});
  const Tensor first = input({1, 2, 4}, 78);
  check(
      module,
      [&](Context& ctx, const Tensor& x) {
        KvCache cache = module.empty_cache(1, 6);
        module.forward(ctx, first, {.causal = true}, &cache);
        return module.forward(ctx, x, {.causal = true}, &cache);
      },
      input({1, 3, 4}), "cache");
}

}  // namespace
}  // namespace cairn::test
