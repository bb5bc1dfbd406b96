// Communicator: what ranks along one mesh axis say to each other. Implemented by comm/local
// (threads), MPI and NCCL.
//
// All ranks call the same operations in the same order with the same sizes; a call that another
// rank does not match within the deadline throws an Error that names the rank. Sums are taken in
// rank order, so that results do not depend on timing.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "cairn/core/dtype.h"

namespace cairn {

enum class ReduceKind : uint8_t { sum, max, min };

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // out[i] = reduction over ranks of in[i]. in and out may be the same.
  virtual void all_reduce(const void* in, void* out, int64_t elements, DType dtype,
                          ReduceKind kind) = 0;
  // out: `size` blocks of `bytes`, block r from rank r.
  virtual void all_gather(const void* in, void* out, size_t bytes) = 0;
  // in: `size` blocks of `elements`; out: this rank's block, summed over ranks.
  virtual void reduce_scatter(const void* in, void* out, int64_t elements, DType dtype) = 0;
  // in: `size` blocks of `bytes`, block r for rank r; out: block r from rank r.
  virtual void all_to_all(const void* in, void* out, size_t bytes) = 0;
  // Sends `in` to rank to[rank()] (-1: to nobody); out: what this rank is sent, zeros if nothing.
  virtual void permute(const void* in, void* out, size_t bytes, std::span<const int32_t> to) = 0;
  virtual void barrier() = 0;
  // Compares `value` with every other rank's; throws Error naming `what` when they differ.
  virtual void check_equal(uint64_t value, std::string_view what) = 0;
};

}  // namespace cairn
