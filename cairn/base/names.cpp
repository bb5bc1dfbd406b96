#include "cairn/base/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace cairn {

int edit_distance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i) + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const int above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (a[i] != b[j] ? 1 : 0)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string suggest(std::string_view name, std::span<const std::string> known) {
  const std::string* nearest = nullptr;
  int distance = static_cast<int>(name.size() / 2) + 1;
  for (const std::string& k : known)
    if (const int d = edit_distance(name, k); d < distance) {
      distance = d;
      nearest = &k;
    }
  // A long list helps only who has no clue.
  constexpr size_t kShort = 20;
  const std::string list = fmt::format("known: {}", fmt::join(known, ", "));
  if (!nearest) return list;
  const std::string question = fmt::format("did you mean '{}'?", *nearest);
  return known.size() <= kShort ? fmt::format("{} ({})", question, list) : question;
}

}  // namespace cairn
