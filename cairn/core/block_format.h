// BlockFormat: how a block of quantized numbers lies in bytes, as a declaration.
//
// From it come the reference encoder and decoder here, and later packed layouts and fused kernels.
// A row of n elements is n / block_elements blocks, one after the other. In a block: optional f16
// scale and minimum, then the codes, `bits` wide. value = scale * (code + offset) + minimum. Names
// and byte layouts are those of GGUF (ggml's block types).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace cairn {

struct BlockFormat {
  std::string_view name;
  int block_elements;
  int block_bytes;
  int bits;            // of one code
  int offset;          // added to a code: -8 for a signed 4-bit code stored from 0
  int scale_byte;      // where the f16 scale stands
  int minimum_byte;    // where the f16 minimum stands; -1: none
  int high_bits_byte;  // where the fifth bits stand (one u32); -1: none
  int codes_byte;      // where the codes stand; 4-bit codes: element i in the low half of byte i,
                       // element i + block_elements / 2 in its high half
};

std::span<const BlockFormat> block_formats();
// Null when there is no such format.
const BlockFormat* find_block_format(std::string_view name);

// Decodes `blocks` blocks to f32. bytes: blocks * block_bytes; out: blocks * block_elements.
void decode_blocks(const BlockFormat& format, const uint8_t* bytes, int64_t blocks, float* out);
// Encodes by rounding to nearest: scale and minimum from the extremes of each block.
void encode_blocks(const BlockFormat& format, const float* in, int64_t blocks, uint8_t* bytes);

}  // namespace cairn
