// Names of the families' tensors.
#include "cairn/models/families.h"

#include <fmt/format.h>

#include "cairn/models/field_name.h"

namespace cairn {
namespace {

FilePlace gpt2_place(const TransformerConfig& c, const FieldName& f) {
  if (f.module == "tokens") return {"transformer.wte.weight"};
  if (f.module == "positions") return {"transformer.wpe.weight"};
  if (f.module == "final_norm") return {"transformer.ln_f." + f.leaf};
  if (f.module == "head") return {"lm_head.weight"};
  const std::string block = fmt::format("transformer.h.{}.", f.block);
  if (f.module == "attention_norm") return {block + "ln_1." + f.leaf};
  if (f.module == "feed_forward_norm") return {block + "ln_2." + f.leaf};
  // GPT-2 keeps matrices as [in, out].
  const bool transposed = f.leaf == "weight";
  const char* const joined[] = {"attention.query", "attention.key", "attention.value"};
  for (int i = 0; i < 3; ++i)
    if (f.module == joined[i])
      return {block + "attn.c_attn." + f.leaf, transposed, i * c.width, 3 * c.width};
  if (f.module == "attention.output") return {block + "attn.c_proj." + f.leaf, transposed};
  if (f.module == "feed_forward.up") return {block + "mlp.c_fc." + f.leaf, transposed};
  return {block + "mlp.c_proj." + f.leaf, transposed};
}

// Phi-3 keeps queries, keys and values in one tensor, and gate and up.
FilePlace phi3_place(const TransformerConfig& c, const FieldName& f, const std::string& block) {
  const int64_t heads = c.heads * c.head_width, kv = c.kv_heads * c.head_width;
  const std::pair<const char*, int64_t> joined[] = {
      {"attention.query", 0}, {"attention.key", heads}, {"attention.value", heads + kv}};
  for (const auto& [module, first] : joined)
    if (f.module == module)
      return {block + "self_attn.qkv_proj." + f.leaf, false, first, heads + 2 * kv};
  if (f.module == "feed_forward.gate" || f.module == "feed_forward.up")
    return {block + "mlp.gate_up_proj." + f.leaf, false, f.module.ends_with("up") ? c.hidden : 0,
            2 * c.hidden};
  return {};
}

FilePlace llama_place(const TransformerConfig& c, const FieldName& f, const std::string& prefix) {
  if (f.module == "tokens") return {prefix + "embed_tokens.weight"};
  if (f.module == "head") return {"lm_head.weight"};
  // Gemma keeps how far the weights of its norms are from 1.
  const bool is_norm = f.module.find("norm") != std::string::npos;
  const double added = is_norm && c.family.starts_with("gemma") ? 1 : 0;
  if (f.module == "final_norm") return {prefix + "norm." + f.leaf, false, 0, 0, added};
  const std::string block = fmt::format("{}layers.{}.", prefix, f.block);
  if (c.family == "phi3")
    if (FilePlace place = phi3_place(c, f, block); !place.name.empty()) return place;
  // Where norms stand before a part only, the second one has the name of a place after the first.
  const bool is_before = c.norm_place == NormPlace::before;
  const std::pair<std::string_view, const char*> modules[] = {
      {"attention_norm", "input_layernorm"},
      {"attention_post_norm", "post_attention_layernorm"},
      {"feed_forward_norm", is_before ? "post_attention_layernorm" : "pre_feedforward_layernorm"},
      {"feed_forward_post_norm", "post_feedforward_layernorm"},
      {"attention.query_norm", "self_attn.q_norm"},
      {"attention.key_norm", "self_attn.k_norm"},
      {"attention.query", "self_attn.q_proj"},
      {"attention.key", "self_attn.k_proj"},
      {"attention.value", "self_attn.v_proj"},
      {"attention.output", "self_attn.o_proj"},
      {"feed_forward.gate", "mlp.gate_proj"},
      {"feed_forward.up", "mlp.up_proj"},
      {"feed_forward.down", "mlp.down_proj"}};
  for (const auto& [ours, theirs] : modules)
    if (f.module == ours) return {block + theirs + "." + f.leaf, false, 0, 0, added};
  // StableLM: a norm for each head.
  const std::pair<std::string_view, const char*> each[] = {
      {"attention.query_norm.", "self_attn.q_layernorm."},
      {"attention.key_norm.", "self_attn.k_layernorm."}};
  for (const auto& [ours, theirs] : each)
    if (f.module.starts_with(ours))
      return {block + theirs + f.module.substr(ours.size()) + "." + f.leaf};
  throw InternalError(fmt::format("{} has no module '{}'", c.family, f.module));
}

}  // namespace

NameMap hf_names(const TransformerConfig& config, const std::string& prefix) {
  return [config, prefix](const std::string& path) {
    const FieldName field(path);
    return config.family == "gpt" ? gpt2_place(config, field) : llama_place(config, field, prefix);
  };
}

}  // namespace cairn
