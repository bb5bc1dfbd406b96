// Recipes: which tensor of a language model is stored in which format.
//
// A recipe has a format for most matrices and rules for those that the model feels most: the head,
// values of attention, the way back out of the feed-forward. The mixes are llama.cpp's, so that a
// name means what people know it for (its Q2_K is Q2_K_M here: Q2_K is a format); names of tensors
// are GGUF's. Not in them: what llama.cpp does for models of exactly eight experts or 80 layers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cairn {

// What a recipe asks about the model.
struct ModelFacts {
  int64_t layers = 0;
  int64_t heads_per_kv_head = 1;
  bool tied_embeddings = false;  // there is no output.weight
};

struct Recipe;

std::span<const std::string_view> recipe_names();
// Null when there is none. Upper or lower case.
const Recipe* find_recipe(std::string_view name);
std::string_view name(const Recipe& recipe);
// GGUF's general.file_type.
uint32_t file_type(const Recipe& recipe);

// The BlockFormat's name for a tensor of this shape, or empty: it stays as it is (vectors, norms,
// routers, positions).
std::optional<std::string_view> format_for(const Recipe& recipe, std::string_view tensor,
                                           std::span<const int64_t> shape, const ModelFacts& facts);

// What a model's matrices are to become: those of a recipe, or one type all.
struct TypeChoice {
  const Recipe* recipe = nullptr;
  std::string_view type = {};  // where there is no recipe: of a BlockFormat or of floats ("bf16")
};
// The type for a tensor of this shape, or empty: it stays as it is. One type has no exceptions.
std::optional<std::string_view> type_for(const TypeChoice& choice, std::string_view tensor,
                                         std::span<const int64_t> shape, const ModelFacts& facts);

// The type to take where the blocks of `type` do not divide a row of that many elements: itself
// where they do, another of about as many bits with smaller blocks, or "f16".
std::string_view type_that_divides(std::string_view type, int64_t row_elements);

}  // namespace cairn
