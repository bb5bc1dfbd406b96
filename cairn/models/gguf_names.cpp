// Names of the families' tensors in GGUF files.
#include <fmt/format.h>

#include <algorithm>

#include "cairn/models/field_name.h"
#include "cairn/models/gguf_families.h"

namespace cairn {
namespace {

struct ModuleName {
  std::string_view ours, theirs;
};
constexpr ModuleName kWhole[] = {{"tokens", "token_embd"},
                                 {"positions", "position_embd"},
                                 {"final_norm", "output_norm"},
                                 {"head", "output"}};
constexpr ModuleName kOfBlock[] = {
    {"attention_norm", "attn_norm"},         {"attention_post_norm", "post_attention_norm"},
    {"feed_forward_norm", "ffn_norm"},       {"feed_forward_post_norm", "post_ffw_norm"},
    {"attention.query_norm", "attn_q_norm"}, {"attention.key_norm", "attn_k_norm"},
    {"attention.query", "attn_q"},           {"attention.key", "attn_k"},
    {"attention.value", "attn_v"},           {"attention.output", "attn_output"},
    {"feed_forward.gate", "ffn_gate"},       {"feed_forward.up", "ffn_up"},
    {"feed_forward.down", "ffn_down"}};

// GPT-2 and Phi-3 keep queries, keys and values in one tensor; Phi-3 gate and up too.
FilePlace joined_place(const TransformerConfig& c, const FieldName& f, const std::string& block) {
  const int64_t heads = c.heads * c.head_width, kv = c.kv_heads * c.head_width;
  const std::pair<const char*, int64_t> joined[] = {
      {"attention.query", 0}, {"attention.key", heads}, {"attention.value", heads + kv}};
  for (const auto& [module, first] : joined)
    if (f.module == module) return {block + "attn_qkv." + f.leaf, false, first, heads + 2 * kv};
  if (c.gated && (f.module == "feed_forward.gate" || f.module == "feed_forward.up"))
    return {block + "ffn_up." + f.leaf, false, f.module.ends_with("up") ? c.hidden : 0,
            2 * c.hidden};
  return {};
}

// The number of a head's norm: "attention.query_norm.norms.3".
std::optional<int64_t> head_norm(const FieldName& f, const std::string& norm) {
  const std::string prefix = norm + ".norms.";
  if (!f.module.starts_with(prefix)) return std::nullopt;
  return std::stoll(f.module.substr(prefix.size()));
}

FilePlace place_of(const TransformerConfig& c, const FieldName& f) {
  if (f.block < 0) {
    for (const auto& [ours, theirs] : kWhole)
      if (f.module == ours) return {fmt::format("{}.{}", theirs, f.leaf)};
    throw InternalError(fmt::format("{} has no module '{}'", c.family, f.module));
  }
  const std::string block = fmt::format("blk.{}.", f.block);
  if (c.family == "gpt" || c.family == "phi3")
    if (FilePlace place = joined_place(c, f, block); !place.name.empty()) return place;
  // StableLM: a norm for each head, which are the rows of one tensor.
  for (const bool is_query : {true, false})
    if (const auto i = head_norm(f, is_query ? "attention.query_norm" : "attention.key_norm")) {
      FilePlace place{block + (is_query ? "attn_q_norm." : "attn_k_norm.") + f.leaf};
      place.first = *i * c.head_width;
      place.total = (is_query ? c.heads : c.kv_heads) * c.head_width;
      place.as_rows = true;
      return place;
    }
  for (const auto& [ours, theirs] : kOfBlock) {
    if (f.module != ours) continue;
    FilePlace place{fmt::format("{}{}.{}", block, theirs, f.leaf)};
    // These architectures turn pairs (2i, 2i + 1) of what their files have.
    const bool is_turned = ours == "attention.query" || ours == "attention.key";
    if (is_turned && (c.family == "llama" || c.family == "mistral" || c.family == "granite") &&
        !c.rotary->interleaved) {
      place.paired_heads = ours == "attention.query" ? c.heads : c.kv_heads;
      place.paired_width = c.rotary->width ? c.rotary->width : c.head_width;
    }
    return place;
  }
  throw InternalError(fmt::format("{} has no module '{}'", c.family, f.module));
}

}  // namespace

NameMap gguf_names(const TransformerConfig& config) {
  return [config](const std::string& path) { return place_of(config, FieldName(path)); };
}

}  // namespace cairn
