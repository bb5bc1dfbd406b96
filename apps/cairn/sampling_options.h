// Options of commands that write text: how the next token is chosen.
#pragma once

#include <string>
#include <vector>

#include "apps/cairn/command.h"
#include "cairn/llm/generation.h"

namespace cairn::app {

struct SamplingFlags {
  SamplingOptions options{.temperature = 0.8, .top_k = 40};
  int64_t top_k = 40, repeat_last_n = 64;
  std::vector<std::string> logit_bias;
};

void add_sampling_options(const Command& command, SamplingFlags& flags);

// With --seed. Throws UsageError for what a vocabulary of that size cannot be sampled with.
SamplingOptions sampling_of(const SamplingFlags& flags, const Session& session, int64_t vocabulary);

// Sets one by its name on the command line without dashes: "top-p", "0.9"; "max-tokens" and "seed"
// too. Throws UsageError naming the nearest where there is none, or for what is no value of it.
void set_generation(GenerationOptions& options, const std::string& name, const std::string& value);

}  // namespace cairn::app
