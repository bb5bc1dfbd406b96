// The little that writing HTML and SVG needs: escaping and base64.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace cairn::plot {

// Text that is safe between tags and inside quoted attributes of HTML and XML. Control characters
// that XML forbids and bytes that are not UTF-8 become U+FFFD.
std::string escaped(std::string_view text);

std::string base64(std::span<const std::byte> bytes);

}  // namespace cairn::plot
