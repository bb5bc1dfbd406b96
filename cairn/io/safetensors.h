// safetensors: tensors by name in one file, mapped and viewed in place.
//
// Format (github.com/huggingface/safetensors): u64 little-endian length N of the header, N bytes of
// JSON {"name": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {string:
// string}}, then the data, which offsets count from. As in the reference reader, the tensors'
// ranges follow each other without holes or overlap and end where the file ends, and N is at most
// 100,000,000.
//
// Written files have the bytes that the reference writer gives (tensors by descending dtype, then
// by name; header padded with spaces to 8 bytes), with metadata sorted by key: each tensor starts
// at a multiple of its element size, and equal tensors give equal files.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cairn/io/bytes.h"
#include "cairn/io/tensor_file.h"

namespace cairn::io {

// What the header says of a tensor.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;           // as in the file: "F32", or one that cairn does not have: "U64"
  std::vector<int64_t> shape;  // any number of sizes, none negative
  uint64_t begin = 0;          // offsets into the data
  uint64_t end = 0;
};

class SafetensorsFile : public TensorFile {
 public:
  // Maps the file and checks the whole header; tensors' bytes are not read.
  static Result<SafetensorsFile> open(const std::string& path);
  // The same for bytes that are already there; `name` is for error texts.
  static Result<SafetensorsFile> parse(SharedBytes bytes, const std::string& name);

  // In the order of the header.
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Null when there is no such tensor.
  const SafetensorsEntry* find(std::string_view name) const;
  bool has(std::string_view name) const override { return find(name) != nullptr; }
  // A view of the file's bytes. An error when the name is unknown, or when cairn has no such
  // dtype (U16, U64, F4, ...) or rank.
  Result<HostArray> read(std::string_view name) const override;
  Result<HostArray> read(const SafetensorsEntry& entry) const;
  void release_pages(std::string_view name) const override;

 private:
  std::string name_;
  SharedBytes data_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, size_t, std::less<>> by_name_;
  std::map<std::string, std::string> metadata_;
};

// A tensor to write: `load` is called once, when its turn comes, and its result dropped once
// written, so the tensors need not all be in memory. It returns this dtype and shape.
struct SafetensorsSource {
  std::string name;
  DType dtype;
  Shape shape;
  std::function<HostArray()> load;
};

// Writes atomically. Throws Error on a mistake in the list: a name twice, the reserved name
// "__metadata__", text that is not UTF-8, a `load` that returns something else than it said.
Status write_safetensors(const std::string& path, std::vector<SafetensorsSource> tensors,
                         const std::map<std::string, std::string>& metadata = {});
Status write_safetensors(const std::string& path, std::span<const NamedArray> tensors,
                         const std::map<std::string, std::string>& metadata = {});

}  // namespace cairn::io
