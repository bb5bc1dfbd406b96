// Tensors without elements go through every function that allows them, and give the right shape.
#include <gtest/gtest.h>

#include <cmath>

#include "cairn/cairn.h"
#include "tests/support/checked_runtime.h"

namespace cairn {
namespace {

struct Row {
  const char* name;
  Tensor result;
  Shape shape;
};

TEST(Empty, GivesTheShape) {
  Runtime runtime(test::checked({"ref", 2}));
  const auto leaf = [](Shape shape, DType dtype = DType::f32) {
    return Tensor(HostArray(dtype, shape));
  };
  const Tensor none = leaf({0}), rows = leaf({0, 3}), columns = leaf({3, 0}),
               whole = leaf({0, 3}, DType::i32);
  const Tensor three = Tensor::from<float>({1, 2, 3}, {3});
  const Tensor indices = leaf({0}, DType::i32);
  const Tensor key = random_key(1);
  const AttentionResult no_keys =
      attention(zeros({1, 2, 3, 4}), leaf({1, 2, 0, 4}), leaf({1, 2, 0, 5}));
  const AttentionResult no_queries =
      attention(leaf({1, 2, 0, 4}), zeros({1, 2, 3, 4}), zeros({1, 2, 3, 5}), {.causal = true});
  const std::vector<Row> table = {
      {"exp", exp(none), {0}},
      {"add", none + 1.0, {0}},
      {"broadcast", rows + three, {0, 3}},
      {"where", where(rows > 0.0, rows, 1.0), {0, 3}},
      {"cast", cast(rows, DType::i8), {0, 3}},
      {"sum of rows", sum(rows, {1}), {0}},
      {"sum of columns", sum(rows, {0}), {3}},
      {"mean", mean(columns, {0}), {0}},
      {"argmax", argmax(rows, 1), {0}},
      {"cumsum", cumsum(rows, 0), {0, 3}},
      {"logcumsumexp", logcumsumexp(none), {0}},
      {"sort", sort(none), {0}},
      {"argsort", argsort(columns, 0), {3, 0}},
      {"top_k", top_k(three, 0).first, {0}},
      {"unique", unique(whole, 2).inverse, {0, 3}},
      {"reshape", reshape(rows, {3, 0, 2}), {3, 0, 2}},
      {"transpose", transpose(rows), {3, 0}},
      {"flip", flip(rows), {0, 3}},
      {"slice", slice(three, {Slice{1, 1}}), {0}},
      {"split", split(rows, 2)[1], {0, 3}},
      {"concatenate", concatenate(std::vector<Tensor>{rows, rows}), {0, 3}},
      {"stack", stack(std::vector<Tensor>{none, none}), {2, 0}},
      {"pad", pad(none, {1}, {2}, 5.0), {3}},
      {"tile", tile(three, {0}), {0}},
      {"repeat", repeat(three, 0, 0), {0}},
      {"roll", roll(none, 3, 0), {0}},
      {"diagonal", diagonal(rows), {0}},
      {"diag", diag(none), {0, 0}},
      {"tril", tril(rows), {0, 3}},
      {"eye", eye(0), {0, 0}},
      {"one_hot", one_hot(indices, 4), {0, 4}},
      {"take", take(three, indices), {0}},
      {"take nothing from nothing", take(none, indices), {0}},
      {"take_along_axis", take_along_axis(rows, whole, 1), {0, 3}},
      {"index_add", index_add(three, indices, none), {3}},
      {"put_along_axis", put_along_axis(rows, whole, rows, 0), {0, 3}},
      {"matmul of no rows", matmul(rows, zeros({3, 2})), {0, 2}},
      {"matmul of no columns", matmul(zeros({2, 3}), columns), {2, 0}},
      {"matmul of no sum", matmul(columns, rows), {3, 3}},
      {"matmul of a batch", matmul(leaf({2, 0, 3}), zeros({3, 4})), {2, 0, 4}},
      {"grouped_matmul", grouped_matmul(rows, zeros({2, 3, 4}), zeros({2}, DType::i32)), {0, 4}},
      {"einsum", einsum("ij,jk->ik", {columns, rows}), {3, 3}},
      {"outer", outer(none, three), {0, 3}},
      {"convolution of nothing", convolution(leaf({0, 2, 5}), zeros({3, 2, 2})), {0, 3, 4}},
      {"convolution without channels", convolution(leaf({1, 0, 5}), leaf({3, 0, 2})), {1, 3, 4}},
      {"max_pool", max_pool(leaf({0, 2, 4}), {2}), {0, 2, 2}},
      {"avg_pool", avg_pool(leaf({2, 0, 4}), {2}), {2, 0, 2}},
      {"softmax", softmax(rows), {0, 3}},
      {"softmax of no classes", softmax(columns), {3, 0}},
      {"log_softmax of no classes", log_softmax(columns), {3, 0}},
      {"layer_norm", layer_norm(rows), {0, 3}},
      {"group_norm", group_norm(leaf({0, 4, 2}), 2), {0, 4, 2}},
      {"attention without keys", no_keys.out, {1, 2, 3, 5}},
      {"attention without queries", no_queries.out, {1, 2, 0, 5}},
      {"rotary_embedding", rotary_embedding(leaf({0, 4}), indices), {0, 4}},
      {"cross_entropy", cross_entropy(rows, indices, {.reduction = Reduction::sum}), {}},
      {"uniform", uniform(key, {0, 2}), {0, 2}},
      {"permutation", permutation(key, 0), {0}},
      {"quantize", quantize(leaf({0, 32}), "q8_0"), {0, 34}},
      {"dequantize", dequantize(leaf({2, 0}, DType::u8), "q4_0"), {2, 0}},
      {"scan",
       scan({three}, {rows}, [](auto c, auto r) { return Step{{c[0] + r[0]}, {r[0]}}; }).stacked[0],
       {0, 3}},
  };
  for (const Row& row : table) {
    EXPECT_EQ(to_string(row.result.shape()), to_string(row.shape)) << row.name;
    EXPECT_EQ(to_string(eval(runtime, row.result).shape()), to_string(row.shape)) << row.name;
  }
  for (float x : eval(runtime, matmul(columns, rows)).to_vector<float>()) EXPECT_EQ(x, 0);
  for (float x : eval(runtime, no_keys.out).to_vector<float>()) EXPECT_EQ(x, 0);
  for (float x : eval(runtime, pad(none, {1}, {2}, 5.0)).to_vector<float>()) EXPECT_EQ(x, 5);
  EXPECT_TRUE(std::isnan(eval(runtime, cross_entropy(rows, indices)).item<double>()));
  EXPECT_EQ(eval(runtime, unique(whole, 2).count).item<int>(), 0);
}

// And their gradients.
TEST(Empty, GradientsHaveTheShape) {
  Runtime runtime(test::checked({"ref", 1}));
  const Tensor rows(HostArray(DType::f32, {0, 3}));
  const auto gradient = [&](auto f) { return to_string(eval(runtime, grad(f)(rows)).shape()); };
  EXPECT_EQ(gradient([](Tensor x) { return sum(x * x); }), "[0,3]");
  EXPECT_EQ(gradient([](Tensor x) { return sum(softmax(x)); }), "[0,3]");
  EXPECT_EQ(gradient([](Tensor x) { return sum(matmul(x, ones({3, 2}))); }), "[0,3]");
  EXPECT_EQ(gradient([](Tensor x) { return sum(cumsum(x, 0)); }), "[0,3]");
  EXPECT_EQ(gradient([](Tensor x) { return sum(sort(x, 0)); }), "[0,3]");
}

}  // namespace
}  // namespace cairn
