// Which neighbouring tokens merge, and merging: the core of BPE.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cairn::text {

// Tokens `left` and `right` side by side become `result`; lower ranks first.
struct Merge {
  int32_t left = 0;
  int32_t right = 0;
  int32_t result = 0;
  uint32_t rank = 0;
};

// An open-addressing table from pairs to merges. A hit costs one cache line; for GPT-2's 50,000
// merges the table has 131,072 slots, 2 MiB.
class MergeTable {
 public:
  MergeTable() = default;
  // Of several merges of one pair the last one counts. Ids are not negative.
  explicit MergeTable(std::span<const Merge> merges);

  bool empty() const { return slots_.empty(); }

  // Merges `ids` until nothing merges: always the pair of lowest rank, the leftmost of equals.
  // O(n log n) for long inputs. `ids` has fewer than 2^32 - 1 elements.
  void apply(std::vector<int32_t>& ids) const;

 private:
  struct Slot {
    uint64_t pair = kFree;
    uint32_t rank = kNone;
    int32_t result = 0;
  };
  static constexpr uint64_t kFree = UINT64_MAX;
  static constexpr uint32_t kNone = UINT32_MAX;

  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t home(uint64_t pair) const { return (pair * 0x9E3779B97F4A7C15u) >> shift_; }
  // The slot of the pair, or a free one.
  const Slot& find(int32_t left, int32_t right) const;
  void apply_short(std::vector<int32_t>& ids) const;
  void apply_long(std::vector<int32_t>& ids) const;

  std::vector<Slot> slots_;
  int shift_ = 0;
};

}  // namespace cairn::text
