// A caller's mistakes: every message names the operation, what does not fit, and the line of the
// program. The helpers of operand.h by value.
#include <gtest/gtest.h>

#include "cairn/cairn.h"
#include "tests/support/checked_runtime.h"

namespace cairn {
namespace {

Tensor f32(Shape shape) { return zeros(shape); }

struct Mistake {
  const char* operation;
  const char* text;  // what the message must contain
  std::function<void()> call;
};

TEST(Errors, NameTheOperationAndTheLine) {
  const Tensor x = f32({2, 3}), y = f32({4, 5}), key = random_key(1);
  const Tensor f8 = cast(x, DType::f8e4m3), flags = cast(x, DType::b8), whole = cast(x, DType::i32);
  const std::vector<Mistake> mistakes = {
      {"add", "[2,3] [4,5] do not broadcast: axis 0", [&] { add(x, y); }},
      {"add", "8-bit floats", [&] { (void)(f8 + x); }},
      {"exp", "8-bit floats", [&] { exp(f8); }},
      {"softmax", "8-bit floats", [&] { softmax(f8); }},
      {"negate", "takes numbers, not bool", [&] { negate(flags); }},
      {"bitwise_and", "takes integers or bool, not f32", [&] { bitwise_and(x, 1); }},
      {"reshape", "6 elements do not fill shape [4]", [&] { reshape(x, {4}); }},
      {"reshape", "6 elements do not fill shape [4,-1]", [&] { reshape(x, {4, -1}); }},
      {"reshape", "more than one size of [-1,-1] is -1", [&] { reshape(x, {-1, -1}); }},
      {"exp2", "8-bit floats", [&] { exp2(f8); }},
      {"uniform", "draws f64, f32, f16 or bf16, not i32", [&] { uniform(key, {4}, DType::i32); }},
      {"uniform", "the range 5..-5 is empty", [&] { uniform(key, {4}, DType::f32, 5, -5); }},
      {"normal", "not f8e4m3", [&] { normal(key, {4}, DType::f8e4m3); }},
      {"bernoulli", "probability 2 is not between 0 and 1", [&] { bernoulli(key, 2, {4}); }},
      {"one_hot", "takes integers, not f32", [&] { one_hot(x, 3); }},
      {"convolution", "the window 5 is larger than axis 2 of [1,2,3]",
       [&] { convolution(f32({1, 2, 3}), f32({1, 2, 5})); }},
      {"convolution", "is less than 0",
       [&] { convolution(f32({1, 2, 9}), f32({1, 2, 5}), {}, {.padding = {-1}}); }},
      {"squeeze", "axis 0 of [2,3] is not of size 1", [&] { squeeze(x, {0}); }},
      {"transpose", "must name every axis once", [&] { transpose(x, {1}); }},
      {"moveaxis", "axis 2 is out of range for 2 dimensions", [&] { moveaxis(x, 2, 0); }},
      {"slice", "index 2 is out of range for axis 0 of size 2", [&] { slice(x, {2}); }},
      {"slice", "the step cannot be 0", [&] { slice(x, {Slice{0, 1, 0}}); }},
      {"slice", "3 indices for a tensor of shape [2,3]", [&] { slice(x, {0, 0, 0}); }},
      {"concatenate", "sizes differ outside axis 0",
       [&] { concatenate(std::vector<Tensor>{x, y}); }},
      {"split", "axis 1 of [2,3] does not divide into 2 equal parts", [&] { split(x, 2, 1); }},
      {"split_sizes", "sizes add up to 2, axis 1 has 3",
       [&] { split_sizes(x, std::vector<int64_t>{1, 1}, 1); }},
      {"pad", "width 3 does not fit axis 1 of size 3",
       [&] { pad(x, {0, 3}, {0, 0}, PadMode::reflect); }},
      {"sum", "axis 2 is out of range", [&] { sum(x, {2}); }},
      {"sum", "axis -2 is named twice", [&] { sum(x, {0, -2}); }},
      {"max", "axis 0 of [0,3] has no elements", [&] { max(f32({0, 3})); }},
      {"norm", "order 3 is not 1, 2 or inf", [&] { norm(x, 3); }},
      {"top_k", "k=4 is not between 0", [&] { top_k(x, 4); }},
      {"unique", "size 0 is not at least 1", [&] { unique(x, 0); }},
      {"matmul", "inner dimensions differ: [2,3] x [4,5]", [&] { matmul(x, y); }},
      {"matmul", "use multiply for scalars", [&] { matmul(x, 2.0); }},
      {"dot", "takes two vectors", [&] { dot(x, x); }},
      {"tensordot", "axes=3 does not fit", [&] { tensordot(x, x, 3); }},
      {"tensordot", "have different sizes", [&] { tensordot(x, y, {0}, {0}); }},
      {"einsum", "has 1 terms, 2 operands", [&] { einsum("ij", {x, x}); }},
      {"einsum", "does not have the axes of its term", [&] { einsum("ijk->i", {x}); }},
      {"einsum", "an axis of operand 1 has size 4, another of that label has 3",
       [&] { einsum("ij,jk->ik", {x, y}); }},
      {"einsum", "the output has a label that no operand has", [&] { einsum("ij->k", {x}); }},
      {"einsum", "the output has a label twice", [&] { einsum("ij->ii", {x}); }},
      {"einsum", "'?' is not a letter", [&] { einsum("i?->i", {x}); }},
      {"einsum", "lacks the operands' '...'", [&] { einsum("i...->i", {x}); }},
      {"einsum", "more than one '->'", [&] { einsum("ij->i->j", {x}); }},
      {"einsum", "an axis of operand 0 has size 3", [&] { einsum("ii->i", {x}); }},
      {"einsum", "have sizes 1 and 3", [&] { einsum("ii->i", {f32({1, 3})}); }},
      {"convolution", "takes x[N, C, S...]", [&] { convolution(x, x); }},
      {"convolution", "channels do not fit groups=1",
       [&] { convolution(f32({1, 2, 5}), f32({1, 3, 2})); }},
      {"convolution", "stride [1,2] needs one number",
       [&] { convolution(f32({1, 2, 5}), f32({1, 2, 2}), {}, {.stride = {1, 2}}); }},
      {"convolution", "the bias [3] must have one number per output channel (1)",
       [&] { convolution(f32({1, 2, 5}), f32({1, 2, 2}), f32({3})); }},
      {"conv_transpose", "3 input channels do not divide into 2 groups",
       [&] { conv_transpose(f32({1, 3, 5}), f32({3, 3, 2}), {}, {.groups = 2}); }},
      {"max_pool", "padding at most half the kernel",
       [&] { max_pool(f32({1, 1, 5}), {2}, {.padding = {2}}); }},
      {"avg_pool", "the window 6 is larger than axis 2", [&] { avg_pool(f32({1, 1, 5}), {6}); }},
      {"take", "indices are integers, not f32", [&] { take(x, x); }},
      {"take_along_axis", "need the rank of x",
       [&] { take_along_axis(x, cast(f32({2}), DType::i32), 0); }},
      {"take", "in gather: axis 0 of x has no elements", [&] { take(f32({0, 3}), 0); }},
      {"embedding", "in take: indices are integers", [&] { embedding(x, x); }},
      {"layer_norm", "in multiply: shapes [2,3] [5] do not broadcast",
       [&] { layer_norm(x, f32({5})); }},
      {"linspace", "in iota: shape [-1] has a negative size", [&] { linspace(0, 1, -1); }},
      {"eye", "in iota", [&] { eye(-2); }},
      {"zeros", "in full: shape [-1] has a negative size", [&] { zeros({-1}); }},
      {"permutation", "in random_bits: the key is u32", [&] { permutation(x, 3); }},
      {"argsort", "axis 2 is out of range", [&] { argsort(x, 2); }},
      {"index_set", "axis 3 is out of range", [&] { index_set(x, 0, 1, 3); }},
      {"arange", "the step cannot be 0", [&] { arange(0, 1, 0); }},
      {"group_norm", "3 channels do not divide into 2 groups", [&] { group_norm(x, 2); }},
      {"layer_norm", "the last 3 axes of [2,3]", [&] { layer_norm(x, {}, {}, 1e-5, 3); }},
      {"rotary_embedding", "the width 3 is odd", [&] { rotary_embedding(x, arange(2)); }},
      {"attention", "do not fit [batch, heads, tokens, width]",
       [&] { attention(f32({1, 3, 2, 4}), f32({1, 2, 2, 4}), f32({1, 2, 2, 4})); }},
      {"dropout", "the probability 1.5 is not in [0, 1)", [&] { dropout(x, 1.5, key); }},
      {"uniform", "in random_bits: the key is u32[..., 2]", [&] { uniform(x, {3}); }},
      {"cross_entropy", "need integers of shape [2], not f32[2,3]", [&] { cross_entropy(x, x); }},
      {"kl_div", "batch_mean needs a first axis",
       [&] { kl_div(f32({}), f32({}), false, Reduction::batch_mean); }},
      {"huber_loss", "delta 0 is not above 0", [&] { huber_loss(x, x, 0); }},
      {"quantize", "multiple of the block of 32 elements of q8_0", [&] { quantize(x, "q8_0"); }},
      {"quantize", "'q9' is not a block format", [&] { quantize(x, "q9"); }},
      {"dequantize", "takes bytes (u8)", [&] { dequantize(x, "q8_0"); }},
      {"cond", "the branches give 1 and 2 tensors",
       [&] {
         cond(
             true, [&] { return std::vector<Tensor>{x}; },
             [&] { return std::vector<Tensor>{x, x}; });
       }},
      {"cond", "result 0 of the branches is f32[2,3] and f32[4,5]",
       [&] { cond(true, [&] { return x; }, [&] { return y; }); }},
      {"loop", "set LoopOptions::max",
       [&] { fori(whole, x, [](const Tensor&, const Tensor& v) { return v; }); }},
      {"loop", "carried value 0 comes in as f32[2,3] and goes out as f32[2,6]",
       [&] {
         fori(2, x, [](const Tensor&, const Tensor& v) {
           return concatenate(std::vector<Tensor>{v, v}, 1);
         });
       }},
      {"scan", "nothing is scanned",
       [&] { scan({x}, {}, [](auto c, auto) { return Step{{c[0]}}; }); }},
      {"custom", "needs a fallback", [&] { custom({.name = "mine", .fallback = nullptr}); }},
      {"all_gather", "axis 2 is out of range", [&] { all_gather(x, {"data", 2}, 2); }},
      {"reduce_scatter", "does not divide among 2 ranks",
       [&] { reduce_scatter(x, {"data", 2}, 1); }},
  };
  for (const Mistake& m : mistakes) {
    try {
      m.call();
      ADD_FAILURE() << m.operation << ": no error, expected " << m.text;
    } catch (const Error& e) {
      const std::string text = e.what();
      EXPECT_EQ(text.rfind("[" + std::string(m.operation) + "] ", 0), 0u) << text;
      EXPECT_NE(text.find(m.text), std::string::npos) << text;
      // A definition is data.
      if (std::string_view(m.operation) != "custom") {
        EXPECT_NE(text.find("errors_test.cpp:"), std::string::npos) << text;
      }
    }
  }
}

// A handle that was moved from keeps its name; it is not taken for a number.
TEST(Errors, EmptyHandles) {
  Tensor w = Tensor::from<float>({1, 2}, {2}).named("w");
  const Tensor kept = std::move(w);
  // NOLINTBEGIN(bugprone-use-after-move): what the test is about.
  for (const std::function<void()>& use : std::initializer_list<std::function<void()>>{
           [&] { add(w, 1.0); }, [&] { sum(w); }, [&] { reshape(w, {1}); },
           [&] { matmul(kept, w); }}) {
    // NOLINTEND(bugprone-use-after-move)
    try {
      use();
      FAIL();
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("tensor 'w' is empty"), std::string::npos) << e.what();
    }
  }
}

TEST(OperandHelpers, Broadcasting) {
  const Shape shapes[] = {{3, 1, 5}, {4, 1}, {}};
  EXPECT_EQ(broadcast_shapes("test", shapes), (Shape{3, 4, 5}));
  const Shape empty[] = {{1, 3}, {0, 1}};
  EXPECT_EQ(broadcast_shapes("test", empty), (Shape{0, 3}));
  const Operand operands[] = {f32({2, 1}), 2, cast(f32({3}), DType::f16)};
  for (const Tensor& t : broadcast_together("test", operands))
    EXPECT_EQ(to_string(t.type()), "f32[2,3]");
  EXPECT_EQ(normalize_axis("test", -1, 3), 2);
  EXPECT_EQ(normalize_axes("test", {-1, 0}, 3), (Ints{0, 2}));
  EXPECT_EQ(normalize_axes("test", {}, 2), (Ints{0, 1}));
}

TEST(OperandHelpers, MeshAxesJoin) {
  const MeshAxis data{"data", 2}, model{"model", 2};
  const Tensor x = f32({2});
  EXPECT_EQ(to_string(vary(x, data).type()), "f32[2]{data}");
  EXPECT_EQ(vary(vary(x, data), data).type().varying.size(), 1u);
  EXPECT_EQ(to_string((vary(x, data) + vary(x, model)).type()), "f32[2]{data,model}");
  std::vector<Tensor> both{vary(x, data), x};
  vary_together(both);
  EXPECT_EQ(both[1].type(), both[0].type());
  EXPECT_EQ(to_string(all_reduce(vary(x, data), data).type()), "f32[2]");
  EXPECT_EQ(to_string(all_reduce_mean(x, data).type()), "f32[2]");
  EXPECT_EQ(to_string(all_gather(x, data).type()), "f32[4]{data}");
  EXPECT_EQ(to_string(all_gather(x, data, 0, true).type()), "f32[4]");
}

// A body sees what it captures; what is built before it is computed once, outside.
TEST(Control, BranchesOwnWhatTheyBuild) {
  Runtime runtime(test::checked({"", 1}));
  const Tensor x = Tensor::from<float>({3}, {1}), zero = Tensor::from<int32_t>({9}, {});
  // The branch that is not taken would report an index out of range.
  const Tensor y =
      cond(false, [&] { return take(x, zero) * 2.0; }, [&] { return slice(x, {0}) + 1.0; });
  EXPECT_EQ(eval(runtime, y).item<float>(), 4);
  EXPECT_EQ(y.node().op(), Op::cond);
  const Tensor shared = exp(x);
  const Tensor z = cond(true, [&] { return shared + 1.0; }, [&] { return shared; });
  EXPECT_EQ(z.node().inputs().size(), 2u);  // the condition and exp(x)
  // Branches that give what they were given.
  const Tensor w = cond(true, [&] { return x; }, [&] { return x * 0.0; });
  EXPECT_EQ(eval(runtime, w).item<float>(), 3);
  // One inside the other.
  const Tensor inner = cond(
      true, [&] { return cond(false, [&] { return x; }, [&] { return x * 5.0; }); },
      [&] { return x; });
  EXPECT_EQ(eval(runtime, inner).item<float>(), 15);
}

}  // namespace
}  // namespace cairn
