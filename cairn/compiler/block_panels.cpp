#include "cairn/compiler/block_panels.h"

#include <emmintrin.h>

#include <algorithm>
#include <cstring>

#include "cairn/compiler/custom_node.h"
#include "cairn/tile/quantized.h"

namespace cairn {
namespace {

using tile::BlockBytes;
using tile::panel_rows;

constexpr const char* kUnpack = "from_block_panels";

Tensor reshape(const Tensor& x, const Ints& shape) {
  return make(Op::reshape, {x}, {{Attr::shape, shape}});
}
Tensor transpose(const Tensor& x, const Ints& axes) {
  return make(Op::transpose, {x}, {{Attr::axes, axes}});
}
// x[..., begin:end].
Tensor last_between(const Tensor& x, int64_t begin, int64_t end) {
  const auto rank = static_cast<size_t>(x.rank());
  Ints start(rank, 0), stop, step(rank, 1);
  for (const int64_t size : x.shape()) stop.push_back(size);
  start.back() = begin;
  stop.back() = end;
  return make(Op::slice, {x}, {{Attr::start, start}, {Attr::stop, stop}, {Attr::step, step}});
}
Tensor joined(std::vector<Tensor> parts) {
  const int64_t last = parts[0].rank() - 1;
  return parts.size() == 1 ? parts[0]
                           : make(Op::concatenate, std::move(parts), {{Attr::axis, last}});
}

Tensor plain_panels(const Tensor& bytes, const BlockFormat& f) {
  const Shape shape = block_panels_shape(f, bytes.shape()[0], bytes.shape()[1]);
  const int64_t panels = shape[0], blocks = shape[1], each = panel_rows(f),
                missing = panels * each - bytes.shape()[0];
  Tensor all = bytes;
  if (missing) {
    const Tensor zero = make(
        Op::full, {}, {{Attr::value, Number(0)}, {Attr::dtype, DType::u8}, {Attr::shape, Ints()}});
    all = make(
        Op::pad, {all, zero},
        {{Attr::low, Ints{0, 0}}, {Attr::high, Ints{missing, 0}}, {Attr::interior, Ints{0, 0}}});
  }
  all = reshape(all, {panels, each, blocks, f.block_bytes});
  std::vector<Tensor> parts;
  for (const BlockBytes& run : tile::bytes_of_block(f)) {
    const int64_t length = run.end - run.begin;
    const Tensor split = reshape(last_between(all, run.begin, run.end),
                                 {panels, each, blocks, length / run.part, run.part});
    parts.push_back(reshape(transpose(split, {0, 2, 3, 1, 4}), {panels, blocks, length * each}));
  }
  return joined(std::move(parts));
}

Tensor plain_bytes(const Tensor& x, const BlockFormat& f, int64_t rows) {
  const int64_t panels = x.shape()[0], blocks = x.shape()[1], each = panel_rows(f);
  std::vector<Tensor> parts;
  std::vector<BlockBytes> runs = tile::bytes_of_block(f);
  std::ranges::sort(runs, {}, &BlockBytes::begin);
  for (const BlockBytes& run : runs) {
    const int64_t length = run.end - run.begin;
    const Tensor split = reshape(last_between(x, run.place * each, (run.place + length) * each),
                                 {panels, blocks, length / run.part, each, run.part});
    parts.push_back(reshape(transpose(split, {0, 3, 1, 2, 4}), {panels * each, blocks, length}));
  }
  const Tensor all = reshape(joined(std::move(parts)), {panels * each, blocks * f.block_bytes});
  if (rows == all.shape()[0]) return all;
  return make(Op::slice, {all},
              {{Attr::start, Ints{0, 0}},
               {Attr::stop, Ints{rows, all.shape()[1]}},
               {Attr::step, Ints{1, 1}}});
}

// A run of `length` bytes of so many rows, in parts of kPart; `each`: rows of a panel. The size of
// a part is a constant, as it is what each of hundreds of millions of copies of a model takes.
template <int kPart>
void lay_side_by_side(const uint8_t* from, int64_t row_bytes, int64_t rows, int length,
                      int64_t each, uint8_t* to) {
  for (int at = 0; at < length; at += kPart, to += each * kPart)
    for (int64_t row = 0; row < rows; ++row)
      std::memcpy(to + row * kPart, from + row * row_bytes + at, kPart);
}

// The same for words of sixteen rows and 16 bytes of each: four lines of 64 bytes, written past the
// caches, since what is stored to would be read from memory first and a model is larger than they
// are. With the fetching, as many streams as rows are too many for the processor's own, that is
// 5.4 GB/s on a core where copies of four bytes make 3.8.
void lay_lines(const uint8_t* from, int64_t row_bytes, int64_t each, uint8_t* to) {
  __m128i lines[4][4];
  for (int quarter = 0; quarter < 4; ++quarter) {
    const auto row = [&](int i) {
      const uint8_t* bytes = from + (quarter * 4 + i) * row_bytes;
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
    };
    const __m128i a = row(0), b = row(1), c = row(2), d = row(3);
    const __m128i ab = _mm_unpacklo_epi32(a, b), cd = _mm_unpacklo_epi32(c, d);
    const __m128i ab_high = _mm_unpackhi_epi32(a, b), cd_high = _mm_unpackhi_epi32(c, d);
    lines[0][quarter] = _mm_unpacklo_epi64(ab, cd);
    lines[1][quarter] = _mm_unpackhi_epi64(ab, cd);
    lines[2][quarter] = _mm_unpacklo_epi64(ab_high, cd_high);
    lines[3][quarter] = _mm_unpackhi_epi64(ab_high, cd_high);
  }
  for (int word = 0; word < 4; ++word)
    for (int quarter = 0; quarter < 4; ++quarter)
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + word * each * 4) + quarter,
                       lines[word][quarter]);
}

// As lay_side_by_side<4>, of a whole panel.
void lay_words(const uint8_t* from, int64_t row_bytes, int length, int64_t each, uint8_t* to) {
  constexpr int kAhead = 384, kLine = 64;  // bytes
  int at = 0;
  for (; at + 16 <= length; at += 16)
    for (int64_t row = 0; row < each; row += 16) {
      const uint8_t* some = from + row * row_bytes + at;
      if (at % kLine == 0)
        for (int i = 0; i < 16; ++i) __builtin_prefetch(some + i * row_bytes + kAhead);
      lay_lines(some, row_bytes, each, to + at * each + row * 4);
    }
  lay_side_by_side<4>(from + at, row_bytes, each, length - at, each, to + at * each);
}

}  // namespace

Shape block_panels_shape(const BlockFormat& f, int64_t rows, int64_t row_bytes) {
  const int64_t each = panel_rows(f);
  return {(rows + each - 1) / each, row_bytes / f.block_bytes, each * f.block_bytes};
}

Tensor in_block_panels(const Tensor& bytes, const BlockFormat& format) {
  if (const Tensor panels = panels_of(bytes); panels.defined()) return panels;
  const BlockFormat* f = &format;
  CustomDefinition definition;
  definition.name = "in_block_panels";
  definition.fallback = [f](auto x) { return std::vector{plain_panels(x[0], *f)}; };
  return custom_node(std::move(definition), {bytes})[0];
}

Tensor from_block_panels(const Tensor& panels, const BlockFormat& format, int64_t rows) {
  const BlockFormat* f = &format;
  CustomDefinition definition;
  definition.name = kUnpack;
  definition.fallback = [f, rows](auto x) { return std::vector{plain_bytes(x[0], *f, rows)}; };
  return custom_node(std::move(definition), {panels})[0];
}

Tensor panels_of(const Tensor& bytes) {
  const Node& node = bytes.node();
  const bool is_unpacked = node.op() == Op::custom && node.attrs().text(Attr::name) == kUnpack;
  return is_unpacked ? node.input(0) : Tensor();
}

// Units of as many bytes as lie together in all parts of a block are taken one by one. What is no
// number of a row stays none.
Tensor gather_from_block_panels(const Tensor& panels, const BlockFormat& f, int64_t rows,
                                const Tensor& numbers) {
  const int64_t each = panel_rows(f), blocks = panels.shape()[1], count = numbers.elements();
  const std::vector<BlockBytes> runs = tile::bytes_of_block(f);
  const int64_t unit = std::ranges::min(runs, {}, &BlockBytes::part).part;
  const int64_t units = f.block_bytes / unit;
  // Of a block's units where those of the first row of a panel stand, and how far the next row's.
  std::vector<int64_t> first(static_cast<size_t>(units)), step(first);
  for (const BlockBytes& run : runs)
    for (int64_t at = run.begin; at < run.end; at += unit) {
      const int64_t within = (at - run.begin) % run.part;
      const auto i = static_cast<size_t>(at / unit);
      first[i] = ((run.place + at - run.begin - within) * each + within) / unit;
      step[i] = run.part / unit;
    }
  const Ints shape = {count, blocks, units};
  const auto all = [&](int64_t value) {
    return make(Op::full, {},
                {{Attr::value, Number(value)}, {Attr::dtype, DType::i64}, {Attr::shape, shape}});
  };
  const auto along = [&](const Tensor& x, int64_t axis) {
    return make(Op::broadcast, {x}, {{Attr::shape, shape}, {Attr::axes, Ints{axis}}});
  };
  const auto of_units = [&](const std::vector<int64_t>& values) {
    return along(make(Op::dense, {}, {{Attr::literal, HostArray::from<int64_t>(values, {units})}}),
                 2);
  };
  const Tensor row =
      along(make(Op::cast, {reshape(numbers, {count})}, {{Attr::dtype, DType::i64}}), 0);
  const Tensor block = make(
      Op::iota, {}, {{Attr::shape, shape}, {Attr::axis, int64_t{1}}, {Attr::dtype, DType::i64}});
  const Tensor before =
      make(Op::add, {make(Op::multiply, {make(Op::divide, {row, all(each)}), all(blocks)}), block});
  const Tensor of_row = make(Op::multiply, {make(Op::remainder, {row, all(each)}), of_units(step)});
  const Tensor at = make(Op::add, {make(Op::multiply, {before, all(each * units)}),
                                   make(Op::add, {of_units(first), of_row})});
  const Tensor is_row =
      make(Op::bitwise_and, {make(Op::less, {all(-1), row}), make(Op::less, {row, all(rows)})});
  const Tensor taken = make(Op::gather,
                            {reshape(panels, {panels.shape().elements() / unit, unit}),
                             make(Op::select, {is_row, at, all(-1)})},
                            {{Attr::axis, int64_t{0}}, {Attr::batch_dims, int64_t{0}}});
  Ints result(numbers.shape());
  result.push_back(blocks * f.block_bytes);
  return reshape(taken, result);
}

void write_block_panels(const BlockFormat& f, const uint8_t* bytes, int64_t rows, int64_t row_bytes,
                        uint8_t* panels, ThreadPool& pool) {
  const Shape shape = block_panels_shape(f, rows, row_bytes);
  const int64_t each = panel_rows(f), blocks = shape[1], panel_bytes = blocks * shape[2];
  const std::vector<BlockBytes> runs = tile::bytes_of_block(f);
  pool.parallel_for(shape[0], 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t count = std::min(each, rows - panel * each);
      uint8_t* to = panels + panel * panel_bytes;
      if (count < each) std::memset(to, 0, static_cast<size_t>(panel_bytes));
      const uint8_t* from = bytes + panel * each * row_bytes;
      for (int64_t block = 0; block < blocks; ++block)
        for (const BlockBytes& run : runs) {
          const uint8_t* bytes_of_run = from + block * f.block_bytes + run.begin;
          uint8_t* place = to + (block * f.block_bytes + run.place) * each;
          if (run.part == 4 && count == each) {
            lay_words(bytes_of_run, row_bytes, run.end - run.begin, each, place);
            continue;
          }
          const auto lay = run.part == 4   ? lay_side_by_side<4>
                           : run.part == 2 ? lay_side_by_side<2>
                                           : lay_side_by_side<1>;
          lay(bytes_of_run, row_bytes, count, run.end - run.begin, each, place);
        }
    }
    _mm_sfence();  // behind stores that go past the caches
  });
}

}  // namespace cairn
