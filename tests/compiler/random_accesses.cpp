#include <algorithm>
#include <array>

#include "tests/compiler/random_generator.h"

namespace cairn::test {

using tile::Tile;

namespace {

constexpr std::array kStored = {DType::f32,  DType::f32, DType::f64, DType::f16,
                                DType::bf16, DType::i64, DType::i32, DType::i16,
                                DType::i8,   DType::u8,  DType::u32, DType::b8};

Shape flat_along(const Shape& shape, int axis) {
  Shape flat(shape.rank(), 1);
  flat[axis] = shape[axis];
  return flat;
}

}  // namespace

// 0, 1, ... along one axis, of size 1 along the others.
Tile Generator::coordinate(const Shape& shape, int axis, DType dtype) {
  return reshape(k_.arange(shape[axis], dtype), flat_along(shape, axis));
}

Tile Generator::linear_index(const Shape& shape) {
  if (shape.rank() == 0) return k_.constant(0, DType::i64);
  if (random_.one_in(3)) return reshape(k_.arange(shape.elements()), shape);
  Tile index = coordinate(shape, 0);
  for (int i = 1; i < shape.rank(); ++i) index = index * shape[i] + coordinate(shape, i);
  return index;
}

Tile Generator::as_index(const Tile& offsets) {
  return random_.one_in(4) ? cast(offsets, DType::i32) : offsets;
}

bool Generator::fits_root(const Shape& shape) const {
  bool fits = shape.rank() == root_.rank();
  for (int i = 0; fits && i < shape.rank(); ++i) fits = shape[i] == root_[i] || shape[i] == 1;
  return fits;
}

// --- masks ---------------------------------------------------------------------------------------

// Of the axes along which the shape moves.
Tile Generator::usual_mask(const Shape& shape) {
  Tile result;
  for (int i = 0; i < shape.rank(); ++i) {
    const Axis& a = axes_[static_cast<size_t>(i)];
    if (!a.is_bounded || (shape[i] == 1 && root_[i] != 1)) continue;
    const Tile term = a.index < a.size;
    result = result.id() < 0 ? term : result & term;
  }
  return result.id() < 0 ? result : broadcast_to(result, shape);
}

Tile Generator::comparison(const Shape& shape) {
  const int axis = static_cast<int>(random_.below(shape.rank()));
  const DType dtype = random_.one_in(3) ? DType::i32 : DType::i64;
  const auto along = [&](int i) { return coordinate(shape, i, dtype); };
  const int64_t bound = random_.between(-1, shape[axis] + 2);
  const auto as_tile = [&](int64_t n) { return cast(number(n), dtype); };
  switch (random_.below(9)) {
    case 0: return along(axis) <= as_tile(bound);
    case 1: return as_tile(bound) < along(axis);
    case 2: return along(axis) == as_tile(bound);
    case 3: return along(axis) < along(static_cast<int>(random_.below(shape.rank())));
    case 4: return along(axis) * random_.between(-2, 3) + random_.between(-4, 4) < as_tile(bound);
    case 5: return along(axis) % random_.between(2, 4) < 2;
    case 6: return cast(linear_index(shape), dtype) < as_tile(random_.below(shape.elements() + 4));
    case 7: {
      Tile sum = along(axis);
      for (int i = 0; i < shape.rank(); ++i) sum = sum + along(i);
      return sum < as_tile(bound);
    }
    default: return along(axis) < as_tile(bound);
  }
}

Tile Generator::mask(const Shape& shape, int depth) {
  const auto anything = [&] { return mask(shape, depth - 1); };
  Tile result;
  if (shape.rank() == 0 || depth < 0) {
    result = coordinates_.empty() || random_.one_in(3)
                 ? k_.constant(!random_.one_in(4), DType::b8)
                 : random_.pick(coordinates_).tile < number(random_.between(0, 3));
  } else {
    switch (random_.below(10)) {
      case 0:
        result = anything();
        result = result | anything();
        break;
      case 1: result = anything() ^ true; break;
      case 2:
        result = anything();
        result = result & anything();
        break;
      case 3: result = value(DType::b8, shape, depth - 1); break;
      case 4: result = moved(DType::b8, shape, depth - 1); break;
      case 5:
        if (fits_root(shape)) result = usual_mask(shape);
        if (result.id() >= 0) break;
        [[fallthrough]];
      case 6:
        result = comparison(shape);
        result = result & comparison(shape);
        break;
      case 7: result = k_.full(shape, !random_.one_in(3), DType::b8); break;
      default: result = comparison(shape); break;
    }
  }
  return broadcast_to(result, shape);
}

// --- loads ---------------------------------------------------------------------------------------

Tile Generator::load(DType dtype, const Shape& shape, int depth) {
  switch (random_.below(6)) {
    case 0: return load_gathered(dtype, shape, depth);
    case 1: return load_around(dtype, shape, depth);
    case 2:
    case 3:
      if (fits_root(shape)) return load_usual(dtype, shape);
      [[fallthrough]];
    default: return load_affine(dtype, shape, depth);
  }
}

// As a kernel reads an operand, broadcast along some axes: row-major over the others.
Tile Generator::load_usual(DType dtype, const Shape& shape) {
  Tile offset = k_.constant(0, DType::i64);
  int64_t elements = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == 1 && root_[i] != 1) continue;
    const Axis& a = axes_[static_cast<size_t>(i)];
    offset = offset * a.size + a.index;
    elements *= a.n;
  }
  offset = as_index(broadcast_to(offset, shape));
  const Tile mask = usual_mask(shape);
  const Buffer buffer = input(dtype, std::max<int64_t>(elements, 1));
  if (mask.id() < 0) return k_.load(buffer, offset);
  if (random_.one_in(2)) return k_.load(buffer, offset, mask);
  return k_.load(buffer, offset, mask, k_.full(shape, any_number(dtype), dtype));
}

// A number plus multiples of the coordinates, down to 0 and up to the last element.
Tile Generator::load_affine(DType dtype, const Shape& shape, int depth) {
  Tile offset;
  int64_t low = 0, high = 0;
  const auto add = [&](const Tile& along, int64_t count) {
    constexpr std::array<int64_t, 10> kStrides = {0, 0, 1, 1, 1, 2, 3, 7, -1, -2};
    int64_t stride = random_.pick(kStrides);
    if (random_.one_in(3)) stride *= std::max<int64_t>(1, high + 1);
    const int64_t reach = stride * std::max<int64_t>(count - 1, 0);
    if (stride == 0 || std::max(high + reach, high) - std::min(low + reach, low) > 20000) return;
    (reach < 0 ? low : high) += reach;
    const Tile part = stride == 1 ? along : along * number(stride);
    offset = offset.id() < 0 ? part : offset + part;
  };
  for (int i = shape.rank(); i-- > 0;) add(coordinate(shape, i), shape[i]);
  for (const Coordinate& c : coordinates_) add(c.tile, c.count);
  if (offset.id() < 0) offset = k_.constant(0, DType::i64);
  if (low < 0) offset = offset + number(-low);
  offset = as_index(broadcast_to(offset, shape));
  const Buffer buffer = input(dtype, high - low + 1);
  switch (random_.below(4)) {
    case 0: return k_.load(buffer, offset, mask(shape, 1));
    case 1: {
      const Tile there = mask(shape, 1);
      if (!options_.other_tiles) return k_.load(buffer, offset, there);
      return k_.load(buffer, offset, there, value(dtype, shape, depth - 2));
    }
    default: return k_.load(buffer, offset);
  }
}

Tile Generator::load_gathered(DType dtype, const Shape& shape, int depth) {
  const DType index = random_.one_in(2) ? DType::i64 : DType::i32;
  const int64_t elements = random_.between(1, 300);
  const Tile wild = value(index, shape, depth - 1);
  const Tile offset = minimum(maximum(wild, 0), elements - 1);
  const Buffer buffer = input(dtype, elements);
  return random_.one_in(3) ? k_.load(buffer, offset, mask(shape, 1)) : k_.load(buffer, offset);
}

// Offsets that the mask keeps inside: a halo, or any numbers.
Tile Generator::load_around(DType dtype, const Shape& shape, int depth) {
  const int64_t elements = random_.between(1, shape.elements() + 2);
  const Tile offset = random_.one_in(2)
                          ? value(random_.one_in(2) ? DType::i64 : DType::i32, shape, depth - 1)
                          : broadcast_to(linear_index(shape) - random_.between(0, 4), shape);
  const Tile mask = (offset >= 0) & (offset < elements);
  const Buffer buffer = input(dtype, elements);
  if (random_.one_in(2)) return k_.load(buffer, offset, mask);
  return k_.load(buffer, offset, mask, k_.full(shape, any_number(dtype), dtype));
}

// --- stores --------------------------------------------------------------------------------------

// The usual index along each axis, row-major over the axes in some order, and the programs of the
// grid that are not blocks of an axis before them.
void Generator::store_usual() {
  std::vector<int> order;
  for (int i = 0; i < root_.rank(); ++i)
    order.insert(order.begin() + (random_.one_in(3) ? random_.below(i + 1) : i), i);
  const auto [program, programs] = place(false);
  int64_t elements = programs;
  Tile offset = program;
  for (const int i : order) {
    const Axis& a = axes_[static_cast<size_t>(i)];
    offset = offset * a.size + a.index;
    elements *= a.n;
  }
  offset = as_index(broadcast_to(offset, root_));
  Tile mask = usual_mask(root_);
  if (random_.one_in(4) && may_mask(root_)) {
    const Tile more = this->mask(root_, 1);
    mask = mask.id() < 0 ? more : mask & more;
  }
  // Several outputs of one form, as a group of a graph has.
  for (int64_t outputs = random_.between(1, 2); outputs > 0; --outputs) {
    const DType dtype = random_.pick(kStored);
    const Tile stored = value(dtype, root_, options_.depth);
    const Buffer buffer = output(dtype, std::max<int64_t>(elements, 1));
    if (mask.id() < 0)
      k_.store(buffer, offset, stored);
    else
      k_.store(buffer, offset, stored, mask);
  }
}

// Which program, and step of the loops around, this is, and how many there are.
std::pair<Tile, int64_t> Generator::place(bool with_blocks) {
  Tile place = k_.constant(0, DType::i64);
  int64_t count = 1;
  for (const Coordinate& c : coordinates_) {
    if (c.is_block && !with_blocks) continue;
    place = place * c.count + c.tile;
    count *= c.count;
  }
  return {place, count};
}

std::pair<Tile, int64_t> Generator::distinct_offsets(const Shape& shape) {
  const int64_t elements = shape.elements();
  const Tile index = linear_index(shape);
  switch (random_.below(7)) {
    case 0: return {(elements - 1) - index, elements};
    case 1: {
      const int64_t stride = random_.between(2, 4);
      return {index * number(stride), (elements - 1) * stride + 1};
    }
    case 2: {
      int64_t size = 1;
      while (size < elements) size *= 2;
      return {index ^ random_.below(size), size};
    }
    case 3: {
      // Column-major.
      Tile offset = k_.constant(0, DType::i64);
      for (int i = shape.rank(); i-- > 0;) offset = offset * shape[i] + coordinate(shape, i);
      return {offset, elements};
    }
    case 4:
      if (!options_.repeated_offsets) return {index, elements};
      // The last of equal ones wins.
      if (random_.one_in(2)) return {index / random_.between(2, 5), elements};
      return {index * 0 + 1, 2};
    default: return {index, elements};
  }
}

void Generator::store_anywhere() {
  const Shape shape = random_.one_in(2) ? root_ : any_shape(static_cast<int>(random_.below(4)));
  const DType dtype = random_.pick(kStored);
  const Tile stored = value(dtype, shape, options_.depth);
  const auto [program, programs] = place(true);
  const auto [offset, elements] = distinct_offsets(shape);
  const Tile offsets = as_index(broadcast_to(offset + program * number(elements), shape));
  const Buffer buffer = output(dtype, std::max<int64_t>(1, elements * programs));
  if (random_.one_in(3) || !may_mask(shape))
    k_.store(buffer, offsets, stored);
  else
    k_.store(buffer, offsets, stored, mask(shape, 2));
}

}  // namespace cairn::test
