// Pictures of numbers: images in a terminal, and a layer's activations as pixels.
//
// An activation picture is read like this: a bright pixel says "yes, I have seen this before", a
// dark one says "the opposite of it", and what the layer has nothing to say about stays blank. So
// zero has one colour in the whole picture. With negative values anywhere in the array, zero is the
// middle of the colour map and a channel runs from -m to +m; with none (after a ReLU) zero is its
// low end (black, in gray) and a channel runs from 0 to m. The diverging map is always symmetric.
//   [channels, height, width]  a tile per channel, m the channel's own largest magnitude: what a
//                              channel looks for is visible however weakly it answers
//   [units]                    a square per unit, m the largest of all
//   [tokens, width]            one tile, a row per token; m is the 99.5th percentile of the
//                              magnitudes, as a few outlier features would leave the rest blank
// Leading sizes of 1 are dropped where that gives one of these shapes.
#pragma once

#include <string>

#include "cairn/core/host_array.h"
#include "cairn/plot/colors.h"
#include "cairn/plot/terminal.h"

namespace cairn::plot {

// An image in a terminal: u8 [height, width] or [height, width, channels] with gray, gray and
// alpha, RGB or RGBA, where what is transparent turns black. Two pixels to a cell, one above the
// other: in half blocks and 24-bit colour, or without colour as shades, where brighter is denser.
// Shrunk by averaging to fit style.width x style.height cells, never enlarged. Lines end with '\n'.
// Throws Error on another dtype or shape.
std::string image_to_text(const HostArray& image, const TerminalStyle& style);

struct ActivationStyle {
  ColorMap map = ColorMap::gray;
  int scale = 0;  // pixels a value's side takes; 0: so that the picture is about 1,000 pixels wide
};
// u8 [height, width, 3]: the tiles in a grid that is about square, thin borders between them. Any
// dtype. Throws Error when the shape is none of those above or has no elements.
HostArray activations_to_image(const HostArray& activations, const ActivationStyle& style = {});
// The same in a terminal, arranged to fill style.width x style.height cells.
std::string activations_to_text(const HostArray& activations, ColorMap map,
                                const TerminalStyle& style);

}  // namespace cairn::plot
