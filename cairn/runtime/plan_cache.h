// PlanCache: what was planned before, in two levels (graph/hash.h).
//
// What eval() is given is built anew each time; the cache finds the plan of an equal graph, and for
// sizes that are new the recipe of its structure. Graphs are known by their words: a hit is
// confirmed by comparing all of them. Both levels are bounded: what was not used for longest goes
// first. Thread-safe.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "cairn/graph/hash.h"
#include "cairn/runtime/recipe.h"

namespace cairn {

// Values by graph words, for one thread at a time.
template <class V>
class WordCache {
 public:
  struct Key {
    uint64_t hash = 0;
    std::vector<uint64_t> structure;
    std::vector<uint64_t> sizes;    // empty: any
    std::vector<uint64_t> options;  // how it is planned
  };

  explicit WordCache(size_t capacity) : capacity_(capacity) {}

  // Null when there is none. The pointer holds until the next insert.
  V* find(uint64_t hash, const std::vector<uint64_t>& structure, const std::vector<uint64_t>& sizes,
          const std::vector<uint64_t>& options) {
    const auto [first, last] = by_hash_.equal_range(hash);
    for (auto it = first; it != last; ++it) {
      const auto entry = it->second;
      const Key& key = entry->first;
      if (key.options != options || key.structure != structure || key.sizes != sizes) continue;
      entries_.splice(entries_.begin(), entries_, entry);
      return &entry->second;
    }
    return nullptr;
  }

  void insert(Key key, V value) {
    const uint64_t hash = key.hash;
    entries_.emplace_front(std::move(key), std::move(value));
    by_hash_.emplace(hash, entries_.begin());
    if (entries_.size() <= capacity_) return;
    const auto oldest = std::prev(entries_.end());
    const auto [first, last] = by_hash_.equal_range(oldest->first.hash);
    for (auto it = first; it != last; ++it) {
      if (it->second != oldest) continue;
      by_hash_.erase(it);
      break;
    }
    entries_.pop_back();
  }

  size_t size() const { return entries_.size(); }

 private:
  size_t capacity_;
  std::list<std::pair<Key, V>> entries_;  // most recently used first
  std::unordered_multimap<uint64_t, typename std::list<std::pair<Key, V>>::iterator> by_hash_;
};

class PlanCache {
 public:
  using PlanPtr = std::shared_ptr<const Plan>;
  using RecipePtr = std::shared_ptr<const Recipe>;

  explicit PlanCache(size_t capacity = 512) : plans_(capacity), recipes_(capacity) {}

  // The plan of an equal graph, or null.
  PlanPtr find_plan(const GraphCode& code, bool eager);
  void insert_plan(const GraphCode& code, bool eager, PlanPtr plan);
  // The recipes of the structure, the latest first: one, unless sizes coincide in some graphs.
  std::vector<RecipePtr> find_recipes(const GraphCode& code, bool eager,
                                      const std::vector<bool>& donated);
  void insert_recipe(const GraphCode& code, bool eager, const std::vector<bool>& donated,
                     RecipePtr recipe);
  size_t plans() const;

 private:
  mutable std::mutex mutex_;
  WordCache<PlanPtr> plans_;
  WordCache<std::vector<RecipePtr>> recipes_;
};

}  // namespace cairn
