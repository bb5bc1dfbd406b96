#include "cairn/core/block_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "cairn/core/float_types.h"

namespace cairn {
namespace {

float read_f16(const uint8_t* p) {
  Float16 value;
  std::memcpy(&value.bits, p, 2);
  return static_cast<float>(value);
}
void write_f16(uint8_t* p, float value) {
  const Float16 half(value);
  std::memcpy(p, &half.bits, 2);
}
float read_f32(const uint8_t* p) {
  float value;
  std::memcpy(&value, p, 4);
  return value;
}

constexpr int kE8m0Bias = 128;
float from_e8m0(int exponent) { return std::ldexp(1.0f, exponent - kE8m0Bias); }
int to_e8m0(float value) {
  if (!(value > 0)) return 0;
  if (std::isinf(value)) return 255;
  return std::clamp(std::ilogb(value) + kE8m0Bias, 0, 255);
}

// visit(number, byte, shift, count) for each run of numbers that stand in as many bytes one after
// the other, all at the same shift; in order. Numbers that do not are runs of one.
template <class F>
void for_each_run(const BitField& field, F&& visit) {
  const auto& [first, second, third] = field.axes;
  int i = 0;
  for (int c = 0; c < third.size; ++c) {
    for (int b = 0; b < second.size; ++b) {
      const int start = field.bit + c * third.stride + b * second.stride;
      if (first.stride == 8) {
        visit(i, start / 8, start % 8, first.size);
      } else {
        for (int a = 0; a < first.size; ++a)
          visit(i + a, (start + a * first.stride) / 8, (start + a * first.stride) % 8, 1);
      }
      i += first.size;
    }
  }
}

// The loops below become vectors of bytes; __restrict says that they may.
void read_run(const uint8_t* __restrict bytes, int count, int shift, int mask, int above,
              int16_t* __restrict out) {
  for (int a = 0; a < count; ++a)
    out[a] = static_cast<int16_t>(out[a] + (((bytes[a] >> shift) & mask) << above));
}
void write_run(const int16_t* __restrict in, int count, int offset, int above, int mask, int shift,
               uint8_t* __restrict bytes) {
  for (int a = 0; a < count; ++a)
    bytes[a] = static_cast<uint8_t>(bytes[a] | ((((in[a] - offset) >> above) & mask) << shift));
}

void unpack(const PackedNumbers& numbers, const uint8_t* bytes, int16_t* out) {
  const auto add = [&](const BitField& field, int above) {
    const int mask = (1 << field.width) - 1;
    for_each_run(field, [&](int i, int byte, int shift, int count) {
      read_run(bytes + byte, count, shift, mask, above, out + i);
    });
  };
  const int count = numbers.low.count();
  std::fill(out, out + count, static_cast<int16_t>(numbers.is_signed ? 0 : numbers.offset));
  add(numbers.low, 0);
  if (numbers.high.width > 0) add(numbers.high, numbers.low.width);
  if (numbers.is_signed)  // a byte each
    for (int i = 0; i < count; ++i) out[i] = static_cast<int16_t>((out[i] ^ 128) - 128);
}

void pack(const PackedNumbers& numbers, const int16_t* in, uint8_t* bytes) {
  const int offset = numbers.is_signed ? 0 : numbers.offset;
  const auto put = [&](const BitField& field, int above) {
    const int mask = (1 << field.width) - 1;
    for_each_run(field, [&](int i, int byte, int shift, int count) {
      write_run(in + i, count, offset, above, mask, shift, bytes + byte);
    });
  };
  put(numbers.low, 0);
  if (numbers.high.width > 0) put(numbers.high, numbers.low.width);
}

// The code whose level is nearest to x; NaN gets the smallest code.
int nearest_code(const BlockFormat& format, float x) {
  if (format.codebook.empty()) {
    // Codes of eight bits are symmetric, as ggml has them: -128 is not used.
    const bool symmetric = format.codes.is_signed;
    const int smallest = symmetric ? -format.codes.largest() : format.codes.smallest();
    const int largest = format.codes.largest();
    const float code = std::nearbyintf(x);
    if (!(code > static_cast<float>(smallest))) return smallest;
    return code > static_cast<float>(largest) ? largest : static_cast<int>(code);
  }
  int best = 0;
  float best_distance = std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < format.codebook.size(); ++i) {
    const float distance = std::fabs(x - static_cast<float>(format.codebook[i]));
    if (!(distance < best_distance)) continue;
    best = static_cast<int>(i);
    best_distance = distance;
  }
  return best;
}

// Scale and minimum of a group from its extremes. A NaN is passed over: std::min and max keep what
// they have.
GroupFactors from_extremes(const BlockFormat& format, const float* in) {
  float low = std::numeric_limits<float>::infinity();
  float high = -low;
  for (int i = 0; i < format.elements_of_group(); ++i) {
    low = std::min(low, in[i]);
    high = std::max(high, in[i]);
  }
  if (low > high) low = high = 0;  // nothing but NaN
  const float extreme = std::fabs(low) > std::fabs(high) ? low : high;
  if (format.has_minimum()) {
    if (format.subtracts_minimum) low = std::min(low, 0.0f);  // stored ones are not negative
    return {(high - low) / static_cast<float>(format.codes.largest()), low};
  }
  if (format.scale_type == ScaleType::e8m0) {
    // The largest power of two below which the extreme's exponent has a level.
    const int8_t largest = *std::max_element(format.codebook.begin(), format.codebook.end());
    return {std::fabs(extreme) / static_cast<float>(std::bit_floor(static_cast<unsigned>(largest))),
            0};
  }
  if (!format.codebook.empty()) {
    const int8_t widest = *std::max_element(format.codebook.begin(), format.codebook.end(),
                                            [](int a, int b) { return std::abs(a) < std::abs(b); });
    return {extreme / static_cast<float>(widest), 0};
  }
  if (format.codes.is_signed)
    return {std::fabs(extreme) / static_cast<float>(format.codes.largest()), 0};
  // The extreme takes the code that has no opposite (ggml's convention).
  return {extreme / static_cast<float>(format.codes.smallest()), 0};
}

// Fills the scales, or minimums, of groups with the nearest to `values`, and returns what one of
// them is multiplied with.
float encode_factors(const PackedNumbers& numbers, std::span<const float> values, int16_t* out) {
  const float extreme = *std::max_element(
      values.begin(), values.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  const int widest = numbers.smallest() < 0 ? numbers.smallest() : numbers.largest();
  const float unit = round_scale(ScaleType::f16, extreme / static_cast<float>(widest));
  const float inverse = unit != 0 ? 1.0f / unit : 0.0f;
  for (size_t i = 0; i < values.size(); ++i) {
    const float number = std::nearbyintf(values[i] * inverse);
    out[i] = static_cast<int16_t>(
        !(number > static_cast<float>(numbers.smallest())) ? numbers.smallest()
        : number > static_cast<float>(numbers.largest())   ? numbers.largest()
                                                           : static_cast<int>(number));
  }
  return unit;
}

float read_scale(ScaleType type, const uint8_t* p) {
  switch (type) {
    case ScaleType::f16: return read_f16(p);
    case ScaleType::e8m0: return from_e8m0(*p);
    case ScaleType::f32: return read_f32(p);
    case ScaleType::none: break;
  }
  return 1;
}
void write_scale(ScaleType type, float value, uint8_t* p) {
  switch (type) {
    case ScaleType::f16: return write_f16(p, value);
    case ScaleType::e8m0: *p = static_cast<uint8_t>(to_e8m0(value)); return;
    case ScaleType::f32: std::memcpy(p, &value, 4); return;
    case ScaleType::none: return;
  }
}

}  // namespace

float round_scale(ScaleType type, float value) {
  switch (type) {
    case ScaleType::f16: return static_cast<float>(Float16(value));
    case ScaleType::e8m0: return from_e8m0(to_e8m0(value));
    case ScaleType::f32: return value;
    case ScaleType::none: break;
  }
  return 1;
}

void unpack_block(const BlockFormat& f, const uint8_t* bytes, UnpackedBlock& block) {
  block.scale = read_scale(f.scale_type, bytes + f.scale_byte);
  block.minimum = f.has_minimum() ? read_f16(bytes + f.minimum_byte) : 0.0f;
  unpack(f.codes, bytes, block.codes.data());
  if (f.group_scales.present()) unpack(f.group_scales, bytes, block.group_scales.data());
  if (f.group_minimums.present()) unpack(f.group_minimums, bytes, block.group_minimums.data());
}

void pack_block(const BlockFormat& f, const UnpackedBlock& block, uint8_t* bytes) {
  std::memset(bytes, 0, static_cast<size_t>(f.block_bytes));
  write_scale(f.scale_type, block.scale, bytes + f.scale_byte);
  if (f.has_minimum()) write_f16(bytes + f.minimum_byte, block.minimum);
  pack(f.codes, block.codes.data(), bytes);
  if (f.group_scales.present()) pack(f.group_scales, block.group_scales.data(), bytes);
  if (f.group_minimums.present()) pack(f.group_minimums, block.group_minimums.data(), bytes);
}

GroupFactors group_factors(const BlockFormat& f, const UnpackedBlock& block, int group) {
  const auto g = static_cast<size_t>(group);
  GroupFactors factors = {block.scale, block.minimum};
  if (f.group_scales.present()) factors.scale *= static_cast<float>(block.group_scales[g]);
  if (f.group_minimums.present()) factors.minimum *= static_cast<float>(block.group_minimums[g]);
  if (f.subtracts_minimum) factors.minimum = -factors.minimum;
  return factors;
}

void decode_blocks(const BlockFormat& f, const uint8_t* bytes, int64_t blocks, float* out) {
  UnpackedBlock block;
  const int n = f.elements_of_group();
  for (int64_t b = 0; b < blocks; ++b, bytes += f.block_bytes) {
    unpack_block(f, bytes, block);
    const int16_t* codes = block.codes.data();
    for (int g = 0; g < f.groups(); ++g, codes += n, out += n) {
      const GroupFactors factors = group_factors(f, block, g);
      if (!f.codebook.empty()) {
        const int8_t* levels = f.codebook.data();
        for (int i = 0; i < n; ++i) out[i] = factors.scale * static_cast<float>(levels[codes[i]]);
      } else if (f.has_minimum()) {
        for (int i = 0; i < n; ++i)
          out[i] = factors.scale * static_cast<float>(codes[i]) + factors.minimum;
      } else {
        for (int i = 0; i < n; ++i) out[i] = factors.scale * static_cast<float>(codes[i]);
      }
    }
  }
}

void encode_blocks(const BlockFormat& f, const float* in, int64_t blocks, uint8_t* bytes) {
  UnpackedBlock block;
  std::array<float, kMaxBlockGroups> scales = {}, minimums = {};
  const int n = f.elements_of_group();
  const auto groups = static_cast<size_t>(f.groups());
  for (int64_t b = 0; b < blocks; ++b, bytes += f.block_bytes, in += f.block_elements) {
    for (size_t g = 0; g < groups; ++g) {
      const GroupFactors wanted = from_extremes(f, in + static_cast<int>(g) * n);
      scales[g] = wanted.scale;
      minimums[g] = f.subtracts_minimum ? -wanted.minimum : wanted.minimum;
    }
    block.scale = f.group_scales.present() ? encode_factors(f.group_scales, {scales.data(), groups},
                                                            block.group_scales.data())
                                           : round_scale(f.scale_type, scales[0]);
    if (f.has_minimum())
      block.minimum = f.group_minimums.present()
                          ? encode_factors(f.group_minimums, {minimums.data(), groups},
                                           block.group_minimums.data())
                          : round_scale(ScaleType::f16, minimums[0]);
    for (size_t g = 0; g < groups; ++g) {
      const GroupFactors factors = group_factors(f, block, static_cast<int>(g));
      const float inverse = factors.scale != 0 ? 1.0f / factors.scale : 0.0f;
      for (size_t i = 0, e = g * static_cast<size_t>(n); i < static_cast<size_t>(n); ++i, ++e)
        block.codes[e] = static_cast<int16_t>(nearest_code(f, (in[e] - factors.minimum) * inverse));
    }
    pack_block(f, block, bytes);
  }
}

}  // namespace cairn
