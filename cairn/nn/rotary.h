// Rotary positions: how fast each pair of a head's elements turns with the position, and the ways
// in which families slow that down to reach past the tokens that they were trained on.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cairn/graph/tensor.h"

namespace cairn {

// Names are those of Hugging Face's rope_type.
enum class RotaryScaling : uint8_t {
  none,
  linear,    // all pairs slower by `factor` (Chen et al. 2023)
  dynamic,   // a larger theta for sequences longer than `context` ("NTK-aware")
  llama3,    // slow pairs slower by `factor`, fast ones as they are, a ramp between
  yarn,      // the same with another ramp, and sharper scores (Peng et al. 2023)
  longrope,  // a factor for each pair, other ones beyond `context` (Ding et al. 2024)
};

struct Rotary {
  double theta = 10000;
  bool interleaved = false;  // pairs (2i, 2i + 1), else (i, i + width / 2)
  int64_t width = 0;         // only the first so many elements of a head turn; 0: all
  RotaryScaling scaling = RotaryScaling::none;
  double factor = 1;
  int64_t context = 0;  // tokens of the training before the scaling
  // llama3: pairs that turn less than `low` times in `context` are slow, more than `high` fast.
  double low = 1, high = 4;
  // yarn: the same as beta_slow and beta_fast; `whole`: the ramp's ends are whole pairs.
  double beta_fast = 32, beta_slow = 1;
  bool whole = true;
  // What queries and keys are multiplied by; nothing: by the formula of yarn or longrope.
  std::optional<double> attention_factor = std::nullopt;
  double mscale = 0, mscale_all = 0;                          // yarn: of that formula; 0: not given
  std::vector<double> short_factors = {}, long_factors = {};  // longrope: one for each pair
  bool operator==(const Rotary&) const = default;
};

struct RotaryTable {
  std::vector<double> frequencies;  // radians a token, one for each pair
  double scale = 1;                 // of what is turned
};
// For heads of `width` elements and sequences of up to `tokens` tokens: dynamic and longrope depend
// on that, and a cache counts with all that it is meant for, so that its tokens are turned alike.
// Throws Error when a number of `rotary` cannot be.
RotaryTable rotary_table(const Rotary& rotary, int64_t width, int64_t tokens);

// x [..., tokens, width] turned by positions [tokens] (or with leading axes that broadcast).
Tensor rotate(const Tensor& x, const Tensor& positions, const Rotary& rotary, int64_t tokens);

}  // namespace cairn
