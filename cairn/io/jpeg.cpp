// JPEG through libjpeg-turbo. Its errors arrive by longjmp: each group of calls runs in `guarded`,
// whose frames between setjmp and the library hold nothing with a destructor.
//
// The library fills what is missing from a damaged file with gray and only warns; the warnings that
// mean lost pixels are errors here.
#include <fmt/format.h>

#include <csetjmp>
#include <cstdio>  // FILE, for jpeglib.h
#include <vector>

#include "cairn/io/image.h"

#include <jpeglib.h>

#include <jerror.h>  // depends on what jpeglib.h defines

namespace cairn::io {
namespace {

// A hostile progressive file of few bytes can have thousands of scans over the whole picture; an
// honest one has about ten.
constexpr int kMaxScans = 500;

struct Session {
  jpeg_error_mgr errors;  // first: the library hands back a pointer to it
  jpeg_progress_mgr progress;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = "";
};

Session& session_of(j_common_ptr jpeg) { return *reinterpret_cast<Session*>(jpeg->err); }

[[noreturn]] void fail(j_common_ptr jpeg) {
  Session& session = session_of(jpeg);
  jpeg->err->format_message(jpeg, session.message);
  std::longjmp(session.jump, 1);
}

void on_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;  // a trace
  switch (jpeg->err->msg_code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC: fail(jpeg);
    default: break;
  }
}

void on_output(j_common_ptr) {}

void on_progress(j_common_ptr jpeg) {
  if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number <= kMaxScans) return;
  Session& session = session_of(jpeg);
  std::snprintf(session.message, sizeof session.message, "it has more than %d scans", kMaxScans);
  std::longjmp(session.jump, 1);
}

class Reader {
 public:
  Reader() {
    jpeg.err = jpeg_std_error(&session.errors);
    session.errors.error_exit = fail;
    session.errors.emit_message = on_message;
    session.errors.output_message = on_output;
    session.progress = {};
    session.progress.progress_monitor = on_progress;
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { jpeg_destroy_decompress(&jpeg); }

  // Runs `calls` to the library; an error of it becomes an Error.
  template <class F>
  void guarded(F&& calls) {
    if (setjmp(session.jump)) throw_error(fmt::format("JPEG: {}", session.message));
    calls();
  }

  Session session;
  jpeg_decompress_struct jpeg = {};
};

// a * b / 255, rounded.
uint8_t scaled(int a, int b) {
  const int product = a * b + 128;
  return static_cast<uint8_t>((product + (product >> 8)) >> 8);
}

// Ink to light without a colour profile, as Pillow does it: what the black ink lets through, less
// the ink's share of it. Adobe's programs write CMYK inverted and mark the file as theirs.
void row_from_cmyk(const uint8_t* in, uint8_t* out, int64_t width, bool inverted) {
  for (int64_t x = 0; x < width; ++x, in += 4, out += 3) {
    const int light = inverted ? in[3] : 255 - in[3];
    for (int c = 0; c < 3; ++c) {
      const int ink = inverted ? 255 - in[c] : in[c];
      out[c] = static_cast<uint8_t>(light - scaled(ink, light));
    }
  }
}

}  // namespace

namespace detail {

HostArray decode_jpeg(std::span<const std::byte> bytes, const ImageOptions& options) {
  Reader reader;
  jpeg_decompress_struct& jpeg = reader.jpeg;
  reader.guarded([&] {
    jpeg_create_decompress(&jpeg);
    jpeg.progress = &reader.session.progress;
    jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&jpeg, TRUE);
  });
  const int64_t width = jpeg.image_width, height = jpeg.image_height;
  check_pixels(width, height, options);
  if (jpeg.data_precision != 8)
    throw_error(
        fmt::format("it is a JPEG of {} bits a sample; only 8 can be read", jpeg.data_precision));
  const bool cmyk = jpeg.jpeg_color_space == JCS_CMYK || jpeg.jpeg_color_space == JCS_YCCK;
  if (jpeg.jpeg_color_space == JCS_UNKNOWN)
    throw_error(
        fmt::format("it is a JPEG of {} components; only 1 (gray), 3 (colour) and 4 (CMYK) "
                    "can be read",
                    jpeg.num_components));
  const bool gray = jpeg.jpeg_color_space == JCS_GRAYSCALE;
  const int64_t channels = gray ? 1 : 3;
  const bool inverted = jpeg.saw_Adobe_marker;
  jpeg.out_color_space = gray ? JCS_GRAYSCALE : cmyk ? JCS_CMYK : JCS_RGB;
  HostArray image(DType::u8, {height, width, channels});
  std::vector<uint8_t> cmyk_row(cmyk ? static_cast<size_t>(width) * 4 : 0);
  uint8_t* pixels = image.mutable_span<uint8_t>().data();
  uint8_t* row_buffer = cmyk_row.data();
  reader.guarded([&] {
    jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
      uint8_t* out = pixels + int64_t{jpeg.output_scanline} * width * channels;
      JSAMPROW row = cmyk ? row_buffer : out;
      jpeg_read_scanlines(&jpeg, &row, 1);
      if (cmyk) row_from_cmyk(row_buffer, out, width, inverted);
    }
    jpeg_finish_decompress(&jpeg);
  });
  return image;
}

}  // namespace detail

}  // namespace cairn::io
