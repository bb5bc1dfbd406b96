// Parameter groups: settings that hold for some parameters only, chosen by their paths.
//
// PyTorch passes lists of tensors; here a group says which paths it takes, so that it can stand in
// a configuration file. A group that takes nothing is a mistake in its pattern, and an error.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

struct ParameterGroup {
  // Patterns of whole paths; one is enough. "*" stands for any text, "?" for one character:
  // "*.bias", "blocks.?.attention.*".
  std::vector<std::string> match;
  double learning_rate_scale = 1;                     // times the schedule's rate
  std::optional<double> weight_decay = std::nullopt;  // instead of the optimizer's, for all ranks

  bool operator==(const ParameterGroup&) const = default;
};

// Whether `pattern`, with the meaning above, describes all of `text`. Takes at most their product
// of steps.
bool matches(std::string_view pattern, std::string_view text);

// The group of each path: the first that matches, null where none does. Throws Error naming a group
// that no path belongs to, with some of the paths.
std::vector<const ParameterGroup*> groups_of(std::span<const std::string> paths,
                                             std::span<const ParameterGroup> groups);

}  // namespace cairn
