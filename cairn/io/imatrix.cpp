#include "cairn/io/imatrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cairn/io/gguf.h"

namespace cairn::io {
namespace {

constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";

void add(ImportanceMatrix& matrix, std::string name, std::vector<float> values) {
  for (const float value : values)
    if (!(value >= 0) || std::isinf(value))
      throw_error(
          fmt::format("it has {} as importance in '{}'; a mean of squares is not negative "
                      "and finite",
                      value, name));
  if (!matrix.emplace(name, std::move(values)).second)
    throw_error(fmt::format("it has '{}' twice", name));
}

HostArray read_f32(const GgufFile& file, std::string_view name) {
  HostArray array = file.read(name).value();
  if (array.dtype() != DType::f32)
    throw_error(fmt::format("tensor '{}' is {}, not f32", name, cairn::name(array.dtype())));
  return array;
}

ImportanceMatrix from_gguf(const GgufFile& file) {
  ImportanceMatrix matrix;
  for (const GgufEntry& entry : file.entries()) {
    if (!entry.name.ends_with(kSums)) continue;
    const std::string name = entry.name.substr(0, entry.name.size() - kSums.size());
    const HostArray sums = read_f32(file, entry.name);
    const HostArray counts = read_f32(file, name + std::string(kCounts));
    const int64_t experts = counts.elements();
    if (experts < 1 || sums.elements() % experts != 0)
      throw_error(fmt::format("'{}' has {} sums for {} counts; each count is for as many sums",
                              name, sums.elements(), experts));
    const auto columns = static_cast<size_t>(sums.elements() / experts);
    std::vector<float> values(sums.span<float>().begin(), sums.span<float>().end());
    for (size_t i = 0; i < values.size(); ++i) {
      const float count = counts.span<float>()[i / columns];
      // An expert that no text has reached: all its columns matter alike.
      values[i] = count > 0 ? values[i] / count : 1.0f;
    }
    add(matrix, name, std::move(values));
  }
  if (matrix.empty())
    throw_error(fmt::format("it has no tensor '*{}', so it is no importance matrix", kSums));
  return matrix;
}

ImportanceMatrix from_old_form(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const auto positive = [&reader](const std::string& what) {
    const auto number = reader.little<int32_t>(what);
    if (number < 1)
      throw_error(
          fmt::format("its {} before byte {} is {}, where at least 1 is expected; is it an "
                      "importance matrix?",
                      what, reader.offset(), number));
    return static_cast<uint64_t>(number);
  };
  ImportanceMatrix matrix;
  const uint64_t entries = positive("number of entries");
  for (uint64_t i = 0; i < entries; ++i) {
    const std::string which = fmt::format("of entry {}", i);
    const uint64_t length = positive("length of the name " + which);
    std::string name(reader.take_text(length, "name " + which));
    const auto calls = reader.little<int32_t>("number of calls " + which);
    const uint64_t count = positive("number of values " + which);
    const auto text = reader.take(count * sizeof(float), "values " + which);
    std::vector<float> values(count);
    std::memcpy(values.data(), text.data(), text.size());
    if (calls > 0)
      for (float& value : values) value /= static_cast<float>(calls);
    add(matrix, std::move(name), std::move(values));
  }
  return matrix;  // what may follow, a name of the text, is not needed
}

}  // namespace

Result<ImportanceMatrix> parse_imatrix(SharedBytes bytes, const std::string& name) {
  if (!bytes.text().starts_with("GGUF"))
    return read_result(name, [&] { return from_old_form(bytes.bytes()); });
  auto file = GgufFile::parse(std::move(bytes), name);
  if (!file) return file.error();
  return read_result(name, [&] { return from_gguf(file.value()); });
}

Result<ImportanceMatrix> read_imatrix(const std::string& path) {
  auto bytes = map_file(path);
  if (!bytes) return bytes.error();
  return parse_imatrix(std::move(bytes).value(), path);
}

Status write_imatrix(const std::string& path, const ImportanceMatrix& matrix,
                     const ImatrixOrigin& origin) {
  const auto window = std::max<int64_t>(origin.window, 1);
  const GgufMetadata metadata = {
      {"general.type", GgufValue::from_text("imatrix")},
      {"imatrix.datasets", GgufValue::from_texts(std::span(&origin.source, 1))},
      {"imatrix.chunk_count",
       GgufValue::from_number(static_cast<uint32_t>(origin.tokens / window))},
      {"imatrix.chunk_size", GgufValue::from_number(static_cast<uint32_t>(window))}};
  const auto count = static_cast<float>(origin.tokens);
  const GgufType* f32 = find_gguf_type("F32");
  const auto bytes_of = [](std::vector<float> values) {
    auto owner = std::make_shared<const std::vector<float>>(std::move(values));
    const auto bytes = std::as_bytes(std::span<const float>(*owner));
    return SharedBytes(std::move(owner), bytes);
  };
  std::vector<GgufSource> sources;
  for (const auto& [name, means] : matrix) {
    sources.push_back(
        {name + std::string(kSums), f32, {std::ssize(means)}, [&means, bytes_of, count] {
           std::vector<float> sums = means;
           for (float& sum : sums) sum *= count;
           return bytes_of(std::move(sums));
         }});
    sources.push_back({name + std::string(kCounts), f32, {1, 1}, [bytes_of, count] {
                         return bytes_of({count});
                       }});
  }
  return write_gguf(path, metadata, sources);
}

}  // namespace cairn::io
