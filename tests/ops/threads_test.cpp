// Tensors large enough that every kernel divides its work: the same bits on 1, 2, 3 and 8 threads,
// launched one by one or as a plan.
#include <gtest/gtest.h>

#include <cstring>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/quantize.h"
#include "cairn/ops/random.h"
#include "cairn/ops/reduce.h"
#include "cairn/runtime/runtime.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/same_values.h"

namespace cairn {
namespace {

struct Large {
  const char* name;
  std::vector<Tensor> outputs;
};

std::vector<Large> large_cases(Runtime& runtime) {
  const Tensor key = random_key(5);
  const auto leaf = [&](const Tensor& t) { return eval(runtime, t); };
  const Tensor x = leaf(normal(key, {301, 503}));  // odd sizes, 150,000 elements
  const Tensor y = leaf(normal(fold_in(key, 1), {301, 503}));
  const Tensor narrow = leaf(cast(x, DType::bf16));
  const Tensor columns = leaf(normal(fold_in(key, 2), {503, 97}));
  const Tensor rows = leaf(random_integers(fold_in(key, 3), {4096}, 0, 301));
  const Tensor images = leaf(normal(fold_in(key, 4), {3, 8, 33, 31}));
  const Tensor filters = leaf(normal(fold_in(key, 5), {12, 4, 3, 3}));
  const Tensor bytes = leaf(quantize(slice_axis(x, 1, 0, 480), "q8_0"));
  ConvolutionOptions grouped;
  grouped.groups = 2;
  grouped.padding = {1};
  return {
      {"elementwise",
       {exp(x), x * y, less(x, y), where(x < y, x, 0.0), power(abs(x), y), cast(x, DType::i8)}},
      {"narrow elementwise", {gelu(narrow), narrow + narrow}},
      {"reductions",
       {sum(x), sum(x, {0}), sum(x, {1}), max(x, {0}), prod(x, {1}), sum(narrow), mean(x, {0, 1})}},
      {"reductions of three axes",
       {sum(reshape(x, {7, 43, 503}), {1}), sum(reshape(x, {7, 43, 503}), {0, 2})}},
      {"running", {cumsum(x, 0), cumsum(x, 1), cummax(x, 1, true), logcumsumexp(x, 1)}},
      {"order", {sort(x, 0), argsort(x, 1, true), argmax(x, 0), top_k(x, 9).second}},
      {"products",
       {matmul(x, columns), matmul(transpose(x), y), matmul(narrow, cast(columns, DType::bf16))}},
      {"batched products", {matmul(reshape(x, {7, 43, 503}), broadcast_to(columns, {7, 503, 97}))}},
      {"convolutions",
       {convolution(images, filters, {}, grouped), max_pool(images, {3}), avg_pool(images, {2})}},
      {"movement",
       {transpose(x), flip(x), slice(x, {Slice{{}, {}, 3}, Slice{{}, {}, -2}}), tiled(x, {2, 1}),
        roll(x, 100, 1)}},
      {"padding",
       {pad(x, {3, 5}, {1, 0}, 2.0), concatenate(std::vector<Tensor>{x, y}, 1),
        broadcast_to(expand_dims(x, 0), {2, 301, 503})}},
      {"indexing",
       {take(x, rows), take_along_axis(x, argsort(y, 1), 1), index_add(x, rows, 1.0),
        index_set(x, rows, 2.0),
        index_add(zeros({2000}), random_integers(key, {50000}, 0, 2000), 0.1)}},
      {"random",
       {normal(key, {100001}), uniform(key, {100001}, DType::f64), permutation(key, 5000)}},
      {"quantized", {bytes + 0, dequantize(bytes, "q8_0")}},
      {"softmax and norms", {softmax(x), layer_norm(narrow), log_softmax(x, 0)}},
  };
}

TEST(Threads, GiveTheSameBits) {
  Runtime one(test::checked({"", 1}));
  std::vector<std::unique_ptr<Runtime>> others;
  for (const int threads : {2, 3, 8})
    others.push_back(std::make_unique<Runtime>(RuntimeOptions{"", threads}));
  for (const Large& c : large_cases(one)) {
    const auto expected = eval(one, c.outputs);
    const auto compare = [&](const std::vector<Tensor>& got, const std::string& how) {
      for (size_t i = 0; i < expected.size(); ++i) {
        const HostArray a = got[i].host(), b = expected[i].host();
        EXPECT_TRUE(test::same_values(a, b)) << c.name << " output " << i << " " << how;
      }
    };
    EvalOptions eager;
    eager.eager = true;
    compare(eval(one, c.outputs, eager), "eager");
    for (const auto& other : others) {
      compare(eval(*other, c.outputs), std::to_string(other->pool().threads()) + " threads");
      compare(eval(*other, c.outputs, eager),
              std::to_string(other->pool().threads()) + " threads, eager");
    }
  }
}

}  // namespace
}  // namespace cairn
