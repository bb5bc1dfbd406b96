#include "cairn/io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace cairn::io {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxHeader = 100'000'000;
constexpr std::string_view kMetadata = "__metadata__";

struct FileDType {
  std::string_view name;
  int bits;
  std::optional<DType> dtype = {};  // empty: cairn has no such type
};

// In the order of the reference's enum: its writer sorts tensors by it, descending.
constexpr FileDType kDTypes[] = {
    {"BOOL", 8, DType::b8},
    {"F4", 4},
    {"F6_E2M3", 6},
    {"F6_E3M2", 6},
    {"U8", 8, DType::u8},
    {"I8", 8, DType::i8},
    {"F8_E5M2", 8, DType::f8e5m2},
    {"F8_E4M3", 8, DType::f8e4m3},
    {"F8_E8M0", 8},
    {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8},
    {"I16", 16, DType::i16},
    {"U16", 16},
    {"F16", 16, DType::f16},
    {"BF16", 16, DType::bf16},
    {"I32", 32, DType::i32},
    {"U32", 32, DType::u32},
    {"F32", 32, DType::f32},
    {"C64", 64},
    {"F64", 64, DType::f64},
    {"I64", 64, DType::i64},
    {"U64", 64},
};

const FileDType* find_dtype(std::string_view name) {
  for (const FileDType& known : kDTypes)
    if (known.name == name) return &known;
  return nullptr;
}

const FileDType* find_dtype(DType dtype) {
  for (const FileDType& known : kDTypes)
    if (known.dtype == dtype) return &known;
  return nullptr;
}

// Reads the header as it is parsed: no document tree is built, so a hostile header costs no more
// memory than its entries, and nothing nests deeper than the format does.
class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, size_t, std::less<>> by_name;
  std::map<std::string, std::string> metadata;

  bool null() override { return other("null"); }
  bool boolean(bool) override { return other("a boolean"); }
  bool number_integer(number_integer_t) override { return other("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return other("a fraction"); }
  bool binary(binary_t&) override { return other("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::shape) {
      if (value > INT64_MAX) fail("has a size that does not fit in 63 bits");
      entries.back().shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (place_ != Place::offsets) return other("a number");
    if (offsets_ == 2) fail("has more than two data_offsets");
    (offsets_++ == 0 ? entries.back().begin : entries.back().end) = value;
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      if (!metadata.emplace(key_, std::move(value)).second)
        throw_error(fmt::format("its metadata has '{}' twice", key_));
      return true;
    }
    if (place_ == Place::tensor && key_ == "dtype") {
      entries.back().dtype = std::move(value);
      return true;
    }
    return other("text");
  }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::start: place_ = Place::top; return true;
      case Place::top:
        if (key_ == kMetadata) {
          if (seen_metadata_) throw_error("its header has __metadata__ twice");
          seen_metadata_ = true;
          place_ = Place::metadata;
        } else {
          if (!by_name.emplace(key_, entries.size()).second)
            throw_error(fmt::format("its header has the tensor '{}' twice", key_));
          entries.push_back({.name = key_});
          seen_ = {};
          place_ = Place::tensor;
        }
        return true;
      default: return start_other("an object");
    }
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (place_ == Place::tensor) {
      for (int i = 0; i < 3; ++i) {
        if (key_ != kFields[i]) continue;
        if (seen_[i]) fail(fmt::format("has '{}' twice", key_));
        seen_[i] = true;
      }
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::ignored) return end_other();
    if (place_ == Place::tensor) {
      for (int i = 0; i < 3; ++i)
        if (!seen_[i]) fail(fmt::format("has no '{}'", kFields[i]));
    }
    place_ = place_ == Place::top ? Place::end : Place::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::tensor && key_ == "shape") {
      place_ = Place::shape;
    } else if (place_ == Place::tensor && key_ == "data_offsets") {
      place_ = Place::offsets;
      offsets_ = 0;
    } else {
      return start_other("a list");
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::ignored) return end_other();
    if (place_ == Place::offsets && offsets_ != 2) fail("has fewer than two data_offsets");
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    throw_error(fmt::format("its header is not JSON at byte {} of it; is it a safetensors file?",
                            position));
  }

 private:
  static constexpr std::string_view kFields[] = {"dtype", "shape", "data_offsets"};
  enum class Place { start, top, metadata, tensor, shape, offsets, ignored, end };

  [[noreturn]] void fail(std::string_view what) {
    throw_error(fmt::format("tensor '{}' {}", entries.back().name, what));
  }

  bool is_unknown_field() const {
    return place_ == Place::tensor &&
           std::find(std::begin(kFields), std::end(kFields), key_) == std::end(kFields);
  }

  // A value where the format has another kind; the reference skips fields that it does not know.
  bool other(std::string_view kind) {
    if (place_ == Place::ignored || is_unknown_field()) return true;
    if (place_ == Place::start)
      throw_error(fmt::format("its header is {}, not a JSON object of tensors", kind));
    if (place_ == Place::top)
      throw_error(fmt::format("'{}' in its header is {}, not a tensor", key_, kind));
    if (place_ == Place::metadata)
      throw_error(fmt::format("'{}' in its metadata is {}, not text", key_, kind));
    fail(fmt::format("has {} in its {}", kind, key_));
  }
  bool start_other(std::string_view kind) {
    if (place_ != Place::ignored && !is_unknown_field()) return other(kind);
    place_ = Place::ignored;
    ++ignored_depth_;
    return true;
  }
  bool end_other() {
    if (--ignored_depth_ == 0) place_ = Place::tensor;
    return true;
  }

  Place place_ = Place::start;
  std::string key_;
  std::array<bool, 3> seen_ = {};  // by kFields
  int offsets_ = 0;
  size_t ignored_depth_ = 0;
  bool seen_metadata_ = false;
};

// Bytes that shape and dtype ask for; empty when that overflows or is no whole number of bytes.
std::optional<uint64_t> size_in_bytes(const SafetensorsEntry& entry, int bits) {
  uint64_t total = 1;
  for (const int64_t size : entry.shape)
    if (__builtin_mul_overflow(total, static_cast<uint64_t>(size), &total)) return std::nullopt;
  if (__builtin_mul_overflow(total, static_cast<uint64_t>(bits), &total)) return std::nullopt;
  if (total % 8 != 0) return std::nullopt;
  return total / 8;
}

void check_entries(const std::vector<SafetensorsEntry>& entries, uint64_t data_bytes) {
  std::vector<const SafetensorsEntry*> sorted;
  for (const SafetensorsEntry& entry : entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  uint64_t expected = 0;
  for (const SafetensorsEntry* entry : sorted) {
    if (entry->begin != expected || entry->end < entry->begin || entry->end > data_bytes)
      throw_error(
          fmt::format("tensor '{}' lies at bytes {} to {} of the data, which has {}; the "
                      "tensor before it ends at {}, and there must be no hole or overlap",
                      entry->name, entry->begin, entry->end, data_bytes, expected));
    expected = entry->end;
    const FileDType* dtype = find_dtype(entry->dtype);
    if (!dtype) continue;  // its size is not known; reading it names the dtype
    const auto bytes = size_in_bytes(*entry, dtype->bits);
    if (!bytes || *bytes != entry->end - entry->begin)
      throw_error(fmt::format("tensor '{}' has {} bytes, which is not its shape ({}) times {}",
                              entry->name, entry->end - entry->begin, fmt::join(entry->shape, ", "),
                              entry->dtype));
  }
  if (expected != data_bytes)
    throw_error(
        fmt::format("its tensors end at byte {} of the data, which has {}; the file is "
                    "damaged or was cut off",
                    expected, data_bytes));
}

std::string header_text(const std::vector<SafetensorsSource>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  // By hand rather than through a Json object, which would sort the tensors by name.
  std::string text = "{";
  const auto quoted = [](std::string_view s) {
    if (first_invalid_utf8(s))
      throw_error(
          fmt::format("[write_safetensors] a name or metadata that starts with '{}' is not UTF-8",
                      s.substr(0, *first_invalid_utf8(s))));
    return Json(s).dump();
  };
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) text += quoted(key) + ":" + quoted(value) + ",";
    text.back() = '}';
    text += ',';
  }
  uint64_t offset = 0;
  for (const SafetensorsSource& tensor : tensors) {
    const uint64_t bytes = static_cast<uint64_t>(tensor.shape.elements()) * size_of(tensor.dtype);
    text += fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}},",
                        quoted(tensor.name), find_dtype(tensor.dtype)->name,
                        to_string(tensor.shape), offset, offset + bytes);
    offset += bytes;
  }
  if (text.size() > 1) text.pop_back();
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  auto bytes = map_file(path);
  if (!bytes) return bytes.error();
  return parse(std::move(bytes).value(), path);
}

Result<SafetensorsFile> SafetensorsFile::parse(SharedBytes bytes, const std::string& name) {
  return read_result(name, [&] {
    ByteReader reader(bytes.bytes());
    const auto header_bytes = reader.little<uint64_t>("safetensors header length");
    if (header_bytes > kMaxHeader)
      throw_error(
          fmt::format("a safetensors header of {} bytes is more than the {} that the "
                      "format allows; is it a safetensors file?",
                      header_bytes, kMaxHeader));
    const std::string_view header = reader.take_text(header_bytes, "safetensors header");
    HeaderReader sax;
    Json::sax_parse(header.begin(), header.end(), &sax);
    SafetensorsFile file;
    file.name_ = name;
    file.data_ = bytes.part(reader.offset(), reader.remaining());
    file.entries_ = std::move(sax.entries);
    file.by_name_ = std::move(sax.by_name);
    file.metadata_ = std::move(sax.metadata);
    check_entries(file.entries_, file.data_.size());
    return file;
  });
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

Result<HostArray> SafetensorsFile::read(std::string_view name) const {
  const SafetensorsEntry* entry = find(name);
  if (!entry)
    return read_error(name_, fmt::format("it has no tensor '{}' among its {}; `cairn inspect` "
                                         "lists them",
                                         name, entries_.size()));
  return read(*entry);
}

Result<HostArray> SafetensorsFile::read(const SafetensorsEntry& entry) const {
  return read_result(name_, [&] {
    const FileDType* known = find_dtype(entry.dtype);
    if (!known || !known->dtype)
      throw_error(
          fmt::format("tensor '{}' has the element type {}, which cairn does not have; "
                      "convert it to another one",
                      entry.name, entry.dtype));
    return view_array(*known->dtype, checked_shape(entry.shape, *known->dtype),
                      data_.part(entry.begin, entry.end - entry.begin));
  });
}

void SafetensorsFile::release_pages(std::string_view name) const {
  if (const SafetensorsEntry* entry = find(name))
    data_.part(entry->begin, entry->end - entry->begin).release_pages();
}

Status write_safetensors(const std::string& path, std::vector<SafetensorsSource> tensors,
                         const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    const auto* rank_a = find_dtype(a.dtype);
    const auto* rank_b = find_dtype(b.dtype);
    return rank_a != rank_b ? rank_a > rank_b : a.name < b.name;
  });
  std::vector<std::string_view> names;
  for (const SafetensorsSource& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end())
    throw_error(fmt::format("[write_safetensors] two tensors are named '{}'", *twice));
  if (std::binary_search(names.begin(), names.end(), kMetadata))
    throw_error("[write_safetensors] '__metadata__' cannot be the name of a tensor");
  const std::string header = header_text(tensors, metadata);
  if (header.size() > kMaxHeader)
    throw_error(
        fmt::format("[write_safetensors] names and metadata take {} bytes; the format "
                    "allows {}",
                    header.size(), kMaxHeader));
  return write_file_atomically(path, [&](FileWriter& writer) -> Status {
    const uint64_t size = header.size();
    writer.write(std::as_bytes(std::span(&size, 1)));
    writer.write(header);
    for (const SafetensorsSource& tensor : tensors) {
      if (writer.failed()) break;
      const HostArray array = tensor.load();
      if (array.dtype() != tensor.dtype || !(array.shape() == tensor.shape))
        throw_error(fmt::format("[write_safetensors] '{}' was announced as {}{} and loaded as {}{}",
                                tensor.name, cairn::name(tensor.dtype), to_string(tensor.shape),
                                cairn::name(array.dtype()), to_string(array.shape())));
      writer.write(bytes_of(array));
    }
    return Nothing{};
  });
}

Status write_safetensors(const std::string& path, std::span<const NamedArray> tensors,
                         const std::map<std::string, std::string>& metadata) {
  std::vector<SafetensorsSource> sources;
  for (const NamedArray& tensor : tensors)
    sources.push_back({tensor.name, tensor.array.dtype(), tensor.array.shape(),
                       [array = tensor.array] { return array; }});
  return write_safetensors(path, std::move(sources), metadata);
}

}  // namespace cairn::io
