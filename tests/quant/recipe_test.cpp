#include "cairn/quant/recipe.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cairn/core/block_format.h"

namespace cairn {
namespace {

std::string format(const char* recipe, const std::string& tensor, ModelFacts facts = {.layers = 32},
                   std::vector<int64_t> shape = {512, 256}) {
  return std::string(format_for(*find_recipe(recipe), tensor, shape, facts).value_or("kept"));
}

TEST(Recipe, NamesAndFormatsExist) {
  EXPECT_EQ(find_recipe("q4_k_m"), find_recipe("Q4_K_M"));
  EXPECT_EQ(find_recipe("Q4_K"), nullptr) << "a format, not a recipe";
  EXPECT_EQ(file_type(*find_recipe("Q4_K_M")), 15u);
  const ModelFacts facts[] = {{.layers = 32}, {.layers = 32, .heads_per_kv_head = 4}};
  for (const std::string_view recipe : recipe_names()) {
    EXPECT_EQ(find_block_format(recipe), nullptr);
    for (const ModelFacts& f : facts)
      for (const char* part : {"attn_v", "attn_qkv", "attn_output", "ffn_down", "ffn_up"})
        for (int layer = 0; layer < 32; ++layer) {
          const auto chosen = format(std::string(recipe).c_str(),
                                     "blk." + std::to_string(layer) + "." + part + ".weight", f);
          EXPECT_NE(find_block_format(chosen), nullptr) << recipe << " " << part;
        }
  }
}

// What llama.cpp's quantizer gives for a Llama of 32 layers: layers 0 to 3 and 28 to 31, and
// between them 6, 9, 12, ... have more bits.
TEST(Recipe, MoreBitsWhereItMatters) {
  for (const char* part : {"attn_v", "ffn_down"}) {
    std::string more;
    for (int layer = 0; layer < 32; ++layer) {
      const auto chosen = format("Q4_K_M", "blk." + std::to_string(layer) + "." + part + ".weight");
      EXPECT_TRUE(chosen == "q6_k" || chosen == "q4_k");
      if (chosen == "q6_k") more += std::to_string(layer) + " ";
    }
    EXPECT_EQ(more, "0 1 2 3 6 9 12 15 18 21 24 27 28 29 30 31 ") << part;
  }
  EXPECT_EQ(format("Q4_K_M", "blk.0.attn_q.weight"), "q4_k");
  EXPECT_EQ(format("Q4_K_M", "output.weight"), "q6_k");
  EXPECT_EQ(format("Q4_K_M", "token_embd.weight"), "q4_k");
  EXPECT_EQ(format("Q4_K_M", "token_embd.weight", {.layers = 32, .tied_embeddings = true}), "q6_k");
  EXPECT_EQ(format("Q4_K_S", "blk.3.attn_v.weight"), "q5_k");
  EXPECT_EQ(format("Q4_K_S", "blk.4.attn_v.weight"), "q4_k");
  EXPECT_EQ(format("Q3_K_M", "blk.1.ffn_down.weight"), "q5_k");
  EXPECT_EQ(format("Q3_K_M", "blk.2.ffn_down.weight"), "q4_k");
  EXPECT_EQ(format("Q3_K_M", "blk.2.ffn_down_exps.weight"), "q4_k");
  EXPECT_EQ(format("Q2_K_M", "blk.9.attn_v.weight"), "q3_k");
  EXPECT_EQ(format("Q2_K_M", "blk.9.attn_v.weight", {.layers = 32, .heads_per_kv_head = 8}),
            "q4_k");
  EXPECT_EQ(format("Q5_K_S", "blk.0.ffn_down.weight"), "q5_k");
}

TEST(Recipe, KeepsVectorsNormsAndRouters) {
  for (const char* tensor : {"blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight",
                             "position_embd.weight", "blk.0.attn_q.bias"})
    EXPECT_EQ(format("Q4_K_M", tensor), "kept");
  EXPECT_EQ(format("Q4_K_M", "blk.0.attn_q.weight", {.layers = 32}, {256}), "kept");
}

TEST(Recipe, OneTypeIsForEveryMatrix) {
  const std::vector<int64_t> matrix = {512, 90}, vector = {512};
  const TypeChoice choice{nullptr, "q8_0"};
  for (const char* tensor : {"blk.0.attn_q.weight", "output.weight", "position_embd.weight"})
    EXPECT_EQ(type_for(choice, tensor, matrix, {}), "q8_0");
  EXPECT_EQ(type_for(choice, "blk.0.attn_q.weight", vector, {}), std::nullopt);
  EXPECT_EQ(type_for({find_recipe("Q4_K_M"), {}}, "output.weight", matrix, {}), "q6_k");
}

TEST(Recipe, RowsThatABlockDoesNotDivide) {
  EXPECT_EQ(type_that_divides("q4_k", 512), "q4_k");
  EXPECT_EQ(type_that_divides("q4_k", 96), "q5_0");
  EXPECT_EQ(type_that_divides("q2_k", 96), "q4_0");
  EXPECT_EQ(type_that_divides("q6_k", 96), "q8_0");
  EXPECT_EQ(type_that_divides("iq4_xs", 96), "iq4_nl");
  EXPECT_EQ(type_that_divides("q8_0", 96), "q8_0");
  EXPECT_EQ(type_that_divides("q8_0", 90), "f16");
  EXPECT_EQ(type_that_divides("q4_k", 90), "f16");
  EXPECT_EQ(type_that_divides("bf16", 90), "bf16");
  for (const BlockFormat& format : block_formats())
    EXPECT_NE(type_that_divides(format.name, 32), "f16") << format.name;
}

}  // namespace
}  // namespace cairn
