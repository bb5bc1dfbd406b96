#include "cairn/io/image.h"

#include <fmt/format.h>

namespace cairn::io {
namespace {

template <class T>
void convert_pixels(const HostArray& from, HostArray& to) {
  const auto source_channels = static_cast<int>(from.shape()[2]);
  const auto channels = static_cast<int>(to.shape()[2]);
  const bool gray = source_channels <= 2;
  const T opaque = sizeof(T) == 1 ? T(255) : T(65535);
  const T* in = from.span<T>().data();
  T* out = to.mutable_span<T>().data();
  const int64_t pixels = from.shape()[0] * from.shape()[1];
  for (int64_t i = 0; i < pixels; ++i, in += source_channels, out += channels) {
    if (channels == 1) {
      // 0.299, 0.587 and 0.114 in 1/65536, as Pillow has them; they add up to 65536.
      out[0] = gray ? in[0]
                    : static_cast<T>((19595 * int64_t{in[0]} + 38470 * int64_t{in[1]} +
                                      7471 * int64_t{in[2]} + 0x8000) >>
                                     16);
    } else {
      for (int c = 0; c < 3; ++c) out[c] = gray ? in[0] : in[c];
      if (channels == 4) {
        if (source_channels == 2)
          out[3] = in[1];
        else
          out[3] = source_channels == 4 ? in[3] : opaque;
      }
    }
  }
}

HostArray with_channels(HostArray image, int channels) {
  const Shape& shape = image.shape();
  if (channels == 0 || channels == shape[2]) return image;
  HostArray result(image.dtype(), {shape[0], shape[1], channels});
  if (image.dtype() == DType::u8) {
    convert_pixels<uint8_t>(image, result);
  } else {
    convert_pixels<int32_t>(image, result);
  }
  return result;
}

bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// PNM's header and its text samples: numbers between white space and comments.
class PnmText {
 public:
  explicit PnmText(std::span<const std::byte> bytes)
      : text_(reinterpret_cast<const char*>(bytes.data()), bytes.size()) {}

  int64_t number(std::string_view what, int64_t most) {
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size() - 1);
      } else if (!is_space(text_[at_])) {
        break;
      }
    }
    int64_t value = 0;
    const size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = value * 10 + (text_[at_] - '0');
      if (value > most)
        throw_error(fmt::format("its {} is more than {} (byte {})", what, most, begin));
    }
    if (at_ == begin)
      throw_error(
          fmt::format("there is no {} at byte {}; the file is damaged or was cut off", what, at_));
    return value;
  }
  // The one white space after the header.
  void end_header() {
    if (at_ == text_.size() || !is_space(text_[at_]))
      throw_error("its header does not end in white space");
    ++at_;
  }
  void skip(size_t count) { at_ += count; }
  size_t offset() const { return at_; }

 private:
  static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

namespace detail {

void check_pixels(int64_t width, int64_t height, const ImageOptions& options) {
  // Sizes are below 2^31 in every format, so the product fits.
  if (width < 1 || height < 1)
    throw_error(fmt::format("it is {} x {} pixels; neither may be 0", width, height));
  if (width * height > options.max_pixels)
    throw_error(fmt::format("it has {} x {} pixels, more than the {} allowed", width, height,
                            options.max_pixels));
}

HostArray decode_pnm(std::span<const std::byte> bytes, const ImageOptions& options) {
  PnmText text(bytes);
  text.skip(1);
  const int64_t kind = text.number("format", 6);
  const bool is_text = kind <= 3;
  const int64_t channels = kind == 3 || kind == 6 ? 3 : 1;
  const int64_t width = text.number("width", INT32_MAX);
  const int64_t height = text.number("height", INT32_MAX);
  const int64_t maximum = text.number("maximum", 65535);
  check_pixels(width, height, options);
  if (maximum == 0) throw_error("its maximum is 0");
  text.end_header();
  const int64_t samples = width * height * channels;
  const int64_t sample_bytes = maximum > 255 ? 2 : 1;
  const auto left = static_cast<int64_t>(bytes.size() - text.offset());
  // A sample of text is at least a digit and, between two, a space.
  const int64_t needed = is_text ? 2 * samples - 1 : samples * sample_bytes;
  if (left < needed)
    throw_error(fmt::format("its {} x {} pixels take {} bytes and {} are left; it was cut off",
                            width, height, needed, left));
  const bool wide = options.keep_16_bits && maximum > 255;
  const int64_t top = wide ? 65535 : 255;
  HostArray image(wide ? DType::i32 : DType::u8, {height, width, channels});
  const std::byte* in = bytes.data() + text.offset();
  for (int64_t i = 0; i < samples; ++i) {
    int64_t value;
    if (is_text) {
      value = text.number("sample", 65535);
    } else if (sample_bytes == 1) {
      value = std::to_integer<int64_t>(in[i]);
    } else {
      value = std::to_integer<int64_t>(in[2 * i]) << 8 | std::to_integer<int64_t>(in[2 * i + 1]);
    }
    if (value > maximum)
      throw_error(fmt::format("sample {} is {}, more than its maximum {}", i, value, maximum));
    value = (value * top + maximum / 2) / maximum;
    if (wide)
      image.mutable_span<int32_t>()[i] = static_cast<int32_t>(value);
    else
      image.mutable_span<uint8_t>()[i] = static_cast<uint8_t>(value);
  }
  return image;
}

}  // namespace detail

bool is_png(std::span<const std::byte> bytes) { return starts_with(bytes, "\x89PNG\r\n\x1a\n"); }
bool is_jpeg(std::span<const std::byte> bytes) { return starts_with(bytes, "\xff\xd8\xff"); }
bool is_pnm(std::span<const std::byte> bytes) {
  if (bytes.size() < 3 || bytes[0] != std::byte{'P'}) return false;
  const char kind = static_cast<char>(bytes[1]);
  const char next = static_cast<char>(bytes[2]);
  return (kind == '2' || kind == '3' || kind == '5' || kind == '6') &&
         (next == ' ' || next == '#' || (next >= '\t' && next <= '\r'));
}

Result<HostArray> decode_image(std::span<const std::byte> bytes, const std::string& name,
                               const ImageOptions& options) {
  if (options.channels != 0 && options.channels != 1 && options.channels != 3 &&
      options.channels != 4)
    throw_error(
        fmt::format("[decode_image] channels is {}; it may be 0 (as in the file), 1, 3 or 4",
                    options.channels));
  return read_result(name, [&] {
    HostArray image;
    if (is_png(bytes)) {
      image = detail::decode_png(bytes, options);
    } else if (is_jpeg(bytes)) {
      image = detail::decode_jpeg(bytes, options);
    } else if (is_pnm(bytes)) {
      image = detail::decode_pnm(bytes, options);
    } else {
      throw_error("it does not start like a PNG, JPEG, PGM or PPM picture");
    }
    return with_channels(std::move(image), options.channels);
  });
}

Result<HostArray> read_image(const std::string& path, const ImageOptions& options) {
  const auto bytes = map_file(path);
  if (!bytes) return bytes.error();
  return decode_image(bytes.value().bytes(), path, options);
}

Status write_png(const std::string& path, const HostArray& image) {
  return write_file_atomically(path, encode_png(image));
}

}  // namespace cairn::io
