// Hyperparameters among a GGUF file's metadata, as options of the one transformer, and back.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "cairn/base/names.h"
#include "cairn/graph/scalar.h"
#include "cairn/models/gguf_families.h"

namespace cairn {
namespace {

constexpr std::string_view kArchitecture = "general.architecture";
constexpr const char* kRopeFactors = "rope_freqs.weight";
constexpr const char* kLongFactors = "rope_factors_long.weight";
constexpr const char* kShortFactors = "rope_factors_short.weight";

// What an architecture fixes without a key.
struct Architecture {
  std::string_view name;    // general.architecture
  std::string_view family;  // TransformerConfig::family
  NormKind norm = NormKind::rms;
  NormPlace norm_place = NormPlace::before;
  QkNorm qk_norm = QkNorm::none;
  ActivationKind activation = ActivationKind::silu;
  // Layers with a window where no key says which: all but each so many; 1: all.
  int64_t window_period = 1;
  int64_t window = 0;  // where no key says
};
constexpr Architecture kArchitectures[] = {
    {"llama", "llama"},
    {"llama", "mistral"},
    {"qwen2", "qwen2"},
    {.name = "qwen3", .family = "qwen3", .qk_norm = QkNorm::head},
    {.name = "gemma", .family = "gemma", .activation = ActivationKind::gelu_tanh},
    {.name = "gemma2",
     .family = "gemma2",
     .norm_place = NormPlace::around,
     .activation = ActivationKind::gelu_tanh,
     .window_period = 2,
     .window = 4096},
    {.name = "gemma3",
     .family = "gemma3",
     .norm_place = NormPlace::around,
     .qk_norm = QkNorm::head,
     .activation = ActivationKind::gelu_tanh,
     .window_period = 6},
    {"phi3", "phi3"},
    {.name = "gpt2",
     .family = "gpt",
     .norm = NormKind::layer,
     .activation = ActivationKind::gelu_tanh},
    {.name = "olmo2",
     .family = "olmo2",
     .norm_place = NormPlace::after,
     .qk_norm = QkNorm::width,
     .window_period = 4},
    {"granite", "granite"},
    {.name = "stablelm", .family = "stablelm", .norm = NormKind::layer}};

bool is_gemma23(std::string_view family) { return family == "gemma2" || family == "gemma3"; }

// 1 / sqrt of the head's width; the models of 27 billion scale by what a head has of the width.
std::optional<double> default_attention_scale(const TransformerConfig& c) {
  const bool is_27b =
      (c.family == "gemma2" && c.layers == 46) || (c.family == "gemma3" && c.layers == 62);
  if (!is_27b || c.heads <= 0) return std::nullopt;
  const int64_t of_head = c.width / c.heads;
  return 1 / std::sqrt(static_cast<double>(of_head));
}

// --- reading -------------------------------------------------------------------------------------

// Keys of one architecture, read with the right type; the first complaint is kept.
class KeyReader {
 public:
  KeyReader(const io::GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  bool has(const char* key) const { return find(key); }
  // `otherwise` where the key is missing; without one that is an error.
  int64_t integer(const char* key, std::optional<int64_t> otherwise = std::nullopt) {
    return read(key, otherwise, &io::GgufValue::integer, "a whole number for all layers");
  }
  double number(const char* key, std::optional<double> otherwise = std::nullopt) {
    return read(key, otherwise, &io::GgufValue::number, "a number");
  }
  bool flag(const char* key, bool otherwise) {
    return read(key, std::optional(otherwise), &io::GgufValue::boolean, "true or false");
  }
  std::string text(const char* key, std::string_view otherwise) {
    return std::string(read(key, std::optional(otherwise), &io::GgufValue::text, "text"));
  }
  // A bool for each layer, or a number that is the period.
  const io::GgufValue* find(const char* key) const { return file_.find(prefix_ + key); }

  bool has_tensor(const char* name) const { return file_.tensor(name); }
  // Numbers of a vector; empty where there is none.
  std::vector<double> numbers_of(const char* tensor) {
    const io::GgufEntry* entry = file_.tensor(tensor);
    if (!entry) return {};
    // As many as a head's pairs; of a damaged file any number.
    constexpr uint64_t kMost = 1 << 20;
    require(entry->type->dtype && is_float(*entry->type->dtype) && entry->shape.size() == 1 &&
                entry->bytes <= kMost,
            fmt::format("tensor '{}' must be a short vector of floats", tensor));
    if (error_) return {};
    const auto array = file_.read(*entry);
    require(array.ok(), array.ok() ? "" : array.error().what());
    if (error_) return {};
    std::vector<double> numbers;
    for (int64_t i = 0; i < array.value().elements(); ++i) numbers.push_back(array.value().at(i));
    return numbers;
  }
  void require(bool condition, const std::string& complaint) {
    if (!condition && !error_) error_ = Error(complaint);
  }
  std::string name(const char* key) const { return fmt::format("key '{}{}'", prefix_, key); }
  const std::optional<Error>& error() const { return error_; }

 private:
  template <class T>
  T read(const char* key, const std::optional<T>& otherwise,
         std::optional<T> (io::GgufValue::*get)() const, const char* kind) {
    const io::GgufValue* value = find(key);
    if (!value) {
      require(otherwise.has_value(), fmt::format("{} is missing", name(key)));
      return otherwise.value_or(T{});
    }
    const std::optional<T> found = (value->*get)();
    require(found.has_value(), fmt::format("{} must be {}", name(key), kind));
    return found.value_or(T{});
  }

  const io::GgufFile& file_;
  std::string prefix_;
  std::optional<Error> error_;
};

// The factor of each pair by the formula of Llama 3.
std::vector<double> llama3_factors(const Rotary& r, int64_t width) {
  Rotary plain = r;
  plain.scaling = RotaryScaling::none;
  const auto whole = rotary_table(plain, width, 1).frequencies;
  const auto scaled = rotary_table(r, width, 1).frequencies;
  std::vector<double> factors;
  for (size_t i = 0; i < whole.size(); ++i) factors.push_back(whole[i] / scaled[i]);
  return factors;
}

// Llama 3's scaling when its formula gives these factors, so that a file's model is the same as
// that of the folder which it was made from. A pair between the fast and the slow ones has
// share = (turns - low) / (high - low), turns being those in the context; of all three numbers only
// the ratios count, so `low` is 1, as in every model. Nothing where no formula gives them.
std::optional<Rotary> llama3_of(Rotary rotary, int64_t width, std::span<const double> factors) {
  rotary.scaling = RotaryScaling::none;
  if (width < 2 || width % 2 != 0 || std::ssize(factors) != width / 2 || !(rotary.theta > 0) ||
      !std::isfinite(rotary.theta))
    return std::nullopt;
  const auto frequencies = rotary_table(rotary, width, 1).frequencies;
  rotary.scaling = RotaryScaling::llama3;
  rotary.factor = std::ranges::max(factors);
  struct Pair {
    double turns, share;  // turns a token
  };
  std::vector<Pair> between;
  for (size_t i = 0; i < factors.size(); ++i) {
    constexpr double kTurn = 2 * std::numbers::pi;
    const double least = 1 / rotary.factor, share = (1 / factors[i] - least) / (1 - least);
    if (share > 1e-5 && share < 1 - 1e-5) between.push_back({frequencies[i] / kTurn, share});
  }
  const auto gives_them = [&](double high, double context) {
    if (!(high > 1.001 && high < 1e6 && context > 1.5 && context < 1e9)) return false;
    rotary.low = 1;
    rotary.high = std::round(high * 1000) / 1000;
    rotary.context = std::llround(context);
    const auto made = llama3_factors(rotary, width);
    return std::ranges::equal(made, factors, [](double a, double b) {
      return std::fabs(a - b) <= 0x1p-22 * std::fabs(b);  // two units of f32
    });
  };
  if (between.empty()) return std::nullopt;
  const Pair first = between.front(), last = between.back();
  if (gives_them(4, (first.share * 3 + 1) / first.turns)) return rotary;  // as Meta's models
  if (between.size() < 2) return std::nullopt;
  const double slope = (first.share - last.share) / (first.turns - last.turns);
  const double below = slope * first.turns - first.share;  // low / (high - low)
  if (gives_them(1 + 1 / below, slope / below)) return rotary;
  return std::nullopt;
}

void read_scaling(KeyReader& r, const TransformerConfig& c, Rotary& rotary) {
  const auto number = [&](const char* key, double otherwise) { return r.number(key, otherwise); };
  const double factor = number("rope.scaling.factor", number("rope.scale_linear", 1));
  const double extra = number("rope.scaling.attn_factor", 1);
  rotary.context = r.integer("rope.scaling.original_context_length", c.context);
  const std::string type = r.text("rope.scaling.type", "linear");
  std::vector<double> factors = r.numbers_of(kRopeFactors);
  std::vector<double> long_factors = r.numbers_of(kLongFactors);
  const int64_t turned = rotary.width ? rotary.width : c.head_width;
  // Llama 3's scaling is in files as the factor of each pair.
  if (auto llama3 = extra == 1 ? llama3_of(rotary, turned, factors) : std::nullopt) {
    rotary = *std::move(llama3);
  } else if (!factors.empty() || !long_factors.empty()) {
    // Other factors are what one of longrope's two lists means too.
    rotary.scaling = RotaryScaling::longrope;
    rotary.factor = factor;
    rotary.attention_factor = extra;
    rotary.short_factors = factors.empty() ? r.numbers_of(kShortFactors) : factors;
    rotary.long_factors = factors.empty() ? std::move(long_factors) : std::move(factors);
  } else if (type == "yarn") {
    rotary.scaling = RotaryScaling::yarn;
    rotary.factor = factor;
    rotary.beta_fast = number("rope.scaling.yarn_beta_fast", 32);
    rotary.beta_slow = number("rope.scaling.yarn_beta_slow", 1);
    rotary.mscale_all = number("rope.scaling.yarn_log_multiplier", 0);
    if (rotary.mscale_all != 0) rotary.mscale = 1;
    if (r.has("rope.scaling.yarn_attn_factor"))
      rotary.attention_factor = r.number("rope.scaling.yarn_attn_factor");
    else if (extra != 1)
      rotary.attention_factor = extra * (factor > 1 ? 1 + 0.1 * std::log(factor) : 1);
  } else if (type == "linear" || type == "longrope") {
    if (factor != 0 && factor != 1 && type == "linear") {
      rotary.scaling = RotaryScaling::linear;
      rotary.factor = factor;
    }
  } else {
    r.require(type == "none", fmt::format("{} is '{}'; it can be none, linear, yarn or longrope",
                                          r.name("rope.scaling.type"), type));
  }
  if (rotary.scaling == RotaryScaling::none || rotary.scaling == RotaryScaling::linear)
    rotary.context = 0;
}

void read_rotary(KeyReader& r, TransformerConfig& c) {
  Rotary rotary;
  rotary.theta = r.number("rope.freq_base", 10000);
  const int64_t turned = r.integer("rope.dimension_count", c.head_width);
  if (turned != c.head_width) rotary.width = turned;
  read_scaling(r, c, rotary);
  c.rotary = rotary;
}

void read_windows(KeyReader& r, TransformerConfig& c, const Architecture& architecture) {
  const int64_t window = r.integer("attention.sliding_window", architecture.window);
  if (window == 0) return;
  constexpr const char* kPattern = "attention.sliding_window_pattern";
  const io::GgufValue* pattern = r.find(kPattern);
  const bool by_layer = pattern && pattern->is_array();
  r.require(
      !by_layer || (pattern->kind() == io::GgufKind::b8 &&
                    std::cmp_greater_equal(pattern->count(), c.layers)),
      fmt::format("{} must have a bool for each of the {} layers", r.name(kPattern), c.layers));
  const int64_t period = by_layer ? 1 : r.integer(kPattern, architecture.window_period);
  r.require(period >= 0, fmt::format("{} is {}; it must be at least 0", r.name(kPattern), period));
  // check() says how many layers there may be.
  constexpr int64_t kMost = 10'000;
  if (r.error()) return;
  for (int64_t i = 0; i < std::min(c.layers, kMost); ++i) {
    const bool is_windowed = by_layer ? pattern->number_at(static_cast<uint64_t>(i)) != 0
                                      : period <= 1 || i % period != period - 1;
    c.windows.push_back(is_windowed ? window : 0);
  }
  if (std::ranges::all_of(c.windows, [](int64_t w) { return w == 0; })) c.windows.clear();
}

// What a file's tensors say.
void read_tensors(KeyReader& r, const io::GgufFile& file, TransformerConfig& c) {
  const io::GgufEntry* tokens = file.tensor("token_embd.weight");
  r.require(tokens && tokens->shape.size() == 2,
            "tensor 'token_embd.weight' of two axes is missing");
  if (r.error()) return;
  c.vocabulary = tokens->shape[0];
  c.tied = !r.has_tensor("output.weight");
  c.qkv_biases = r.has_tensor("blk.0.attn_q.bias") || r.has_tensor("blk.0.attn_qkv.bias");
  c.output_bias = r.has_tensor("blk.0.attn_output.bias");
  c.feed_forward_biases = r.has_tensor("blk.0.ffn_up.bias");
  if (c.family == "stablelm" && r.has_tensor("blk.0.attn_q_norm.weight"))
    c.qk_norm = QkNorm::each_head;
}

void read_config(KeyReader& r, const io::GgufFile& file, const Architecture& architecture,
                 TransformerConfig& c) {
  c.family = architecture.family;
  c.norm = architecture.norm;
  c.norm_place = architecture.norm_place;
  c.qk_norm = architecture.qk_norm;
  c.activation = architecture.activation;
  c.gated = c.family != "gpt";
  c.layers = r.integer("block_count");
  c.context = r.integer("context_length");
  c.width = r.integer("embedding_length");
  c.hidden = r.integer("feed_forward_length");
  c.heads = r.integer("attention.head_count");
  c.kv_heads = r.integer("attention.head_count_kv", c.heads);
  c.head_width = r.integer("attention.key_length", c.heads > 0 ? c.width / c.heads : 0);
  r.require(r.integer("attention.value_length", c.head_width) == c.head_width,
            "heads of keys and of values have different widths, which cairn does not run");
  r.require(r.integer("expert_count", 0) == 0,
            "the feed-forward part has experts, which cairn does not run yet");
  r.require(r.flag("attention.causal", true),
            "its attention is not causal; only models that see earlier tokens are run");
  c.norm_epsilon = r.number(c.norm == NormKind::rms ? "attention.layer_norm_rms_epsilon"
                                                    : "attention.layer_norm_epsilon");
  if (c.family == "gpt")
    c.rotary = std::nullopt;
  else
    read_rotary(r, c);
  read_windows(r, c, architecture);
  read_tensors(r, file, c);
  if (r.has("attention.scale"))
    c.attention_scale = r.number("attention.scale");
  else
    c.attention_scale = default_attention_scale(c);
  if (c.family.starts_with("gemma")) c.embedding_scale = std::sqrt(static_cast<double>(c.width));
  if (is_gemma23(c.family)) {
    c.attention_cap = r.number("attn_logit_softcapping", 0);
    c.logit_cap = r.number("final_logit_softcapping", 0);
    if (!c.attention_scale) c.attention_scale = 1 / std::sqrt(static_cast<double>(c.head_width));
  }
  // Layers with a window turn by the plain frequencies.
  if ((c.family == "gemma3" || c.family == "olmo2") && !c.windows.empty())
    c.window_rotary = Rotary{
        .theta = r.number("rope.freq_base_swa", c.family == "gemma3" ? 10000 : c.rotary->theta)};
  if (c.family == "granite") {
    c.embedding_scale = r.number("embedding_scale", 1);
    c.residual_scale = r.number("residual_scale", 1);
    const double divisor = r.number("logit_scale");
    r.require(divisor != 0, fmt::format("{} is 0", r.name("logit_scale")));
    c.logit_scale = 1 / divisor;
  }
  if (c.family == "stablelm") c.parallel = r.flag("use_parallel_residual", true);
  if (c.family == "llama" && !c.windows.empty()) c.family = "mistral";
}

// --- writing -------------------------------------------------------------------------------------

class KeyWriter {
 public:
  explicit KeyWriter(std::string_view architecture) : prefix_(std::string(architecture) + ".") {}
  void integer(const char* key, int64_t value) {
    add(key, io::GgufValue::from_number(static_cast<uint32_t>(value)));
  }
  void number(const char* key, double value) {
    add(key, io::GgufValue::from_number(static_cast<float>(value)));
  }
  // The same unless it is what a reader takes without the key.
  void number(const char* key, double value, double otherwise) {
    if (value != otherwise) number(key, value);
  }
  void flag(const char* key, bool value) { add(key, io::GgufValue::from_bool(value)); }
  void text(const char* key, std::string_view value) { add(key, io::GgufValue::from_text(value)); }
  void add(const char* key, io::GgufValue value) {
    metadata.emplace_back(prefix_ + key, std::move(value));
  }
  io::GgufMetadata metadata;

 private:
  std::string prefix_;
};

// One factor for each pair, whatever the length: how Llama 3's scaling is read from a file.
bool has_one_list(const Rotary& r) {
  return r.short_factors == r.long_factors && r.attention_factor == 1;
}

[[noreturn]] void no_key(const std::string& what) {
  throw_error(fmt::format("GGUF has no key for {}", what));
}

void write_rotary(KeyWriter& w, const TransformerConfig& c) {
  const Rotary& r = *c.rotary;
  const int64_t width = r.width ? r.width : c.head_width;
  w.integer("rope.dimension_count", width);
  w.number("rope.freq_base", r.theta);
  switch (r.scaling) {
    case RotaryScaling::none:
    case RotaryScaling::llama3: return;  // gguf_config_tensors has its factors
    case RotaryScaling::dynamic: no_key("rotary scaling of the type 'dynamic'");
    case RotaryScaling::linear:
      w.text("rope.scaling.type", "linear");
      w.number("rope.scaling.factor", r.factor);
      return;
    case RotaryScaling::longrope:
      if (has_one_list(r)) return;
      w.text("rope.scaling.type", "longrope");
      break;
    case RotaryScaling::yarn:
      if (!r.whole) no_key("yarn's ramp between parts of pairs (truncate = false)");
      w.text("rope.scaling.type", "yarn");
      w.number("rope.scaling.factor", r.factor);
      w.number("rope.scaling.yarn_beta_fast", r.beta_fast);
      w.number("rope.scaling.yarn_beta_slow", r.beta_slow);
      break;
  }
  w.integer("rope.scaling.original_context_length", r.context);
  const double scale = rotary_table(r, width, 1).scale;
  const bool is_yarn = r.scaling == RotaryScaling::yarn;
  const double plain = is_yarn && r.factor > 1 ? 1 + 0.1 * std::log(r.factor) : 1;
  if (!is_yarn || std::fabs(scale / plain - 1) > 1e-6)
    w.number("rope.scaling.attn_factor", scale / plain);
}

void write_windows(KeyWriter& w, const TransformerConfig& c) {
  if (c.windows.empty()) {
    // Without the key some architectures have windows, and Phi-3 asks for it.
    if (is_gemma23(c.family) || c.family == "phi3") w.integer("attention.sliding_window", 0);
    return;
  }
  std::string pattern;
  for (const int64_t window : c.windows) pattern += window ? '\1' : '\0';
  w.integer("attention.sliding_window", *std::ranges::max_element(c.windows));
  const uint64_t layers = pattern.size();
  w.add("attention.sliding_window_pattern",
        io::GgufValue(io::GgufKind::b8, true, layers, SharedBytes(std::move(pattern))));
}

const Architecture& architecture_of(const TransformerConfig& c) {
  const auto* found = std::ranges::find_if(
      kArchitectures, [&](const Architecture& a) { return a.family == c.family; });
  if (found == std::end(kArchitectures))
    throw InternalError(fmt::format("there is no family '{}'", c.family));
  return *found;
}

io::GgufSource vector_source(const char* name, const std::vector<double>& numbers) {
  HostArray array(DType::f32, {std::ssize(numbers)});
  std::ranges::transform(numbers, array.mutable_span<float>().begin(),
                         [](double x) { return static_cast<float>(x); });
  return {name, io::find_gguf_type("F32"), {std::ssize(numbers)}, [array] {
            return SharedBytes(array.owner(),
                               {static_cast<const std::byte*>(array.data()), array.bytes()});
          }};
}

}  // namespace

Result<TransformerConfig> parse_gguf_config(const io::GgufFile& file) {
  const io::GgufValue* named = file.find(kArchitecture);
  if (!named || !named->text())
    return Error(fmt::format("key '{}' is missing, so it is no model", kArchitecture));
  const std::string_view name = *named->text();
  const auto* architecture =
      std::ranges::find_if(kArchitectures, [&](const Architecture& a) { return name == a.name; });
  if (architecture == std::end(kArchitectures)) {
    std::vector<std::string> known;
    for (const Architecture& a : kArchitectures) known.emplace_back(a.name);
    known.erase(std::unique(known.begin(), known.end()), known.end());
    return Error(fmt::format("architecture '{}' cannot be run; {}", name,
                             suggest(std::string(name), known)));
  }
  TransformerConfig config;
  KeyReader r(file, name);
  read_config(r, file, *architecture, config);
  if (r.error()) return *r.error();
  try {
    check(config);
  } catch (const Error& e) {
    return Error(e.what());
  }
  return config;
}

io::GgufMetadata to_gguf_metadata(const TransformerConfig& c) {
  const Architecture& architecture = architecture_of(c);
  if (c.activation != architecture.activation)
    no_key(
        fmt::format("an activation other than that of the architecture '{}'", architecture.name));
  KeyWriter w(architecture.name);
  w.metadata.emplace_back(kArchitecture, io::GgufValue::from_text(architecture.name));
  w.integer("block_count", c.layers);
  w.integer("context_length", c.context);
  w.integer("embedding_length", c.width);
  w.integer("feed_forward_length", c.hidden);
  w.integer("attention.head_count", c.heads);
  w.integer("attention.head_count_kv", c.kv_heads);
  w.integer("attention.key_length", c.head_width);
  w.integer("attention.value_length", c.head_width);
  w.integer("vocab_size", c.vocabulary);
  w.number(
      c.norm == NormKind::rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
      c.norm_epsilon);
  if (c.rotary) write_rotary(w, c);
  write_windows(w, c);
  if (c.window_rotary) w.number("rope.freq_base_swa", c.window_rotary->theta);
  const double plain_scale = 1 / std::sqrt(static_cast<double>(c.head_width));
  if (c.attention_scale)
    w.number("attention.scale", *c.attention_scale,
             default_attention_scale(c).value_or(plain_scale));
  w.number("attn_logit_softcapping", c.attention_cap, 0);
  w.number("final_logit_softcapping", c.logit_cap, 0);
  if (c.family == "granite") {
    w.number("embedding_scale", c.embedding_scale);
    w.number("residual_scale", c.residual_scale);
    w.number("logit_scale", 1 / c.logit_scale);
  }
  if (c.family == "stablelm") w.flag("use_parallel_residual", c.parallel);
  return std::move(w.metadata);
}

std::vector<io::GgufSource> gguf_config_tensors(const TransformerConfig& c) {
  if (!c.rotary) return {};
  const Rotary& r = *c.rotary;
  const int64_t width = r.width ? r.width : c.head_width;
  if (r.scaling == RotaryScaling::llama3)
    return {vector_source(kRopeFactors, llama3_factors(r, width))};
  if (r.scaling != RotaryScaling::longrope) return {};
  if (has_one_list(r)) return {vector_source(kRopeFactors, r.short_factors)};
  return {vector_source(kLongFactors, r.long_factors),
          vector_source(kShortFactors, r.short_factors)};
}

}  // namespace cairn
