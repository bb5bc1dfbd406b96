#include "cairn/core/placement.h"

#include <array>
#include <charconv>

namespace cairn {
namespace {
constexpr std::array<std::string_view, 4> kTiers = {"device", "pinned", "host", "file"};
}

std::string to_string(Placement placement) {
  return std::string(kTiers[static_cast<int>(placement.tier)]) + ":" +
         std::to_string(placement.device);
}

std::optional<Placement> parse_placement(std::string_view text) {
  const size_t colon = text.find(':');
  Placement result;
  bool known = false;
  for (size_t i = 0; i < kTiers.size(); ++i) {
    if (text.substr(0, colon) != kTiers[i]) continue;
    result.tier = static_cast<Tier>(i);
    known = true;
  }
  if (!known) return std::nullopt;
  if (colon == std::string_view::npos) return result;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, result.device);
  if (error != std::errc() || rest != end) return std::nullopt;
  return result;
}

}  // namespace cairn
