// ArenaPlanner: offsets for buffers that live during part of a plan.
//
// Buffers are placed in the order in which they come to life, each in the smallest free gap that
// holds it (best fit), and gaps join when a buffer dies. One pass, O(n log n). Sizes are rounded to
// 64 bytes, so every offset is aligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace cairn {

class ArenaPlanner {
 public:
  explicit ArenaPlanner(size_t buffers)
      : last_use_(buffers, -1), sizes_(buffers), offsets_(buffers, -1), in_arena_(buffers) {}

  // First all uses, in the order of time; then what is in the arena; then the steps, in order.
  void use(int buffer, int time) { last_use_[static_cast<size_t>(buffer)] = time; }
  void require(int buffer, size_t bytes);
  bool dies_at(int buffer, int time) const {
    return in_arena_[static_cast<size_t>(buffer)] && last_use_[static_cast<size_t>(buffer)] == time;
  }
  // At `time`, `born` and `workspace` (-1: none) come to life; what dies at `time` is freed after.
  // `in_place` (-1: none): a buffer dying now whose place the first of `born` takes.
  void step(int time, std::span<const int> born, int workspace, int in_place);

  int64_t offset(int buffer) const { return offsets_[static_cast<size_t>(buffer)]; }
  size_t bytes() const { return end_; }

 private:
  void place(int buffer);
  void free(int64_t offset, size_t bytes);

  std::vector<int> last_use_;
  std::vector<size_t> sizes_;
  std::vector<int64_t> offsets_;
  std::vector<bool> in_arena_;
  std::map<int64_t, size_t> gaps_;                        // offset → bytes, below end_
  std::multimap<int, std::pair<int64_t, size_t>> dying_;  // time → place
  size_t end_ = 0;
};

}  // namespace cairn
