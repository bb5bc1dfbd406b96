// BlockFormat: how a block of quantized numbers lies in bytes, as a declaration.
//
// From it come the decoder and the plain encoder here, the searching encoders of cairn/quant, and
// later packed layouts and fused kernels; nothing asks for a format by its name. Names and byte
// layouts are those of GGUF (ggml's block types). A row of n elements is n / block_elements blocks,
// one after the other.
//
// A block holds a scale and perhaps a minimum, then numbers of a few bits: a code for each element
// and, in formats whose blocks have groups, a scale and perhaps a minimum for each group:
//
//   value = (scale * group scale) * level +- (minimum * group minimum)
//
// each operation rounded to f32, the factors left out that a format does not have. The level of a
// code is the code itself, or codebook[code].
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace cairn {

struct BitAxis {
  int size = 1;
  int stride = 0;  // in bits
};

// Where `count()` numbers of `width` bits stand in a block. Number i has a digit per axis, the
// first axis fastest, and begins at bit `bit` + the sum of digit * stride. Bit b is bit b % 8 of
// byte b / 8. No number crosses a byte: a byte, a shift and a mask read it.
struct BitField {
  int width = 0;  // 0: there is no such field
  int bit = 0;
  std::array<BitAxis, 3> axes = {};

  constexpr int count() const { return axes[0].size * axes[1].size * axes[2].size; }
};

// Small integers whose lower and higher bits may stand apart. A number is its bits as an unsigned
// number + offset, or a byte in two's complement.
struct PackedNumbers {
  BitField low;
  BitField high = {};
  int offset = 0;
  bool is_signed = false;

  constexpr bool present() const { return low.width > 0; }
  constexpr int width() const { return low.width + high.width; }
  constexpr int smallest() const { return is_signed ? -(1 << (width() - 1)) : offset; }
  constexpr int largest() const { return smallest() + (1 << width()) - 1; }
};

enum class ScaleType : uint8_t {
  f16,
  e8m0,  // one byte e: 2^(e - 128), half of what OCP's says, for codebooks of doubled levels
  f32,
  none  // 1: a code is its number, and what it is multiplied with stands elsewhere
};

struct BlockFormat {
  std::string_view name;
  int block_elements;
  int block_bytes;
  PackedNumbers codes;
  std::span<const int8_t> codebook = {};  // empty: a code is its own level
  ScaleType scale_type = ScaleType::f16;
  int scale_byte = 0;     // where the scale stands
  int minimum_byte = -1;  // where the f16 minimum stands; -1: none
  bool subtracts_minimum = false;
  int group_elements = 0;  // 0: no groups
  PackedNumbers group_scales = {};
  PackedNumbers group_minimums = {};

  constexpr bool has_minimum() const { return minimum_byte >= 0; }
  constexpr int groups() const { return group_elements ? block_elements / group_elements : 1; }
  constexpr int elements_of_group() const {
    return group_elements ? group_elements : block_elements;
  }
};

inline constexpr int kMaxBlockElements = 256;
inline constexpr int kMaxBlockGroups = 16;

// The numbers of a block, taken apart.
struct UnpackedBlock {
  float scale = 0;                                    // as stored: one that the format's type holds
  float minimum = 0;                                  // likewise
  std::array<int16_t, kMaxBlockElements> codes = {};  // offset added
  std::array<int16_t, kMaxBlockGroups> group_scales = {};
  std::array<int16_t, kMaxBlockGroups> group_minimums = {};
};

// Those of GGUF.
std::span<const BlockFormat> block_formats();
// One of those, or of three that no file has: weights with a scale for each row, which stands apart
// from the codes, the activations that are multiplied with them, and those for weights of so few
// bits that a code times its group's scale is a byte.
inline constexpr std::string_view kRowFormat = "int8";
inline constexpr std::string_view kRowActivations = "int8_128";
inline constexpr std::string_view kGroupActivations = "int8_64";
// Null when there is no such format.
const BlockFormat* find_block_format(std::string_view name);

void unpack_block(const BlockFormat& format, const uint8_t* bytes, UnpackedBlock& block);
// Numbers lie in the ranges of the format.
void pack_block(const BlockFormat& format, const UnpackedBlock& block, uint8_t* bytes);

// The scale of the format's type that is nearest to `value`; for e8m0, which is positive, by
// exponent.
float round_scale(ScaleType type, float value);

// What a level is multiplied with and what is added, of one group: the decoder's arithmetic.
struct GroupFactors {
  float scale;
  float minimum;
};
GroupFactors group_factors(const BlockFormat& format, const UnpackedBlock& block, int group);

// Decodes `blocks` blocks to f32. bytes: blocks * block_bytes; out: blocks * block_elements.
void decode_blocks(const BlockFormat& format, const uint8_t* bytes, int64_t blocks, float* out);
// Encodes by rounding to nearest: scales and minimums from the extremes of each group. This is what
// the primitive `quantize` means; cairn/quant searches for better ones.
void encode_blocks(const BlockFormat& format, const float* in, int64_t blocks, uint8_t* bytes);

}  // namespace cairn
