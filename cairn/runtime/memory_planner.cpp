#include "cairn/runtime/memory_planner.h"

#include <algorithm>

#include "cairn/core/buffer.h"

namespace cairn {

void ArenaPlanner::require(int buffer, size_t bytes) {
  State& state = buffers_[static_cast<size_t>(buffer)];
  state.in_arena = true;
  state.bytes = static_cast<int64_t>(round_up_to_alignment(bytes));
}

int64_t ArenaPlanner::place(int64_t bytes) {
  if (bytes == 0) return 0;
  auto best = gaps_.end();
  for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap)
    if (gap->bytes >= bytes && (best == gaps_.end() || gap->bytes < best->bytes)) best = gap;
  if (best != gaps_.end()) {
    const int64_t offset = best->offset;
    best->offset += bytes;
    best->bytes -= bytes;
    if (best->bytes == 0) gaps_.erase(best);
    return offset;
  }
  int64_t offset = end_;
  if (!gaps_.empty() && gaps_.back().offset + gaps_.back().bytes == end_) {
    // The last gap touches the end: grow it.
    offset = gaps_.back().offset;
    gaps_.pop_back();
  }
  end_ = offset + bytes;
  return offset;
}

void ArenaPlanner::free(int64_t offset, int64_t bytes) {
  if (bytes == 0) return;
  auto next = std::lower_bound(gaps_.begin(), gaps_.end(), offset,
                               [](const Gap& gap, int64_t at) { return gap.offset < at; });
  const bool joins_next = next != gaps_.end() && offset + bytes == next->offset;
  if (next != gaps_.begin()) {
    const auto previous = std::prev(next);
    if (previous->offset + previous->bytes == offset) {
      previous->bytes += bytes;
      if (joins_next) {
        previous->bytes += next->bytes;
        gaps_.erase(next);
      }
      return;
    }
  }
  if (joins_next) {
    next->offset = offset;
    next->bytes += bytes;
  } else {
    gaps_.insert(next, {offset, bytes});
  }
}

// From now on the buffer has a place, until its last use.
void ArenaPlanner::live(int buffer) {
  State& state = buffers_[static_cast<size_t>(buffer)];
  const auto time = static_cast<size_t>(state.last_use);
  if (time >= dying_.size()) dying_.resize(std::max(time + 1, 2 * dying_.size()), -1);
  state.next_to_die = dying_[time];
  dying_[time] = buffer;
}

void ArenaPlanner::step(int time, std::span<const int> born, int workspace, int in_place) {
  const auto bear = [&](int buffer, int from) {
    State& state = buffers_[static_cast<size_t>(buffer)];
    if (!state.in_arena || state.offset >= 0) return;
    if (from >= 0) {
      State& old = buffers_[static_cast<size_t>(from)];
      state.offset = old.offset;
      old.gave_its_place = true;
    } else {
      state.offset = place(state.bytes);
    }
    live(buffer);
  };
  for (size_t i = 0; i < born.size(); ++i) bear(born[i], i == 0 ? in_place : -1);
  if (workspace >= 0) bear(workspace, -1);
  if (static_cast<size_t>(time) >= dying_.size()) return;
  for (int b = dying_[static_cast<size_t>(time)]; b >= 0;) {
    const State& state = buffers_[static_cast<size_t>(b)];
    if (!state.gave_its_place) free(state.offset, state.bytes);
    b = state.next_to_die;
  }
}

}  // namespace cairn
