#include "cairn/tile/quantized.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>

#include "cairn/tile/builder.h"

namespace cairn::tile {
namespace {

constexpr int64_t kLine = 64;     // bytes that come from memory at a time
constexpr int64_t kAhead = 8192;  // bytes between what is fetched and what is read
constexpr int64_t kQuad = 4;      // bytes that are multiplied at a time

int64_t log2_of(int64_t n) { return std::countr_zero(static_cast<uint64_t>(n)); }

bool is_byte_by_byte(const BitField& field) { return field.axes[0].stride == 8; }

// A number of a field in a block: the byte that it begins in, and its bit there.
struct Place {
  Tile byte, shift;
};

// Of a number of a block, as a constant.
int first_bit(const BitField& field, int64_t number) {
  const auto& [first, second, third] = field.axes;
  const auto n = static_cast<int>(number);
  return field.bit + n % first.size * first.stride + n / first.size % second.size * second.stride +
         n / first.size / second.size * third.stride;
}

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

// Few rows take a block at a time, in which the place of each number is known. Many share what is
// computed of a part, and it should be small: its sums are in registers.
int64_t unit_of(const BlockFormat& f, int64_t rows) {
  return rows > kSomeRows ? kActivationBlock : f.block_elements;
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

// The bytes at which words of four bytes of codes stand in a block, in the order in which products
// need them: first those that have a bit of each element, then by the first element that is in
// them. Memory is read fastest from one end to the other (q6_k times one row on Zen 4: 9 GB/s as in
// the block, where lower and upper bits are far apart, 27 so).
std::vector<int> code_words(const BlockFormat& f) {
  struct Word {
    int first_element, byte;
  };
  std::vector<Word> words;
  for (const BitField* field : {&f.codes.low, &f.codes.high}) {
    const size_t begin = words.size();
    const int bits = field->count() * field->width;
    for (int bit = 0; bit < bits; bit += 8 * int{kQuad})
      words.push_back({is_byte_by_byte(*field) ? field->count() : -1, (field->bit + bit) / 8});
    for (int e = 0; e < field->count() && bits; ++e) {
      const int word = (first_bit(*field, e) - field->bit) / (8 * int{kQuad});
      int& first = words[begin + static_cast<size_t>(word)].first_element;
      first = std::min(first, e);
    }
  }
  std::ranges::stable_sort(words, {}, &Word::first_element);
  std::vector<int> bytes;
  for (const Word& word : words) bytes.push_back(word.byte);
  return bytes;
}

// Reads the panels of one block column.
class Panel {
 public:
  Panel(Builder& builder, const BlockFormat& format, int64_t elements_of_unit)
      : k(builder),
        f(format),
        columns(panel_rows(format)),
        runs(bytes_of_block(format)),
        unit_elements(elements_of_unit) {}

  void declare() {
    bytes = k.input("w_bytes", DType::u8);
    words = k.input("w_words", DType::u32);
    halves = k.input("w_halves", DType::f16);
    if (f.scale_type == ScaleType::none) scales = k.input("w_scales", DType::f32);
  }
  // Of block number `block` of all; `unit` of it, in panel number `number` of a weight of n rows.
  void at(const Tile& block, const Tile& unit_in_block, const Tile& number, const Tile& n) {
    if (f.scale_type == ScaleType::none) {
      row = number * columns + column();
      is_row = row < n;
    }
    base = block * (columns * f.block_bytes);
    unit = unit_in_block;
  }

  // The lines of the block that is read kAhead bytes later.
  void fetch_ahead() const {
    const int64_t size = columns * f.block_bytes;
    const int64_t blocks = (kAhead + size - 1) / size;
    const Tile line = k.arange((size + kLine - 1) / kLine) * kLine;
    k.fetch(bytes, base + (line + blocks * size));
  }

  // By how many bits codes of elements inner to inner + count of a whole block stand above the
  // lowest in their bytes, where that is all there is to them: a product with them as they stand is
  // 2^n times as large, which is exact, and a shift of each word less.
  int shift_of_codes(int64_t inner, int64_t count) const {
    const BitField& field = f.codes.low;
    const bool is_whole = unit_elements == f.block_elements && is_byte_by_byte(field);
    if (!is_whole || f.codes.high.width || f.codes.is_signed || !f.codebook.empty()) return 0;
    for (int64_t e = inner; e < inner + count; ++e)
      if (first_bit(field, e) % 8 != first_bit(field, inner) % 8) return 0;
    return first_bit(field, inner) % 8;
  }
  // Codes, or levels of a codebook, from 0 of elements inner to inner + count of the unit, as words
  // of four: u32[count / 4, columns].
  Tile codes(int64_t inner, int64_t count, int shifted = 0) const {
    Tile result = code_bits(f.codes.low, inner, count, shifted);
    if (f.codes.high.width)
      result = result | (code_bits(f.codes.high, inner, count) << f.codes.low.width);
    // Two's complement, and 128 more.
    if (f.codes.is_signed) return result ^ 0x80808080u;
    return f.codebook.empty() ? result : lookup(result, levels_from_zero(f));
  }
  // The same times the scale of their group, which are bytes too.
  Tile scaled_codes(int64_t inner, int64_t count) const {
    const Tile group =
        (expand_dims(k.arange(count / kQuad), 1) * kQuad + inner) >> log2_of(f.group_elements);
    const Tile bits = quads(f.group_scales.low, group >> log2_of(kQuad));
    return codes(inner, count) * ((bits >> cast((group & (kQuad - 1)) * 8, DType::u32)) & 255u);
  }
  // That of one group, i32[columns].
  Tile group_scale(int64_t group) const {
    const Tile four = quads(f.group_scales.low, k.constant(group / kQuad, DType::i64));
    return cast((four >> static_cast<uint32_t>(group % kQuad * 8)) & 255u, DType::i32);
  }
  // The minimums of the four groups of kGroupBlock elements from there on as bytes, for what is
  // left of the sums of x and for their sixteens: u32[2, columns].
  Tile group_minimums(int64_t inner) const {
    const Tile upper = expand_dims(k.arange(2), 1);
    const Tile quad = upper * 0 + inner / kGroupBlock;
    return quads(f.group_minimums.low, quad) << cast(upper * 4, DType::u32);
  }
  // The same as numbers, f32[count, columns].
  Tile levels(int64_t inner, int64_t count) const {
    const Tile words = expand_dims(codes(inner, count), 1);  // [count / 4, 1, columns]
    const Tile shift = reshape(k.arange(kQuad, DType::i32) * 8, {1, kQuad, 1});
    const Tile each = (words >> cast(shift, DType::u32)) & 255u;
    return cast(cast(reshape(each, {count, columns}), DType::i32) + smallest_level(f), DType::f32);
  }
  // f32[columns], for codes that stand so many bits up.
  Tile scale(int64_t group, int shifted = 0) const {
    Tile scale;
    if (f.scale_type == ScaleType::none) {
      scale = k.load(scales, row, is_row);
    } else if (f.scale_type == ScaleType::f16) {
      scale = half(f.scale_byte);
      if (shifted) scale = scale * std::ldexp(1.0, -shifted);
    } else {
      // 2^(e - 128), of which the two smallest are not normal.
      const Tile e = byte(k.constant(place_of(f.scale_byte), DType::i64));
      scale =
          bitcast(where(e < 2, k.full({columns}, 0x200000, DType::i32) << (e & 1), (e - 1) << 23),
                  DType::f32);
    }
    if (!f.group_scales.present()) return scale;
    return scale * factor(f.group_scales, group);
  }
  // Of whole blocks.
  Tile block_scale() const { return half(f.scale_byte); }
  Tile block_minimum() const {
    return f.subtracts_minimum ? -half(f.minimum_byte) : half(f.minimum_byte);
  }
  Tile minimum(int64_t group) const {
    Tile minimum = half(f.minimum_byte);
    if (f.group_minimums.present()) minimum = minimum * factor(f.group_minimums, group);
    return f.subtracts_minimum ? -minimum : minimum;
  }

  const BlockBytes& run_of(int byte) const {
    return *std::ranges::find_if(
        runs, [&](const BlockBytes& run) { return run.begin <= byte && byte < run.end; });
  }
  int place_of(int byte) const { return run_of(byte).place + byte - run_of(byte).begin; }

  Tile column() const { return k.arange(columns); }
  // Of each column the four bytes from there on. Constants are added last, here as elsewhere: what
  // addresses differ by is then part of an instruction.
  Tile word(const Tile& byte) const {
    const Tile of_column = byte.shape().rank() == 2 ? expand_dims(column(), 0) : column();
    return k.load(words, ((base >> 2) + of_column) + byte * (columns / kQuad));
  }
  Tile half(int byte_of_block) const {
    const int64_t first = columns * place_of(byte_of_block) / 2;
    return cast(k.load(halves, ((base >> 1) + column()) + first), DType::f32);
  }
  // As i32.
  Tile byte(const Tile& number) const {
    return cast(k.load(bytes, (base + column()) + number * columns), DType::i32);
  }
  // Small numbers that stand byte by byte, number `quad` of four of them as bytes of a word.
  Tile quads(const BitField& field, const Tile& quad) const {
    const int byte = field.bit / 8;
    const auto mask = static_cast<uint32_t>((1 << field.width) - 1) * 0x01010101u;
    const auto shift = static_cast<uint32_t>(field.bit % 8);
    return (word(quad * kQuad + (run_of(byte).place + byte - run_of(byte).begin)) >> shift) & mask;
  }
  // A group's small number as f32.
  Tile factor(const PackedNumbers& numbers, int64_t group) const {
    const int64_t per_unit = unit_elements / f.group_elements;
    const auto bits = [&](const BitField& field) {
      const Place at = place(field, unit, per_unit, k.constant(group, DType::i64));
      const BlockBytes& run = run_of(field.bit / 8);
      if (run.part == 1) {
        const Tile whole = byte(at.byte + (run.place - run.begin));
        if (field.width == 8) return whole;
        return (whole >> cast(at.shift, DType::i32)) & ((1 << field.width) - 1);
      }
      const Tile in_run = at.byte - run.begin;
      const Tile shift = (in_run & 3) * 8 + at.shift;
      const auto mask = static_cast<uint32_t>((1 << field.width) - 1);
      const Tile whole = word(in_run - (in_run & 3) + run.place);
      return cast((whole >> cast(shift, DType::u32)) & mask, DType::i32);
    };
    Tile value = bits(numbers.low);
    if (numbers.high.width) value = value | (bits(numbers.high) << numbers.low.width);
    if (numbers.is_signed) value = (value ^ 128) - 128;
    if (numbers.offset) value = value + numbers.offset;
    return cast(value, DType::f32);
  }
  // Where the word with an element of the block stands.
  int place_of_code(const BitField& field, int64_t element) const {
    const int byte = first_bit(field, element) / 8;
    return place_of(byte - (byte - field.bit / 8) % int{kQuad});
  }
  // Those of the words with elements inner to inner + count of the unit. They lie in one of the
  // parts of 32 elements of which a block has eight at most, or in two of a whole block; within
  // each half of a part they are equally far apart.
  Tile places_of_codes(const BitField& field, int64_t inner, int64_t count) const {
    constexpr int64_t kHalf = kActivationBlock / 2, kWords = kHalf / kQuad;
    const auto place = [&](int64_t part, int64_t element) {
      return place_of_code(field, part * kActivationBlock + element);
    };
    const Tile word = expand_dims(k.arange(count / kQuad), 1) + inner % kActivationBlock / kQuad;
    const Tile half = (word >> log2_of(kWords)) & 1, in_half = word & (kWords - 1);
    if (unit_elements == f.block_elements) {
      const int64_t part = inner / kActivationBlock;
      const int64_t next = count > kActivationBlock ? place(part + 1, 0) - place(part, 0) : 0;
      return (word >> log2_of(2 * kWords)) * next + half * (place(part, kHalf) - place(part, 0)) +
             in_half * (place(part, kQuad) - place(part, 0)) + place(part, 0);
    }
    // Which part is known when the kernel runs only: a byte of a number for each.
    const auto of_part = [&](int64_t element, int64_t from) {
      uint64_t all = 0;
      for (int64_t part = 0; part < f.block_elements / kActivationBlock; ++part) {
        const int distance = place(part, element) - (from < 0 ? 0 : place(part, from));
        all |= static_cast<uint64_t>(distance) << (8 * part);
      }
      const Tile bytes_of_parts = k.constant(static_cast<int64_t>(all), DType::i64);
      return (bytes_of_parts >> (unit * 8)) & 255;
    };
    return half * of_part(kHalf, 0) + in_half * of_part(kQuad, 0) + of_part(0, -1);
  }
  // `shifted`: by how much the codes may stay where they are in their bytes.
  Tile code_bits(const BitField& field, int64_t inner, int64_t count, int shifted = 0) const {
    const Tile element = expand_dims(k.arange(count / kQuad), 1) * kQuad + inner;
    const auto mask = static_cast<uint32_t>((1 << field.width) - 1) * 0x01010101u;
    if (is_byte_by_byte(field)) {
      const Tile bits = word(places_of_codes(field, inner, count));
      if (field.width == 8) return bits;
      if (shifted) return bits & (mask << shifted);
      return (bits >> cast(place(field, unit, unit_elements, element).shift, DType::u32)) & mask;
    }
    // Four bits of a word, each into a byte of its own.
    const Tile bits = word(element * 0 + place_of_code(field, 0));
    return (((bits >> cast(element & 31, DType::u32)) & 15u) * 0x00204081u) & mask;
  }

  Builder& k;
  const BlockFormat& f;
  const int64_t columns;
  const std::vector<BlockBytes> runs;
  const int64_t unit_elements;
  Buffer bytes, words, halves, scales;
  Tile base, unit, row, is_row;
};

}  // namespace

int64_t panel_rows(const BlockFormat& f) {
  return f.block_elements > kActivationBlock ? kMostPanelRows / 4 : kMostPanelRows;
}

std::vector<BlockBytes> bytes_of_block(const BlockFormat& f) {
  const std::vector<int> words = code_words(f);
  std::vector<bool> is_left(static_cast<size_t>(f.block_bytes), true);
  for (const int word : words) std::fill_n(is_left.begin() + word, kQuad, false);
  std::vector<BlockBytes> runs;
  int place = 0;
  const auto add = [&](int begin, int length, int part) {
    if (!runs.empty() && runs.back().part == part && runs.back().end == begin)
      runs.back().end += length;
    else
      runs.push_back({begin, begin + length, part, place});
    place += length;
  };
  for (int byte = 0; byte < f.block_bytes; ++byte) {
    const bool is_half = (f.scale_type == ScaleType::f16 && byte == f.scale_byte) ||
                         (f.has_minimum() && byte == f.minimum_byte);
    if (is_left[static_cast<size_t>(byte)]) add(byte, is_half ? 2 : 1, is_half ? 2 : 1);
    if (is_half) ++byte;
  }
  // Several numbers in a byte come out of words with fewer instructions.
  if (f.group_scales.present() && f.group_scales.low.width < 8)
    for (BlockBytes& run : runs)
      if (run.part == 1 && (run.end - run.begin) % kQuad == 0) run.part = int{kQuad};
  const size_t scales = runs.size();
  for (const int word : words) {
    if (runs.size() == scales) runs.push_back({word, word, int{kQuad}, place});
    add(word, int{kQuad}, int{kQuad});
  }
  return runs;
}

constexpr int64_t kSum = activation_sum(kActivationBlock);

bool is_activation_format(const BlockFormat& f) {
  return f.block_elements % kActivationBlock == 0 && f.codes.is_signed && f.codes.width() == 8 &&
         f.codebook.empty() && !f.has_minimum() && !f.group_elements &&
         (f.scale_type == ScaleType::f16 || f.scale_type == ScaleType::f32);
}

bool has_scaled_codes(const BlockFormat& f) {
  const auto stand_in_bytes = [](const PackedNumbers& numbers) {
    return numbers.present() && !numbers.high.width && !numbers.is_signed && !numbers.offset &&
           is_byte_by_byte(numbers.low) && numbers.low.width <= 4;
  };
  return f.block_elements % kGroupBlock == 0 && f.group_elements == activation_sum(kGroupBlock) &&
         f.codebook.empty() && !f.codes.is_signed && !f.codes.high.width && !f.codes.offset &&
         f.scale_type == ScaleType::f16 && stand_in_bytes(f.group_scales) && f.has_minimum() &&
         stand_in_bytes(f.group_minimums) && f.codes.largest() * f.group_scales.largest() <= 255;
}

bool has_product_kernel(const BlockFormat& f) {
  return f.codebook.size() <= 16 && f.block_elements % kActivationBlock == 0 &&
         f.elements_of_group() % kSum == 0 &&
         kActivationBlock % std::min<int64_t>(f.elements_of_group(), kActivationBlock) == 0;
}

namespace {

// A program makes `rows` rows of a panel's columns of the result, unit after unit of K.
class Product {
 public:
  Product(Builder& builder, const BlockFormat& format, int64_t block_rows, int64_t of_unit)
      : k(builder),
        f(format),
        rows(block_rows),
        columns(panel_rows(format)),
        unit(of_unit),
        panel(builder, format, unit) {}

  void declare_sizes() {
    m = k.size("m");
    n = k.size("n");
    depth = k.size("k", f.block_elements);
    k.grid([&] { return std::vector<Tile>{ceil_div(n, columns), ceil_div(m, rows)}; });
    number = k.program_id(0);
    row = expand_dims(k.program_id(1) * rows + k.arange(rows), 1);
    const Tile column = expand_dims(number * columns + k.arange(columns), 0);
    used = (row < m) & (column < n);
    place = row * n + column;
  }
  // step(number of a unit of K, sum before it) gives the sum behind it.
  void store_sum(Buffer out, const std::function<Tile(const Tile&, const Tile&)>& step) {
    const int64_t units = f.block_elements / unit;
    // Where there is much to do for a line, the processor's own fetching is no longer ahead: of
    // codes of two and three bits (q2_k times one row on Zen 4: 21 GB/s without, 27 so; q4_k has 31
    // without and 28 so), and for more than four rows (8 rows of q8_0: 28 % of the peak without,
    // 45 so; of q4_k 45 and 60; 4 rows of q4_0 lose 6 % by it).
    constexpr int64_t kFetching = 5;
    const bool has_small_codes = f.block_elements > kActivationBlock && f.codes.width() < 4;
    const bool is_fetched = rows <= kSomeRows && (has_small_codes || rows >= kFetching);
    const Tile blocks = depth >> log2_of(f.block_elements);
    const Tile sum =
        k.loop(0, depth >> log2_of(unit), 1, k.full({rows, columns}, 0, DType::f32),
               [&](const Tile& i, const Tile& before) {
                 panel.at(number * blocks + (i >> log2_of(units)),
                          units == 1 ? k.constant(0, DType::i64) : i & (units - 1), number, n);
                 if (is_fetched) panel.fetch_ahead();
                 return step(i, before);
               });
    k.store(out, place, sum, used);
  }
  // A number of x for each row, for all columns; of each column, for all rows.
  Tile per_row(const Tile& x) const { return broadcast_to(x, {rows, columns}); }
  Tile per_column(const Tile& x) const { return broadcast_to(expand_dims(x, 0), {rows, columns}); }
  // Places of the block of x of that size with an element of a unit, one for each row; blocks of
  // equal number lie row after row.
  Tile in_blocks(int64_t size, const Tile& number_of_unit, int64_t element) const {
    return (number_of_unit * (unit / size) * x_rows + row) + x_rows * (element / size);
  }

  Builder& k;
  const BlockFormat& f;
  const int64_t rows, columns, unit;
  Panel panel;
  Tile m, n, depth, x_rows, number, used, place, row;
};

}  // namespace

Kernel integer_product_kernel(const BlockFormat& f, int64_t rows, int64_t few_rows) {
  return build("integer_product", [&](Builder& k) {
    const Buffer codes = k.input("x_codes", DType::i8), scales = k.input("x_scales", DType::f32),
                 sums = k.input("x_sums", DType::i32);
    Product p(k, f, rows, unit_of(f, rows));
    p.panel.declare();
    const Buffer out = k.output("out", DType::f32);
    p.declare_sizes();
    p.x_rows = k.size("x_rows", rows);
    if (few_rows) p.x_rows = k.constant(few_rows, DType::i64);
    const int64_t group = std::min<int64_t>(f.elements_of_group(), kActivationBlock);
    p.store_sum(out, [&](const Tile& i, const Tile& before) {
      Tile acc = before;
      for (int64_t e = 0; e < p.unit; e += kActivationBlock) {
        std::optional<Tile> u;
        const Tile at_x = p.in_blocks(kActivationBlock, i, e);
        for (int64_t g = e; g < e + kActivationBlock; g += group) {
          Tile x_sum = k.load(sums, p.in_blocks(kSum, i, g));
          for (int64_t s = kSum; s < group; s += kSum)
            x_sum = x_sum + k.load(sums, p.in_blocks(kSum, i, g + s));
          const int up = p.panel.shift_of_codes(g, group);
          const int first = smallest_level(f) * (1 << up);
          Tile exact = first ? p.per_row(x_sum * first) : k.full({rows, p.columns}, 0, DType::i32);
          const Tile along = expand_dims(k.arange(group) + (g - e), 0);
          exact = dot(k.load(codes, at_x * kActivationBlock + along), p.panel.codes(g, group, up),
                      exact);
          const int64_t number = g / f.elements_of_group();
          const Tile scale = p.per_column(p.panel.scale(number, up));
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

Kernel scaled_code_product_kernel(const BlockFormat& f, int64_t rows, int64_t few_rows) {
  return build("scaled_code_product", [&](Builder& k) {
    const Buffer codes = k.input("x_codes", DType::i8), scales = k.input("x_scales", DType::f32),
                 sums = k.input("x_sums", DType::i8);
    Product p(k, f, rows, f.block_elements);
    p.panel.declare();
    const Buffer out = k.output("out", DType::f32);
    p.declare_sizes();
    p.x_rows = k.size("x_rows", rows);
    if (few_rows) p.x_rows = k.constant(few_rows, DType::i64);
    constexpr int64_t kSums = kGroupBlock / activation_sum(kGroupBlock);
    const auto along = [&](int64_t size) { return expand_dims(k.arange(size), 0); };
    p.store_sum(out, [&](const Tile& i, const Tile& before) {
      Tile acc = before;
      for (int64_t e = 0; e < p.unit; e += kGroupBlock) {
        const Tile at_x = p.in_blocks(kGroupBlock, i, e);
        const Tile none = k.full({rows, p.columns}, 0, DType::i32);
        // Of a row or two it is less to multiply sums than words (q2_k, 1 x 2048 x 5632 on Zen 4:
        // 104 us, with words 141).
        Tile products = none;
        if (rows > 2)
          products = dot(k.load(codes, at_x * kGroupBlock + along(kGroupBlock)),
                         p.panel.scaled_codes(e, kGroupBlock), none);
        const int64_t group = f.group_elements;
        for (int64_t g = 0; rows <= 2 && g < kGroupBlock; g += group) {
          const int up = p.panel.shift_of_codes(e + g, group);
          const Tile of_group = dot(k.load(codes, at_x * kGroupBlock + along(group) + g),
                                    p.panel.codes(e + g, group, up), none);
          products =
              products + (of_group >> up) * p.per_column(p.panel.group_scale((e + g) / group));
        }
        Tile u = cast(products, DType::f32) * p.per_column(p.panel.block_scale());
        const Tile minimums = dot(k.load(sums, at_x * (2 * kSums) + along(2 * kSums)),
                                  p.panel.group_minimums(e), none);
        u = fma(cast(minimums, DType::f32), p.per_column(p.panel.block_minimum()), u);
        acc = fma(u, p.per_row(k.load(scales, at_x)), acc);
      }
      return acc;
    });
  });
}

Kernel decoded_product_kernel(const BlockFormat& f, int64_t rows) {
  return build("decoded_product", [&](Builder& k) {
    const Buffer x = k.input("x", DType::f32);
    Product p(k, f, rows, unit_of(f, rows));
    p.panel.declare();
    const Buffer out = k.output("out", DType::f32);
    p.declare_sizes();
    // What rows behind the last are computed from matters to nobody.
    const Tile x_row = rows == 1 ? p.row : tile::minimum(p.row, p.m - 1);
    const int64_t run = std::min<int64_t>(kActivationBlock, f.elements_of_group());
    p.store_sum(out, [&](const Tile& i, const Tile& before) {
      const Tile first = i * p.unit;
      Tile acc = before;
      for (int64_t e = 0; e < p.unit; e += run) {
        const auto per_step = [&](const Tile& t) {
          return broadcast_to(expand_dims(t, 0), {run, p.columns});
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

}  // namespace cairn::tile
