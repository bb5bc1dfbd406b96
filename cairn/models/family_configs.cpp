// What each family's config.json says, as options of the one transformer, and back.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cairn/base/names.h"
#include "cairn/models/families.h"

namespace cairn {
namespace {

using Json = nlohmann::ordered_json;

// Keys of a config.json, read with the right type; the first complaint is kept.
class ConfigReader {
 public:
  // `json`, an object, outlives the reader.
  explicit ConfigReader(const Json& json) : json_(&json), error_(new std::optional<Error>) {}

  // `otherwise` where the key is missing or null; without one that is an error.
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
  // Empty where the key is missing or null.
  std::vector<double> numbers(const char* key) {
    return list<double>(key, &Json::is_number, "a list of numbers");
  }
  std::vector<std::string> texts(const char* key) {
    return list<std::string>(key, &Json::is_string, "a list of texts");
  }
  // The object at `key`, whose complaints are this one's; nothing where there is none.
  std::optional<ConfigReader> object(const char* key) const {
    const auto found = json_->find(key);
    if (found == json_->end() || !found->is_object()) return std::nullopt;
    ConfigReader inner(*found);
    inner.error_ = error_;
    return inner;
  }
  // Present, and not null.
  bool has(const char* key) const {
    const auto found = json_->find(key);
    return found != json_->end() && !found->is_null();
  }
  bool is_null(const char* key) const {
    const auto found = json_->find(key);
    return found != json_->end() && found->is_null();
  }
  void require(bool condition, const std::string& complaint) {
    if (!condition && !*error_) *error_ = Error("config.json: " + complaint);
  }
  const std::optional<Error>& error() const { return *error_; }

 private:
  using Is = bool (Json::*)() const noexcept;
  template <class T>
  T read(const char* key, const std::optional<T>& otherwise, Is is, const char* kind) {
    if (!has(key)) {
      if (!otherwise) require(false, std::string("it has no key '") + key + "'");
      return otherwise.value_or(T{});
    }
    const Json& value = (*json_)[key];
    if ((value.*is)()) return value.get<T>();
    require(false, std::string("'") + key + "' must be " + kind);
    return otherwise.value_or(T{});
  }
  template <class T>
  std::vector<T> list(const char* key, Is is, const char* kind) {
    std::vector<T> values;
    if (!has(key)) return values;
    const Json& all = (*json_)[key];
    if (all.is_array() &&
        std::ranges::all_of(all, [is](const Json& value) { return (value.*is)(); }))
      values = all.get<std::vector<T>>();
    else
      require(false, std::string("'") + key + "' must be " + kind);
    return values;
  }

  const Json* json_;
  std::shared_ptr<std::optional<Error>> error_;
};

constexpr std::pair<const char*, ActivationKind> kActivations[] = {
    {"silu", ActivationKind::silu},
    {"swish", ActivationKind::silu},
    {"gelu", ActivationKind::gelu},
    {"gelu_new", ActivationKind::gelu_tanh},
    {"gelu_pytorch_tanh", ActivationKind::gelu_tanh}};

ActivationKind read_activation(ConfigReader& r, const char* key, const char* otherwise) {
  const std::string name = r.text(key, otherwise);
  for (const auto& [known, kind] : kActivations)
    if (name == known) return kind;
  r.require(false,
            fmt::format("{} '{}' is not silu, gelu, gelu_new or gelu_pytorch_tanh", key, name));
  return ActivationKind::silu;
}

const char* name_of(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::silu: return "silu";
    case ActivationKind::gelu: return "gelu";
    case ActivationKind::gelu_tanh: break;
  }
  return "gelu_pytorch_tanh";
}

constexpr std::pair<const char*, RotaryScaling> kScalings[] = {
    {"default", RotaryScaling::none},    {"linear", RotaryScaling::linear},
    {"dynamic", RotaryScaling::dynamic}, {"llama3", RotaryScaling::llama3},
    {"yarn", RotaryScaling::yarn},       {"longrope", RotaryScaling::longrope},
    {"su", RotaryScaling::longrope}};

// `r`: the object rope_scaling or rope_parameters. `whole`: config.json, whose context is the
// trained one where nothing else is said.
void read_scaling(ConfigReader& r, ConfigReader& whole, const TransformerConfig& c,
                  Rotary& rotary) {
  rotary.theta = r.number("rope_theta", rotary.theta);
  const std::string type = r.text("rope_type", r.text("type", "default"));
  const auto* known =
      std::ranges::find_if(kScalings, [&](const auto& scaling) { return type == scaling.first; });
  r.require(known != std::end(kScalings),
            fmt::format("rope type '{}' is not default, linear, dynamic, llama3, yarn or longrope",
                        type));
  if (known == std::end(kScalings)) return;
  rotary.scaling = known->second;
  // Phi-3 called its own scaling yarn at first.
  if (c.family == "phi3" && rotary.scaling == RotaryScaling::yarn)
    rotary.scaling = RotaryScaling::longrope;
  if (rotary.scaling == RotaryScaling::none) return;
  constexpr const char* kContext = "original_max_position_embeddings";
  rotary.context = whole.integer(kContext, r.integer(kContext, c.context));
  const bool is_long = rotary.scaling == RotaryScaling::longrope;
  rotary.factor = r.number(
      "factor", is_long ? std::optional(static_cast<double>(c.context) /
                                        static_cast<double>(std::max<int64_t>(rotary.context, 1)))
                        : std::nullopt);
  if (r.has("attention_factor")) rotary.attention_factor = r.number("attention_factor");
  if (rotary.scaling == RotaryScaling::llama3) {
    rotary.low = r.number("low_freq_factor");
    rotary.high = r.number("high_freq_factor");
  } else if (rotary.scaling == RotaryScaling::yarn) {
    rotary.beta_fast = r.number("beta_fast", 32);
    rotary.beta_slow = r.number("beta_slow", 1);
    rotary.whole = r.flag("truncate", true);
    rotary.mscale = r.number("mscale", 0);
    rotary.mscale_all = r.number("mscale_all_dim", 0);
  } else if (is_long) {
    rotary.short_factors = r.numbers("short_factor");
    rotary.long_factors = r.numbers("long_factor");
  }
}

// Of full attention where layers differ. `share`: of a head's elements that turn.
Rotary read_rotary(ConfigReader& r, const TransformerConfig& c, double theta, double share = 1) {
  Rotary rotary;
  rotary.theta = r.number("rope_theta", theta);
  share = r.number("partial_rotary_factor", share);
  // Newer files keep all of it in an object of their own.
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    auto object = r.object(key);
    if (!object) continue;
    if (auto full = object->object("full_attention")) object = full;
    share = object->number("partial_rotary_factor", share);
    read_scaling(*object, r, c, rotary);
  }
  r.require(share > 0 && share <= 1,
            fmt::format("partial_rotary_factor is {}; it must be above 0 and at most 1", share));
  if (share > 0 && share < 1)
    rotary.width = static_cast<int64_t>(static_cast<double>(c.head_width) * share);
  return rotary;
}

void write_rotary(const TransformerConfig& c, Json& j) {
  const Rotary& r = *c.rotary;
  j["rope_theta"] = r.theta;
  if (r.width)
    j["partial_rotary_factor"] = static_cast<double>(r.width) / static_cast<double>(c.head_width);
  if (r.scaling == RotaryScaling::none) return;
  Json s;
  for (const auto& [name, scaling] : kScalings)
    if (scaling == r.scaling && !s.contains("rope_type")) s["rope_type"] = name;
  s["factor"] = r.factor;
  if (r.scaling != RotaryScaling::linear && r.scaling != RotaryScaling::dynamic)
    s["original_max_position_embeddings"] = r.context;
  if (r.attention_factor) s["attention_factor"] = *r.attention_factor;
  if (r.scaling == RotaryScaling::llama3) {
    s["low_freq_factor"] = r.low;
    s["high_freq_factor"] = r.high;
  } else if (r.scaling == RotaryScaling::yarn) {
    s["beta_fast"] = r.beta_fast;
    s["beta_slow"] = r.beta_slow;
    if (!r.whole) s["truncate"] = false;
    if (r.mscale != 0) s["mscale"] = r.mscale;
    if (r.mscale_all != 0) s["mscale_all_dim"] = r.mscale_all;
  } else if (r.scaling == RotaryScaling::longrope) {
    s["short_factor"] = r.short_factors;
    s["long_factor"] = r.long_factors;
  }
  j["rope_scaling"] = std::move(s);
}

// Layers with a window: by layer_types, else by a rule.
void read_windows(ConfigReader& r, TransformerConfig& c, int64_t window, auto is_windowed) {
  const std::vector<std::string> types = r.texts("layer_types");
  r.require(types.empty() || std::ssize(types) == c.layers,
            fmt::format("layer_types has {} entries for {} layers", types.size(), c.layers));
  if (r.error()) return;
  std::vector<int64_t> windows;
  // check() says how many layers there may be.
  for (int64_t i = 0; i < std::min<int64_t>(c.layers, 10'000); ++i) {
    bool windowed = is_windowed(i);
    if (!types.empty()) {
      const std::string& type = types[static_cast<size_t>(i)];
      windowed = type == "sliding_attention";
      r.require(windowed || type == "full_attention",
                fmt::format("layer type '{}' is not full_attention or sliding_attention", type));
    }
    windows.push_back(windowed ? window : 0);
  }
  if (std::ranges::any_of(windows, [](int64_t w) { return w != 0; })) c.windows = windows;
}

void write_windows(const TransformerConfig& c, Json& j) {
  j["sliding_window"] = nullptr;
  if (c.windows.empty()) return;
  j["layer_types"] = Json::array();
  for (const int64_t w : c.windows) {
    j["layer_types"].push_back(w ? "sliding_attention" : "full_attention");
    if (w) j["sliding_window"] = w;
  }
}

// What families after Llama name alike. What they leave out is as in Llama.
struct Defaults {
  double epsilon = 1e-6;
  bool tied = false;
  int64_t head_width = 0;  // 0: width / heads
  double theta = 10000, turned = 1;
};
void read_common(ConfigReader& r, TransformerConfig& c, const Defaults& defaults = {}) {
  c.vocabulary = r.integer("vocab_size");
  c.context = r.integer("max_position_embeddings", 2048);
  c.layers = r.integer("num_hidden_layers");
  c.heads = r.integer("num_attention_heads");
  c.kv_heads = r.integer("num_key_value_heads", c.heads);
  c.width = r.integer("hidden_size");
  const int64_t divided = c.heads > 0 ? c.width / c.heads : 0;
  c.head_width = r.integer("head_dim", defaults.head_width ? defaults.head_width : divided);
  c.hidden = r.integer("intermediate_size");
  c.norm_epsilon = r.number("rms_norm_eps", defaults.epsilon);
  c.rotary = read_rotary(r, c, defaults.theta, defaults.turned);
  c.activation = read_activation(r, "hidden_act", "silu");
  c.tied = r.flag("tie_word_embeddings", defaults.tied);
}
void write_common(const TransformerConfig& c, Json& j) {
  j["vocab_size"] = c.vocabulary;
  j["max_position_embeddings"] = c.context;
  j["hidden_size"] = c.width;
  j["intermediate_size"] = c.hidden;
  j["num_hidden_layers"] = c.layers;
  j["num_attention_heads"] = c.heads;
  j["num_key_value_heads"] = c.kv_heads;
  j["head_dim"] = c.head_width;
  j["hidden_act"] = name_of(c.activation);
  j["rms_norm_eps"] = c.norm_epsilon;
  write_rotary(c, j);
}

void read_gpt2(ConfigReader& r, TransformerConfig& c) {
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
  c.rotary = std::nullopt;
  c.activation = read_activation(r, "activation_function", "gelu_new");
  c.gated = false;
  c.qkv_biases = c.output_bias = c.feed_forward_biases = true;
  c.tied = r.flag("tie_word_embeddings", true);
}
void write_gpt2(const TransformerConfig& c, Json& j) {
  j["vocab_size"] = c.vocabulary;
  j["n_positions"] = c.context;
  j["n_embd"] = c.width;
  j["n_layer"] = c.layers;
  j["n_head"] = c.heads;
  j["n_inner"] = c.hidden;
  j["activation_function"] =
      c.activation == ActivationKind::gelu_tanh ? "gelu_new" : name_of(c.activation);
  j["layer_norm_epsilon"] = c.norm_epsilon;
  j["resid_pdrop"] = j["embd_pdrop"] = c.dropout;
  j["attn_pdrop"] = 0.0;
}

void read_llama(ConfigReader& r, TransformerConfig& c) {
  read_common(r, c);
  c.qkv_biases = c.output_bias = r.flag("attention_bias", false);
  c.feed_forward_biases = r.flag("mlp_bias", false);
}
void write_llama(const TransformerConfig& c, Json& j) {
  write_common(c, j);
  j["attention_bias"] = c.output_bias;
  j["mlp_bias"] = c.feed_forward_biases;
}

void read_mistral(ConfigReader& r, TransformerConfig& c) {
  read_common(r, c);
  const int64_t window = r.is_null("sliding_window") ? 0 : r.integer("sliding_window", 4096);
  read_windows(r, c, window, [](int64_t) { return true; });
}
void write_mistral(const TransformerConfig& c, Json& j) {
  write_common(c, j);
  write_windows(c, j);
}

void read_qwen(ConfigReader& r, TransformerConfig& c) {
  if (r.flag("use_sliding_window", false)) {
    const int64_t first = r.integer("max_window_layers", 28);
    read_windows(r, c, r.integer("sliding_window", 4096),
                 [first](int64_t i) { return i >= first; });
  }
}
void read_qwen2(ConfigReader& r, TransformerConfig& c) {
  read_common(r, c);
  read_qwen(r, c);
  c.qkv_biases = true;
}
void read_qwen3(ConfigReader& r, TransformerConfig& c) {
  read_common(r, c, {.head_width = 128});
  read_qwen(r, c);
  c.qkv_biases = c.output_bias = r.flag("attention_bias", false);
  c.qk_norm = QkNorm::head;
}
void write_qwen(const TransformerConfig& c, Json& j) {
  write_common(c, j);
  j["use_sliding_window"] = !c.windows.empty();
  write_windows(c, j);
  if (c.qk_norm != QkNorm::none) j["attention_bias"] = c.output_bias;
}

// The scale of the embedding is not in the file.
void read_gemma_common(ConfigReader& r, TransformerConfig& c, double theta = 10000) {
  read_common(r, c, {.tied = true, .head_width = 256, .theta = theta});
  c.qkv_biases = c.output_bias = r.flag("attention_bias", false);
  c.embedding_scale = std::sqrt(static_cast<double>(c.width));
  // The first files said gelu and meant the approximation with tanh.
  const std::string act = r.text("hidden_activation", r.text("hidden_act", "gelu_pytorch_tanh"));
  c.activation =
      act == "gelu"
          ? ActivationKind::gelu_tanh
          : read_activation(r, r.has("hidden_activation") ? "hidden_activation" : "hidden_act",
                            "gelu_pytorch_tanh");
}
void read_gemma23(ConfigReader& r, TransformerConfig& c, double theta, double attention_cap,
                  double logit_cap, int64_t period) {
  read_gemma_common(r, c, theta);
  c.norm_place = NormPlace::around;
  const double scalar = r.number("query_pre_attn_scalar", 256);
  r.require(scalar > 0, fmt::format("query_pre_attn_scalar is {}; it must be above 0", scalar));
  c.attention_scale = 1 / std::sqrt(scalar);
  const auto cap = [&](const char* key, double otherwise) {
    return r.is_null(key) ? 0 : r.number(key, otherwise);
  };
  c.attention_cap = cap("attn_logit_softcapping", attention_cap);
  c.logit_cap = cap("final_logit_softcapping", logit_cap);
  period = r.integer("sliding_window_pattern", period);
  r.require(period > 0, fmt::format("sliding_window_pattern is {}; it must be above 0", period));
  if (period > 0)
    read_windows(r, c, r.integer("sliding_window", 4096),
                 [period](int64_t i) { return (i + 1) % period != 0; });
}
void read_gemma(ConfigReader& r, TransformerConfig& c) { read_gemma_common(r, c); }
void read_gemma2(ConfigReader& r, TransformerConfig& c) { read_gemma23(r, c, 10000, 50, 30, 2); }
void read_gemma3(ConfigReader& r, TransformerConfig& c) {
  r.require(!r.flag("use_bidirectional_attention", false),
            "use_bidirectional_attention: only models that see earlier tokens are run");
  read_gemma23(r, c, 1e6, 0, 0, 6);
  c.qk_norm = QkNorm::head;
  c.window_rotary = Rotary{.theta = r.number("rope_local_base_freq", 10000)};
  if (const auto all = r.object("rope_parameters"))
    if (auto local = all->object("sliding_attention")) read_scaling(*local, r, c, *c.window_rotary);
}
void write_gemma(const TransformerConfig& c, Json& j) {
  write_common(c, j);
  j["hidden_activation"] = name_of(c.activation);
  j["attention_bias"] = c.output_bias;
  if (c.norm_place == NormPlace::before) return;
  write_windows(c, j);
  // transformers takes whole numbers only.
  j["query_pre_attn_scalar"] = std::llround(1 / (*c.attention_scale * *c.attention_scale));
  const auto cap = [](double value) { return value != 0 ? Json(value) : Json(); };
  j["attn_logit_softcapping"] = cap(c.attention_cap);
  j["final_logit_softcapping"] = cap(c.logit_cap);
  if (c.window_rotary) j["rope_local_base_freq"] = c.window_rotary->theta;
}

void read_phi3(ConfigReader& r, TransformerConfig& c) {
  read_common(r, c, {.epsilon = 1e-5});
  read_windows(r, c, r.integer("sliding_window", 0), [](int64_t) { return true; });
}
void write_phi3(const TransformerConfig& c, Json& j) {
  write_common(c, j);
  write_windows(c, j);
  if (c.rotary->scaling == RotaryScaling::longrope)
    j["original_max_position_embeddings"] = c.rotary->context;
}

void read_olmo2(ConfigReader& r, TransformerConfig& c) {
  read_common(r, c, {.epsilon = 1e-5});
  c.norm_place = NormPlace::after;
  c.qk_norm = QkNorm::width;
  c.qkv_biases = c.output_bias = r.flag("attention_bias", false);
}

void read_granite(ConfigReader& r, TransformerConfig& c) {
  read_llama(r, c);
  c.embedding_scale = r.number("embedding_multiplier", 1);
  c.residual_scale = r.number("residual_multiplier", 1);
  c.attention_scale = r.number("attention_multiplier", 1);
  const double divisor = r.number("logits_scaling", 1);
  r.require(divisor != 0, "logits_scaling is 0");
  c.logit_scale = 1 / divisor;
}
void write_granite(const TransformerConfig& c, Json& j) {
  write_llama(c, j);
  j["embedding_multiplier"] = c.embedding_scale;
  j["residual_multiplier"] = c.residual_scale;
  j["attention_multiplier"] = *c.attention_scale;
  j["logits_scaling"] = 1 / c.logit_scale;
}

void read_stablelm(ConfigReader& r, TransformerConfig& c) {
  read_common(r, c, {.turned = 0.25});
  c.norm = NormKind::layer;
  c.norm_epsilon = r.number("layer_norm_eps", 1e-5);
  c.qkv_biases = r.flag("use_qkv_bias", false);
  if (r.flag("qk_layernorm", false)) c.qk_norm = QkNorm::each_head;
  c.parallel = r.flag("use_parallel_residual", false);
}
void write_stablelm(const TransformerConfig& c, Json& j) {
  write_common(c, j);
  j.erase("rms_norm_eps");
  j["layer_norm_eps"] = c.norm_epsilon;
  j["use_qkv_bias"] = c.qkv_biases;
  j["qk_layernorm"] = c.qk_norm == QkNorm::each_head;
  j["use_parallel_residual"] = c.parallel;
  if (!c.rotary->width) j["partial_rotary_factor"] = 1.0;
}

struct Family {
  const char* name;          // TransformerConfig::family
  const char* type;          // model_type
  const char* architecture;  // of transformers
  void (*read)(ConfigReader&, TransformerConfig&);
  void (*write)(const TransformerConfig&, Json&);
};
constexpr Family kFamilies[] = {
    {"gpt", "gpt2", "GPT2LMHeadModel", read_gpt2, write_gpt2},
    {"llama", "llama", "LlamaForCausalLM", read_llama, write_llama},
    {"mistral", "mistral", "MistralForCausalLM", read_mistral, write_mistral},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", read_qwen2, write_qwen},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", read_qwen3, write_qwen},
    {"gemma", "gemma", "GemmaForCausalLM", read_gemma, write_gemma},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", read_gemma2, write_gemma},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", read_gemma3, write_gemma},
    {"phi3", "phi3", "Phi3ForCausalLM", read_phi3, write_phi3},
    {"olmo2", "olmo2", "Olmo2ForCausalLM", read_olmo2, write_llama},
    {"granite", "granite", "GraniteForCausalLM", read_granite, write_granite},
    {"stablelm", "stablelm", "StableLmForCausalLM", read_stablelm, write_stablelm}};

}  // namespace

Result<HfConfig> parse_hf_config(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return Error("config.json is not a JSON object");
  HfConfig result;
  TransformerConfig& config = result.transformer;
  ConfigReader r(json);
  // A model that sees or hears keeps its text part in an object of its own.
  if (const auto part = r.object("text_config")) {
    r = *part;
    for (const char* other : {"vision", "audio"})
      if (json.contains(std::string(other) + "_config"))
        result.left_out += (result.left_out.empty() ? "" : ", ") + std::string(other);
  }
  const std::string type = r.text("model_type");
  if (r.error()) return *r.error();
  const auto* family =
      std::ranges::find_if(kFamilies, [&](const Family& f) { return type == f.type; });
  if (family == std::end(kFamilies)) {
    std::vector<std::string> known;
    for (const Family& f : kFamilies) known.emplace_back(f.type);
    return Error(
        fmt::format("config.json: model_type '{}' cannot be run; {}", type, suggest(type, known)));
  }
  config.family = family->name;
  family->read(r, config);
  if (r.error()) return *r.error();
  try {
    check(config);
  } catch (const Error& e) {
    return Error(fmt::format("config.json: {}", e.what()));
  }
  return result;
}

std::string to_hf_config(const TransformerConfig& c, int bos, int eos) {
  const auto* family =
      std::ranges::find_if(kFamilies, [&](const Family& f) { return c.family == f.name; });
  if (family == std::end(kFamilies))
    throw InternalError(fmt::format("there is no family '{}'", c.family));
  Json j = {{"architectures", {family->architecture}}, {"model_type", family->type}};
  family->write(c, j);
  j["tie_word_embeddings"] = c.tied;
  j["bos_token_id"] = bos < 0 ? Json() : Json(bos);
  j["eos_token_id"] = eos < 0 ? Json() : Json(eos);
  j["torch_dtype"] = "float32";
  return j.dump(2) + "\n";
}

}  // namespace cairn
