// Bytes from their spelling in base64 (RFC 4648, with padding).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cairn::text {

// Nothing when a character is outside of the alphabet, or when the length is no multiple of four.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace cairn::text
