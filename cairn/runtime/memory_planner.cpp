#include "cairn/runtime/memory_planner.h"

#include "cairn/core/buffer.h"

namespace cairn {

void ArenaPlanner::require(int buffer, size_t bytes) {
  in_arena_[static_cast<size_t>(buffer)] = true;
  sizes_[static_cast<size_t>(buffer)] = round_up_to_alignment(bytes);
}

void ArenaPlanner::place(int buffer) {
  const size_t bytes = sizes_[static_cast<size_t>(buffer)];
  int64_t& offset = offsets_[static_cast<size_t>(buffer)];
  if (bytes == 0) {
    offset = 0;
    return;
  }
  auto best = gaps_.end();
  for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap)
    if (gap->second >= bytes && (best == gaps_.end() || gap->second < best->second)) best = gap;
  if (best != gaps_.end()) {
    offset = best->first;
    const size_t rest = best->second - bytes;
    gaps_.erase(best);
    if (rest) gaps_[offset + static_cast<int64_t>(bytes)] = rest;
  } else if (!gaps_.empty() &&
             std::prev(gaps_.end())->first + static_cast<int64_t>(std::prev(gaps_.end())->second) ==
                 static_cast<int64_t>(end_)) {
    // The last gap touches the end: grow it.
    const auto last = std::prev(gaps_.end());
    offset = last->first;
    gaps_.erase(last);
    end_ = static_cast<size_t>(offset) + bytes;
  } else {
    offset = static_cast<int64_t>(end_);
    end_ += bytes;
  }
}

void ArenaPlanner::free(int64_t offset, size_t bytes) {
  if (bytes == 0) return;
  auto next = gaps_.lower_bound(offset);
  if (next != gaps_.end() && offset + static_cast<int64_t>(bytes) == next->first) {
    bytes += next->second;
    next = gaps_.erase(next);
  }
  if (next != gaps_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + static_cast<int64_t>(previous->second) == offset) {
      previous->second += bytes;
      return;
    }
  }
  gaps_[offset] = bytes;
}

void ArenaPlanner::step(int time, std::span<const int> born, int workspace, int in_place) {
  const auto bear = [&](int buffer) {
    const size_t b = static_cast<size_t>(buffer);
    if (!in_arena_[b] || offsets_[b] >= 0) return;
    place(buffer);
    dying_.emplace(last_use_[b], std::pair(offsets_[b], sizes_[b]));
  };
  for (size_t i = 0; i < born.size(); ++i) {
    const size_t b = static_cast<size_t>(born[i]);
    if (i == 0 && in_place >= 0 && in_arena_[b] && offsets_[b] < 0) {
      // The place changes hands: it now dies when the new owner does.
      const size_t old = static_cast<size_t>(in_place);
      offsets_[b] = offsets_[old];
      const auto [first, last] = dying_.equal_range(time);
      for (auto it = first; it != last; ++it) {
        if (it->second.first != offsets_[old] || it->second.second != sizes_[old]) continue;
        dying_.erase(it);
        break;
      }
      dying_.emplace(last_use_[b], std::pair(offsets_[b], sizes_[b]));
      continue;
    }
    bear(born[i]);
  }
  if (workspace >= 0) bear(workspace);
  const auto [first, last] = dying_.equal_range(time);
  for (auto it = first; it != last; ++it) free(it->second.first, it->second.second);
  dying_.erase(first, last);
}

}  // namespace cairn
