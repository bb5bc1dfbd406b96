// Which blocks of a cache are taken, and by how many sequences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cairn {

class BlockPool {
 public:
  // Blocks 1 .. count; block 0 belongs to nobody (KvCache::count).
  explicit BlockPool(int64_t count);

  int64_t free() const { return static_cast<int64_t>(free_.size()); }
  // The free block of the least number. There must be one.
  int32_t take();
  void share(int32_t block) { ++users(block); }
  void release(int32_t block);
  bool is_shared(int32_t block) { return users(block) > 1; }

 private:
  int32_t& users(int32_t block) { return users_[static_cast<size_t>(block)]; }
  std::vector<int32_t> users_;
  std::vector<int32_t> free_;  // a heap, the least number first
};

}  // namespace cairn
