#include "cairn/runtime/plan_cache.h"

#include "cairn/graph/compare.h"

namespace cairn {

std::shared_ptr<const Plan> PlanCache::find(uint64_t hash, std::span<const Tensor> outputs,
                                            bool eager) {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = by_hash_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    const auto entry = it->second;
    if (entry->eager != eager || !same_graph(outputs, entry->pattern.outputs)) continue;
    entries_.splice(entries_.begin(), entries_, entry);
    return entry->plan;
  }
  return nullptr;
}

void PlanCache::insert(uint64_t hash, Graph pattern, bool eager, std::shared_ptr<const Plan> plan) {
  const std::lock_guard lock(mutex_);
  entries_.push_front({hash, std::move(pattern), eager, std::move(plan)});
  by_hash_.emplace(hash, entries_.begin());
  if (entries_.size() <= capacity_) return;
  const auto oldest = std::prev(entries_.end());
  const auto [first, last] = by_hash_.equal_range(oldest->hash);
  for (auto it = first; it != last; ++it) {
    if (it->second != oldest) continue;
    by_hash_.erase(it);
    break;
  }
  entries_.pop_back();
}

size_t PlanCache::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace cairn
