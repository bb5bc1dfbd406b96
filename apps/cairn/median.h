// The median: what a time is, when other work on the machine lengthens some runs.
#pragma once

#include <algorithm>
#include <vector>

namespace cairn::app {

// Of at least one value.
inline double median(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace cairn::app
