// The product with weights of 8 bits that have one scale for each row (quantized.h). A sum of
// integers is as long as a block of x, so of 128 elements for each conversion and multiplication
// there are 32 products of four, where formats with scales for 32 elements have 8: 88 % of
// the peak for 512 rows on Zen 4. They are a loop of 16 KB of weights that steps through memory
// line by line, which the processor fetches ahead by itself; unrolled, one row reads a third less.
#include <bit>

#include "cairn/tile/builder.h"
#include "cairn/tile/quantized.h"

namespace cairn::tile {

Kernel row_scaled_product_kernel(int64_t x_block, int64_t rows) {
  constexpr int64_t kColumns = kMostPanelRows;
  constexpr int64_t kQuad = 4;                  // bytes that are multiplied at a time
  constexpr int64_t kSmallestCode = -128;       // of weights; they count from there
  constexpr int64_t kFewRows = 16, kLine = 16;  // f32 that come from memory at a time
  return build("row_scaled_product", [&](Builder& k) {
    const Buffer codes = k.input("x_codes", DType::i8), scales = k.input("x_scales", DType::f32),
                 sums = k.input("x_sums", DType::i32), words = k.input("w_words", DType::u32),
                 w_scales = k.input("w_scales", DType::f32);
    const Buffer out = k.output("out", DType::f32);
    const Tile m = k.size("m"), n = k.size("n"), depth = k.size("k", x_block),
               x_rows = k.size("x_rows", rows);
    k.grid([&] { return std::vector<Tile>{ceil_div(n, kColumns), ceil_div(m, rows)}; });
    const Tile panel = k.program_id(0);
    const Tile row = expand_dims(k.program_id(1) * rows + k.arange(rows), 1);
    const Tile column = expand_dims(panel * kColumns + k.arange(kColumns), 0);
    const Tile along = expand_dims(k.arange(x_block), 0);
    const auto everywhere = [&](const Tile& t) { return broadcast_to(t, {rows, kColumns}); };
    // Words of a block of K stand together, and one behind the other.
    constexpr int64_t kWords = kColumns / kQuad;  // for each element of K
    const Tile inside =
        expand_dims(k.arange(x_block / kQuad), 1) * kColumns + expand_dims(k.arange(kColumns), 0);
    const Tile blocks = depth >> std::countr_zero(static_cast<uint64_t>(x_block));
    const Tile sum = k.loop(
        0, blocks, 1, k.full({rows, kColumns}, 0, DType::f32),
        [&](const Tile& i, const Tile& before) {
          const Tile first = (panel * blocks + i) * (x_block * kWords);
          // Lines of the result, four rows a turn, so that stores do not wait for them.
          if (rows > kFewRows) {
            constexpr int64_t kRows = 4, kLines = kColumns / kLine;
            const Tile line = k.arange(kRows * kLines);
            const Tile r =
                k.program_id(1) * rows +
                tile::minimum(i * kRows + (line >> std::countr_zero(uint64_t{kLines})), rows - 1);
            k.fetch(out, r * n + panel * kColumns + (line & (kLines - 1)) * kLine);
          }
          const Tile at_x = i * x_rows + row;
          const int64_t parts = x_block / activation_sum(x_block);
          Tile x_sum = k.load(sums, i * parts * x_rows + row);
          for (int64_t part = 1; part < parts; ++part)
            x_sum = x_sum + k.load(sums, (i * parts + part) * x_rows + row);
          const Tile exact = dot(k.load(codes, at_x * x_block + along),
                                 k.load(words, first + inside), everywhere(x_sum * kSmallestCode));
          return fma(cast(exact, DType::f32), everywhere(k.load(scales, at_x)), before);
        });
    const Tile is_used = (row < m) & (column < n);
    const Tile w_scale = k.load(w_scales, column, column < n);
    k.store(out, row * n + column, sum * everywhere(w_scale), is_used);
  });
}

}  // namespace cairn::tile
