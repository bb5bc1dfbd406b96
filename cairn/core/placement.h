// Where the bytes of a tensor live: which device, and which tier of memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

enum class Tier : uint8_t { device, pinned, host, file };

struct Placement {
  Tier tier = Tier::device;
  uint16_t device = 0;
  friend bool operator==(const Placement&, const Placement&) = default;
};

// "device:0", "host"; the default, device:0, is left out of the text form of graphs.
std::string to_string(Placement placement);
std::optional<Placement> parse_placement(std::string_view text);

}  // namespace cairn
