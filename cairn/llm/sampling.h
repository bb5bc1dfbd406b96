// Sampling: the next token, from the scores that a model gives every token.
//
// What is done, in llama.cpp's order: logit bias; penalties on tokens that were there; top-k,
// typical-p, top-p and min-p, each on what the one before leaves; temperature; the draw. Each is
// defined as in llama.cpp and transformers; where tokens tie, the lower id goes first.
//
// Plain loops on the host: options differ from row to row of a batch and from call to call, and a
// whole sort of the vocabulary, which a graph of tensors needs, costs more than a small model's
// token (docs/benchmarks.md has the figures). The drawn number depends on the seed and on how many
// tokens there are, so a text is the same in any batch, however it was fed. Sums are in f64 in a
// fixed order, exponentials those of base/math.h: the same bits on any machine.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "cairn/base/error.h"

namespace cairn {

struct SamplingOptions {
  double temperature = 0;  // 0: the most likely token, after bias and penalties
  int top_k = 0;           // of the k most likely; 0: all
  // Of those whose information is nearest to the expected, which together have at least this
  // probability (Meister et al., "Locally Typical Sampling", 2022).
  double typical_p = 1;
  double top_p = 1;  // of the most likely that together have at least this probability
  double min_p = 0;  // of those at least this times as likely as the most likely

  // Penalties look at the last so many tokens, prompt included; -1: at all. A positive score of a
  // token among them is divided by repeat_penalty, another multiplied with it; then
  // frequency_penalty is taken off for each time that it is there, presence_penalty once.
  int repeat_last_n = 64;
  double repeat_penalty = 1;
  double frequency_penalty = 0;
  double presence_penalty = 0;

  std::vector<std::pair<int32_t, float>> logit_bias = {};  // added to scores; -inf forbids a token
  uint64_t seed = 0;
};

// What is wrong with the options for a vocabulary of that size: "top-p takes a probability ...".
Status check_sampling(const SamplingOptions& options, int64_t vocabulary);

class Sampler {
 public:
  struct Candidate {
    int32_t id;
    float score;
    double weight;  // its probability, times what all weights add up to
  };

  // The next token after the tokens `before`. logits: f32 (V). Throws Error when a score is NaN or
  // the largest is infinite.
  int32_t sample(std::span<const float> logits, const SamplingOptions& options,
                 std::span<const int32_t> before);

  // The tokens that may be drawn at a temperature above 0, in no particular order; until the next
  // call.
  std::span<const Candidate> candidates(std::span<const float> logits,
                                        const SamplingOptions& options,
                                        std::span<const int32_t> before);

 private:
  std::span<const float> adjust(std::span<const float> logits, const SamplingOptions& options,
                                std::span<const int32_t> before);
  void penalize(const SamplingOptions& options, std::span<const int32_t> before);
  void take_all(std::span<const float> scores);
  void take_largest(std::span<const float> scores, size_t k);

  // Scratch, kept because the vocabulary's size is that of a page fault per 4 KB.
  std::vector<float> adjusted_;
  std::vector<int32_t> counts_;  // by token: how often it is among the last; else 0
  std::vector<Candidate> list_;
};

}  // namespace cairn
