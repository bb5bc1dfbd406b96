// Buffer and Allocator: memory with a placement and one owner.
//
// A leaf tensor holds a Buffer; donation hands the Buffer on to the result, so state keeps its
// address.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

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

// Host memory. Allocations of 4 MiB and more ask for huge pages, and are kept when they are given
// back: the system zeroes new pages at 10 GB/s, which takes longer than an addition that fills
// them. One is kept only where it, all that is in use and all that is kept stay within the peak.
class HostAllocator : public Allocator {
 public:
  ~HostAllocator() override;
  std::shared_ptr<Buffer> allocate(size_t bytes) override;
  size_t bytes_in_use() const override { return state_->in_use.load(); }
  size_t peak_bytes() const override { return state_->peak.load(); }
  // Also gives what is kept back to the system.
  void reset_peak() override;
  size_t kept_bytes() const;

 private:
  // Shared, because a buffer may outlive its allocator.
  struct State {
    std::atomic<size_t> in_use{0};
    std::atomic<size_t> peak{0};
    mutable std::mutex mutex;  // of what follows
    struct Block {
      void* data;
      size_t bytes;
    };
    std::vector<Block> kept;  // the last one given back is the last
    size_t kept_bytes = 0;
    bool keeps = true;  // false when the allocator is gone

    void count(size_t bytes);
    void* take(size_t bytes);  // null where none has the size
    void give_back(void* data, size_t bytes);
    void drop(size_t most);  // the oldest, until at most so many bytes are kept
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace cairn
