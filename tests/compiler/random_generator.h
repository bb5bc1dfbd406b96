// The parts of random_kernel(): parameters and the grid, memory accesses (random_accesses.cpp),
// values (random_values.cpp).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cairn/tile/builder.h"
#include "tests/compiler/random_kernel.h"

namespace cairn::test {

class Generator {
 public:
  Generator(uint64_t seed, const GeneratorOptions& options)
      : random_(seed), options_(options), k_("random") {}
  RandomKernel run();

 private:
  using Tile = tile::Tile;
  using Buffer = tile::Buffer;

  // A number in 0..count-1 that is the same for a whole tile: a program's place, a loop's index.
  struct Coordinate {
    Tile tile;
    int64_t count;
    bool is_block = false;  // of a program that has a block of an axis
  };
  // An axis of the shape on which most of the kernel works, with the usual index and bound:
  // program * block + arange(block) < n.
  struct Axis {
    Tile index;  // of the root's rank
    Tile size;   // n, a parameter
    int64_t n;
    bool is_bounded;  // whether the index reaches n
  };

  // Parameters and the grid (random_kernel.cpp).
  void make_frame();
  void statement();
  void loop_statement();
  Tile number(int64_t value);  // in the code or as a parameter
  Tile scalar(DType dtype, Number value, int64_t divisor = 1);
  Buffer input(DType dtype, int64_t elements);
  Buffer output(DType dtype, int64_t elements);
  Number any_number(DType dtype);
  Shape any_shape(int rank);

  // Accesses (random_accesses.cpp).
  void store_usual();
  void store_anywhere();
  Tile load(DType dtype, const Shape& shape, int depth);
  Tile load_usual(DType dtype, const Shape& shape);
  Tile load_affine(DType dtype, const Shape& shape, int depth);
  Tile load_gathered(DType dtype, const Shape& shape, int depth);
  Tile load_around(DType dtype, const Shape& shape, int depth);  // offsets partly outside
  Tile usual_mask(const Shape& shape);                           // empty when nothing bounds it
  Tile mask(const Shape& shape, int depth);
  Tile comparison(const Shape& shape);
  Tile as_index(const Tile& offsets);  // i64 or i32
  Tile coordinate(const Shape& shape, int axis, DType dtype = DType::i64);
  Tile linear_index(const Shape& shape);
  bool fits_root(const Shape& shape) const;
  bool may_mask(const Shape& shape) const { return options_.masked_scalars || shape.rank() > 0; }
  std::pair<Tile, int64_t> place(bool with_blocks);
  // A random distinct offset for each element of a tile, and how many there may be.
  std::pair<Tile, int64_t> distinct_offsets(const Shape& shape);

  // Values (random_values.cpp).
  Tile value(DType dtype, const Shape& shape, int depth);
  Tile fresh(DType dtype, const Shape& shape, int depth);
  Tile leaf(DType dtype, const Shape& shape, int depth);
  Tile elementwise(DType dtype, const Shape& shape, int depth);
  Tile conversion(DType dtype, const Shape& shape, int depth);
  Tile moved(DType dtype, const Shape& shape, int depth);
  Tile reduced(DType dtype, const Shape& shape, int depth);
  Tile scanned(DType dtype, const Shape& shape, int depth);
  Tile product(DType dtype, const Shape& shape, int depth);
  Tile looped(DType dtype, const Shape& shape, int depth);
  // Runs `body` in a loop's block: what it makes is forgotten behind it.
  Tile in_loop(const Tile& carried, const std::function<Tile(const Tile& carried)>& body);

  Random random_;
  GeneratorOptions options_;
  tile::Builder k_;
  std::vector<RandomArgument> arguments_;
  Shape root_;
  std::vector<Axis> axes_;
  std::vector<Coordinate> coordinates_;
  // Values by type, to be used again.
  std::map<std::pair<DType, std::vector<int64_t>>, std::vector<Tile>> known_;
  int loop_depth_ = 0;
};

}  // namespace cairn::test
