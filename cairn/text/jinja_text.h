// What filters and methods of strings share. Characters are code points.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::text::jinja {

enum class Side { both, left, right };

// Without the characters of `which` (white space where there is none) at its ends.
std::string_view strip(std::string_view text, Side side = Side::both,
                       std::optional<std::string_view> which = std::nullopt);
std::string capitalize(std::string_view text);
// At most `count` times where that is not negative.
std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t count = -1);
// Python's splitlines: at every kind of line end.
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends = false);
std::string center(std::string_view text, int64_t width, std::string_view fill = " ");
size_t characters(std::string_view text);
// The bytes of the first `count` characters.
size_t prefix(std::string_view text, size_t count);

}  // namespace cairn::text::jinja
