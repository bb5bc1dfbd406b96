// Pictures as arrays: u8 [height, width, channels], rows from the top.
//
// Channels are those of the file: 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA. PNG through libpng (all
// colour types and depths, interlaced or not; a palette becomes RGB, transparency an alpha channel,
// fewer than 8 bits are scaled to 0..255), JPEG through libjpeg-turbo (baseline, progressive,
// arithmetic where the library has it; CMYK and YCCK become RGB; 8 bits a sample), PGM and PPM
// (text and binary). Colour profiles, gamma and EXIF orientation are not applied.
//
// A damaged or cut-off file is an error, never a picture with gray in it. Memory is bounded by
// `max_pixels` times 4 bytes (8 with keep_16_bits), and for a progressive JPEG 6 bytes more.
#pragma once

#include <cstdint>
#include <string>

#include "cairn/io/bytes.h"

namespace cairn::io {

struct ImageOptions {
  // 0: as in the file; 1, 3 or 4: converted. Alpha is dropped (not blended) or added opaque; gray
  // is repeated; RGB becomes gray with the weights of ITU-R BT.601 (0.299, 0.587, 0.114).
  int channels = 0;
  // A sample of 16 bits is scaled to 8 (v / 257, rounded); with this it becomes i32, 0..65535.
  bool keep_16_bits = false;
  int64_t max_pixels = 100'000'000;
};

// Which of the formats it is is told from its first bytes.
Result<HostArray> read_image(const std::string& path, const ImageOptions& options = {});
Result<HostArray> decode_image(std::span<const std::byte> bytes, const std::string& name,
                               const ImageOptions& options = {});

bool is_png(std::span<const std::byte> bytes);
bool is_jpeg(std::span<const std::byte> bytes);
bool is_pnm(std::span<const std::byte> bytes);

// A u8 picture [height, width] or [height, width, 1, 2, 3 or 4] as PNG bytes, the same for the same
// picture. Throws Error for another dtype or shape, or a size of 0.
std::string encode_png(const HostArray& image);
Status write_png(const std::string& path, const HostArray& image);

namespace detail {
// Throw Error; channels as in the file.
HostArray decode_png(std::span<const std::byte> bytes, const ImageOptions& options);
HostArray decode_jpeg(std::span<const std::byte> bytes, const ImageOptions& options);
HostArray decode_pnm(std::span<const std::byte> bytes, const ImageOptions& options);
void check_pixels(int64_t width, int64_t height, const ImageOptions& options);
}  // namespace detail

}  // namespace cairn::io
