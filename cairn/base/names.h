// Help for a name that nobody knows: the nearest known one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

// Insertions, deletions and replacements that turn one text into the other.
int edit_distance(std::string_view a, std::string_view b);
// "did you mean 'adamw'? (known: ...)" with the nearest of `known`, without the list when it is
// long; the list alone when none is near.
std::string suggest(std::string_view name, std::span<const std::string> known);

}  // namespace cairn
