// The table of block formats. Where each number lies is from the definition of ggml's blocks.
#include "cairn/core/block_format.h"

namespace cairn {
namespace {

constexpr int at_byte(int byte) { return 8 * byte; }

// Four-bit codes of one block of 32: element i in the low half of byte i, i + 16 in its high half.
constexpr BitField nibbles_of_32(int byte) { return {4, at_byte(byte), {{{16, 8}, {2, 4}}}}; }
// The fifth bits of 32 codes, in order.
constexpr BitField fifth_bits_of_32(int byte) { return {1, at_byte(byte), {{{32, 1}}}}; }
// Codes of a block of 256: 32 bytes hold `per_byte` runs of 32 elements one above the other.
constexpr BitField runs_of_32(int width, int byte, int per_byte) {
  return {width, at_byte(byte), {{{32, 8}, {per_byte, width}, {8 / per_byte, 256}}}};
}
// The 6-bit scales and minimums of q4_k and q5_k: of groups 0 to 3 all bits stand in the bytes
// from `low` on; of groups 4 to 7 the upper two stand there too, above the others', and the lower
// four in the third run of four bytes, scales in its low halves and minimums in its high ones.
constexpr PackedNumbers six_bits(int low_byte, int low_stride) {
  return {.low = {4, at_byte(low_byte), {{{4, 8}, {2, low_stride}}}},
          .high = {2, at_byte(low_byte) + 4, {{{4, 8}, {2, 2}}}}};
}

// Levels of IQ4: closer together around zero, as weights are.
constexpr std::array<int8_t, 16> kNonlinear = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};
// Levels of e2m1, doubled.
constexpr std::array<int8_t, 16> kE2m1 = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

constexpr std::array kFormats = {
    BlockFormat{.name = "q4_0",
                .block_elements = 32,
                .block_bytes = 18,
                .codes = {.low = nibbles_of_32(2), .offset = -8}},
    BlockFormat{.name = "q4_1",
                .block_elements = 32,
                .block_bytes = 20,
                .codes = {.low = nibbles_of_32(4)},
                .minimum_byte = 2},
    BlockFormat{.name = "q5_0",
                .block_elements = 32,
                .block_bytes = 22,
                .codes = {.low = nibbles_of_32(6), .high = fifth_bits_of_32(2), .offset = -16}},
    BlockFormat{.name = "q5_1",
                .block_elements = 32,
                .block_bytes = 24,
                .codes = {.low = nibbles_of_32(8), .high = fifth_bits_of_32(4)},
                .minimum_byte = 2},
    BlockFormat{.name = "q8_0",
                .block_elements = 32,
                .block_bytes = 34,
                .codes = {.low = {8, at_byte(2), {{{32, 8}}}}, .is_signed = true}},
    BlockFormat{.name = "q2_k",
                .block_elements = 256,
                .block_bytes = 84,
                .codes = {.low = runs_of_32(2, 16, 4)},
                .scale_byte = 80,
                .minimum_byte = 82,
                .subtracts_minimum = true,
                .group_elements = 16,
                .group_scales = {.low = {4, at_byte(0), {{{16, 8}}}}},
                .group_minimums = {.low = {4, at_byte(0) + 4, {{{16, 8}}}}}},
    BlockFormat{.name = "q3_k",
                .block_elements = 256,
                .block_bytes = 110,
                .codes = {.low = runs_of_32(2, 32, 4), .high = runs_of_32(1, 0, 8), .offset = -4},
                .scale_byte = 108,
                .group_elements = 16,
                .group_scales = {.low = {4, at_byte(96), {{{8, 8}, {2, 4}}}},
                                 .high = {2, at_byte(104), {{{4, 8}, {4, 2}}}},
                                 .offset = -32}},
    BlockFormat{.name = "q4_k",
                .block_elements = 256,
                .block_bytes = 144,
                .codes = {.low = runs_of_32(4, 16, 2)},
                .minimum_byte = 2,
                .subtracts_minimum = true,
                .group_elements = 32,
                .group_scales = six_bits(4, 64),
                .group_minimums = six_bits(8, 36)},
    BlockFormat{.name = "q5_k",
                .block_elements = 256,
                .block_bytes = 176,
                .codes = {.low = runs_of_32(4, 48, 2), .high = runs_of_32(1, 16, 8)},
                .minimum_byte = 2,
                .subtracts_minimum = true,
                .group_elements = 32,
                .group_scales = six_bits(4, 64),
                .group_minimums = six_bits(8, 36)},
    BlockFormat{.name = "q6_k",
                .block_elements = 256,
                .block_bytes = 210,
                .codes = {.low = {4, at_byte(0), {{{64, 8}, {2, 4}, {2, 512}}}},
                          .high = runs_of_32(2, 128, 4),
                          .offset = -32},
                .scale_byte = 208,
                .group_elements = 16,
                .group_scales = {.low = {8, at_byte(192), {{{16, 8}}}}, .is_signed = true}},
    BlockFormat{.name = "iq4_nl",
                .block_elements = 32,
                .block_bytes = 18,
                .codes = {.low = nibbles_of_32(2)},
                .codebook = kNonlinear},
    BlockFormat{.name = "iq4_xs",
                .block_elements = 256,
                .block_bytes = 136,
                .codes = {.low = {4, at_byte(8), {{{16, 8}, {2, 4}, {8, 128}}}}},
                .codebook = kNonlinear,
                .group_elements = 32,
                .group_scales = {.low = {4, at_byte(4), {{{8, 4}}}},
                                 .high = {2, at_byte(2), {{{8, 2}}}},
                                 .offset = -32}},
    BlockFormat{.name = "mxfp4",
                .block_elements = 32,
                .block_bytes = 17,
                .codes = {.low = nibbles_of_32(1)},
                .codebook = kE2m1,
                .scale_type = ScaleType::e8m0},
};

constexpr std::array kOfNoFile = {
    BlockFormat{.name = kRowFormat,
                .block_elements = 32,
                .block_bytes = 32,
                .codes = {.low = {8, at_byte(0), {{{32, 8}}}}, .offset = -128},
                .scale_type = ScaleType::none},
    BlockFormat{.name = kRowActivations,
                .block_elements = 128,
                .block_bytes = 132,
                .codes = {.low = {8, at_byte(4), {{{128, 8}}}}, .is_signed = true},
                .scale_type = ScaleType::f32},
    BlockFormat{.name = kGroupActivations,
                .block_elements = 64,
                .block_bytes = 68,
                .codes = {.low = {8, at_byte(4), {{{64, 8}}}}, .is_signed = true},
                .scale_type = ScaleType::f32},
};

}  // namespace

std::span<const BlockFormat> block_formats() { return kFormats; }

const BlockFormat* find_block_format(std::string_view name) {
  for (const auto formats : {block_formats(), std::span<const BlockFormat>(kOfNoFile)})
    for (const BlockFormat& f : formats)
      if (f.name == name) return &f;
  return nullptr;
}

}  // namespace cairn
