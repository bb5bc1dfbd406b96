#include "cairn/llm/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cairn/base/math.h"
#include "cairn/base/philox.h"

namespace cairn {
namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();

// The largest score; throws Error when one is NaN or the largest is infinite. Lanes of a fixed
// number, which compilers make vectors of.
float largest(std::span<const float> scores, size_t tokens_before) {
  constexpr size_t kLanes = 16;
  float lanes[kLanes];
  int nan[kLanes] = {};
  std::fill(lanes, lanes + kLanes, kNegativeInfinity);
  const size_t whole = scores.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes)
    for (size_t j = 0; j < kLanes; ++j) {
      const float x = scores[i + j];
      lanes[j] = x > lanes[j] ? x : lanes[j];
      nan[j] |= x != x;
    }
  for (size_t i = whole; i < scores.size(); ++i) {
    lanes[0] = std::max(lanes[0], scores[i]);
    nan[0] |= std::isnan(scores[i]);
  }
  const float max = *std::max_element(lanes, lanes + kLanes);
  if (*std::max_element(nan, nan + kLanes) != 0 || !std::isfinite(max))
    throw_error(fmt::format(
        "the model's scores after {} tokens are NaN or infinite, so there is no next token: its "
        "weights are damaged, or too large for what they are computed in",
        tokens_before));
  return max;
}

bool likelier(const Sampler::Candidate& a, const Sampler::Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

double total_weight(std::span<const Sampler::Candidate> list) {
  double total = 0;
  for (const Sampler::Candidate& c : list) total += c.weight;
  return total;
}

// weight = e^((score - the largest) * scale). Returns the largest score.
double weigh(std::span<Sampler::Candidate> list, double scale) {
  float largest = kNegativeInfinity;
  for (const Sampler::Candidate& c : list) largest = std::max(largest, c.score);
  const double max = largest;
  for (Sampler::Candidate& c : list)
    c.weight = math::exp((static_cast<double>(c.score) - max) * scale);
  return max;
}

// Keeps the first by `less` that together have at least `share` of all weight. Sorts only as many:
// as a rule, a few hundred of a vocabulary.
template <class Less>
void keep_share(std::vector<Sampler::Candidate>& list, double share, Less less) {
  const double wanted = share * total_weight(list);
  double sum = 0;
  size_t done = 0;
  for (size_t step = 256; done < list.size(); step *= 8) {
    const auto begin = list.begin() + static_cast<std::ptrdiff_t>(done);
    const auto end = begin + static_cast<std::ptrdiff_t>(std::min(step, list.size() - done));
    if (end != list.end()) std::nth_element(begin, end, list.end(), less);
    std::sort(begin, end, less);
    for (auto c = begin; c != end; ++c) {
      sum += c->weight;
      if (sum < wanted) continue;
      list.erase(c + 1, list.end());
      return;
    }
    done += static_cast<size_t>(end - begin);
  }
}

// `max`: the largest score, whose weight is 1.
void keep_typical(std::vector<Sampler::Candidate>& list, double share, double max) {
  // -log p = log total - (score - max); its mean over p is the entropy.
  const double total = total_weight(list);
  double mean = 0;  // of score - max
  for (const Sampler::Candidate& c : list)
    if (c.weight > 0) mean += c.weight / total * (static_cast<double>(c.score) - max);
  const auto distance = [&](const Sampler::Candidate& c) {
    return std::abs(mean - (static_cast<double>(c.score) - max));
  };
  keep_share(list, share, [&](const Sampler::Candidate& a, const Sampler::Candidate& b) {
    const double da = distance(a), db = distance(b);
    return da != db ? da < db : a.id < b.id;
  });
}

}  // namespace

Status check_sampling(const SamplingOptions& o, int64_t vocabulary) {
  const auto finite_above = [](double x, double least) { return x >= least && std::isfinite(x); };
  const auto share = [](double x) { return x > 0 && x <= 1; };
  if (!finite_above(o.temperature, 0))
    return Error("temperature takes a number of at least 0; 0 takes the most likely token");
  if (o.top_k < 0) return Error("top-k takes a number of at least 0; 0 keeps all");
  if (!share(o.typical_p)) return Error("typical-p takes a probability above 0 and at most 1");
  if (!share(o.top_p)) return Error("top-p takes a probability above 0 and at most 1");
  if (!(o.min_p >= 0 && o.min_p <= 1)) return Error("min-p takes a number from 0 to 1");
  if (o.repeat_last_n < -1)
    return Error("repeat-last-n takes a number of at least 0, or -1 for all tokens");
  if (!(o.repeat_penalty > 0 && std::isfinite(o.repeat_penalty)))
    return Error("repeat-penalty takes a number above 0; 1 changes nothing");
  if (!std::isfinite(o.frequency_penalty)) return Error("frequency-penalty takes a finite number");
  if (!std::isfinite(o.presence_penalty)) return Error("presence-penalty takes a finite number");
  for (const auto& [id, bias] : o.logit_bias) {
    if (id < 0 || id >= vocabulary)
      return Error(
          fmt::format("logit-bias names token {}, and the vocabulary has {}", id, vocabulary));
    if (!(bias < std::numeric_limits<float>::infinity()))
      return Error("logit-bias takes a finite number, or -inf to forbid a token");
  }
  return Nothing{};
}

void Sampler::penalize(const SamplingOptions& o, std::span<const int32_t> before) {
  if (o.repeat_last_n >= 0)
    before = before.last(std::min(before.size(), static_cast<size_t>(o.repeat_last_n)));
  counts_.resize(adjusted_.size(), 0);
  for (const int32_t id : before) {
    CAIRN_ASSERT(id >= 0 && static_cast<size_t>(id) < counts_.size());
    ++counts_[static_cast<size_t>(id)];
  }
  const auto divisor = static_cast<float>(o.repeat_penalty);
  for (const int32_t id : before) {
    int32_t& count = counts_[static_cast<size_t>(id)];
    if (count == 0) continue;  // done
    float& score = adjusted_[static_cast<size_t>(id)];
    score = score > 0 ? score / divisor : score * divisor;
    score -= static_cast<float>(count) * static_cast<float>(o.frequency_penalty) +
             static_cast<float>(o.presence_penalty);
    count = 0;
  }
}

// The scores with bias and penalties.
std::span<const float> Sampler::adjust(std::span<const float> logits, const SamplingOptions& o,
                                       std::span<const int32_t> before) {
  check_sampling(o, static_cast<int64_t>(logits.size())).value();
  const bool penalties =
      o.repeat_penalty != 1 || o.frequency_penalty != 0 || o.presence_penalty != 0;
  if (!penalties && o.logit_bias.empty()) return logits;
  adjusted_.assign(logits.begin(), logits.end());
  for (const auto& [id, bias] : o.logit_bias) adjusted_[static_cast<size_t>(id)] += bias;
  if (penalties) penalize(o, before);
  return adjusted_;
}

void Sampler::take_all(std::span<const float> scores) {
  list_.clear();
  for (size_t i = 0; i < scores.size(); ++i)
    if (scores[i] > kNegativeInfinity) list_.push_back({static_cast<int32_t>(i), scores[i], 0});
}

// The k largest in order. One pass that keeps up to 2 k of them: most scores are below the k-th
// largest so far, and cost a comparison.
void Sampler::take_largest(std::span<const float> scores, size_t k) {
  list_.clear();
  float least = kNegativeInfinity;
  const auto cut = [&] {
    const auto end = list_.begin() + static_cast<std::ptrdiff_t>(k);
    std::nth_element(list_.begin(), end - 1, list_.end(), likelier);
    list_.erase(end, list_.end());
    least = list_.back().score;
  };
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!(scores[i] > least)) continue;
    list_.push_back({static_cast<int32_t>(i), scores[i], 0});
    if (list_.size() == 2 * k) cut();
  }
  if (list_.size() > k) cut();
  std::sort(list_.begin(), list_.end(), likelier);
}

std::span<const Sampler::Candidate> Sampler::candidates(std::span<const float> logits,
                                                        const SamplingOptions& o,
                                                        std::span<const int32_t> before) {
  const std::span<const float> scores = adjust(logits, o, before);
  largest(scores, before.size());
  if (o.top_k > 0 && static_cast<size_t>(o.top_k) < scores.size())
    take_largest(scores, static_cast<size_t>(o.top_k));
  else
    take_all(scores);
  if (o.typical_p < 1 || o.top_p < 1) {
    const double max = weigh(list_, 1);
    if (o.typical_p < 1) keep_typical(list_, o.typical_p, max);
  }
  if (o.top_p < 1) keep_share(list_, o.top_p, likelier);
  if (o.min_p > 0) {
    const auto first = std::min_element(list_.begin(), list_.end(), likelier);
    const double least = static_cast<double>(first->score) + math::log(o.min_p);
    std::erase_if(list_, [&](const Candidate& c) { return static_cast<double>(c.score) < least; });
  }
  weigh(list_, 1 / std::max(o.temperature, 1e-6));
  return list_;
}

int32_t Sampler::sample(std::span<const float> logits, const SamplingOptions& o,
                        std::span<const int32_t> before) {
  if (o.temperature == 0) {
    const std::span<const float> scores = adjust(logits, o, before);
    const float max = largest(scores, before.size());
    return static_cast<int32_t>(std::find(scores.begin(), scores.end(), max) - scores.begin());
  }
  const auto list = candidates(logits, o, before);
  // 53 bits of the block that seed and position name.
  const PhiloxKey seed{static_cast<uint32_t>(o.seed), static_cast<uint32_t>(o.seed >> 32)};
  const PhiloxBlock bits = philox4x32({0, 0, 0, 0}, fold_in(seed, before.size()));
  const double u = static_cast<double>((uint64_t{bits[0]} << 21) ^ (bits[1] >> 11)) * 0x1p-53;
  const double wanted = u * total_weight(list);
  double sum = 0;
  for (const Candidate& c : list) {
    sum += c.weight;
    if (sum > wanted) return c.id;
  }
  return list.back().id;  // u rounded up to the total
}

}  // namespace cairn
