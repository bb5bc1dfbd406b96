#include "cairn/nn/rotary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"

namespace cairn {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

// How much of a frequency stays as it is: 1 for a pair that turns `high` times or more in the
// context, 0 for one that turns `low` times or less.
double llama3_share(const Rotary& r, double frequency) {
  const double turns = static_cast<double>(r.context) * frequency / kTurn;
  return std::clamp((turns - r.low) / (r.high - r.low), 0.0, 1.0);
}

// yarn's ramp is linear in the number of the pair.
double yarn_share(const Rotary& r, int64_t width, int64_t pair) {
  const auto pair_that_turns = [&](double times) {
    return static_cast<double>(width) * std::log(static_cast<double>(r.context) / (times * kTurn)) /
           (2 * std::log(r.theta));
  };
  double first = pair_that_turns(r.beta_fast), last = pair_that_turns(r.beta_slow);
  if (r.whole) first = std::floor(first), last = std::ceil(last);
  first = std::max(first, 0.0);
  last = std::min(last, static_cast<double>(width - 1));
  if (first == last) last += 0.001;
  return 1 - std::clamp((static_cast<double>(pair) - first) / (last - first), 0.0, 1.0);
}

double yarn_scale(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

double scale_of(const Rotary& r) {
  if (r.scaling != RotaryScaling::yarn && r.scaling != RotaryScaling::longrope) return 1;
  if (r.attention_factor) return *r.attention_factor;
  if (r.scaling == RotaryScaling::longrope)
    return r.factor <= 1
               ? 1
               : std::sqrt(1 + std::log(r.factor) / std::log(static_cast<double>(r.context)));
  if (r.mscale != 0 && r.mscale_all != 0)
    return yarn_scale(r.factor, r.mscale) / yarn_scale(r.factor, r.mscale_all);
  return yarn_scale(r.factor, 1);
}

void check(const Rotary& r, int64_t width) {
  const auto require = [](bool condition, std::string_view what) {
    if (!condition) throw_error(fmt::format("[rotary] {}", what));
  };
  require(r.theta > 0 && std::isfinite(r.theta), "theta must be a number above 0");
  require(width >= 2 && width % 2 == 0, fmt::format("the width {} must be even", width));
  if (r.scaling == RotaryScaling::none) return;
  require(r.factor > 0 && std::isfinite(r.factor), "the factor must be a number above 0");
  require(r.scaling == RotaryScaling::linear || r.context > 1,
          fmt::format("the context of the training is {}; it must be above 1", r.context));
  require(r.scaling != RotaryScaling::dynamic || width > 2, "dynamic takes a width above 2");
  require(r.scaling != RotaryScaling::llama3 || r.low < r.high,
          "the low frequency factor must be below the high one");
  require(r.scaling != RotaryScaling::yarn || (r.beta_slow > 0 && r.beta_fast > 0 && r.theta > 1),
          "beta_fast and beta_slow must be above 0 and theta above 1");
  if (r.scaling == RotaryScaling::longrope)
    for (const auto* factors : {&r.short_factors, &r.long_factors}) {
      require(std::ssize(*factors) == width / 2,
              fmt::format("{} factors are given for {} pairs", factors->size(), width / 2));
      require(std::ranges::all_of(*factors, [](double f) { return f > 0 && std::isfinite(f); }),
              "the factor of a pair must be a number above 0");
    }
}

}  // namespace

RotaryTable rotary_table(const Rotary& r, int64_t width, int64_t tokens) {
  check(r, width);
  const auto n = static_cast<double>(width);
  double theta = r.theta;
  if (r.scaling == RotaryScaling::dynamic && tokens > r.context)
    theta *= std::pow(
        r.factor * static_cast<double>(tokens) / static_cast<double>(r.context) - (r.factor - 1),
        n / (n - 2));
  RotaryTable table;
  table.scale = scale_of(r);
  for (int64_t i = 0; i < width / 2; ++i) {
    const double plain = std::pow(theta, -2 * static_cast<double>(i) / n);
    const auto mixed = [&](double share) { return plain * (share + (1 - share) / r.factor); };
    double frequency = plain;
    switch (r.scaling) {
      case RotaryScaling::none:
      case RotaryScaling::dynamic: break;
      case RotaryScaling::linear: frequency = plain / r.factor; break;
      case RotaryScaling::llama3: frequency = mixed(llama3_share(r, plain)); break;
      case RotaryScaling::yarn: frequency = mixed(yarn_share(r, width, i)); break;
      case RotaryScaling::longrope:
        frequency =
            plain / (tokens > r.context ? r.long_factors : r.short_factors)[static_cast<size_t>(i)];
        break;
    }
    table.frequencies.push_back(frequency);
  }
  return table;
}

Tensor rotate(const Tensor& x, const Tensor& positions, const Rotary& r, int64_t tokens) {
  const int64_t whole = x.size(-1), width = r.width ? r.width : whole;
  const Tensor part = width < whole ? slice_axis(x, -1, 0, width) : x;
  Tensor turned;
  if (r.scaling == RotaryScaling::none) {
    turned = rotary_embedding(part, positions, r.theta, r.interleaved);
  } else {
    const RotaryTable table = rotary_table(r, width, tokens);
    turned = rotary_embedding(part, positions, r.theta, r.interleaved,
                              Tensor::from<double>(table.frequencies, {width / 2}));
    if (table.scale != 1) turned = turned * table.scale;
  }
  if (width == whole) return turned;
  const Tensor parts[] = {turned, slice_axis(x, -1, width, whole)};
  return concatenate(parts, -1);
}

}  // namespace cairn
