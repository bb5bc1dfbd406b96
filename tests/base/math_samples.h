// Inputs for the tests of cairn/base/math.h: fixed, from Philox, so that they are the same
// everywhere.
#pragma once

#include <cmath>
#include <cstdint>

#include "cairn/base/philox.h"

namespace cairn::math_samples {

class Samples {
 public:
  explicit Samples(uint32_t seed) : key_{seed, 0} {}

  uint64_t bits() {
    const uint64_t low = philox_bits(key_, next_), high = philox_bits(key_, next_ + 1);
    next_ += 2;
    return high << 32 | low;
  }
  double uniform(double a, double b) {
    return a + (b - a) * (static_cast<double>(bits() >> 11) * 0x1p-53);
  }
  // 2^e m with e in [low, high) and m in [1, 2), both uniform; subnormals where low < -1022.
  double magnitude(int low, int high) {
    const int e = low + static_cast<int>(bits() % static_cast<uint64_t>(high - low));
    return std::ldexp(uniform(1, 2), e);  // exact but for subnormals, so the same everywhere
  }
  double either_sign(int low, int high) {
    const double m = magnitude(low, high);
    return bits() & 1 ? m : -m;
  }

 private:
  PhiloxKey key_;
  uint64_t next_ = 0;
};

}  // namespace cairn::math_samples
