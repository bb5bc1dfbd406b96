// GGUF files: metadata, tensors, bytes by type.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "apps/cairn/inspect.h"
#include "cairn/io/gguf.h"
#include "cairn/models/gguf_families.h"

namespace cairn::app {
namespace {

// Arrays of vocabularies have 100,000 elements; of those as many as these are shown.
constexpr uint64_t kFew = 8;

std::string lower(std::string_view word) {
  std::string text(word);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

Json number_json(const io::GgufValue& value, uint64_t i) {
  if (value.kind() == io::GgufKind::b8) return value.number_at(i) != 0;
  if (const auto integer = value.integer_at(i)) return *integer;
  if (value.kind() != io::GgufKind::u64) return value.number_at(i);
  uint64_t beyond;
  std::memcpy(&beyond, value.bytes().data() + i * sizeof(beyond), sizeof(beyond));
  return beyond;
}

// A short array as a list, a long one as what it is and how it begins.
Json to_json(const io::GgufValue& value) {
  if (const auto text = value.text()) return std::string(*text);
  if (!value.is_array()) return number_json(value, 0);
  Json list = Json::array();
  const uint64_t shown = value.count() <= 4 * kFew ? value.count() : kFew;
  if (value.kind() == io::GgufKind::text) {
    for (const std::string_view text : value.texts(shown)) list.push_back(std::string(text));
  } else {
    for (uint64_t i = 0; i < shown; ++i) list.push_back(number_json(value, i));
  }
  if (shown == value.count()) return list;
  return {{"array", io::name(value.kind())}, {"count", value.count()}, {"first", list}};
}

// Keys and values of one token in f32, where the metadata says how wide they are.
std::optional<uint64_t> cache_bytes(const io::GgufFile& file, const std::string& family) {
  const auto find = [&](const char* key) -> std::optional<int64_t> {
    const io::GgufValue* value = file.find(fmt::format("{}.{}", family, key));
    return value ? value->integer() : std::nullopt;
  };
  const auto layers = find("block_count"), width = find("embedding_length");
  const auto heads = find("attention.head_count");
  if (!layers || !width || !heads || *heads <= 0) return std::nullopt;
  const int64_t kv_heads = find("attention.head_count_kv").value_or(*heads);
  const int64_t key_width = find("attention.key_length").value_or(*width / *heads);
  const int64_t value_width = find("attention.value_length").value_or(*width / *heads);
  // Numbers of a damaged file: none of a model is beyond a million.
  constexpr int64_t kMost = 1'000'000;
  for (const int64_t n : {*layers, kv_heads, key_width, value_width})
    if (n < 0 || n > kMost) return std::nullopt;
  return static_cast<uint64_t>(4 * *layers) *
         static_cast<uint64_t>(kv_heads * (key_width + value_width));
}

}  // namespace

Subject open_gguf(const std::string& path) {
  const auto file = std::make_shared<io::GgufFile>(io::GgufFile::open(path).value());
  Subject subject;
  subject.kind = "gguf";
  uint64_t tensor_bytes = 0;
  std::map<std::string, uint64_t> by_type;
  for (const io::GgufEntry& entry : file->entries()) {
    const std::string dtype = lower(entry.type->name);
    subject.tensors.push_back({entry.name, dtype, entry.shape, entry.bytes});
    subject.parameters += std::max<int64_t>(checked_elements(entry.shape), 0);
    tensor_bytes += entry.bytes;
    by_type[dtype] += entry.bytes;
  }
  for (const auto& [key, value] : file->metadata()) subject.metadata[key] = to_json(value);
  if (const io::GgufValue* family = file->find("general.architecture"); family && family->text())
    subject.family = std::string(*family->text());
  const auto config = parse_gguf_config(*file);
  subject.metadata["runs"] = config.ok();
  if (!config) subject.metadata["why_not"] = config.error().what();
  subject.metadata["gguf.version"] = file->version();
  if (file->big_endian()) subject.metadata["gguf.big_endian"] = true;
  if (file->parts() > 1) subject.metadata["gguf.parts"] = file->parts();
  subject.memory = {{"file_bytes", file->file_bytes()},
                    {"tensor_bytes", tensor_bytes},
                    {"f32_bytes", 4 * static_cast<uint64_t>(subject.parameters)}};
  for (const auto& [dtype, bytes] : by_type) subject.memory["bytes_by_type"][dtype] = bytes;
  if (subject.family)
    if (const auto bytes = cache_bytes(*file, *subject.family))
      subject.memory["kv_cache_bytes_per_token"] = *bytes;
  subject.read = [file](const TensorEntry& tensor) { return file->read(tensor.name).value(); };
  return subject;
}

}  // namespace cairn::app
