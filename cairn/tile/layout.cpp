#include "cairn/tile/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "cairn/base/error.h"

namespace cairn::tile {
namespace {

bool is_power_of_two(int64_t n) { return std::has_single_bit(static_cast<uint64_t>(n)); }
int bits_in(int64_t n) { return std::bit_width(static_cast<uint64_t>(n)) - 1; }

}  // namespace

Layout& Layout::walk(int axis, int64_t first, int64_t end) {
  CAIRN_ASSERT(is_power_of_two(first) && is_power_of_two(end));
  for (; first < end; first *= 2) {
    Ints step(rank_, 0);
    step[axis] = first;
    steps_.push_back(step);
  }
  return *this;
}

Layout& Layout::stay(int64_t places) {
  CAIRN_ASSERT(is_power_of_two(places));
  for (; places > 1; places /= 2) steps_.emplace_back(rank_, 0);
  return *this;
}

Layout Layout::rows(const Shape& shape) {
  Layout result(shape.rank());
  for (int axis = shape.rank(); axis-- > 0;) result.walk(axis, 1, shape[axis]);
  return result;
}

Layout Layout::swizzled(const Shape& shape, int64_t piece) {
  constexpr int64_t kPiecesPerLine = 8;
  Layout result = rows(shape);
  const int64_t pieces = std::min(shape[1] / piece, kPiecesPerLine);
  if (pieces < 2) return result;
  const int64_t rows_per_line = kPiecesPerLine / pieces;
  // The step to a row that turns the permutation, of those that the line has room for.
  for (int64_t turn = 1; turn < pieces && turn * rows_per_line < shape[0]; turn *= 2) {
    const int bit = bits_in(shape[1]) + bits_in(turn * rows_per_line);
    result.steps_[static_cast<size_t>(bit)][1] = turn * piece;
  }
  return result;
}

Ints Layout::at(int64_t place) const {
  CAIRN_ASSERT(place >= 0 && place < places());
  Ints result(rank_, 0);
  for (int bit = 0; bit < bits(); ++bit)
    if ((place >> bit & 1) != 0)
      for (int axis = 0; axis < rank_; ++axis) result[axis] ^= step(bit)[axis];
  return result;
}

int Layout::bit_of(int axis, int coordinate_bit) const {
  Ints wanted(rank_, 0);
  wanted[axis] = int64_t{1} << coordinate_bit;
  const auto found = std::ranges::find(steps_, wanted);
  return found == steps_.end() ? -1 : static_cast<int>(found - steps_.begin());
}

std::vector<std::vector<int64_t>> Layout::inverse(const Shape& shape) const {
  // Gauss-Jordan elimination over bits: coordinates as one number, and the places that make it.
  struct Row {
    int64_t coordinates, place;
  };
  std::vector<int> begin;  // of an axis in the number
  int total = 0;
  for (int axis = 0; axis < rank_; ++axis) {
    begin.push_back(total);
    total += bits_in(shape[axis]);
  }
  const auto fail = [&] {
    throw_error(fmt::format("[layout] {} places do not hold each element of a tile {} once",
                            places(), to_string(shape)));
  };
  if (bits() != total) fail();
  std::vector<Row> rows;
  for (int bit = 0; bit < bits(); ++bit) {
    Row row{0, int64_t{1} << bit};
    for (int axis = 0; axis < rank_; ++axis)
      row.coordinates |= step(bit)[axis] << begin[static_cast<size_t>(axis)];
    rows.push_back(row);
  }
  for (int bit = 0; bit < total; ++bit) {
    const auto has_bit = [&](const Row& row) { return (row.coordinates >> bit & 1) != 0; };
    const auto pivot = std::find_if(rows.begin() + bit, rows.end(), has_bit);
    if (pivot == rows.end()) fail();
    std::iter_swap(rows.begin() + bit, pivot);
    const Row chosen = rows[static_cast<size_t>(bit)];
    for (int other = 0; other < total; ++other)
      if (other != bit && has_bit(rows[static_cast<size_t>(other)])) {
        rows[static_cast<size_t>(other)].coordinates ^= chosen.coordinates;
        rows[static_cast<size_t>(other)].place ^= chosen.place;
      }
  }
  std::vector<std::vector<int64_t>> result(static_cast<size_t>(rank_));
  auto row = rows.begin();
  for (int axis = 0; axis < rank_; ++axis)
    for (int bit = 0; bit < bits_in(shape[axis]); ++bit)
      result[static_cast<size_t>(axis)].push_back((row++)->place);
  return result;
}

Distribution mma_fragments(const Shape& shape, int64_t warps) {
  const int64_t down = std::min(warps, shape[0] / 16);
  const int64_t across = std::min(warps / down, shape[1] / 16);
  Distribution result{Layout(2), Layout(2)};
  result.registers.walk(1, 1, 2).walk(0, 8, 16).walk(1, 8, shape[1] / across);
  result.registers.walk(0, 16 * down, shape[0]);
  result.threads.walk(1, 2, 8).walk(0, 1, 8).walk(0, 16, 16 * down);
  result.threads.walk(1, shape[1] / across, shape[1]).stay(warps / down / across);
  return result;
}

Distribution mfma_fragments(const Shape& shape, int64_t waves) {
  const int64_t down = std::min(waves, shape[0] / 16);
  const int64_t across = std::min(waves / down, shape[1] / 16);
  Distribution result{Layout(2), Layout(2)};
  result.registers.walk(1, 1, 4).walk(1, 16, shape[1] / across).walk(0, 16 * down, shape[0]);
  result.threads.walk(0, 1, 16).walk(1, 4, 16).walk(0, 16, 16 * down);
  result.threads.walk(1, shape[1] / across, shape[1]).stay(waves / down / across);
  return result;
}

Distribution register_blocks(const Shape& shape, int64_t threads, int64_t row_threads,
                             int64_t piece) {
  row_threads = std::min({row_threads, threads, shape[0]});
  const int64_t width = std::min(piece, shape[1]);
  const int64_t column_threads = std::min(threads / row_threads, shape[1] / width);
  Distribution result{Layout(2), Layout(2)};
  result.registers.walk(1, 1, width).walk(1, width * column_threads, shape[1]);
  result.registers.walk(0, row_threads, shape[0]);
  result.threads.walk(1, width, width * column_threads)
      .stay(threads / row_threads / column_threads);
  result.threads.walk(0, 1, row_threads);
  return result;
}

}  // namespace cairn::tile
