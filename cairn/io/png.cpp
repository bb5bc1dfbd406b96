// PNG through libpng. Its errors arrive by longjmp: each group of calls runs in `guarded`, whose
// frames between setjmp and the library hold nothing with a destructor.
#include <fmt/format.h>
#include <png.h>

#include <csetjmp>
#include <vector>

#include "cairn/io/image.h"

namespace cairn::io {
namespace {

constexpr int64_t kMaxRatio = 1032;  // deflate gains no more

struct Session {
  std::span<const std::byte> input;
  size_t at = 0;
  std::string* output = nullptr;
  char message[200] = "";
};

void on_error(png_structp png, png_const_charp message) {
  auto* session = static_cast<Session*>(png_get_error_ptr(png));
  std::strncpy(session->message, message, sizeof session->message - 1);
  png_longjmp(png, 1);
}

// Warnings concern chunks that do not change the pixels.
void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep to, size_t count) {
  auto* session = static_cast<Session*>(png_get_io_ptr(png));
  if (count > session->input.size() - session->at) png_error(png, "it was cut off");
  std::memcpy(to, session->input.data() + session->at, count);
  session->at += count;
}

// Runs `calls` to libpng; an error of the library becomes an Error.
template <class F>
void guarded(png_structp png, Session& session, F&& calls) {
  if (setjmp(png_jmpbuf(png))) throw_error(fmt::format("PNG: {}", session.message));
  calls();
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) {
    session.input = bytes;
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &session, on_error, on_warning);
    info = png ? png_create_info_struct(png) : nullptr;
    if (!info) {
      png_destroy_read_struct(&png, nullptr, nullptr);
      throw_error("there is no memory to read it");
    }
    png_set_read_fn(png, &session, on_read);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }

  Session session;
  png_structp png;
  png_infop info;
};

class Writer {
 public:
  explicit Writer(std::string& out) {
    session.output = &out;
    png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &session, on_error, on_warning);
    info = png ? png_create_info_struct(png) : nullptr;
    if (!info) {
      png_destroy_write_struct(&png, nullptr);
      throw_error("there is no memory to write a PNG");
    }
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { png_destroy_write_struct(&png, &info); }

  Session session;
  png_structp png;
  png_infop info;
};

// Every chunk up to IEND lies inside the file. The library takes the memory that a chunk's length
// asks for (up to 2 GiB, and fills it) before it reads.
void check_chunks(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  reader.seek(8, "signature");
  for (;;) {
    const auto length = reader.big<uint32_t>("PNG chunks");
    const std::string_view type = reader.take_text(4, "PNG chunks");
    reader.take(uint64_t{length} + 4, "PNG chunks");
    if (type == "IEND") return;
  }
}

}  // namespace

namespace detail {

HostArray decode_png(std::span<const std::byte> bytes, const ImageOptions& options) {
  check_chunks(bytes);
  Reader reader(bytes);
  png_structp png = reader.png;
  png_infop info = reader.info;
  guarded(png, reader.session, [&] {
    // The library's own limit is a million each way; ours is on the product.
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_read_info(png, info);
  });
  const int64_t width = png_get_image_width(png, info);
  const int64_t height = png_get_image_height(png, info);
  check_pixels(width, height, options);
  const int depth = png_get_bit_depth(png, info);
  const int64_t packed = (width * depth * png_get_channels(png, info) + 7) / 8 * height;
  if (packed / kMaxRatio > static_cast<int64_t>(bytes.size()))
    throw_error(
        fmt::format("its {} x {} pixels cannot be in {} bytes", width, height, bytes.size()));
  const bool wide = depth == 16 && options.keep_16_bits;
  guarded(png, reader.session, [&] {
    png_set_expand(png);
    if (wide)
      png_set_swap(png);  // to little-endian
    else
      png_set_scale_16(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
  });
  const int channels = png_get_channels(png, info);
  const auto row_bytes =
      static_cast<size_t>(width) * static_cast<size_t>(channels) * (wide ? 2 : 1);
  CAIRN_ASSERT(png_get_rowbytes(png, info) == row_bytes);
  std::vector<uint16_t> wide_pixels(wide ? row_bytes / 2 * static_cast<size_t>(height) : 0);
  HostArray image(wide ? DType::i32 : DType::u8, {height, width, channels});
  auto* pixels = wide ? reinterpret_cast<png_byte*>(wide_pixels.data())
                      : static_cast<png_byte*>(image.mutable_data());
  std::vector<png_bytep> rows(static_cast<size_t>(height));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = pixels + i * row_bytes;
  png_bytepp row_pointers = rows.data();
  guarded(png, reader.session, [&] {
    png_read_image(png, row_pointers);
    png_read_end(png, nullptr);
  });
  for (size_t i = 0; i < wide_pixels.size(); ++i) image.mutable_span<int32_t>()[i] = wide_pixels[i];
  return image;
}

}  // namespace detail

std::string encode_png(const HostArray& image) {
  const Shape& shape = image.shape();
  const int64_t channels = shape.rank() == 3 ? shape[2] : 1;
  constexpr int kTypes[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                            PNG_COLOR_TYPE_RGBA};
  if (image.dtype() != DType::u8 || shape.rank() < 2 || shape.rank() > 3 || channels < 1 ||
      channels > 4 || image.elements() == 0 || shape[0] > PNG_UINT_31_MAX ||
      shape[1] > PNG_UINT_31_MAX)
    throw_error(
        fmt::format("[encode_png] {}{} is no picture; it takes u8 [height, width] or "
                    "[height, width, 1 to 4]",
                    name(image.dtype()), to_string(shape)));
  std::string out;
  Writer writer(out);
  png_structp png = writer.png;
  png_infop info = writer.info;
  std::vector<png_bytep> rows(static_cast<size_t>(shape[0]));
  // The library takes pointers to mutable bytes and does not write through them.
  auto* pixels = const_cast<png_byte*>(image.span<uint8_t>().data());
  for (size_t i = 0; i < rows.size(); ++i)
    rows[i] = pixels + i * static_cast<size_t>(shape[1] * channels);
  png_bytepp row_pointers = rows.data();
  guarded(png, writer.session, [&] {
    png_set_write_fn(
        png, &writer.session,
        [](png_structp p, png_bytep bytes, size_t count) {
          static_cast<Session*>(png_get_io_ptr(p))
              ->output->append(reinterpret_cast<char*>(bytes), count);
        },
        nullptr);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(png, info, static_cast<png_uint_32>(shape[1]), static_cast<png_uint_32>(shape[0]),
                 8, kTypes[channels - 1], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    png_write_image(png, row_pointers);
    png_write_end(png, nullptr);
  });
  return out;
}

}  // namespace cairn::io
