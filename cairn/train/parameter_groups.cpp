#include "cairn/train/parameter_groups.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/base/error.h"

namespace cairn {

bool matches(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0;
  // Where to go on after the last "*" when what follows it does not fit: it takes one more.
  size_t after_star = std::string_view::npos, taken_to = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      after_star = ++p;
      taken_to = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (after_star != std::string_view::npos) {
      p = after_star;
      t = ++taken_to;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

namespace {

bool matches_any(const ParameterGroup& group, const std::string& path) {
  return std::any_of(group.match.begin(), group.match.end(),
                     [&](const std::string& pattern) { return matches(pattern, path); });
}

[[noreturn]] void complain(size_t number, const ParameterGroup& group, bool taken,
                           std::span<const std::string> paths) {
  const std::string what =
      fmt::format("parameter group {}: '{}'", number, fmt::join(group.match, "', '"));
  if (taken)
    throw_error(fmt::format(
        "{} matches only parameters of earlier groups; the first group that matches a parameter "
        "has it, so put the narrower one first",
        what));
  constexpr size_t kShown = 12;
  const auto shown = paths.first(std::min(kShown, paths.size()));
  throw_error(fmt::format("{} matches no parameter; there are {}: {}{}", what, paths.size(),
                          fmt::join(shown, ", "), shown.size() < paths.size() ? ", ..." : ""));
}

}  // namespace

std::vector<const ParameterGroup*> groups_of(std::span<const std::string> paths,
                                             std::span<const ParameterGroup> groups) {
  std::vector<const ParameterGroup*> chosen;
  for (const std::string& path : paths) {
    const auto group = std::find_if(groups.begin(), groups.end(),
                                    [&](const ParameterGroup& g) { return matches_any(g, path); });
    chosen.push_back(group == groups.end() ? nullptr : &*group);
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    if (std::find(chosen.begin(), chosen.end(), &groups[i]) != chosen.end()) continue;
    const bool taken = std::any_of(paths.begin(), paths.end(), [&](const std::string& path) {
      return matches_any(groups[i], path);
    });
    complain(i + 1, groups[i], taken, paths);
  }
  return chosen;
}

}  // namespace cairn
