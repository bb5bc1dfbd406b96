// Microseconds that a token's sampling takes, in time on a core: the best of several passes, for
// vocabularies of Llama 2's and Llama 3's sizes.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "cairn/base/philox.h"
#include "cairn/llm/sampling.h"

namespace {

double core_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Scores with the spread that models have: about normal, a deviation of 3.
std::vector<float> scores(size_t vocabulary) {
  std::vector<float> all(vocabulary);
  for (size_t i = 0; i < vocabulary; ++i) {
    double sum = 0;
    for (const uint32_t word : cairn::philox4x32({static_cast<uint32_t>(i), 0, 0, 0}, {1, 2}))
      sum += static_cast<double>(word) * 0x1p-32 - 0.5;
    all[i] = static_cast<float>(sum * 3 * 1.7320508);
  }
  return all;
}

}  // namespace

int main() {
  const std::pair<const char*, cairn::SamplingOptions> cases[] = {
      {"greedy", {}},
      {"top-k 40", {.temperature = 0.8, .top_k = 40}},
      {"top-k 40, top-p 0.95, min-p 0.05",
       {.temperature = 0.8, .top_k = 40, .top_p = 0.95, .min_p = 0.05}},
      {"top-p 0.95", {.temperature = 0.8, .top_p = 0.95}},
      {"min-p 0.05", {.temperature = 0.8, .min_p = 0.05}},
      {"typical-p 0.9", {.temperature = 0.8, .typical_p = 0.9}},
      {"temperature alone", {.temperature = 0.8}},
      {"greedy, repeat-penalty 1.1", {.repeat_penalty = 1.1}},
  };
  cairn::Sampler sampler;
  std::vector<int32_t> before(512);
  for (size_t i = 0; i < before.size(); ++i) before[i] = static_cast<int32_t>(i % 300);
  for (const size_t vocabulary : {size_t{32'000}, size_t{128'256}}) {
    const std::vector<float> logits = scores(vocabulary);
    for (const auto& [name, options] : cases) {
      double best = 1e9;
      for (int pass = 0; pass < 20; ++pass) {
        const double start = core_seconds();
        before.back() = sampler.sample(logits, options, before);
        best = std::min(best, core_seconds() - start);
      }
      fmt::print("V {:>6}  {:<34} {:8.1f} us\n", vocabulary, name, 1e6 * best);
    }
  }
  return 0;
}
