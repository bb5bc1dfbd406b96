#include "cairn/io/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace cairn::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

struct FileDType {
  std::string_view code;  // NumPy's kind and size
  DType dtype;
};

constexpr FileDType kDTypes[] = {{"f8", DType::f64}, {"f4", DType::f32}, {"f2", DType::f16},
                                 {"i8", DType::i64}, {"i4", DType::i32}, {"i2", DType::i16},
                                 {"i1", DType::i8},  {"u1", DType::u8},  {"u4", DType::u32},
                                 {"b1", DType::b8}};

// The header is a Python dictionary display with exactly three entries:
// {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  Header parse() {
    Header header;
    bool seen[3] = {};
    expect('{');
    while (!accept('}')) {
      const std::string key = text("a key");
      expect(':');
      const int which = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
      if (which < 0) fail(fmt::format("an unknown key '{}'", key));
      if (seen[which]) fail(fmt::format("'{}' twice", key));
      seen[which] = true;
      if (which == 0) header.descr = descr();
      if (which == 1) header.fortran_order = boolean();
      if (which == 2) header.shape = tuple();
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) fail("more after its dictionary");
    if (!seen[0] || !seen[1] || !seen[2]) fail("not all of descr, fortran_order and shape");
    return header;
  }

 private:
  [[noreturn]] void fail(std::string_view what) {
    throw_error(fmt::format("its .npy header has {} (byte {} of it)", what, at_));
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(fmt::format("no '{}' where one belongs", c));
  }
  std::string text(std::string_view what) {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') fail(fmt::format("no text where {} belongs", what));
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("a text without end");
    const std::string result(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return result;
  }
  std::string descr() {
    skip_space();
    if (at_ < text_.size() && text_[at_] == '[')
      throw_error(
          "it is an array of records, which cairn does not have; save each field by itself");
    return text("a type");
  }
  bool boolean() {
    skip_space();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return word == "True";
    }
    fail("neither True nor False where one belongs");
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      skip_space();
      int64_t size = 0;
      const auto [end, error] =
          std::from_chars(text_.data() + at_, text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0) fail("no size from 0 to 2^63 where one belongs");
      at_ = static_cast<size_t>(end - text_.data());
      sizes.push_back(size);
      accept('L');  // Python 2 wrote long integers so
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return sizes;
  }

  std::string_view text_;
  size_t at_ = 0;
};

Header read_header(ByteReader& reader) {
  if (reader.remaining() < kMagic.size() || reader.take_text(kMagic.size(), "magic") != kMagic)
    throw_error("it does not start like a .npy file");
  const auto major = reader.little<uint8_t>("version");
  const auto minor = reader.little<uint8_t>("version");
  if (major < 1 || major > 3 || minor != 0)
    throw_error(fmt::format("it has version {}.{} of the .npy format; 1.0, 2.0 and 3.0 can be read",
                            major, minor));
  const uint64_t size = major == 1 ? reader.little<uint16_t>("header length")
                                   : reader.little<uint32_t>("header length");
  return HeaderParser(reader.take_text(size, "header")).parse();
}

// `source` holds the elements with the first index running fastest; returns them row-major.
HostArray from_fortran(DType dtype, const Shape& shape, const std::byte* source) {
  HostArray result(dtype, shape);
  const size_t size = size_of(dtype);
  auto* out = static_cast<std::byte*>(result.mutable_data());
  Ints index(shape.rank(), 0);
  Ints strides(shape.rank(), 1);
  for (int i = 1; i < shape.rank(); ++i) strides[i] = strides[i - 1] * shape[i - 1];
  int64_t at = 0;
  for (int64_t k = 0; k < result.elements(); ++k, out += size) {
    std::memcpy(out, source + static_cast<size_t>(at) * size, size);
    for (int i = shape.rank() - 1; i >= 0; --i) {
      at += strides[i];
      if (++index[i] < shape[i]) break;
      at -= strides[i] * shape[i];
      index[i] = 0;
    }
  }
  return result;
}

HostArray parse_array(const SharedBytes& bytes) {
  ByteReader reader(bytes.bytes());
  const Header header = read_header(reader);
  const bool has_order = !header.descr.empty() &&
                         std::string_view("<>=|").find(header.descr[0]) != std::string_view::npos;
  const std::string_view code = std::string_view(header.descr).substr(has_order);
  const auto* known = std::find_if(std::begin(kDTypes), std::end(kDTypes),
                                   [&](const FileDType& d) { return d.code == code; });
  if (known == std::end(kDTypes) && code != "?")
    throw_error(
        fmt::format("its type '{}' is none that cairn has; save it as f8 f4 f2 i8 i4 i2 i1 "
                    "u1 u4 or bool",
                    header.descr));
  const DType dtype = code == "?" ? DType::b8 : known->dtype;
  const Shape shape = checked_shape(header.shape, dtype);
  const size_t size = static_cast<size_t>(shape.elements()) * size_of(dtype);
  SharedBytes data = bytes.part(reader.offset(), reader.remaining());
  if (data.size() != size)
    throw_error(
        fmt::format("its shape ({}) of {} takes {} bytes and {} are there; the file is "
                    "damaged or was cut off",
                    fmt::join(header.shape, ", "), name(dtype), size, data.size()));
  if (header.descr[0] == '>' && size_of(dtype) > 1) {
    std::string swapped(size, '\0');
    swap_elements(data.bytes(), reinterpret_cast<std::byte*>(swapped.data()), size_of(dtype));
    data = SharedBytes(std::move(swapped));
  }
  HostArray array = view_array(dtype, shape, data);
  if (!header.fortran_order || shape.rank() < 2) return array;
  return from_fortran(dtype, shape, static_cast<const std::byte*>(array.data()));
}

std::string npy_header(const HostArray& array) {
  const auto* known = std::find_if(std::begin(kDTypes), std::end(kDTypes),
                                   [&](const FileDType& d) { return d.dtype == array.dtype(); });
  if (known == std::end(kDTypes))
    throw_error(fmt::format("[npy] NumPy has no {}; cast the array to f32, which holds it exactly",
                            name(array.dtype())));
  const Shape& shape = array.shape();
  const std::string sizes = shape.rank() == 1 ? fmt::format("({},)", shape[0])
                                              : fmt::format("({})", fmt::join(shape, ", "));
  std::string dictionary = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': {}, }}",
                                       size_of(known->dtype) == 1 ? '|' : '<', known->code, sizes);
  // NumPy leaves room for the first size to grow to 21 digits, so that a file can be appended to.
  if (shape.rank() > 0) dictionary.append(21 - std::to_string(shape[0]).size(), ' ');
  // Magic, version, length, dictionary and newline together fill a multiple of 64 bytes.
  const size_t fixed = kMagic.size() + 4;
  dictionary.append(64 - (fixed + dictionary.size() + 1) % 64, ' ');
  dictionary += '\n';
  const auto length = static_cast<uint16_t>(dictionary.size());
  std::string header(kMagic);
  header += std::string_view("\x01\x00", 2);
  header.append(reinterpret_cast<const char*>(&length), 2);
  return header + dictionary;
}

}  // namespace

Result<HostArray> parse_npy(SharedBytes bytes, const std::string& name) {
  return read_result(name, [&] { return parse_array(bytes); });
}

Result<HostArray> read_npy(const std::string& path) {
  auto bytes = map_file(path);
  if (!bytes) return bytes.error();
  return parse_npy(std::move(bytes).value(), path);
}

Status write_npy(const std::string& path, const HostArray& array) {
  const std::string header = npy_header(array);
  return write_file_atomically(path, [&](FileWriter& writer) -> Status {
    writer.write(header);
    writer.write(bytes_of(array));
    return Nothing{};
  });
}

Result<NpzFile> NpzFile::open(const std::string& path, uint64_t limit) {
  auto bytes = map_file(path);
  if (!bytes) return bytes.error();
  return parse(std::move(bytes).value(), path, limit);
}

Result<NpzFile> NpzFile::parse(SharedBytes bytes, const std::string& name, uint64_t limit) {
  auto zip = ZipFile::parse(std::move(bytes), name);
  if (!zip) return zip.error();
  NpzFile file;
  file.name_ = name;
  file.zip_ = std::move(zip).value();
  file.limit_ = limit;
  for (const ZipMember& member : file.zip_.members())
    if (member.name.ends_with(".npy"))
      file.names_.push_back(member.name.substr(0, member.name.size() - 4));
  return file;
}

Result<HostArray> NpzFile::read(std::string_view name) const {
  const ZipMember* member = zip_.find(std::string(name) + ".npy");
  if (!member)
    return read_error(
        name_, fmt::format("it has no array '{}'; it has: {}", name, fmt::join(names_, ", ")));
  auto bytes = zip_.read(*member, limit_);
  if (!bytes) return bytes.error();
  return parse_npy(std::move(bytes).value(), fmt::format("{}' member '{}", name_, name));
}

Status write_npz(const std::string& path, std::span<const NamedArray> arrays, bool compress) {
  std::vector<std::string> headers;
  std::vector<std::string_view> names;
  for (const NamedArray& named : arrays) {
    headers.push_back(npy_header(named.array));
    names.push_back(named.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw_error(fmt::format("[npz] two arrays are named '{}'", *twice));
  return write_file_atomically(path, [&](FileWriter& writer) -> Status {
    ZipWriter zip(writer);
    for (size_t i = 0; i < arrays.size(); ++i) {
      const std::span<const std::byte> pieces[] = {
          std::as_bytes(std::span(headers[i].data(), headers[i].size())),
          bytes_of(arrays[i].array)};
      zip.add(arrays[i].name + ".npy", pieces, compress);
    }
    zip.finish();
    return Nothing{};
  });
}

}  // namespace cairn::io
