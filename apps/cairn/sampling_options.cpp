#include "apps/cairn/sampling_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <type_traits>

#include "cairn/base/names.h"
#include "cairn/plot/terminal.h"

namespace cairn::app {
namespace {

// "15=-2.5": a token and what its score gets; "-inf" forbids it.
std::pair<int32_t, float> parse_bias(const std::string& text) {
  int32_t id = 0;
  const char* const end = text.data() + text.size();
  const auto [equals, wrong_id] = std::from_chars(text.data(), end, id);
  float bias = 0;
  const bool has_bias = wrong_id == std::errc() && equals != end && *equals == '=';
  if (has_bias) {
    const auto [stop, wrong] = std::from_chars(equals + 1, end, bias);
    if (wrong == std::errc() && stop == end) return {id, bias};
  }
  throw UsageError(
      fmt::format("--logit-bias takes ID=BIAS, like 15=-2.5 or 15=-inf, not '{}'", text));
}

// One of SamplingOptions that a name sets.
struct Setting {
  std::string_view name;
  double SamplingOptions::* number;
  int SamplingOptions::* whole;
};
constexpr Setting kSettings[] = {
    {"temperature", &SamplingOptions::temperature, nullptr},
    {"top-k", nullptr, &SamplingOptions::top_k},
    {"top-p", &SamplingOptions::top_p, nullptr},
    {"min-p", &SamplingOptions::min_p, nullptr},
    {"typical-p", &SamplingOptions::typical_p, nullptr},
    {"repeat-penalty", &SamplingOptions::repeat_penalty, nullptr},
    {"repeat-last-n", nullptr, &SamplingOptions::repeat_last_n},
    {"frequency-penalty", &SamplingOptions::frequency_penalty, nullptr},
    {"presence-penalty", &SamplingOptions::presence_penalty, nullptr},
};

template <class Number>
Number parse(std::string_view name, const std::string& text) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [stop, wrong] = std::from_chars(text.data(), end, value);
  if (wrong != std::errc() || stop != end)
    throw UsageError(fmt::format("{} takes a number, not '{}'", name, text));
  return value;
}

SamplingOptions merged(const SamplingFlags& flags, const SamplingDefaults& model,
                       const Session& session) {
  SamplingOptions o{.temperature = 0.8, .top_k = 40};
  const auto set = [](auto& target, const auto& given, const std::optional<double>& otherwise) {
    using Target = std::remove_reference_t<decltype(target)>;
    if (given)
      target = static_cast<Target>(*given);
    else if (otherwise)
      target = static_cast<Target>(*otherwise);
  };
  set(o.temperature, flags.temperature, model.temperature);
  set(o.top_k, flags.top_k, model.top_k);
  set(o.top_p, flags.top_p, model.top_p);
  set(o.min_p, flags.min_p, model.min_p);
  set(o.typical_p, flags.typical_p, model.typical_p);
  set(o.repeat_penalty, flags.repeat_penalty, model.repeat_penalty);
  set(o.repeat_last_n, flags.repeat_last_n, model.repeat_last_n);
  set(o.frequency_penalty, flags.frequency_penalty, {});
  set(o.presence_penalty, flags.presence_penalty, {});
  for (const std::string& text : flags.logit_bias) o.logit_bias.push_back(parse_bias(text));
  o.seed = session.common.seed.value_or(0);
  return o;
}

void check_flags(const SamplingFlags& flags, const Session& session, int64_t vocabulary) {
  if (flags.top_k.value_or(0) > INT_MAX) throw UsageError("--top-k is larger than any vocabulary");
  if (flags.repeat_last_n.value_or(0) > INT_MAX)
    throw UsageError("--repeat-last-n is larger than any context");
  if (const Status status = check_sampling(merged(flags, {}, session), vocabulary); !status)
    throw UsageError(fmt::format("--{}", status.error().what()));
}

}  // namespace

void add_sampling_options(const Command& command, SamplingFlags& flags) {
  command.option("--temperature", "T", flags.temperature,
                 "0 takes the most likely token; higher is more varied (default, as with those "
                 "below: what the model's files say, else 0.8)");
  command.option("--top-k", "K", flags.top_k,
                 "only of the K most likely; 0: of all (default: else 40)");
  command.option("--top-p", "P", flags.top_p,
                 "only of the most likely that together reach this probability (default: else 1)");
  command.option("--min-p", "P", flags.min_p,
                 "only of those at least P times as likely as the most likely (default: else 0)");
  command.option("--typical-p", "P", flags.typical_p,
                 "only of those as surprising as expected that together reach this probability "
                 "(default: else 1)");
  command.option("--repeat-penalty", "X", flags.repeat_penalty,
                 "above 1: tokens among the last ones are less likely (default: else 1)");
  command.option("--repeat-last-n", "N", flags.repeat_last_n,
                 "tokens that the penalties look back at; -1: all (default: else 64)", -1);
  command.option("--frequency-penalty", "X", flags.frequency_penalty,
                 "taken off a token's score for each time that it is there (default: 0)");
  command.option("--presence-penalty", "X", flags.presence_penalty,
                 "taken off once for a token that is there (default: 0)");
  command.option("--logit-bias", "ID=BIAS", flags.logit_bias,
                 "added to a token's score; -inf forbids it; may be given several times");
}

void check_sampling_flags(const SamplingFlags& flags, const Session& session) {
  check_flags(flags, session, INT32_MAX);
}

SamplingOptions sampling_of(const SamplingFlags& flags, const LanguageModel& model,
                            const Session& session) {
  const int64_t vocabulary = model.transformer->config().vocabulary;
  check_flags(flags, session, vocabulary);
  SamplingOptions options = merged(flags, model.sampling, session);
  const Status status = check_sampling(options, vocabulary);
  if (status) return options;
  session.warn(
      fmt::format("what the model's files say of sampling is left out: {}", status.error().what()));
  return merged(flags, {}, session);
}

void set_generation(GenerationOptions& options, const std::string& name, const std::string& value) {
  GenerationOptions changed = options;
  std::vector<std::string> names{"max-tokens", "seed"};
  for (const Setting& setting : kSettings) names.emplace_back(setting.name);
  const auto setting = std::ranges::find(kSettings, name, &Setting::name);
  if (name == "max-tokens")
    changed.max_tokens = parse<int64_t>(name, value);
  else if (name == "seed")
    changed.sampling.seed = parse<uint64_t>(name, value);
  else if (setting == std::end(kSettings))
    throw UsageError(fmt::format("there is no setting '{}'; {}", name, suggest(name, names)));
  else if (setting->number)
    changed.sampling.*setting->number = parse<double>(name, value);
  else
    changed.sampling.*setting->whole = parse<int>(name, value);
  if (changed.max_tokens < 1) throw UsageError("max-tokens takes a number of at least 1");
  if (const Status status = check_sampling(changed.sampling, INT32_MAX); !status)
    throw UsageError(status.error().what());
  options = std::move(changed);
}

std::string length_and_rate(const Generated& result) {
  std::string text = fmt::format("{} tokens ({})", result.ids.size(), name(result.reason));
  if (const double rate = result.tokens_per_second(); rate > 0)
    text += fmt::format(", {} tokens/s", plot::human_count(rate));
  return text;
}

}  // namespace cairn::app
