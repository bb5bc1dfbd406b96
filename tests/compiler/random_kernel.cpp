#include "tests/compiler/random_kernel.h"

#include <algorithm>
#include <array>
#include <limits>

#include "tests/compiler/random_generator.h"

namespace cairn::test {
namespace {

// Around the lanes of a pack and far from powers of two.
constexpr std::array<int64_t, 20> kSizes = {1,  2,  3,  4,  5,  7,  8,  9,  13, 15,
                                            16, 17, 23, 31, 32, 33, 48, 63, 64, 100};
constexpr int kMostParameters = 24;

}  // namespace

using tile::Tile;

Shape Generator::any_shape(int rank) {
  Shape shape;
  int64_t elements = 1;
  for (int i = 0; i < rank; ++i) {
    int64_t size = random_.pick(kSizes);
    while (elements * size > options_.elements) size = random_.between(1, 5);
    elements *= size;
    shape.push_back(size);
  }
  return shape;
}

Number Generator::any_number(DType dtype) {
  if (dtype == DType::b8) return random_.one_in(2);
  if (is_float(dtype)) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    constexpr std::array<double, 14> kNumbers = {
        0,   1.0,  -1.0, 0.5,   -2.5,      3,          1e-3,
        0.1, -0.0, 1e5,  1e-40, kInfinity, -kInfinity, std::numeric_limits<double>::quiet_NaN()};
    return random_.pick(kNumbers);
  }
  if (random_.one_in(8)) {
    const auto bits = static_cast<int>(8 * size_of(dtype));
    const int64_t largest = is_unsigned(dtype) ? (int64_t{1} << bits) - 1
                            : bits == 64       ? std::numeric_limits<int64_t>::max()
                                               : (int64_t{1} << (bits - 1)) - 1;
    return random_.one_in(2) || is_unsigned(dtype) ? largest : -largest - 1;
  }
  return random_.between(is_unsigned(dtype) ? 0 : -5, 20);
}

Tile Generator::scalar(DType dtype, Number value, int64_t divisor) {
  arguments_.push_back({0, value});
  return k_.scalar("s" + std::to_string(arguments_.size()), dtype, divisor);
}

Tile Generator::number(int64_t value) {
  if (random_.one_in(3) && static_cast<int>(arguments_.size()) < kMostParameters) {
    const bool divides = value != 0 && value % 4 == 0 && random_.one_in(2);
    return scalar(DType::i64, value, divides ? 4 : 1);
  }
  return k_.constant(value, DType::i64);
}

// Promises of 64 bytes or none beyond the element's own.
tile::Buffer Generator::input(DType dtype, int64_t elements) {
  const auto& parameters = k_.kernel().parameters;
  const bool enough = static_cast<int>(parameters.size()) >= kMostParameters;
  for (size_t i = 0; i < parameters.size(); ++i)
    if (parameters[i].kind == tile::Parameter::Kind::input && parameters[i].dtype == dtype &&
        (arguments_[i].elements == elements || (enough && arguments_[i].elements > elements)) &&
        (enough || random_.one_in(3)))
      return {static_cast<int>(i)};
  arguments_.push_back({elements, {}});
  return k_.input("in" + std::to_string(arguments_.size()), dtype,
                  random_.one_in(2) ? 64 : static_cast<int64_t>(size_of(dtype)));
}

tile::Buffer Generator::output(DType dtype, int64_t elements) {
  arguments_.push_back({elements, {}});
  return k_.output("out" + std::to_string(arguments_.size()), dtype,
                   random_.one_in(2) ? 64 : static_cast<int64_t>(size_of(dtype)));
}

void Generator::make_frame() {
  const int rank = static_cast<int>(random_.below(4));
  const int grid_rank = static_cast<int>(random_.below(tile::kMaxGridRank + 1));
  root_ = any_shape(rank);
  axes_.resize(static_cast<size_t>(rank));
  std::vector<int> grid_of(static_cast<size_t>(rank), -1);
  // How many programs along each axis of the grid: blocks of an axis of the root, or a number.
  std::vector<std::pair<Tile, int64_t>> sizes;  // the parameter and the block
  for (int g = 0; g < grid_rank; ++g) {
    const int axis = rank ? static_cast<int>(random_.below(rank)) : -1;
    int64_t count = random_.between(1, 3);
    const bool is_block =
        axis >= 0 && grid_of[static_cast<size_t>(axis)] < 0 && random_.below(4) != 0;
    if (is_block) {
      const int64_t block = root_[axis];
      Axis& a = axes_[static_cast<size_t>(axis)];
      a.n = random_.one_in(24) ? 0 : (count - 1) * block + random_.between(1, block);
      a.is_bounded = true;
      a.size = scalar(DType::i64, a.n);
      grid_of[static_cast<size_t>(axis)] = g;
      sizes.emplace_back(a.size, block);
      count = a.n ? count : 0;
    } else {
      sizes.emplace_back(scalar(DType::i64, count), 1);
    }
    coordinates_.push_back({k_.program_id(g), count, is_block});
  }
  if (grid_rank > 0)
    k_.grid([&] {
      std::vector<Tile> grid;
      for (const auto& [size, block] : sizes)
        grid.push_back(block == 1 ? size : ceil_div(size, block));
      return grid;
    });
  for (int i = 0; i < rank; ++i) {
    Axis& a = axes_[static_cast<size_t>(i)];
    const int64_t block = root_[i];
    Shape flat(rank, 1);
    flat[i] = block;
    a.index = reshape(k_.arange(block), flat);
    if (const int g = grid_of[static_cast<size_t>(i)]; g >= 0) {
      a.index = k_.program_id(g) * block + a.index;
      continue;
    }
    // All of the block, or less; sometimes more than there is.
    a.is_bounded = random_.one_in(2);
    a.n = a.is_bounded ? random_.between(0, block + 3) : block;
    a.size = number(a.n);
  }
}

void Generator::statement() {
  switch (random_.below(8)) {
    case 0: k_.assume(comparison(any_shape(1)) | true, "always"); break;
    case 1: k_.print(k_.constant(1.5, DType::f32), "a number"); break;
    default: break;
  }
  if (options_.loops && loop_depth_ == 0 && random_.one_in(3)) return loop_statement();
  if (random_.one_in(2)) return store_usual();
  store_anywhere();
}

// Stores of a loop's body go to places of their own in each step.
void Generator::loop_statement() {
  const Tile carried = value(DType::f32, root_, 2);
  const Tile last = in_loop(carried, [&](const Tile& c) {
    store_anywhere();
    const Tile factor = value(DType::f32, root_, 2);
    return c * factor;
  });
  known_[{DType::f32, {root_.begin(), root_.end()}}] = {last};
}

RandomKernel Generator::run() {
  make_frame();
  const int64_t stores = random_.between(1, options_.stores);
  for (int64_t i = 0; i < stores; ++i) statement();
  return {k_.finish(), std::move(arguments_)};
}

RandomKernel random_kernel(uint64_t seed, const GeneratorOptions& options) {
  return Generator(seed, options).run();
}

}  // namespace cairn::test
