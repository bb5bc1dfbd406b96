// Images in a terminal: half blocks, or shades.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "cairn/plot/pixels.h"

namespace cairn::plot {
namespace {

// Shades by brightness. Four steps and blank are all that Unicode has; ASCII's ink varies more.
constexpr std::array<std::string_view, 5> kShades = {" ", "░", "▒", "▓", "█"};
constexpr std::string_view kAsciiShades = " .:-=+*#%@";

struct Picture {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<Rgb> pixels;
  Rgb at(int64_t y, int64_t x) const { return pixels[static_cast<size_t>(y * width + x)]; }
};

Picture read(const HostArray& image) {
  const Shape& shape = image.shape();
  const int64_t channels = shape.rank() == 2 ? 1 : shape.rank() == 3 ? shape[2] : 0;
  if (image.dtype() != DType::u8 || channels < 1 || channels > 4)
    throw_error(
        fmt::format("[image] {}{} is no image: expected u8 [height, width] or u8 [height, "
                    "width, channels] with 1 to 4 channels",
                    name(image.dtype()), to_string(shape)));
  Picture p{shape[0], shape[1], {}};
  const auto bytes = image.span<uint8_t>();
  for (size_t i = 0; i < bytes.size(); i += static_cast<size_t>(channels)) {
    const int alpha = channels % 2 == 0 ? bytes[i + static_cast<size_t>(channels) - 1] : 255;
    const auto over_black = [&](size_t c) {
      return static_cast<uint8_t>((bytes[i + c] * alpha + 127) / 255);
    };
    const size_t step = channels < 3 ? 0 : 1;  // gray is all three colours
    p.pixels.push_back({over_black(0), over_black(step), over_black(2 * step)});
  }
  return p;
}

// Each new pixel is the mean of the block of old ones that it covers.
Picture shrunk(const Picture& from, int64_t height, int64_t width) {
  Picture to{height, width, {}};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      int64_t sum[3] = {0, 0, 0};
      int64_t count = 0;
      for (int64_t v = y * from.height / height; v < (y + 1) * from.height / height; ++v) {
        for (int64_t u = x * from.width / width; u < (x + 1) * from.width / width; ++u) {
          const Rgb c = from.at(v, u);
          sum[0] += c.r;
          sum[1] += c.g;
          sum[2] += c.b;
          ++count;
        }
      }
      const auto mean = [&](int i) { return static_cast<uint8_t>((sum[i] + count / 2) / count); };
      to.pixels.push_back({mean(0), mean(1), mean(2)});
    }
  }
  return to;
}

Rgb mean(Rgb a, Rgb b) {
  const auto half = [](int x, int y) { return static_cast<uint8_t>((x + y + 1) / 2); };
  return {half(a.r, b.r), half(a.g, b.g), half(a.b, b.b)};
}

}  // namespace

std::string image_to_text(const HostArray& image, const TerminalStyle& style) {
  Picture p = read(image);
  if (p.pixels.empty()) return "";
  const int64_t max_width = std::max(style.width, 1);
  const int64_t max_height = 2 * static_cast<int64_t>(std::max(style.height, 1));
  if (p.width > max_width || p.height > max_height) {
    // One factor for both sides keeps the proportions: the larger of the two that are needed.
    const bool by_width = p.width * max_height >= p.height * max_width;
    const int64_t width =
        by_width ? max_width : std::max<int64_t>(p.width * max_height / p.height, 1);
    const int64_t height =
        by_width ? std::max<int64_t>(p.height * max_width / p.width, 1) : max_height;
    p = shrunk(p, height, width);
  }
  std::string out;
  for (int64_t y = 0; y < p.height; y += 2) {
    const bool half = y + 1 == p.height;  // the last line of an odd height: upper halves only
    std::string line;
    std::optional<Rgb> foreground;
    std::optional<Rgb> background;
    for (int64_t x = 0; x < p.width; ++x) {
      const Rgb top = p.at(y, x);
      const Rgb both = half ? top : mean(top, p.at(y + 1, x));
      if (!style.color) {
        const int brightness = luma(half ? mean(top, {}) : both);
        if (style.unicode) {
          line += kShades[static_cast<size_t>(brightness * 5 / 256)];
        } else {
          line += kAsciiShades[static_cast<size_t>(brightness * 10 / 256)];
        }
        continue;
      }
      const Rgb below = style.unicode && !half ? p.at(y + 1, x) : both;
      if ((style.unicode ? !half : true) && background != below) {
        background = below;
        line += ansi::background(below);
      }
      if (style.unicode && foreground != top) {
        foreground = top;
        line += ansi::foreground(top);
      }
      line += style.unicode ? "▀" : " ";
    }
    if (style.color) {
      line += ansi::kReset;
    } else {
      line.resize(line.find_last_not_of(' ') + 1);
    }
    out += line + "\n";
  }
  return out;
}

}  // namespace cairn::plot
