// Rows of activations rounded to blocks of signed bytes, as products with quantized weights read
// them (quantized.h).
#include <bit>
#include <optional>

#include "cairn/tile/builder.h"
#include "cairn/tile/quantized.h"

namespace cairn::tile {

Kernel quantize_rows_kernel(const BlockFormat& f, bool has_many_rows) {
  const int64_t size = f.block_elements, part = activation_sum(size);
  // Of a program: 512 elements, so a square of 4 x 4 blocks of 32; of longer ones 2 x 2.
  const int64_t side = size == kActivationBlock ? 4 : 2, count = side * side;
  return build("quantize_rows", [&](Builder& k) {
    const Buffer x = k.input("x", DType::f32);
    const Buffer codes = k.output("codes", DType::i8), scales = k.output("scales", DType::f32),
                 sums = k.output("sums", DType::i32);
    const Tile rows = k.size("rows"), blocks = k.size("blocks"), x_rows = k.size("x_rows");
    k.grid([&] {
      return has_many_rows ? std::vector<Tile>{ceil_div(x_rows, side), ceil_div(blocks, side)}
                           : std::vector<Tile>{x_rows, ceil_div(blocks, count)};
    });
    // Of many rows a square: each line of codes is written whole.
    const Tile each = k.arange(count);
    const Tile row = has_many_rows ? k.program_id(0) * side + (each & (side - 1)) : k.program_id(0);
    const Tile block = has_many_rows ? k.program_id(1) * side +
                                           (each >> std::countr_zero(static_cast<uint64_t>(side)))
                                     : k.program_id(1) * count + each;
    const Tile column = expand_dims(k.arange(size), 0);
    const Tile is_there = (row < x_rows) & (block < blocks);
    const Tile is_read = is_there & (row < rows);
    const Tile value =
        k.load(x, expand_dims(row * blocks + block, 1) * size + column, expand_dims(is_read, 1));
    // Of numbers without sign the bits are in their order, behind infinity NaN, which is passed
    // over here, and gets the smallest code.
    const Tile bits = bitcast(value, DType::i32) & 0x7fffffff;
    const Tile extreme = bitcast(max(where(bits > 0x7f800000, 0, bits), 1), DType::f32);
    Tile scale = extreme / 127;
    if (f.scale_type == ScaleType::f16) scale = cast(cast(scale, DType::f16), DType::f32);
    const Tile inverse = where(scale == 0, 0, k.full({count}, 1, DType::f32) / scale);
    // To the nearest whole number, ties to even, by an addition in which its last bit is a one; a
    // cast, which saturates, would be done number by number.
    constexpr double kUnits = 0x1.8p23;
    constexpr int32_t kUnitBits = 0x4b400000;
    const Tile ratio = value * expand_dims(inverse, 1);
    const Tile near = where(ratio > -127, where(ratio < 127, ratio, 127), -127) + kUnits;
    const Tile code = bitcast(near, DType::i32) - kUnitBits;
    k.store(codes, expand_dims(block * x_rows + row, 1) * size + column, cast(code, DType::i8),
            expand_dims(is_there, 1));
    k.store(scales, block * x_rows + row, scale, is_there);
    if (part == size) {
      k.store(sums, block * x_rows + row, sum(code, 1), is_there);
      return;
    }
    std::optional<Tile> lower, upper;  // bytes of sums
    for (int64_t at = 0; at < size / part; ++at) {
      const Tile inside = (column >> std::countr_zero(static_cast<uint64_t>(part))) == at;
      const Tile whole = sum(where(inside, code, 0), 1);
      if (size == kActivationBlock) {
        k.store(sums, (block * (size / part) + at) * x_rows + row, whole, is_there);
        continue;
      }
      const Tile low = (whole & 15) << static_cast<int32_t>(8 * at);
      const Tile high = ((whole >> 4) & 255) << static_cast<int32_t>(8 * at);
      lower = lower ? *lower | low : low;
      upper = upper ? *upper | high : high;
    }
    if (!lower) return;
    k.store(sums, (block * x_rows + row) * 2, *lower, is_there);
    k.store(sums, (block * x_rows + row) * 2 + 1, *upper, is_there);
  });
}

}  // namespace cairn::tile
