// Launches as they are merged: a forest of sets, by place in the schedule.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

namespace cairn {

class LaunchGroups {
 public:
  explicit LaunchGroups(size_t count) : parent_(count), members_(count) {
    for (size_t i = 0; i < count; ++i) {
      parent_[i] = static_cast<int>(i);
      members_[i] = {static_cast<int>(i)};
    }
  }
  int find(int i) {
    while (parent_[static_cast<size_t>(i)] != i) {
      int& above = parent_[static_cast<size_t>(i)];
      above = parent_[static_cast<size_t>(above)];
      i = above;
    }
    return i;
  }
  // The group of the lower number stays.
  void merge(int a, int b) {
    if (a > b) std::swap(a, b);
    parent_[static_cast<size_t>(b)] = a;
    auto& into = members_[static_cast<size_t>(a)];
    auto& from = members_[static_cast<size_t>(b)];
    const auto middle = static_cast<std::ptrdiff_t>(into.size());
    into.insert(into.end(), from.begin(), from.end());
    std::inplace_merge(into.begin(), into.begin() + middle, into.end());
    from.clear();
  }
  const std::vector<int>& members(int group) const { return members_[static_cast<size_t>(group)]; }

 private:
  std::vector<int> parent_;
  std::vector<std::vector<int>> members_;  // in the order of the schedule
};

}  // namespace cairn
