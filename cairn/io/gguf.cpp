#include "cairn/io/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace cairn::io {
namespace {

constexpr uint32_t kNewestVersion = 3;
// More keys or tensors than this are no model, and descriptions cost more memory than their bytes
// in the file (up to 10 times, 64 MiB in all).
constexpr uint64_t kMostEntries = uint64_t{1} << 18;
constexpr std::string_view kMagic = "GGUF";
constexpr std::string_view kSplitNumber = "split.no";
constexpr std::string_view kSplitCount = "split.count";
constexpr std::string_view kSplitTensors = "split.tensors.count";

const GgufValue* find_value(const GgufMetadata& metadata, std::string_view key) {
  for (const auto& [name, value] : metadata)
    if (name == key) return &value;
  return nullptr;
}

std::string known_names() {
  std::string names;
  for (const GgufType& type : gguf_types())
    if (type.decodes()) names += (names.empty() ? "" : ", ") + std::string(type.name);
  return names;
}

}  // namespace

// Reads the header of one part. Nothing is allocated by a count: lists grow as their elements are
// read, and each element takes bytes of the file.
class GgufReader {
 public:
  explicit GgufReader(const SharedBytes& bytes) : bytes_(bytes), reader_(bytes.bytes()) {}

  GgufFile::Part read() {
    if (reader_.take_text(4, "magic number") != kMagic)
      throw_error("it does not begin with 'GGUF', so it is no GGUF file");
    part_.file_bytes = bytes_.size();
    part_.version = reader_.little<uint32_t>("version");
    if (part_.version > 0xffff) {
      part_.version = byte_swapped(part_.version);
      part_.big_endian = true;
    }
    if (part_.version < 1 || part_.version > kNewestVersion)
      throw_error(
          fmt::format("it is of GGUF version {}; versions 1 to {} are known, and a newer "
                      "cairn may know more",
                      part_.version, kNewestVersion));
    const uint64_t tensors = length("number of tensors");
    const uint64_t keys = length("number of metadata keys");
    // The least that a key (length, kind, one byte) and a tensor (length, rank, type, offset) take.
    check_count(keys, length_bytes() + 5, "metadata keys");
    for (uint64_t i = 0; i < keys; ++i) read_pair(i);
    check_count(tensors, length_bytes() + 16, "tensors");
    for (uint64_t i = 0; i < tensors; ++i) read_tensor(i);
    place_data();
    return std::move(part_);
  }

 private:
  template <class T>
  T integer(std::string_view what) {
    return part_.big_endian ? reader_.big<T>(what) : reader_.little<T>(what);
  }
  size_t length_bytes() const { return part_.version == 1 ? 4 : 8; }
  uint64_t length(std::string_view what) {
    return part_.version == 1 ? integer<uint32_t>(what) : integer<uint64_t>(what);
  }
  std::string_view text(const std::string& what) {
    const uint64_t size = length(fmt::format("length of {}", what));
    return reader_.take_text(size, what);
  }
  void check_count(uint64_t count, size_t least, std::string_view what) {
    if (count > kMostEntries)
      throw_error(fmt::format("it says that it has {} {}; cairn reads at most {}", count, what,
                              kMostEntries));
    if (count > reader_.remaining() / least)
      throw_error(fmt::format(
          "it says that it has {} {}, and the {} bytes from byte {} on hold at "
          "most {}; the file is damaged or was cut off",
          count, what, reader_.remaining(), reader_.offset(), reader_.remaining() / least));
  }
  static void check_utf8(std::string_view name, std::string_view what, size_t offset) {
    if (name.empty() || first_invalid_utf8(name))
      throw_error(fmt::format("the name of {} before byte {} is {}", what, offset,
                              name.empty() ? "empty" : "not UTF-8"));
  }

  void read_pair(uint64_t i) {
    const std::string key(text(fmt::format("metadata key {}", i)));
    check_utf8(key, fmt::format("metadata key {}", i), reader_.offset());
    if (!keys_.emplace(key, i).second)
      throw_error(fmt::format("its metadata has the key '{}' twice", key));
    const GgufKind kind = read_kind(key);
    part_.metadata.emplace_back(
        key, kind == GgufKind::array ? read_array(key) : read_value(key, kind, false, 1));
  }

  GgufKind read_kind(const std::string& key) {
    const size_t offset = reader_.offset();
    const auto kind = integer<uint32_t>(fmt::format("kind of key '{}'", key));
    if (kind >= kGgufKindCount)
      throw_error(fmt::format("key '{}' has the kind {} at byte {}; kinds are 0 to {}", key, kind,
                              offset, kGgufKindCount - 1));
    return static_cast<GgufKind>(kind);
  }

  GgufValue read_array(const std::string& key) {
    const GgufKind kind = read_kind(key);
    if (kind == GgufKind::array)
      throw_error(fmt::format("key '{}' holds an array of arrays, which cairn does not read", key));
    const uint64_t count = length(fmt::format("length of the array of key '{}'", key));
    const size_t least = kind == GgufKind::text ? length_bytes() : size_of(kind);
    if (count > reader_.remaining() / least)
      throw_error(
          fmt::format("key '{}' says that its array has {} elements of {} bytes or more; {} "
                      "bytes are left from byte {} on",
                      key, count, least, reader_.remaining(), reader_.offset()));
    return read_value(key, kind, true, count);
  }

  GgufValue read_value(const std::string& key, GgufKind kind, bool is_array, uint64_t count) {
    const std::string what = fmt::format("value of key '{}'", key);
    if (kind == GgufKind::text) return read_texts(what, is_array, count);
    const size_t size = size_of(kind);
    const size_t begin = reader_.offset();
    const auto bytes = reader_.take(count * size, what);  // count * size is below the file's size
    if (kind == GgufKind::b8)
      for (const std::byte b : bytes)
        if (b > std::byte{1})
          throw_error(fmt::format("key '{}' holds a bool that is {}, neither 0 nor 1", key,
                                  static_cast<int>(b)));
    if (!part_.big_endian || size == 1) return {kind, is_array, count, part_of(begin)};
    std::string swapped(bytes.size(), '\0');
    swap_elements(bytes, reinterpret_cast<std::byte*>(swapped.data()), size);
    return {kind, is_array, count, SharedBytes(std::move(swapped))};
  }

  GgufValue read_texts(const std::string& what, bool is_array, uint64_t count) {
    if (!is_array) {
      const uint64_t size = length(what);
      const size_t begin = reader_.offset();
      reader_.take(size, what);
      return {GgufKind::text, false, 1, part_of(begin)};
    }
    const size_t begin = reader_.offset();
    const bool as_version_3 = part_.version > 1 && !part_.big_endian;
    std::string again;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t size = length(what);
      const std::string_view element = reader_.take_text(size, what);
      if (as_version_3) continue;
      again.append(reinterpret_cast<const char*>(&size), sizeof(size));
      again += element;
    }
    return {GgufKind::text, true, count,
            as_version_3 ? part_of(begin) : SharedBytes(std::move(again))};
  }

  // What has been read since `begin`.
  SharedBytes part_of(size_t begin) const { return bytes_.part(begin, reader_.offset() - begin); }

  void read_tensor(uint64_t i) {
    GgufEntry entry;
    entry.name = text(fmt::format("name of tensor {}", i));
    check_utf8(entry.name, fmt::format("tensor {}", i), reader_.offset());
    const std::string what = fmt::format("description of tensor '{}'", entry.name);
    const auto rank = integer<uint32_t>(what);
    if (rank > kMaxRank)
      throw_error(fmt::format("tensor '{}' has {} dimensions; cairn's tensors have at most {}",
                              entry.name, rank, kMaxRank));
    for (uint32_t k = 0; k < rank; ++k) {
      const uint64_t size = length(what);
      if (size > INT64_MAX)
        throw_error(fmt::format("tensor '{}' has a size that does not fit in 63 bits", entry.name));
      entry.shape.push_back(static_cast<int64_t>(size));
    }
    std::reverse(entry.shape.begin(), entry.shape.end());
    const size_t offset = reader_.offset();
    const auto id = integer<uint32_t>(what);
    entry.type = find_gguf_type(id);
    if (!entry.type)
      throw_error(
          fmt::format("tensor '{}' has the element type {} at byte {}, which cairn does not "
                      "know; those that it reads: {}",
                      entry.name, id, offset, known_names()));
    if (!entry.type->divides_rows(entry.shape))
      throw_error(fmt::format(
          "tensor '{}' of shape ({}) has rows that the blocks of {} elements of "
          "{} do not divide",
          entry.name, fmt::join(entry.shape, ", "), entry.type->block_elements, entry.type->name));
    const auto bytes = entry.type->bytes(entry.shape);
    if (!bytes)
      throw_error(
          fmt::format("tensor '{}' of shape ({}) and type {} has more bytes than 63 bits "
                      "count",
                      entry.name, fmt::join(entry.shape, ", "), entry.type->name));
    entry.bytes = *bytes;
    entry.offset = integer<uint64_t>(what);
    part_.entries.push_back(std::move(entry));
  }

  void place_data() {
    const uint64_t alignment = gguf_alignment(part_.metadata);
    // A file without tensors need not be padded.
    const uint64_t begin = std::min<uint64_t>(
        (reader_.offset() + alignment - 1) / alignment * alignment, bytes_.size());
    part_.data = bytes_.part(begin, bytes_.size() - begin);
    const uint64_t size = part_.data.size();
    std::vector<const GgufEntry*> sorted;
    for (const GgufEntry& entry : part_.entries) {
      if (entry.offset % alignment != 0)
        throw_error(
            fmt::format("tensor '{}' begins at byte {} of the data, which is no multiple of "
                        "the alignment {}",
                        entry.name, entry.offset, alignment));
      if (entry.offset > size || entry.bytes > size - entry.offset)
        throw_error(
            fmt::format("tensor '{}' has {} bytes from byte {} of the data on, which has {}; "
                        "the file is damaged or was cut off",
                        entry.name, entry.bytes, entry.offset, size));
      if (entry.bytes > 0) sorted.push_back(&entry);
    }
    std::sort(sorted.begin(), sorted.end(),
              [](const auto* a, const auto* b) { return a->offset < b->offset; });
    for (size_t i = 1; i < sorted.size(); ++i)
      if (sorted[i]->offset < sorted[i - 1]->offset + sorted[i - 1]->bytes)
        throw_error(
            fmt::format("tensor '{}' begins at byte {} of the data, inside of '{}', which "
                        "ends at {}",
                        sorted[i]->name, sorted[i]->offset, sorted[i - 1]->name,
                        sorted[i - 1]->offset + sorted[i - 1]->bytes));
  }

  SharedBytes bytes_;
  ByteReader reader_;
  GgufFile::Part part_;
  std::map<std::string, uint64_t, std::less<>> keys_;
};

namespace {

// Where the parts of a split model lie: "NAME-00002-of-00003.gguf" is part 1 of 3.
struct SplitName {
  std::string stem;
  uint64_t number, count;

  std::string part(uint64_t i) const {
    return fmt::format("{}-{:05}-of-{:05}.gguf", stem, i + 1, count);
  }
  static std::optional<SplitName> parse(const std::string& path) {
    constexpr std::string_view kPattern = "-00000-of-00000.gguf";
    if (path.size() <= kPattern.size()) return std::nullopt;
    const std::string_view tail = std::string_view(path).substr(path.size() - kPattern.size());
    uint64_t numbers[2] = {};
    for (size_t i = 0, n = 0; i < kPattern.size(); ++i) {
      if (kPattern[i] != '0') {
        if (tail[i] != kPattern[i]) return std::nullopt;
        if (i > 0 && kPattern[i - 1] == '0') ++n;
      } else {
        if (tail[i] < '0' || tail[i] > '9') return std::nullopt;
        numbers[n] = 10 * numbers[n] + static_cast<uint64_t>(tail[i] - '0');
      }
    }
    if (numbers[0] < 1 || numbers[0] > numbers[1]) return std::nullopt;
    return SplitName{path.substr(0, path.size() - kPattern.size()), numbers[0] - 1, numbers[1]};
  }
};

int64_t integer_of(const GgufMetadata& metadata, std::string_view key, int64_t otherwise) {
  const GgufValue* value = find_value(metadata, key);
  return value ? value->integer().value_or(otherwise) : otherwise;
}

}  // namespace

void GgufFile::add_part(Part part) {
  for (GgufEntry& entry : part.entries) {
    entry.part = parts_.size();
    if (!by_name_.emplace(entry.name, entries_.size()).second)
      throw_error(fmt::format("it has the tensor '{}' twice", entry.name));
    entries_.push_back(std::move(entry));
  }
  part.entries.clear();
  parts_.push_back(std::move(part));
}

Result<GgufFile> GgufFile::parse(SharedBytes bytes, const std::string& name) {
  return read_result(name, [&] {
    Part part = GgufReader(bytes).read();
    part.name = name;
    GgufFile file;
    file.add_part(std::move(part));
    return file;
  });
}

Result<GgufFile> GgufFile::open(const std::string& path) {
  auto bytes = map_file(path);
  if (!bytes) return bytes.error();
  auto one = parse(std::move(bytes).value(), path);
  if (!one) return one;
  const int64_t count = integer_of(one.value().metadata(), kSplitCount, 1);
  if (count <= 1) return one;

  const auto names = SplitName::parse(path);
  if (!names || static_cast<int64_t>(names->count) != count)
    return read_error(path, fmt::format("it is one of {} parts ({}), and its name does not end in "
                                        "'-00001-of-{:05}.gguf', by which the others are found; "
                                        "give all parts their names back",
                                        count, kSplitCount, count));
  GgufFile file;
  for (uint64_t i = 0; i < names->count; ++i) {
    const std::string name = names->part(i);
    auto part_bytes = map_file(name);
    if (!part_bytes) return part_bytes.error();
    auto part = parse(std::move(part_bytes).value(), name);
    if (!part) return part;
    Part& header = part.value().parts_[0];
    const int64_t number = integer_of(header.metadata, kSplitNumber, -1);
    const int64_t parts = integer_of(header.metadata, kSplitCount, -1);
    if (number != static_cast<int64_t>(i) || parts != count)
      return read_error(name,
                        fmt::format("it should be part {} of {}, and says that it is part {} "
                                    "of {} ({} from 0, {})",
                                    i + 1, count, number + 1, parts, kSplitNumber, kSplitCount));
    header.entries = std::move(part.value().entries_);
    auto added = read_result(name, [&] {
      file.add_part(std::move(header));
      return Nothing{};
    });
    if (!added) return added.error();
  }
  const auto tensors = static_cast<int64_t>(file.entries_.size());
  const int64_t expected = integer_of(file.metadata(), kSplitTensors, tensors);
  if (expected != tensors)
    return read_error(path, fmt::format("its {} parts have {} tensors, and should have {} ({})",
                                        count, tensors, expected, kSplitTensors));
  return file;
}

uint64_t gguf_alignment(const GgufMetadata& metadata) {
  constexpr uint64_t kDefault = 32;
  const GgufValue* value = find_value(metadata, kGgufAlignment);
  if (!value) return kDefault;
  const int64_t alignment = value->integer().value_or(0);
  if (alignment <= 0 || alignment > UINT32_MAX ||
      !std::has_single_bit(static_cast<uint64_t>(alignment)))
    throw_error(fmt::format("the key '{}' must be a power of two below 2^32, and is {}",
                            kGgufAlignment,
                            value->integer() ? fmt::to_string(alignment) : name(value->kind())));
  return static_cast<uint64_t>(alignment);
}

uint64_t GgufFile::file_bytes() const {
  uint64_t sum = 0;
  for (const Part& part : parts_) sum += part.file_bytes;
  return sum;
}

const GgufValue* GgufFile::find(std::string_view key) const { return find_value(metadata(), key); }

const GgufEntry* GgufFile::tensor(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

Result<HostArray> GgufFile::read(std::string_view name) const {
  const GgufEntry* entry = tensor(name);
  if (!entry)
    return read_error(parts_[0].name,
                      fmt::format("it has no tensor '{}' among its {}; `cairn inspect` lists them",
                                  name, entries_.size()));
  return read(*entry);
}

void GgufFile::release_pages(const GgufEntry& entry) const {
  parts_[entry.part].data.part(entry.offset, entry.bytes).release_pages();
}

Result<HostArray> GgufFile::read(const GgufEntry& entry) const {
  const Part& part = parts_[entry.part];
  return read_result(part.name, [&] {
    const GgufType& type = *entry.type;
    if (!type.decodes())
      throw_error(
          fmt::format("tensor '{}' has the element type {}, which cairn does not decode; "
                      "those that it does: {}",
                      entry.name, type.name, known_names()));
    std::vector<int64_t> shape = entry.shape;
    const SharedBytes bytes = part.data.part(entry.offset, entry.bytes);
    if (const BlockFormat* format = type.block_format()) {
      if (part.big_endian)
        throw_error(
            fmt::format("tensor '{}' has blocks of {} in big-endian order, which cairn does "
                        "not read; make the file little-endian with the gguf package's "
                        "gguf-convert-endian",
                        entry.name, type.name));
      shape.back() = shape.back() / format->block_elements * format->block_bytes;
      return view_array(DType::u8, checked_shape(shape, DType::u8), bytes);
    }
    const Shape checked = checked_shape(shape, *type.dtype);
    if (!part.big_endian || type.block_bytes == 1) return view_array(*type.dtype, checked, bytes);
    HostArray array(*type.dtype, checked);
    swap_elements(bytes.bytes(), static_cast<std::byte*>(array.mutable_data()),
                  static_cast<size_t>(type.block_bytes));
    return array;
  });
}

}  // namespace cairn::io
