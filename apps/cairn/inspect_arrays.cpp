// Arrays and pictures: npy, npz, IDX, PNG, JPEG, PNM.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "apps/cairn/arrays.h"
#include "apps/cairn/inspect.h"
#include "cairn/base/file.h"
#include "cairn/io/gzip.h"
#include "cairn/io/idx.h"
#include "cairn/io/image.h"
#include "cairn/io/inflate.h"
#include "cairn/io/npy.h"
#include "cairn/plot/pixels.h"

namespace cairn::app {
namespace {

TensorEntry entry_of(const std::string& tensor, const HostArray& array) {
  const Shape& shape = array.shape();
  return {tensor, std::string(name(array.dtype())), {shape.begin(), shape.end()}, array.bytes()};
}

void add(Subject& subject, TensorEntry entry) {
  subject.parameters += std::max<int64_t>(checked_elements(entry.shape), 0);
  subject.tensors.push_back(std::move(entry));
}

void add_memory(Subject& subject, uint64_t file_bytes) {
  uint64_t tensor_bytes = 0;
  for (const TensorEntry& tensor : subject.tensors) tensor_bytes += tensor.bytes;
  subject.memory = {{"file_bytes", file_bytes}, {"tensor_bytes", tensor_bytes}};
}

// Type and sizes from the first bytes of an IDX file, for one that is gzip: reading its shape must
// not cost inflating it.
struct IdxHeader {
  DType dtype;
  std::vector<int64_t> shape;
  uint64_t bytes;  // of the whole, inflated
  uint64_t element_bytes;
};

IdxHeader read_idx_header(std::span<const std::byte> head) {
  io::ByteReader reader(head);
  reader.take(2, "IDX magic");
  const auto code = reader.little<uint8_t>("IDX magic");
  const auto rank = reader.little<uint8_t>("IDX magic");
  constexpr std::pair<uint8_t, DType> kTypes[] = {{0x08, DType::u8},  {0x09, DType::i8},
                                                  {0x0b, DType::i16}, {0x0c, DType::i32},
                                                  {0x0d, DType::f32}, {0x0e, DType::f64}};
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const auto& t) { return t.first == code; });
  if (type == std::end(kTypes)) throw_error(fmt::format("IDX type {:02x} is not known", code));
  std::vector<int64_t> shape;
  for (int i = 0; i < rank; ++i) shape.push_back(reader.big<uint32_t>("IDX sizes"));
  const int64_t elements = io::checked_shape(shape, type->second).elements();
  const uint64_t element_bytes = static_cast<uint64_t>(elements) * size_of(type->second);
  return {type->second, shape, reader.offset() + element_bytes, element_bytes};
}

// Every byte of a gzip IDX file, with a fixed buffer: some inflate to many times what they take.
void verify_idx_stream(const std::string& path, uint64_t expected) {
  const SharedBytes file = map_file(path).value();
  io::GzipReader reader(file.bytes());
  std::vector<std::byte> buffer(1 << 20);
  uint64_t total = 0;
  for (;;) {
    const size_t count = reader.read(buffer);
    total += count;
    if (count < buffer.size() || total > expected) break;
  }
  if (total != expected)
    throw_error(fmt::format(
        "its sizes take {} bytes and {}{} are there; the file is damaged or was cut off", expected,
        total > expected ? "more than " : "", total));
}

}  // namespace

Subject open_npy(const std::string& path, uint64_t bytes) {
  const HostArray array = io::read_npy(path).value();
  Subject subject;
  subject.kind = "npy";
  add(subject, entry_of("array", array));
  add_memory(subject, bytes);
  subject.read = [array](const TensorEntry&) { return array; };
  return subject;
}

Subject open_npz(const std::string& path, uint64_t bytes) {
  const auto file =
      std::make_shared<io::NpzFile>(io::NpzFile::open(path, verify_limit(bytes)).value());
  Subject subject;
  subject.kind = "npz";
  for (const std::string& member : file->names())
    add(subject, entry_of(member, file->read(member).value()));
  add_memory(subject, bytes);
  subject.read = [file](const TensorEntry& tensor) { return file->read(tensor.name).value(); };
  return subject;
}

Subject open_idx(const std::string& path, uint64_t bytes, bool gzip) {
  Subject subject;
  subject.kind = "idx";
  subject.metadata["gzip"] = gzip;
  if (!gzip) {
    const HostArray array = io::read_idx(path).value();
    add(subject, entry_of("array", array));
    subject.read = [array](const TensorEntry&) { return array; };
  } else {
    constexpr uint64_t kHead = 4 + 4 * 255;
    const SharedBytes file = map_file(path).value();
    const SharedBytes head = io::gunzip_head(file.bytes(), path, kHead).value();
    const IdxHeader header =
        io::read_result(path, [&] { return read_idx_header(head.bytes()); }).value();
    add(subject, {"array", std::string(name(header.dtype)), header.shape, header.element_bytes});
    subject.read = [path](const TensorEntry&) { return io::read_idx(path).value(); };
    // In place of decoding the array through `read`, which takes it into memory.
    subject.verify = [path, expected = header.bytes] {
      io::read_result(path, [&] {
        verify_idx_stream(path, expected);
        return Nothing{};
      }).value();
    };
  }
  subject.parameters = 0;  // data, not weights
  add_memory(subject, bytes);
  return subject;
}

Subject open_image(const std::string& path, uint64_t bytes, io::FileKind kind) {
  // Bytes that decoding takes for a pixel: 16-bit RGBA of a PNG, coefficients of a progressive
  // JPEG.
  const uint64_t each = kind == io::FileKind::jpeg ? 10 : 12;
  io::ImageOptions options;
  options.max_pixels = static_cast<int64_t>(verify_limit(bytes) / each);
  const HostArray image = io::read_image(path, options).value();
  Subject subject;
  subject.kind = io::name(kind);
  subject.tensors.push_back(entry_of("image", image));
  const int64_t channels = image.shape()[2];
  constexpr std::string_view kColors[] = {"gray", "gray and alpha", "RGB", "RGBA"};
  subject.metadata = {{"width", image.shape()[1]},
                      {"height", image.shape()[0]},
                      {"channels", channels},
                      {"color", kColors[channels - 1]}};
  add_memory(subject, bytes);
  subject.picture = [image](const plot::TerminalStyle& style) {
    return plot::image_to_text(image, style);
  };
  subject.read = [image](const TensorEntry&) { return image; };
  return subject;
}

}  // namespace cairn::app
