// Where the elements of a tile are: in memory, or dealt out to the threads of a block.
//
// A layout maps a *place* (an offset in memory, a thread's number, a register's number) to the
// coordinates of the element there. All sizes are powers of two and the map is linear over bits:
// the coordinates of place p are the exclusive or of the *steps* of the bits that are set in p.
// Row-major order, a transposed one, a tile in which rows are stored rotated so that a column meets
// every bank of memory, and the fragments of a matrix instruction all have that form (Triton's
// LinearLayout). So one class answers for all of them where an element is, code for an address is a
// few shifts and exclusive ors, and
//
//   at(p ^ q) = at(p) ^ at(q)
//
// splits an address into what depends on the thread and what is known when the kernel is compiled.
#pragma once

#include <cstdint>
#include <vector>

#include "cairn/core/shape.h"

namespace cairn::tile {

class Layout {
 public:
  // Of one place, the origin.
  explicit Layout(int rank) : rank_(rank) {}

  // The next bits of a place walk along an axis: to coordinates first, 2 first, ... below end,
  // powers of two.
  Layout& walk(int axis, int64_t first, int64_t end);
  // The next bits of a place, which count to `places`, stay where they are: copies.
  Layout& stay(int64_t places);

  // Offsets in memory, by element.
  static Layout rows(const Shape& shape);
  // Rows of a matrix in pieces of `piece` neighbours. The pieces of a row are permuted by an
  // exclusive or with the row's number, so that the same piece of eight rows that follow each other
  // lies in eight different places of a line of 8 pieces: 128 bytes, all banks, for one of 16.
  static Layout swizzled(const Shape& shape, int64_t piece);

  int rank() const { return rank_; }
  int bits() const { return static_cast<int>(steps_.size()); }
  int64_t places() const { return int64_t{1} << bits(); }
  // The coordinates of place 1 << bit.
  const Ints& step(int bit) const { return steps_[static_cast<size_t>(bit)]; }
  Ints at(int64_t place) const;

  // The bit of a place that alone steps to coordinate 1 << `coordinate_bit` of an axis; -1 for
  // none.
  int bit_of(int axis, int coordinate_bit) const;
  // Along each axis the places of the coordinates 1, 2, 4, ...: the inverse, also linear. The
  // layout has each element of `shape` at just one place, or it is an Error.
  std::vector<std::vector<int64_t>> inverse(const Shape& shape) const;

 private:
  int rank_;
  std::vector<Ints> steps_;  // by bit of a place
};

// A tile dealt out: the element in a thread's register is at registers.at(r) ^ threads.at(t).
struct Distribution {
  Layout registers, threads;
};

// The fragments of NVIDIA's mma.sync m16n8: lane l of a warp has rows l / 4 and l / 4 + 8, columns
// 2 (l % 4) and the next. `warps` share out rows first, then columns; those beyond have copies.
Distribution mma_fragments(const Shape& shape, int64_t warps);
// The fragments of AMD's mfma 16x16x16, transposed: lane l of a wave of 64 has row l % 16, columns
// 4 (l / 16) and three more.
Distribution mfma_fragments(const Shape& shape, int64_t waves);
// A block of rows and columns in each thread, `piece` columns at a time; `row_threads` share out
// the rows, the rest of `threads` the columns.
Distribution register_blocks(const Shape& shape, int64_t threads, int64_t row_threads,
                             int64_t piece);

}  // namespace cairn::tile
