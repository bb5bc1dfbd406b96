#include "cairn/text/character_map.h"

#include <fmt/format.h>

#include <cstring>

#include "cairn/base/error.h"
#include "cairn/text/unicode.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

// Parts of a unit of the double array.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t label(uint32_t unit) { return unit & (uint32_t{1} << 31 | 0xFF); }
uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & uint32_t{1} << 9) >> 6); }
uint32_t value(uint32_t unit) { return unit & 0x7FFFFFFF; }

// Clusters of more bytes are looked up by characters.
constexpr size_t kLongestCluster = 5;

}  // namespace

CharacterMap::CharacterMap(std::string_view bytes) {
  if (bytes.empty()) return;
  uint32_t size = 0;
  if (bytes.size() >= sizeof(size)) std::memcpy(&size, bytes.data(), sizeof(size));
  const size_t rest = bytes.size() - std::min(bytes.size(), sizeof(size));
  if (size == 0 || size % sizeof(uint32_t) != 0 || size > rest) {
    throw_error(fmt::format(
        "precompiled_charsmap of {} bytes begins with {}, the size of its trie; it is damaged",
        bytes.size(), size));
  }
  units_.resize(size / sizeof(uint32_t));
  std::memcpy(units_.data(), bytes.data() + sizeof(size), size);
  strings_ = bytes.substr(sizeof(size) + size);
  // Without the last NUL, replacement() would have no end.
  if (strings_.empty() || strings_.back() != '\0') strings_ += '\0';
}

template <class Found>
void CharacterMap::walk(std::string_view text, Found found) const {
  if (units_.empty()) return;
  uint32_t at = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || label(units_[at]) != byte) return;
    const uint32_t unit = units_[at];
    at ^= offset(unit);
    if (has_leaf(unit) && at < units_.size() && !found(i + 1, value(units_[at]))) return;
  }
}

std::string_view CharacterMap::replacement(uint32_t at) const {
  return at < strings_.size() ? std::string_view(strings_.data() + at) : std::string_view();
}

CharacterMap::Match CharacterMap::longest(std::string_view text) const {
  Match match;
  walk(text, [&](size_t size, uint32_t at) {
    match = {size, replacement(at)};
    return true;
  });
  return match;
}

CharacterMap::Match CharacterMap::shortest(std::string_view text) const {
  Match match;
  walk(text, [&](size_t size, uint32_t at) {
    match = {size, replacement(at)};
    return false;
  });
  return match;
}

std::string CharacterMap::map_clusters(std::string_view text) const {
  std::string out;
  const auto map_part = [&](std::string_view part) {
    const Match match = shortest(part);
    if (match.size == 0) return false;
    out += match.replacement;
    return true;
  };
  for_each_cluster(text, [&](std::string_view cluster) {
    if (cluster.size() <= kLongestCluster && map_part(cluster)) return;
    for (; !cluster.empty(); cluster.remove_prefix(decode_utf8(cluster).size)) {
      const std::string_view part = cluster.substr(0, decode_utf8(cluster).size);
      if (!map_part(part)) out += part;
    }
  });
  return out;
}

}  // namespace cairn::text
