// Buffer and Allocator: memory with a placement and one owner.
//
// A leaf tensor holds a Buffer; donation hands the Buffer on to the result, so state keeps its
// address.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "cairn/core/host_array.h"
#include "cairn/core/placement.h"

namespace cairn {

struct Buffer {
  void* data = nullptr;
  size_t bytes = 0;
  Placement placement;
  bool writable = true;  // false for a mapped file: donation then copies
  std::shared_ptr<const void> owner;
};

// Bytes are requested sizes rounded up to 64, which is also the alignment: the planner's figures
// and these are the same by construction.
inline constexpr size_t kBufferAlignment = 64;
constexpr size_t round_up_to_alignment(size_t bytes) {
  return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

// Hands out buffers and counts them. Thread-safe.
class Allocator {
 public:
  virtual ~Allocator() = default;
  // Throws Error when the memory cannot be had, naming the size.
  virtual std::shared_ptr<Buffer> allocate(size_t bytes) = 0;
  virtual size_t bytes_in_use() const = 0;
  virtual size_t peak_bytes() const = 0;
  virtual void reset_peak() = 0;
};

// Host memory; allocations of 4 MiB and more ask for huge pages.
class HostAllocator : public Allocator {
 public:
  std::shared_ptr<Buffer> allocate(size_t bytes) override;
  size_t bytes_in_use() const override { return counters_->in_use.load(); }
  size_t peak_bytes() const override { return counters_->peak.load(); }
  void reset_peak() override { counters_->peak.store(counters_->in_use.load()); }

 private:
  struct Counters {
    std::atomic<size_t> in_use{0};
    std::atomic<size_t> peak{0};
  };
  // Shared, because a buffer may outlive its allocator.
  std::shared_ptr<Counters> counters_ = std::make_shared<Counters>();
};

}  // namespace cairn
