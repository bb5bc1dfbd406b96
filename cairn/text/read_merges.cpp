#include "cairn/text/read_merges.h"

#include <fmt/format.h>

#include "cairn/base/error.h"
#include "cairn/text/json_view.h"

namespace cairn::text {

std::vector<Merge> read_merges(JsonView model, const TokenKeys& keys, std::string_view prefix) {
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  for (const JsonView merge : model.list("merges")) {
    if (merge.is_array() && merge.size() == 2) {
      const auto pair = merge.items("merges[]");
      pairs.emplace_back(pair[0].text("merges[][0]"), pair[1].text("merges[][1]"));
      continue;
    }
    const std::string_view line = merge.text("merges[]");
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
