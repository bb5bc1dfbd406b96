// Options of commands that write text: how the next token is chosen.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/cairn/command.h"
#include "cairn/llm/generation.h"

namespace cairn::app {

// What was given; the rest is as the model's files say, or as the program does.
struct SamplingFlags {
  std::optional<double> temperature, top_p, min_p, typical_p;
  std::optional<double> repeat_penalty, frequency_penalty, presence_penalty;
  std::optional<int64_t> top_k, repeat_last_n;
  std::vector<std::string> logit_bias;
};

void add_sampling_options(const Command& command, SamplingFlags& flags);

// Throws UsageError for flags that no model can be sampled with: before one is read.
void check_sampling_flags(const SamplingFlags& flags, const Session& session);

// With --seed. Throws UsageError for what the model's vocabulary cannot be sampled with; where that
// is the fault of the model's files, warns and goes without what they say.
SamplingOptions sampling_of(const SamplingFlags& flags, const LanguageModel& model,
                            const Session& session);

// Sets one by its name on the command line without dashes: "top-p", "0.9"; "max-tokens" and "seed"
// too. Throws UsageError naming the nearest where there is none, or for what is no value of it.
void set_generation(GenerationOptions& options, const std::string& name, const std::string& value);

// "40 tokens (length), 356 tokens/s"; no rate of so few that none was measured.
std::string length_and_rate(const Generated& result);

}  // namespace cairn::app
