// ArenaPlanner: offsets for buffers that live during part of a plan.
//
// Buffers are placed in the order in which they come to life, each in the smallest free gap that
// holds it (best fit), and gaps join when a buffer dies. Sizes are rounded to 64 bytes, so every
// offset is aligned. One pass; the gaps are a short list that is looked through (trees took half of
// the time that a plan of new sizes may take).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cairn {

class ArenaPlanner {
 public:
  explicit ArenaPlanner(size_t buffers) : buffers_(buffers) {}

  // First all uses, in the order of time; then what is in the arena; then the steps, in order.
  void use(int buffer, int time) { buffers_[static_cast<size_t>(buffer)].last_use = time; }
  void require(int buffer, size_t bytes);
  bool dies_at(int buffer, int time) const {
    const State& state = buffers_[static_cast<size_t>(buffer)];
    return state.in_arena && state.last_use == time;
  }
  // At `time`, `born` and `workspace` (-1: none) come to life; what dies at `time` is freed after.
  // `in_place` (-1: none): a buffer dying now whose place the first of `born` takes.
  void step(int time, std::span<const int> born, int workspace, int in_place);

  int64_t offset(int buffer) const { return buffers_[static_cast<size_t>(buffer)].offset; }
  size_t bytes() const { return static_cast<size_t>(end_); }

 private:
  struct State {
    int64_t bytes = 0;
    int64_t offset = -1;
    int last_use = -1;
    int next_to_die = -1;  // another buffer with this last use
    bool in_arena = false;
    bool gave_its_place = false;
  };
  struct Gap {
    int64_t offset;
    int64_t bytes;
  };
  void live(int buffer);
  int64_t place(int64_t bytes);
  void free(int64_t offset, int64_t bytes);

  std::vector<State> buffers_;
  std::vector<int> dying_;  // the first buffer that dies at a time
  std::vector<Gap> gaps_;   // by offset, below end_, none touching another
  int64_t end_ = 0;
};

}  // namespace cairn
