// Colours: maps from a number to a colour, the palette of series, and ANSI escape codes.
//
// viridis (matplotlib, CC0) for values that only grow: equal steps look equal, it prints well in
// gray and people with any colour vision read it. ColorBrewer's RdBu for values with a sign: zero
// is the pale middle. gray for activations, where "bright" and "dark" are the message.
// The maps are tables of anchors with linear interpolation between them; for viridis 17 anchors are
// within 6/255 of matplotlib's 256 entries, and RdBu is defined by its 11 anchors.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace cairn::plot {

struct Rgb {
  uint8_t r = 0, g = 0, b = 0;
  friend bool operator==(const Rgb&, const Rgb&) = default;
};

enum class ColorMap {
  viridis,    // low is dark violet, high is yellow
  diverging,  // low is blue, the middle nearly white, high is red
  gray,       // low is black, high is white
};

// The colour of t in [0, 1]; outside it is clamped. NaN is a dull violet-gray that no map contains.
Rgb color_at(ColorMap map, double t);

// Perceived lightness in [0, 255] (Rec. 601 weights on the encoded values).
int luma(Rgb color);

// Colours of series 0, 1, ... on a white and on a dark ground, as "#rrggbb". They repeat after
// eight.
std::string_view series_color(int series, bool dark);

// ANSI escape codes. Charts use the 16 colours that every terminal's theme defines, so they stay
// readable on any background; pictures need 24 bits.
namespace ansi {
inline constexpr std::string_view kReset = "\033[0m";
inline constexpr std::string_view kBold = "\033[1m";
inline constexpr std::string_view kDim = "\033[2m";
std::string_view series(int series);
std::string foreground(Rgb color);
std::string background(Rgb color);
}  // namespace ansi

// `text` between `code` and a reset, or as it is when there is no colour or no text.
std::string painted(std::string_view text, std::string_view code, bool color);

}  // namespace cairn::plot
