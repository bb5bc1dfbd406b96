// The little that writing HTML and SVG needs: escaping and base64.
#pragma once

#include <string>
#include <string_view>

namespace cairn::plot {

// Text that is safe between tags and inside quoted attributes of HTML and XML. Control characters
// that XML forbids and bytes that are not UTF-8 become U+FFFD.
std::string escaped(std::string_view text);

std::string base64(std::string_view bytes);

}  // namespace cairn::plot
