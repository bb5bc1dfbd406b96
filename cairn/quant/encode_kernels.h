// What the searching encoders work on: sixteen groups of a block format at once, one per lane.
//
// encode_kernels.inc is compiled once per target with flags of its own; those files include this
// header and call nothing that others share (see cairn/base/probe_kernels.h for why). Lanes never
// mix but in sums over the groups of a block, which go in order, so every target gives the same
// bits.
#pragma once

#include <cstdint>

namespace cairn::detail {

inline constexpr int kEncoderLanes = 16;
inline constexpr int kEncoderGroup = 32;  // the most elements of a group

// A format's declaration in the form that the search needs.
struct EncoderSpec {
  int elements = 0;  // of a group
  int groups = 1;    // of a block; divides kEncoderLanes
  // Levels of codes, ascending; whole numbers from `smallest` to `largest` where there are none.
  const float* levels = nullptr;
  int level_count = 0;
  float smallest = 0, largest = 0;
  bool has_minimum = false;
  bool minimum_below_zero = false;  // what is added is never above zero
  // Ranges of the numbers that scale and minimum of a block are multiplied with per group. Empty
  // (0 to 0) where the format has no groups.
  float scale_smallest = 0, scale_largest = 0;
  float minimum_largest = 0;
  // First guesses of step 1: the extreme at that many times the last level, and so on; and how
  // often the best is improved.
  int guesses = 0, rounds = 0;
  float first_guess = 0, guess_step = 0;
  bool powers_of_two = false;             // scales are
  float (*round_scale)(float) = nullptr;  // to the nearest that the format's type holds
  float (*round_minimum)(float) = nullptr;
};

// A group per lane; that of lane l begins at rows[l * elements].
struct EncoderBatch {
  const float* rows;        // numbers that are not finite count as 0
  const float* importance;  // likewise, or null: all 1; so it is too where a group's are all 0
  // Results. Scale and minimum of a block stand in all lanes of its groups.
  alignas(64) float scale[kEncoderLanes];
  alignas(64) float minimum[kEncoderLanes];
  alignas(64) float group_scale[kEncoderLanes];
  alignas(64) float group_minimum[kEncoderLanes];
  // In the order of `rows`: the level of each element, or, of a codebook, its place in `levels`.
  alignas(64) int16_t codes[kEncoderGroup * kEncoderLanes];
};

using EncodeBatch = void (*)(const EncoderSpec& spec, EncoderBatch& batch);

void encode_batch_baseline(const EncoderSpec& spec, EncoderBatch& batch);
void encode_batch_avx2(const EncoderSpec& spec, EncoderBatch& batch);
void encode_batch_avx512(const EncoderSpec& spec, EncoderBatch& batch);

}  // namespace cairn::detail
