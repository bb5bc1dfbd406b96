#include "cairn/core/block_format.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "cairn/core/float_types.h"

namespace cairn {
namespace {

// name, elements, bytes, bits, offset, scale, minimum, high bits, codes
constexpr std::array<BlockFormat, 5> kFormats = {{
    {"q8_0", 32, 34, 8, 0, 0, -1, -1, 2},
    {"q4_0", 32, 18, 4, -8, 0, -1, -1, 2},
    {"q4_1", 32, 20, 4, 0, 0, 2, -1, 4},
    {"q5_0", 32, 22, 5, -16, 0, -1, 2, 6},
    {"q5_1", 32, 24, 5, 0, 0, 2, 4, 8},
}};

float read_f16(const uint8_t* p) {
  Float16 value;
  std::memcpy(&value.bits, p, 2);
  return static_cast<float>(value);
}
float write_f16(uint8_t* p, float value) {
  const Float16 half(value);
  std::memcpy(p, &half.bits, 2);
  return static_cast<float>(half);
}

// Code i of a block, as the unsigned number stored (for 8 bits: signed).
int read_code(const BlockFormat& f, const uint8_t* block, int i) {
  if (f.bits == 8) return static_cast<int8_t>(block[f.codes_byte + i]);
  const int half = f.block_elements / 2;
  const uint8_t byte = block[f.codes_byte + i % half];
  int code = i < half ? byte & 15 : byte >> 4;
  if (f.high_bits_byte >= 0) {
    uint32_t high;
    std::memcpy(&high, block + f.high_bits_byte, 4);
    code |= static_cast<int>((high >> i) & 1) << 4;
  }
  return code;
}

void write_code(const BlockFormat& f, uint8_t* block, int i, int code) {
  if (f.bits == 8) {
    block[f.codes_byte + i] = static_cast<uint8_t>(static_cast<int8_t>(code));
    return;
  }
  const int half = f.block_elements / 2;
  uint8_t& byte = block[f.codes_byte + i % half];
  byte = static_cast<uint8_t>(byte | ((code & 15) << (i < half ? 0 : 4)));
  if (f.high_bits_byte >= 0)
    block[f.high_bits_byte + i / 8] |= static_cast<uint8_t>(((code >> 4) & 1) << (i % 8));
}

}  // namespace

std::span<const BlockFormat> block_formats() { return kFormats; }

const BlockFormat* find_block_format(std::string_view name) {
  for (const BlockFormat& f : kFormats)
    if (f.name == name) return &f;
  return nullptr;
}

void decode_blocks(const BlockFormat& f, const uint8_t* bytes, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, bytes += f.block_bytes, out += f.block_elements) {
    const float scale = read_f16(bytes + f.scale_byte);
    const float minimum = f.minimum_byte >= 0 ? read_f16(bytes + f.minimum_byte) : 0.0f;
    for (int i = 0; i < f.block_elements; ++i) {
      const float product = scale * static_cast<float>(read_code(f, bytes, i) + f.offset);
      out[i] = f.minimum_byte >= 0 ? product + minimum : product;
    }
  }
}

void encode_blocks(const BlockFormat& f, const float* in, int64_t blocks, uint8_t* bytes) {
  const int levels = 1 << f.bits;
  for (int64_t b = 0; b < blocks; ++b, bytes += f.block_bytes, in += f.block_elements) {
    std::memset(bytes, 0, static_cast<size_t>(f.block_bytes));
    // A NaN is passed over: std::min and max keep what they have.
    float low = std::numeric_limits<float>::infinity();
    float high = -low;
    for (int i = 0; i < f.block_elements; ++i) {
      low = std::min(low, in[i]);
      high = std::max(high, in[i]);
    }
    if (low > high) low = high = 0;  // nothing but NaN
    float minimum = 0;
    float scale;
    if (f.minimum_byte >= 0) {
      minimum = write_f16(bytes + f.minimum_byte, low);
      scale = (high - low) / static_cast<float>(levels - 1);
    } else if (f.bits == 8) {
      scale = std::max(std::fabs(low), std::fabs(high)) / 127.0f;
    } else {
      // The extreme of larger magnitude takes the code that has no opposite (ggml's convention).
      scale = (std::fabs(low) > std::fabs(high) ? low : high) / static_cast<float>(f.offset);
    }
    scale = write_f16(bytes + f.scale_byte, scale);
    const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    const int smallest = f.bits == 8 ? -127 : 0;
    const int largest = f.bits == 8 ? 127 : levels - 1;
    for (int i = 0; i < f.block_elements; ++i) {
      const float code =
          std::nearbyintf((in[i] - minimum) * inverse) - static_cast<float>(f.offset);
      // The comparison sends NaN to the smallest code.
      const int clamped = !(code > static_cast<float>(smallest)) ? smallest
                          : code > static_cast<float>(largest)   ? largest
                                                                 : static_cast<int>(code);
      write_code(f, bytes, i, clamped);
    }
  }
}

}  // namespace cairn
