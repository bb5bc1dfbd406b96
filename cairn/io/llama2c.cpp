#include "cairn/io/llama2c.h"

#include <fmt/format.h>

namespace cairn::io {
namespace {

constexpr size_t kHeaderBytes = 7 * sizeof(int32_t);
constexpr uint32_t kVersionedMagic = 0x616b3432;  // "ak42"

struct Field {
  const char* name;  // null: bytes that are skipped
  Shape shape;
};

Llama2cConfig read_config(ByteReader& reader) {
  ByteReader magic = reader;
  if (magic.little<uint32_t>("llama2.c header") == kVersionedMagic)
    throw_error("it is a llama2.c checkpoint of version 1 or 2; export it again as version 0");
  Llama2cConfig config;
  for (int32_t* field : {&config.dim, &config.hidden_dim, &config.n_layers, &config.n_heads,
                         &config.n_kv_heads, &config.vocab_size, &config.seq_len})
    *field = reader.little<int32_t>("llama2.c header");
  config.shared_classifier = config.vocab_size > 0;
  if (config.vocab_size < 0 && config.vocab_size != INT32_MIN)
    config.vocab_size = -config.vocab_size;
  const bool positive = config.dim > 0 && config.hidden_dim > 0 && config.n_layers > 0 &&
                        config.n_heads > 0 && config.n_kv_heads > 0 && config.vocab_size > 0 &&
                        config.seq_len > 0;
  if (!positive || config.dim % config.n_heads != 0 || config.head_size() % 2 != 0 ||
      config.n_heads % config.n_kv_heads != 0)
    throw_error(fmt::format(
        "its header (dim {}, hidden {}, layers {}, heads {}, kv heads {}, vocabulary {}, sequence "
        "{}) is not that of a llama2.c checkpoint",
        config.dim, config.hidden_dim, config.n_layers, config.n_heads, config.n_kv_heads,
        config.vocab_size, config.seq_len));
  return config;
}

std::vector<Field> layout(const Llama2cConfig& c) {
  const int64_t layers = c.n_layers, dim = c.dim, hidden = c.hidden_dim;
  std::vector<Field> fields = {{"token_embedding_table", {c.vocab_size, dim}},
                               {"rms_att_weight", {layers, dim}},
                               {"wq", {layers, dim, dim}},
                               {"wk", {layers, c.kv_dim(), dim}},
                               {"wv", {layers, c.kv_dim(), dim}},
                               {"wo", {layers, dim, dim}},
                               {"rms_ffn_weight", {layers, dim}},
                               {"w1", {layers, hidden, dim}},
                               {"w2", {layers, dim, hidden}},
                               {"w3", {layers, hidden, dim}},
                               {"rms_final_weight", {dim}},
                               {nullptr, {2, c.seq_len, c.head_size() / 2}}};
  if (!c.shared_classifier) fields.push_back({"wcls", {c.vocab_size, dim}});
  return fields;
}

// Bytes of a file with this header; throws Error when 63 bits do not count them.
uint64_t file_size(const Llama2cConfig& config) {
  uint64_t size = kHeaderBytes;
  for (const Field& field : layout(config)) {
    const Shape shape = checked_shape(field.shape, DType::f32);
    size += static_cast<uint64_t>(shape.elements()) * sizeof(float);
    if (size > INT64_MAX) throw_error("its header asks for more bytes than 63 bits count");
  }
  return size;
}

}  // namespace

Result<Llama2cFile> Llama2cFile::open(const std::string& path) {
  auto bytes = map_file(path);
  if (!bytes) return bytes.error();
  return parse(std::move(bytes).value(), path);
}

Result<Llama2cFile> Llama2cFile::parse(SharedBytes bytes, const std::string& name) {
  return read_result(name, [&] {
    Llama2cFile file;
    ByteReader reader(bytes.bytes());
    file.config_ = read_config(reader);
    if (const uint64_t size = file_size(file.config_); size != bytes.size())
      throw_error(
          fmt::format("its header asks for {} bytes and it has {}; it is no llama2.c "
                      "checkpoint, is damaged or was cut off",
                      size, bytes.size()));
    for (const Field& field : layout(file.config_)) {
      const size_t offset = reader.offset();
      const size_t size = static_cast<size_t>(field.shape.elements()) * sizeof(float);
      reader.take(size, "tensors");
      if (field.name)
        file.tensors_.push_back(
            {field.name, view_array(DType::f32, field.shape, bytes.part(offset, size))});
    }
    return file;
  });
}

const HostArray& Llama2cFile::tensor(std::string_view name) const {
  for (const NamedArray& tensor : tensors_)
    if (tensor.name == name) return tensor.array;
  throw_error(fmt::format("a llama2.c checkpoint has no tensor '{}'{}", name,
                          name == "wcls" ? "; this one shares token_embedding_table" : ""));
}

bool looks_like_llama2c(std::span<const std::byte> bytes, uint64_t size) {
  try {
    ByteReader reader(bytes);
    return file_size(read_config(reader)) == size;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace cairn::io
