#include "cairn/text/read_merges.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cairn/base/error.h"
#include "cairn/text/json_members.h"

namespace cairn::text {

std::vector<Merge> read_merges(const nlohmann::json& model, const TokenKeys& keys,
                               std::string_view prefix) {
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  for (const nlohmann::json& merge : list(model, "merges")) {
    if (merge.is_array() && merge.size() == 2) {
      pairs.emplace_back(text_of(merge[0], "merges[][0]"), text_of(merge[1], "merges[][1]"));
      continue;
    }
    const std::string_view line = text_of(merge, "merges[]");
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      throw_error(fmt::format("merge {} is '{}', expected two tokens with a space between",
                              pairs.size(), line));
    }
    pairs.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return make_merges(pairs, keys, prefix);
}

}  // namespace cairn::text
