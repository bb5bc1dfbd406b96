#include "cairn/text/merge_table.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>

namespace cairn::text {
namespace {

// The definition: again and again the pair of lowest rank, the leftmost of equals.
std::vector<int32_t> merge_plainly(std::vector<int32_t> ids, const std::vector<Merge>& merges) {
  for (;;) {
    std::optional<size_t> best_at;
    const Merge* best = nullptr;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const Merge* found = nullptr;
      for (const Merge& merge : merges) {
        if (merge.left == ids[i] && merge.right == ids[i + 1]) found = &merge;  // the last counts
      }
      if (found && (!best || found->rank < best->rank)) {
        best = found;
        best_at = i;
      }
    }
    if (!best) return ids;
    ids[*best_at] = best->result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(*best_at) + 1);
  }
}

// Random tables, not only well-formed ones: a merge may lead to one of lower rank, ranks repeat.
TEST(MergeTable, EqualsTheDefinition) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const int32_t symbols = 2 + static_cast<int32_t>(random() % 4);
    std::vector<Merge> merges;
    for (int32_t i = 0; i < 20; ++i) {
      const auto any = [&] {
        return static_cast<int32_t>(random() % static_cast<uint32_t>(symbols + i));
      };
      const uint32_t rank = round % 2 == 0 ? static_cast<uint32_t>(i) : random() % 8;
      merges.push_back({any(), any(), symbols + i, rank});
    }
    const MergeTable table(merges);
    const size_t length = 1 + random() % (round % 3 == 0 ? 200 : 40);
    std::vector<int32_t> ids(length);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint32_t>(symbols));
    const std::vector<int32_t> expected = merge_plainly(ids, merges);
    table.apply(ids);
    ASSERT_EQ(ids, expected) << "round " << round;
  }
}

TEST(MergeTable, EmptyTableAndShortInputsStay) {
  std::vector<int32_t> ids = {1, 2, 3};
  MergeTable().apply(ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 2, 3}));
  const Merge merge{1, 2, 4, 0};
  const MergeTable table({&merge, 1});
  ids = {1};
  table.apply(ids);
  EXPECT_EQ(ids, std::vector<int32_t>{1});
  ids = {};
  table.apply(ids);
  EXPECT_TRUE(ids.empty());
  ids = {1, 2, 1, 1, 2};
  table.apply(ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{4, 1, 4}));
}

}  // namespace
}  // namespace cairn::text
