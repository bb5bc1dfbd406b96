#include "cairn/models/families.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cairn/base/names.h"

namespace cairn {
namespace {

using Json = nlohmann::ordered_json;

// Reads keys of a JSON object with the right type, collecting the first complaint.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}
  int64_t integer(const char* key, std::optional<int64_t> otherwise = std::nullopt) {
    return read<int64_t>(key, otherwise, &Json::is_number_integer, "a whole number");
  }
  double number(const char* key, std::optional<double> otherwise = std::nullopt) {
    return read<double>(key, otherwise, &Json::is_number, "a number");
  }
  bool flag(const char* key, bool otherwise) {
    return read<bool>(key, otherwise, &Json::is_boolean, "true or false");
  }
  std::string text(const char* key, std::optional<std::string> otherwise = std::nullopt) {
    return read<std::string>(key, otherwise, &Json::is_string, "text");
  }
  void require(bool condition, const std::string& complaint) {
    if (!condition && !error_) error_ = Error(complaint);
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  template <class T>
  T read(const char* key, const std::optional<T>& otherwise, bool (Json::*is)() const noexcept,
         const char* kind) {
    const auto found = json_.find(key);
    if (found == json_.end() || found->is_null()) {
      require(otherwise.has_value(), fmt::format("config.json has no key '{}'", key));
      return otherwise.value_or(T{});
    }
    if (!((*found).*is)()) {
      require(false, fmt::format("config.json: '{}' must be {}", key, kind));
      return otherwise.value_or(T{});
    }
    return found->get<T>();
  }
  const Json& json_;
  std::optional<Error> error_;
};

TransformerConfig read_gpt2(Reader& r) {
  TransformerConfig c;
  c.family = "gpt";
  c.vocabulary = r.integer("vocab_size");
  c.context = r.integer("n_positions", r.integer("n_ctx", 1024));
  c.layers = r.integer("n_layer");
  c.heads = c.kv_heads = r.integer("n_head");
  c.width = r.integer("n_embd");
  c.head_width = c.heads > 0 ? c.width / c.heads : 0;
  constexpr int64_t kMost = int64_t{1} << 60;  // check() says what a width may be
  c.hidden = r.integer("n_inner", 4 * std::clamp<int64_t>(c.width, 0, kMost));
  c.norm = NormKind::layer;
  c.norm_epsilon = r.number("layer_norm_epsilon", 1e-5);
  c.position = PositionKind::learned;
  const std::string activation = r.text("activation_function", "gelu_new");
  r.require(
      activation == "gelu_new" || activation == "gelu" || activation == "gelu_pytorch_tanh",
      fmt::format("config.json: activation_function '{}' is not gelu_new or gelu", activation));
  c.activation = activation == "gelu" ? ActivationKind::gelu : ActivationKind::gelu_tanh;
  c.biases = true;
  c.tied = r.flag("tie_word_embeddings", true);
  return c;
}

TransformerConfig read_llama(Reader& r, const Json& json) {
  TransformerConfig c;
  c.family = "llama";
  c.vocabulary = r.integer("vocab_size");
  c.context = r.integer("max_position_embeddings", 2048);
  c.layers = r.integer("num_hidden_layers");
  c.heads = r.integer("num_attention_heads");
  c.kv_heads = r.integer("num_key_value_heads", c.heads);
  c.width = r.integer("hidden_size");
  c.head_width = r.integer("head_dim", c.heads > 0 ? c.width / c.heads : 0);
  c.hidden = r.integer("intermediate_size");
  c.norm_epsilon = r.number("rms_norm_eps", 1e-6);
  c.rope_theta = r.number("rope_theta", 10000);
  // Newer files keep the rotary parameters in an object of their own.
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_object()) continue;
    Reader inner(*found);
    c.rope_theta = inner.number("rope_theta", c.rope_theta);
    const std::string type = inner.text("rope_type", inner.text("type", "default"));
    r.require(type == "default",
              fmt::format("config.json: rope type '{}' is read by a later version; only plain "
                          "rotary positions are supported",
                          type));
    if (inner.error()) r.require(false, inner.error()->what());
  }
  const std::string activation = r.text("hidden_act", "silu");
  r.require(activation == "silu",
            fmt::format("config.json: hidden_act '{}' is not silu", activation));
  r.require(!r.flag("attention_bias", false) && !r.flag("mlp_bias", false),
            "config.json: biases in a llama are read by a later version");
  c.tied = r.flag("tie_word_embeddings", false);
  return c;
}

// "blocks.3.attention.query.weight" → {3, "attention.query", "weight"}; block -1 for the rest.
struct FieldName {
  int block = -1;
  std::string module, leaf;
  explicit FieldName(std::string path) {
    if (path.rfind("blocks.", 0) == 0) {
      const size_t dot = path.find('.', 7);
      block = std::stoi(path.substr(7, dot - 7));
      path = path.substr(dot + 1);
    }
    const size_t dot = path.rfind('.');
    module = path.substr(0, dot);
    leaf = path.substr(dot + 1);
  }
};

FilePlace gpt2_place(const std::string& path) {
  const FieldName f(path);
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
    if (f.module == joined[i]) return {block + "attn.c_attn." + f.leaf, transposed, i, 3};
  if (f.module == "attention.output") return {block + "attn.c_proj." + f.leaf, transposed};
  if (f.module == "feed_forward.up") return {block + "mlp.c_fc." + f.leaf, transposed};
  return {block + "mlp.c_proj." + f.leaf, transposed};
}

FilePlace llama_place(const std::string& path) {
  const FieldName f(path);
  if (f.module == "tokens") return {"model.embed_tokens.weight"};
  if (f.module == "final_norm") return {"model.norm.weight"};
  if (f.module == "head") return {"lm_head.weight"};
  const std::string block = fmt::format("model.layers.{}.", f.block);
  static const std::pair<const char*, const char*> kModules[] = {
      {"attention_norm", "input_layernorm"},   {"feed_forward_norm", "post_attention_layernorm"},
      {"attention.query", "self_attn.q_proj"}, {"attention.key", "self_attn.k_proj"},
      {"attention.value", "self_attn.v_proj"}, {"attention.output", "self_attn.o_proj"},
      {"feed_forward.gate", "mlp.gate_proj"},  {"feed_forward.up", "mlp.up_proj"},
      {"feed_forward.down", "mlp.down_proj"}};
  for (const auto& [ours, theirs] : kModules)
    if (f.module == ours) return {block + theirs + "." + f.leaf};
  throw InternalError(fmt::format("llama has no field '{}'", path));
}

}  // namespace

Result<TransformerConfig> parse_hf_config(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return Error("config.json is not a JSON object");
  Reader r(json);
  const std::string type = r.text("model_type");
  if (r.error()) return *r.error();
  TransformerConfig config;
  if (type == "gpt2") {
    config = read_gpt2(r);
  } else if (type == "llama") {
    config = read_llama(r, json);
  } else {
    const std::string known[] = {"gpt2", "llama"};
    return Error(
        fmt::format("config.json: model_type '{}' cannot be run; {}", type, suggest(type, known)));
  }
  if (r.error()) return *r.error();
  try {
    check(config);
  } catch (const Error& e) {
    return Error(fmt::format("config.json: {}", e.what()));
  }
  return config;
}

std::string to_hf_config(const TransformerConfig& c, int bos, int eos) {
  Json j;
  if (c.family == "gpt") {
    j = {{"architectures", {"GPT2LMHeadModel"}},
         {"model_type", "gpt2"},
         {"vocab_size", c.vocabulary},
         {"n_positions", c.context},
         {"n_embd", c.width},
         {"n_layer", c.layers},
         {"n_head", c.heads},
         {"n_inner", c.hidden},
         {"activation_function", c.activation == ActivationKind::gelu ? "gelu" : "gelu_new"},
         {"layer_norm_epsilon", c.norm_epsilon},
         {"resid_pdrop", c.dropout},
         {"embd_pdrop", c.dropout},
         {"attn_pdrop", 0.0}};
  } else {
    j = {{"architectures", {"LlamaForCausalLM"}},
         {"model_type", "llama"},
         {"vocab_size", c.vocabulary},
         {"max_position_embeddings", c.context},
         {"hidden_size", c.width},
         {"intermediate_size", c.hidden},
         {"num_hidden_layers", c.layers},
         {"num_attention_heads", c.heads},
         {"num_key_value_heads", c.kv_heads},
         {"head_dim", c.head_width},
         {"hidden_act", "silu"},
         {"rms_norm_eps", c.norm_epsilon},
         {"rope_theta", c.rope_theta},
         {"attention_bias", false},
         {"mlp_bias", false}};
  }
  j["tie_word_embeddings"] = c.tied;
  j["bos_token_id"] = bos < 0 ? Json() : Json(bos);
  j["eos_token_id"] = eos < 0 ? Json() : Json(eos);
  j["torch_dtype"] = "float32";
  return j.dump(2) + "\n";
}

NameMap hf_names(const TransformerConfig& config) {
  return config.family == "gpt" ? NameMap(gpt2_place) : NameMap(llama_place);
}

}  // namespace cairn
