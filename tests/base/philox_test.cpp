#include "cairn/base/philox.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace cairn {
namespace {

// The known answers that Random123 publishes (kat_vectors, philox4x32 with 10 rounds).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, BitsAreLanesOfTheCounter) {
  EXPECT_EQ(philox_bits({0, 0}, 0), 0x6627e8d5u);
  EXPECT_EQ(philox_bits({0, 0}, 3), 0x9b00dbd8u);
  const uint64_t i = (uint64_t{5} << 34) + 4 * 7 + 2;  // counter words (7, 5)
  EXPECT_EQ(philox_bits({1, 2}, i), philox4x32({7, 5, 0, 0}, {1, 2})[2]);
}

TEST(Philox, FillEqualsBitsAtAnyOffset) {
  const PhiloxKey key{123, 456};
  for (uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{4},
                          uint64_t{1000003}, (uint64_t{1} << 34) - 37})
    for (size_t n : {0, 1, 2, 3, 4, 5, 9, 64, 67, 131}) {
      std::vector<uint32_t> out(n + 1, 77);
      philox_fill(key, offset, std::span(out).first(n));
      for (size_t j = 0; j < n; ++j) ASSERT_EQ(out[j], philox_bits(key, offset + j));
      EXPECT_EQ(out[n], 77u);
    }
}

TEST(Philox, FoldInFollowsItsFormula) {
  const PhiloxBlock number = philox4x32({0x89abcdef, 0x01234567, 1, 0}, {3, 4});
  EXPECT_EQ(fold_in({3, 4}, uint64_t{0x0123456789abcdef}), (PhiloxKey{number[0], number[1]}));
  const PhiloxBlock piece = philox4x32({0x64636261, 0x65, 2, 0}, {3, 4});  // "abcde"
  const PhiloxBlock last = philox4x32({5, 0, 3, 0}, {piece[0], piece[1]});
  EXPECT_EQ(fold_in({3, 4}, std::string_view("abcde")), (PhiloxKey{last[0], last[1]}));
}

TEST(Philox, FoldInKeepsInputsApart) {
  std::set<PhiloxKey> keys;
  size_t made = 0;
  for (uint64_t n = 0; n < 2000; ++n, ++made) keys.insert(fold_in({0, 0}, n));
  for (uint64_t n = 0; n < 64; ++n, ++made) keys.insert(fold_in({0, 0}, ~uint64_t{0} - n));
  // Lengths that differ only in trailing zero bytes, and every short name.
  for (size_t n = 0; n < 40; ++n, ++made) keys.insert(fold_in({0, 0}, std::string(n, '\0')));
  for (int a = 1; a < 256; ++a, ++made) keys.insert(fold_in({0, 0}, std::string(1, char(a))));
  for (const char* s : {"ab", "ba", "layers.0.attention", "layers.1.attention"}) {
    keys.insert(fold_in({0, 0}, std::string_view(s)));
    ++made;
  }
  EXPECT_EQ(keys.size(), made);
}

// Flipping one bit of the input flips half of the 64 output bits: mean over 64 x 256 flips of a
// binomial with mean 32 and deviation 4, so the mean lies within 6 * 4 / sqrt(16384) = 0.19.
TEST(Philox, FoldInMixesWell) {
  int64_t flipped = 0;
  for (uint64_t n = 0; n < 256; ++n)
    for (int bit = 0; bit < 64; ++bit) {
      const PhiloxKey a = fold_in({7, 9}, n), b = fold_in({7, 9}, n ^ (uint64_t{1} << bit));
      flipped += std::popcount(a[0] ^ b[0]) + std::popcount(a[1] ^ b[1]);
    }
  EXPECT_NEAR(static_cast<double>(flipped) / (256 * 64), 32.0, 0.19);
}

// The mean of n uniform words is within 6 standard errors, 2^32 / sqrt(12 n).
TEST(Philox, MeanOfAFill) {
  std::vector<uint32_t> out(1 << 20);
  philox_fill({42, 0}, 0, out);
  double sum = 0;
  for (uint32_t v : out) sum += v;
  const double n = static_cast<double>(out.size());
  EXPECT_NEAR(sum / n, 2147483647.5, 6 * 4294967296.0 / std::sqrt(12 * n));
}

}  // namespace
}  // namespace cairn
