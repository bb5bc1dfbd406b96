// PlanCache: plans by the structural hash of the graph they were made of, confirmed by comparison.
//
// What eval() is given is built anew each time; the cache finds the plan of an equal graph without
// planning. Bounded: the plan that was not used for longest goes first. Thread-safe.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "cairn/runtime/plan.h"

namespace cairn {

class PlanCache {
 public:
  explicit PlanCache(size_t capacity = 512) : capacity_(capacity) {}

  // The plan for live outputs and options, or null.
  std::shared_ptr<const Plan> find(uint64_t hash, std::span<const Tensor> outputs, bool eager);
  // Keeps `plan` for graphs equal to `pattern`, which must hold no leaves (it would keep their
  // memory).
  void insert(uint64_t hash, Graph pattern, bool eager, std::shared_ptr<const Plan> plan);
  size_t size() const;

 private:
  struct Entry {
    uint64_t hash;
    Graph pattern;
    bool eager;
    std::shared_ptr<const Plan> plan;
  };
  size_t capacity_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_multimap<uint64_t, std::list<Entry>::iterator> by_hash_;
};

}  // namespace cairn
