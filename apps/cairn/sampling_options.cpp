#include "apps/cairn/sampling_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <climits>

#include "cairn/base/names.h"

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

}  // namespace

void add_sampling_options(const Command& command, SamplingFlags& flags) {
  SamplingOptions& o = flags.options;
  command.option("--temperature", "T", o.temperature,
                 "0 takes the most likely token; higher is more varied (default: 0.8)");
  command.option("--top-k", "K", flags.top_k, "only of the K most likely; 0: of all (default: 40)");
  command.option("--top-p", "P", o.top_p,
                 "only of the most likely that together reach this probability (default: 1)");
  command.option("--min-p", "P", o.min_p,
                 "only of those at least P times as likely as the most likely (default: 0)");
  command.option("--typical-p", "P", o.typical_p,
                 "only of those as surprising as expected that together reach this probability "
                 "(default: 1)");
  command.option("--repeat-penalty", "X", o.repeat_penalty,
                 "above 1: tokens among the last ones are less likely (default: 1)");
  command.option("--repeat-last-n", "N", flags.repeat_last_n,
                 "tokens that the penalties look back at; -1: all (default: 64)", -1);
  command.option("--frequency-penalty", "X", o.frequency_penalty,
                 "taken off a token's score for each time that it is there (default: 0)");
  command.option("--presence-penalty", "X", o.presence_penalty,
                 "taken off once for a token that is there (default: 0)");
  command.option("--logit-bias", "ID=BIAS", flags.logit_bias,
                 "added to a token's score; -inf forbids it; may be given several times");
}

SamplingOptions sampling_of(const SamplingFlags& flags, const Session& session,
                            int64_t vocabulary) {
  if (flags.top_k > INT_MAX) throw UsageError("--top-k is larger than any vocabulary");
  if (flags.repeat_last_n > INT_MAX) throw UsageError("--repeat-last-n is larger than any context");
  SamplingOptions options = flags.options;
  options.top_k = static_cast<int>(flags.top_k);
  options.repeat_last_n = static_cast<int>(flags.repeat_last_n);
  for (const std::string& text : flags.logit_bias) options.logit_bias.push_back(parse_bias(text));
  options.seed = session.common.seed.value_or(0);
  if (const Status status = check_sampling(options, vocabulary); !status)
    throw UsageError(fmt::format("--{}", status.error().what()));
  return options;
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

}  // namespace cairn::app
