#include "cairn/quant/recipe.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "cairn/core/block_format.h"

namespace cairn {
namespace {

// Kinds of tensors that rules name, by a part of their names.
enum class Role : uint8_t { attention_v, attention_qkv, attention_output, ffn_down };
constexpr std::string_view kParts[] = {"attn_v.weight", "attn_qkv.weight", "attn_output.weight",
                                       "ffn_down"};  // ffn_down_exps too

// Which layers a rule is for, of all of them.
enum class Layers : uint8_t {
  all,
  first_two,
  first_four,
  first_sixteenth,
  first_eighth,
  outer_and_every_third  // the first and last eighth, and every third between them
};

enum class When : uint8_t { always, grouped_heads };

// The first rule that holds counts.
struct Rule {
  Role role;
  std::string_view format;
  Layers layers = Layers::all;
  When when = When::always;  // grouped_heads: four or more query heads share keys
};

constexpr size_t kMostRules = 6;

}  // namespace

struct Recipe {
  std::string_view name;
  uint32_t file_type;
  std::string_view format;
  std::array<std::optional<Rule>, kMostRules> rules = {};
};

namespace {

constexpr Recipe kRecipes[] = {
    {"Q2_K_S",
     21,
     "q2_k",
     {Rule{Role::attention_v, "q4_k", Layers::all, When::grouped_heads},
      Rule{Role::ffn_down, "q4_k", Layers::first_eighth}}},
    {"Q2_K_M",
     10,
     "q2_k",
     {Rule{Role::attention_v, "q4_k", Layers::all, When::grouped_heads},
      Rule{Role::attention_v, "q3_k"}, Rule{Role::attention_output, "q3_k"},
      Rule{Role::ffn_down, "q3_k"}}},
    {"Q3_K_S", 11, "q3_k"},
    {"Q3_K_M",
     12,
     "q3_k",
     {Rule{Role::attention_v, "q5_k", Layers::first_two}, Rule{Role::attention_v, "q4_k"},
      Rule{Role::attention_qkv, "q4_k"}, Rule{Role::attention_output, "q4_k"},
      Rule{Role::ffn_down, "q5_k", Layers::first_sixteenth}, Rule{Role::ffn_down, "q4_k"}}},
    {"Q3_K_L",
     13,
     "q3_k",
     {Rule{Role::attention_v, "q5_k"}, Rule{Role::attention_qkv, "q4_k"},
      Rule{Role::attention_output, "q5_k"}, Rule{Role::ffn_down, "q5_k"}}},
    {"Q4_K_S",
     14,
     "q4_k",
     {Rule{Role::attention_v, "q5_k", Layers::first_four},
      Rule{Role::ffn_down, "q5_k", Layers::first_eighth}}},
    {"Q4_K_M",
     15,
     "q4_k",
     {Rule{Role::attention_v, "q6_k", Layers::outer_and_every_third},
      Rule{Role::attention_qkv, "q5_k"},
      Rule{Role::ffn_down, "q6_k", Layers::outer_and_every_third}}},
    {"Q5_K_S", 16, "q5_k"},
    {"Q5_K_M",
     17,
     "q5_k",
     {Rule{Role::attention_v, "q6_k", Layers::outer_and_every_third},
      Rule{Role::attention_qkv, "q6_k"},
      Rule{Role::ffn_down, "q6_k", Layers::outer_and_every_third}}},
};

constexpr auto kNames = [] {
  std::array<std::string_view, std::size(kRecipes)> names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = kRecipes[i].name;
  return names;
}();

constexpr std::string_view kHead = "output.weight";
constexpr std::string_view kEmbedding = "token_embd.weight";
// Matrices of which a few wrong bits cost more than all their bytes are worth.
constexpr std::string_view kKept[] = {"_norm.weight",     "ffn_gate_inp", "position_embd",
                                      "token_types",      "ssm_conv1d",   "shortconv.conv",
                                      "attn_rel_b.weight"};

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

// N of "blk.N.", or -1.
int64_t layer_of(std::string_view tensor) {
  constexpr std::string_view kPrefix = "blk.";
  if (!tensor.starts_with(kPrefix)) return -1;
  int64_t layer = -1;
  const char* begin = tensor.data() + kPrefix.size();
  const auto [end, failure] = std::from_chars(begin, tensor.data() + tensor.size(), layer);
  return failure == std::errc() && end > begin ? layer : -1;
}

bool holds(Layers layers, int64_t layer, int64_t count) {
  switch (layers) {
    case Layers::all: return true;
    case Layers::first_two: return layer < 2;
    case Layers::first_four: return layer < 4;
    case Layers::first_sixteenth: return layer < count / 16;
    case Layers::first_eighth: return layer < count / 8;
    case Layers::outer_and_every_third: break;
  }
  const int64_t eighth = count / 8;
  return layer < eighth || layer >= 7 * count / 8 || (layer - eighth) % 3 == 2;
}

bool holds(When when, const ModelFacts& facts) {
  return when == When::always || facts.heads_per_kv_head >= 4;
}

}  // namespace

std::span<const std::string_view> recipe_names() { return kNames; }

const Recipe* find_recipe(std::string_view name) {
  std::string wanted(name);
  std::transform(wanted.begin(), wanted.end(), wanted.begin(), upper);
  for (const Recipe& recipe : kRecipes)
    if (recipe.name == wanted) return &recipe;
  return nullptr;
}

std::string_view name(const Recipe& recipe) { return recipe.name; }
uint32_t file_type(const Recipe& recipe) { return recipe.file_type; }

std::optional<std::string_view> format_for(const Recipe& recipe, std::string_view tensor,
                                           std::span<const int64_t> shape,
                                           const ModelFacts& facts) {
  if (shape.size() < 2 || !tensor.ends_with("weight")) return std::nullopt;
  for (const std::string_view part : kKept)
    if (tensor.find(part) != std::string_view::npos) return std::nullopt;
  if (tensor == kHead || (facts.tied_embeddings && tensor == kEmbedding)) return "q6_k";
  const int64_t layer = layer_of(tensor);
  for (const auto& rule : recipe.rules) {
    if (!rule || tensor.find(kParts[static_cast<size_t>(rule->role)]) == std::string_view::npos)
      continue;
    if (holds(rule->layers, layer, facts.layers) && holds(rule->when, facts)) return rule->format;
  }
  return recipe.format;
}

std::optional<std::string_view> type_for(const TypeChoice& choice, std::string_view tensor,
                                         std::span<const int64_t> shape, const ModelFacts& facts) {
  if (choice.recipe) return format_for(*choice.recipe, tensor, shape, facts);
  return shape.size() < 2 ? std::nullopt : std::optional(choice.type);
}

std::string_view type_that_divides(std::string_view type, int64_t row_elements) {
  constexpr std::pair<std::string_view, std::string_view> kSmaller[] = {
      {"q2_k", "q4_0"}, {"q3_k", "q4_0"}, {"q4_k", "q5_0"},
      {"q5_k", "q5_1"}, {"q6_k", "q8_0"}, {"iq4_xs", "iq4_nl"}};
  const auto divides = [row_elements](std::string_view name) {
    const BlockFormat* format = find_block_format(name);
    return !format || row_elements % format->block_elements == 0;
  };
  if (divides(type)) return type;
  for (const auto& [large, small] : kSmaller)
    if (large == type && divides(small)) return small;
  return "f16";
}

}  // namespace cairn
