// Random numbers from explicit keys. A key is a u32[2] tensor; nothing is hidden, so the same key
// gives the same numbers on any number of threads or ranks.
#pragma once

#include "cairn/ops/operand.h"

namespace cairn {

// The key of a seed: its low and high word.
Tensor random_key(uint64_t seed);
// A new key from a key and a number (0-d integer, at least 0 and below 2^61): equal to
// base/philox.h's fold_in.
Tensor fold_in(Operand key, Operand number);
// A new key from a key and a name: stream 2 at the first 61 bits of the name's own hash.
Tensor fold_in_name(Operand key, std::string_view name);
// The same; a template so that a literal 0 is a number and no null pointer.
template <class Name>
  requires std::is_convertible_v<Name, std::string_view>
Tensor fold_in(Operand key, const Name& name) {
  return fold_in_name(std::move(key), std::string_view(name));
}
// `count` keys: fold_in with 0, 1, ...
std::vector<Tensor> split_key(Operand key, int count);

// u32 bits; element i is Philox4x32-10 at i + offset (0-d i64).
Tensor random_bits(Operand key, const Shape& shape, Operand offset = 0);
// Uniform in [low, high), which must be finite. The unit draw is the top bits of a word, as many as
// the type's significand has: (bits >> 8) * 2^-24 for f32, 11 for f16, 8 for bf16; f64 takes 53 of
// two words.
Tensor uniform(Operand key, const Shape& shape, DType dtype = DType::f32, double low = 0,
               double high = 1);
// sqrt(2) * erf_inv(u) with u uniform in (-1, 1): the inverse of the normal distribution.
Tensor normal(Operand key, const Shape& shape, DType dtype = DType::f32);
// True with probability p (a number from 0 to 1, or a tensor that broadcasts to `shape`).
Tensor bernoulli(Operand key, Operand p, const Shape& shape);
// Indices along the last axis of `logits`, drawn by the Gumbel-max rule; i32 of the other axes'
// shape.
Tensor categorical(Operand key, const Tensor& logits);
// i32: 0 ... n-1 in random order (the order of n random words; equal words keep their order).
Tensor permutation(Operand key, int64_t n);
// Integers in [low, high), i32.
Tensor random_integers(Operand key, const Shape& shape, int64_t low, int64_t high);

}  // namespace cairn
