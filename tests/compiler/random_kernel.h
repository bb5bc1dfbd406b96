// Random tile kernels that are valid, and data to run them on.
//
// A kernel is what a seed makes of it, on every machine. Its accesses stay inside buffers that are
// exactly as large as it needs, which the interpreter confirms, so a compiled kernel that reads or
// writes more is wrong. What is computed may be any bits, NaN and infinity included, except that
// nothing follows from the sign or the payload of a NaN, which are not promised.
#pragma once

#include <cstdint>
#include <iterator>
#include <random>
#include <vector>

#include "cairn/tile/ir.h"

namespace cairn::test {

// The same numbers with every standard library, unlike its distributions.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t bits() { return engine_(); }
  int64_t below(int64_t end) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(end)); }
  int64_t between(int64_t first, int64_t last) { return first + below(last - first + 1); }
  bool one_in(int64_t n) { return below(n) == 0; }
  template <class Range>
  const auto& pick(const Range& range) {
    return range[static_cast<size_t>(below(std::ssize(range)))];
  }

 private:
  std::mt19937_64 engine_;
};

// Elementwise programs, and what else is switched on.
struct GeneratorOptions {
  int depth = 5;            // of an expression
  int stores = 3;           // at most
  int64_t elements = 1500;  // of a tile, at most
  bool reductions = false;  // reduce and arg_reduce
  int64_t longest_reduction = 4096;
  bool scans = false;
  bool dots = false;
  bool loops = false;
  bool masked_scalars = true;    // stores of one element with a mask
  bool other_tiles = true;       // loads with other values that are no constant
  bool mixed_products = true;    // products of i8 and u8
  bool repeated_offsets = true;  // stores of which the last wins
};

// What a launch passes for a parameter.
struct RandomArgument {
  int64_t elements = 0;  // of a buffer
  Number number;         // of a scalar
  // Of a buffer of floats: fractions of 1, so that sums of products are numbers.
  bool is_tame = false;
};

struct RandomKernel {
  tile::Kernel kernel;
  std::vector<RandomArgument> arguments;
};

RandomKernel random_kernel(uint64_t seed, const GeneratorOptions& options = {});

}  // namespace cairn::test
