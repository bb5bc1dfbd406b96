#include "cairn/tile/quantized.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include "cairn/tile/builder.h"

namespace cairn::tile {
namespace {

constexpr int64_t kColumns = kBlockPanelRows;
constexpr int64_t kLine = 64;  // bytes that come from memory at a time
constexpr int64_t kQuad = 4;   // bytes that are multiplied at a time

int64_t log2_of(int64_t n) { return std::countr_zero(static_cast<uint64_t>(n)); }

bool is_byte_by_byte(const BitField& field) { return field.axes[0].stride == 8; }

// A number of a field in a block: the byte that it begins in, and its bit there.
struct Place {
  Tile byte, shift;
};

// Numbers of a block are counted as unit * per_unit + inner, where the unit is known when the
// kernel runs only. Where a unit is whole turns of the first two axes, inner alone says their
// digits, so that shifts are constants wherever inner is one.
Place place(const BitField& field, const Tile& unit, int64_t per_unit, const Tile& inner) {
  const auto& [first, second, third] = field.axes;
  const int64_t turn = int64_t{first.size} * second.size;
  const int64_t stride = third.stride * (per_unit / turn);
  const bool is_whole = per_unit % turn == 0 && stride % 8 == 0;
  const Tile number = is_whole ? inner : unit * per_unit + inner;
  const Tile bit = (number & (first.size - 1)) * first.stride +
                   ((number >> log2_of(first.size)) & (second.size - 1)) * second.stride +
                   (number >> log2_of(turn)) * third.stride + field.bit;
  return {is_whole ? unit * (stride / 8) + (bit >> 3) : bit >> 3, bit & 7};
}

// The smallest part of a block within which the digits of codes do not depend on where it is.
int64_t natural_unit(const BlockFormat& f) {
  int64_t unit = kActivationBlock;
  for (const BitField* field : {&f.codes.low, &f.codes.high})
    if (field->width) unit = std::max(unit, int64_t{field->axes[0].size} * field->axes[1].size);
  return unit;
}

// Many rows share what is computed of a part, and it should be small: its sums are in registers.
constexpr int64_t kSomeRows = 16;
int64_t unit_of(const BlockFormat& f, int64_t rows) {
  return rows > kSomeRows ? kActivationBlock : natural_unit(f);
}

int smallest_level(const BlockFormat& f) {
  return f.codebook.empty() ? f.codes.smallest() : *std::ranges::min_element(f.codebook);
}
// Levels of a codebook, counted from the smallest.
std::array<uint8_t, 16> levels_from_zero(const BlockFormat& f) {
  std::array<uint8_t, 16> levels = {};
  for (size_t i = 0; i < f.codebook.size(); ++i)
    levels[i] = static_cast<uint8_t>(f.codebook[i] - smallest_level(f));
  return levels;
}

// Reads the panels of one block column.
class Panel {
 public:
  Panel(Builder& builder, const BlockFormat& format, int64_t elements_of_unit)
      : k(builder), f(format), unit_elements(elements_of_unit) {}

  void declare() {
    bytes = k.input("w_bytes", DType::u8);
    words = k.input("w_words", DType::u32);
    halves = k.input("w_halves", DType::f16);
    if (f.scale_type == ScaleType::none) scales = k.input("w_scales", DType::f32);
  }
  // Of block number `block` of all; `unit` of it, in panel number `number` of a weight of n rows.
  void at(const Tile& block, const Tile& unit_in_block, const Tile& number, const Tile& n) {
    if (f.scale_type == ScaleType::none) row = tile::minimum(number * kColumns + column(), n - 1);
    base = block * (kColumns * f.block_bytes);
    unit = unit_in_block;
  }

  // The lines of the part number `at` of all panels, each as long as a unit's share of its block.
  void fetch(const Tile& at) const {
    const int64_t share = kColumns * f.block_bytes / (f.block_elements / unit_elements);
    const Tile line = k.arange(share / kLine) * kLine;
    k.fetch(bytes, at * share + line);
  }

  // Codes, or levels of a codebook, from 0 of elements inner to inner + count of the unit, as words
  // of four: u32[count / 4, 64].
  Tile codes(int64_t inner, int64_t count) const {
    Tile result = code_bits(f.codes.low, inner, count);
    if (f.codes.high.width)
      result = result | (code_bits(f.codes.high, inner, count) << f.codes.low.width);
    // Two's complement, and 128 more.
    if (f.codes.is_signed) return result ^ 0x80808080u;
    return f.codebook.empty() ? result : lookup(result, levels_from_zero(f));
  }
  // The same as numbers, f32[count, 64].
  Tile levels(int64_t inner, int64_t count) const {
    const Tile words = expand_dims(codes(inner, count), 1);  // [count / 4, 1, 64]
    const Tile shift = reshape(k.arange(kQuad, DType::i32) * 8, {1, kQuad, 1});
    const Tile each = (words >> cast(shift, DType::u32)) & 255u;
    return cast(cast(reshape(each, {count, kColumns}), DType::i32) + smallest_level(f), DType::f32);
  }
  // f32[64].
  Tile scale(int64_t group) const {
    Tile scale;
    if (f.scale_type == ScaleType::none) {
      scale = k.load(scales, row);
    } else if (f.scale_type == ScaleType::f16) {
      scale = half(f.scale_byte);
    } else {
      // 2^(e - 128), of which the two smallest are not normal.
      const Tile e = byte(k.constant(f.scale_byte, DType::i64));
      scale =
          bitcast(where(e < 2, k.full({kColumns}, 0x200000, DType::i32) << (e & 1), (e - 1) << 23),
                  DType::f32);
    }
    if (!f.group_scales.present()) return scale;
    return scale * factor(f.group_scales, group);
  }
  Tile minimum(int64_t group) const {
    Tile minimum = half(f.minimum_byte);
    if (f.group_minimums.present()) minimum = minimum * factor(f.group_minimums, group);
    return f.subtracts_minimum ? -minimum : minimum;
  }

  Tile column() const { return k.arange(kColumns); }
  Tile half(int byte_of_block) const {
    const int64_t first = kColumns * byte_of_block / 2;
    return cast(k.load(halves, (base >> 1) + first + column()), DType::f32);
  }
  // As i32.
  Tile byte(const Tile& number) const {
    return cast(k.load(bytes, base + number * kColumns + column()), DType::i32);
  }
  // A group's small number as f32.
  Tile factor(const PackedNumbers& numbers, int64_t group) const {
    const int64_t per_unit = unit_elements / f.group_elements;
    const auto bits = [&](const BitField& field) {
      const Place at = place(field, unit, per_unit, k.constant(group, DType::i64));
      const Tile whole = byte(at.byte);
      if (field.width == 8) return whole;
      return (whole >> cast(at.shift, DType::i32)) & ((1 << field.width) - 1);
    };
    Tile value = bits(numbers.low);
    if (numbers.high.width) value = value | (bits(numbers.high) << numbers.low.width);
    if (numbers.is_signed) value = (value ^ 128) - 128;
    if (numbers.offset) value = value + numbers.offset;
    return cast(value, DType::f32);
  }
  Tile code_bits(const BitField& field, int64_t inner, int64_t count) const {
    const Tile element = expand_dims(k.arange(count / kQuad), 1) * kQuad + inner;
    const Tile columns = expand_dims(column(), 0);
    const auto mask = static_cast<uint32_t>((1 << field.width) - 1) * 0x01010101u;
    if (is_byte_by_byte(field)) {
      const Place at = place(field, unit, unit_elements, element);
      const Tile word = k.load(words, (base >> 2) + at.byte * (kColumns / kQuad) + columns);
      if (field.width == 8) return word;
      return (word >> cast(at.shift, DType::u32)) & mask;
    }
    // Four bits of a word, each into a byte of its own.
    const int64_t first = field.bit / 8 * (kColumns / kQuad);
    const Tile word = k.load(words, (base >> 2) + first + element * 0 + columns);
    return (((word >> cast(element & 31, DType::u32)) & 15u) * 0x00204081u) & mask;
  }

  Builder& k;
  const BlockFormat& f;
  const int64_t unit_elements;
  Buffer bytes, words, halves, scales;
  Tile base, unit, row;
};

}  // namespace

std::vector<BlockBytes> bytes_of_block(const BlockFormat& f) {
  std::vector<BlockBytes> runs;
  const auto add = [&](int begin, int end, int part) {
    if (begin < end) runs.push_back({begin, end, part});
  };
  for (const BitField* field : {&f.codes.low, &f.codes.high}) {
    if (!field->width) continue;
    const int begin = field->bit / 8;
    const int bits = field->count() * field->width;
    add(begin, begin + bits / 8, kQuad);
  }
  if (f.scale_type == ScaleType::f16) add(f.scale_byte, f.scale_byte + 2, 2);
  if (f.has_minimum()) add(f.minimum_byte, f.minimum_byte + 2, 2);
  std::ranges::sort(runs, {}, &BlockBytes::begin);
  // What is left is read byte by byte.
  std::vector<BlockBytes> all;
  int at = 0;
  for (const BlockBytes& run : runs) {
    if (at < run.begin) all.push_back({at, run.begin, 1});
    all.push_back(run);
    at = run.end;
  }
  if (at < f.block_bytes) all.push_back({at, f.block_bytes, 1});
  return all;
}

constexpr int64_t kSum = activation_sum(kActivationBlock);

bool is_activation_format(const BlockFormat& f) {
  return f.block_elements % kActivationBlock == 0 && f.codes.is_signed && f.codes.width() == 8 &&
         f.codebook.empty() && !f.has_minimum() && !f.group_elements &&
         (f.scale_type == ScaleType::f16 || f.scale_type == ScaleType::f32);
}

bool has_product_kernel(const BlockFormat& f) {
  return f.codebook.size() <= 16 && f.block_elements % kActivationBlock == 0 &&
         f.elements_of_group() % kSum == 0 &&
         kActivationBlock % std::min<int64_t>(f.elements_of_group(), kActivationBlock) == 0;
}

namespace {

// A program makes `rows` x 64 of the result, unit after unit of K.
class Product {
 public:
  Product(Builder& builder, const BlockFormat& format, int64_t block_rows)
      : k(builder),
        f(format),
        rows(block_rows),
        unit(unit_of(format, block_rows)),
        panel(builder, format, unit) {}

  void declare_sizes() {
    m = k.size("m");
    n = k.size("n");
    depth = k.size("k", f.block_elements);
    k.grid([&] { return std::vector<Tile>{ceil_div(n, kColumns), ceil_div(m, rows)}; });
    number = k.program_id(0);
    row = expand_dims(k.program_id(1) * rows + k.arange(rows), 1);
    const Tile column = expand_dims(number * kColumns + k.arange(kColumns), 0);
    used = (row < m) & (column < n);
    place = row * n + column;
  }
  // step(element of K that a unit begins with, sum before it) gives the sum behind it.
  void store_sum(Buffer out, const std::function<Tile(const Tile&, const Tile&)>& step) {
    const int64_t units = f.block_elements / unit;
    const Tile blocks = depth >> log2_of(f.block_elements);
    const Tile sum =
        k.loop(0, depth >> log2_of(unit), 1, k.full({rows, kColumns}, 0, DType::f32),
               [&](const Tile& i, const Tile& before) {
                 panel.at(number * blocks + (i >> log2_of(units)),
                          units == 1 ? k.constant(0, DType::i64) : i & (units - 1), number, n);
                 // Code for short blocks steps through memory by itself.
                 if (rows <= kSomeRows && f.block_elements > kActivationBlock)
                   panel.fetch((number * blocks + 1) * units + i + 1);
                 return step(i * unit, before);
               });
    k.store(out, place, sum, used);
  }
  // A number of x for each row, for all columns; of each column, for all rows.
  Tile per_row(const Tile& x) const { return broadcast_to(x, {rows, kColumns}); }
  Tile per_column(const Tile& x) const { return broadcast_to(expand_dims(x, 0), {rows, kColumns}); }
  // Places of the block of that size with an element, one for each row; blocks of equal number lie
  // row after row.
  Tile in_blocks(int64_t size, const Tile& element) const {
    return (element >> log2_of(size)) * x_rows + row;
  }

  Builder& k;
  const BlockFormat& f;
  const int64_t rows, unit;
  Panel panel;
  Tile m, n, depth, x_rows, number, used, place, row;
};

}  // namespace

Kernel integer_product_kernel(const BlockFormat& f, int64_t rows) {
  return build("integer_product", [&](Builder& k) {
    const Buffer codes = k.input("x_codes", DType::i8), scales = k.input("x_scales", DType::f32),
                 sums = k.input("x_sums", DType::i32);
    Product p(k, f, rows);
    p.panel.declare();
    const Buffer out = k.output("out", DType::f32);
    p.declare_sizes();
    p.x_rows = k.size("x_rows", rows);
    const int64_t group = std::min<int64_t>(f.elements_of_group(), kActivationBlock);
    p.store_sum(out, [&](const Tile& first, const Tile& before) {
      Tile acc = before;
      for (int64_t e = 0; e < p.unit; e += kActivationBlock) {
        std::optional<Tile> u;
        const Tile at_x = p.in_blocks(kActivationBlock, first + e);
        for (int64_t g = e; g < e + kActivationBlock; g += group) {
          Tile x_sum = k.load(sums, p.in_blocks(kSum, first + g));
          for (int64_t s = kSum; s < group; s += kSum)
            x_sum = x_sum + k.load(sums, p.in_blocks(kSum, first + g + s));
          const int smallest = smallest_level(f);
          Tile exact =
              smallest ? p.per_row(x_sum * smallest) : k.full({rows, kColumns}, 0, DType::i32);
          const Tile along = expand_dims(k.arange(group) + (g - e), 0);
          exact =
              dot(k.load(codes, at_x * kActivationBlock + along), p.panel.codes(g, group), exact);
          const int64_t number = g / f.elements_of_group();
          const Tile scale = p.per_column(p.panel.scale(number));
          u = u ? fma(cast(exact, DType::f32), scale, *u) : cast(exact, DType::f32) * scale;
          if (f.has_minimum())
            u = fma(p.per_row(cast(x_sum, DType::f32)), p.per_column(p.panel.minimum(number)), *u);
        }
        const Tile x_scale = k.load(scales, at_x);
        acc = fma(*u, p.per_row(x_scale), acc);
      }
      return acc;
    });
  });
}

Kernel decoded_product_kernel(const BlockFormat& f, int64_t rows) {
  return build("decoded_product", [&](Builder& k) {
    const Buffer x = k.input("x", DType::f32);
    Product p(k, f, rows);
    p.panel.declare();
    const Buffer out = k.output("out", DType::f32);
    p.declare_sizes();
    // What rows behind the last are computed from matters to nobody.
    const Tile x_row = rows == 1 ? p.row : tile::minimum(p.row, p.m - 1);
    const int64_t run = std::min<int64_t>(kActivationBlock, f.elements_of_group());
    p.store_sum(out, [&](const Tile& first, const Tile& before) {
      Tile acc = before;
      for (int64_t e = 0; e < p.unit; e += run) {
        const auto per_step = [&](const Tile& t) {
          return broadcast_to(expand_dims(t, 0), {run, kColumns});
        };
        const int64_t number = e / f.elements_of_group();
        Tile value = p.panel.levels(e, run) * per_step(p.panel.scale(number));
        if (f.has_minimum()) value = value + per_step(p.panel.minimum(number));
        const Tile along = expand_dims(first + e + k.arange(run), 0);
        acc = dot(k.load(x, x_row * p.depth + along), value, acc);
      }
      return acc;
    });
  });
}

Kernel quantize_rows_kernel(const BlockFormat& f, bool has_many_rows) {
  const int64_t size = f.block_elements, part = activation_sum(size);
  // Of a program: 512 elements, so a square of 4 x 4 blocks of 32.
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
    const Tile block = has_many_rows ? k.program_id(1) * side + (each >> log2_of(side))
                                     : k.program_id(1) * count + each;
    const Tile column = expand_dims(k.arange(size), 0);
    const Tile is_there = (row < x_rows) & (block < blocks);
    const Tile is_read = is_there & (row < rows);
    const Tile value =
        k.load(x, expand_dims(row * blocks + block, 1) * size + column, expand_dims(is_read, 1));
    // A NaN is passed over here, and gets the smallest code.
    const Tile extreme = max(where(value == value, abs(value), 0), 1);
    Tile scale = extreme / 127;
    if (f.scale_type == ScaleType::f16) scale = cast(cast(scale, DType::f16), DType::f32);
    const Tile inverse = where(scale == 0, 0, k.full({count}, 1, DType::f32) / scale);
    // To the nearest whole number, ties to even, by an addition in which its last bit is a one; a
    // cast, which saturates, would be done number by number.
    constexpr double kUnits = 0x1.8p23;
    constexpr int32_t kUnitBits = 0x4b400000;
    const Tile ratio = value * expand_dims(inverse, 1);
    const Tile near = where(ratio > -127, tile::minimum(ratio, 127), -127) + kUnits;
    const Tile code = bitcast(near, DType::i32) - kUnitBits;
    k.store(codes, expand_dims(block * x_rows + row, 1) * size + column, cast(code, DType::i8),
            expand_dims(is_there, 1));
    k.store(scales, block * x_rows + row, scale, is_there);
    if (part == size) {
      k.store(sums, block * x_rows + row, sum(code, 1), is_there);
      return;
    }
    for (int64_t at = 0; at < size / part; ++at) {
      const Tile inside = (column >> log2_of(part)) == at;
      k.store(sums, (block * (size / part) + at) * x_rows + row, sum(where(inside, code, 0), 1),
              is_there);
    }
  });
}

}  // namespace cairn::tile
