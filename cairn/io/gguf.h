// GGUF: metadata and tensors of a language model in one file or several, mapped and viewed in
// place.
//
// Format (github.com/ggml-org/ggml, docs/gguf.md): "GGUF", version, counts, metadata (key, kind,
// value), tensors (name, sizes with the fastest first, type, offset), padding to the alignment,
// data. Versions 1 (lengths of 32 bits), 2 and 3 in both byte orders, but blocks of quantized
// numbers only little-endian. A model in parts ("NAME-00001-of-00003.gguf", key split.count) is
// opened by the name of any of them. Writing gives version 3, little-endian.
//
// Stricter than the format: no key and no tensor twice, no arrays of arrays (nobody writes them),
// no tensor over another.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cairn/io/bytes.h"
#include "cairn/io/gguf_types.h"
#include "cairn/io/gguf_value.h"

namespace cairn::io {

using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;

struct GgufEntry {
  std::string name;
  const GgufType* type = nullptr;
  std::vector<int64_t> shape;  // in cairn's order: the last size is the fastest
  uint64_t offset = 0;         // into the data of its part
  uint64_t bytes = 0;
  size_t part = 0;
};

class GgufFile {
 public:
  // Maps the file, and the other parts where it is one of several, and checks all headers; tensors'
  // bytes are not read.
  static Result<GgufFile> open(const std::string& path);
  // One part alone, of bytes that are already there; `name` is for error texts.
  static Result<GgufFile> parse(SharedBytes bytes, const std::string& name);

  uint32_t version() const { return parts_[0].version; }
  bool big_endian() const { return parts_[0].big_endian; }
  size_t parts() const { return parts_.size(); }
  uint64_t file_bytes() const;

  // Of the first part, in the order of the file.
  const GgufMetadata& metadata() const { return parts_[0].metadata; }
  // Null when there is no such key.
  const GgufValue* find(std::string_view key) const;

  // Of all parts, in the order of the files.
  const std::vector<GgufEntry>& entries() const { return entries_; }
  // Null when there is no such tensor.
  const GgufEntry* tensor(std::string_view name) const;

  // A view of the file's bytes: a plain type as its elements, a block type as u8[..., bytes of a
  // row]. An error when cairn does not have the type, or the byte order.
  Result<HostArray> read(const GgufEntry& entry) const;
  // The same by name; an error when there is none.
  Result<HostArray> read(std::string_view name) const;
  // Gives back the memory of a tensor's pages, which are read again when they are touched.
  void release_pages(const GgufEntry& entry) const;

 private:
  struct Part {
    std::string name;
    uint32_t version = 0;
    bool big_endian = false;
    GgufMetadata metadata;
    std::vector<GgufEntry> entries;
    SharedBytes data;
    uint64_t file_bytes = 0;
  };
  friend class GgufReader;
  void add_part(Part part);

  std::vector<Part> parts_;
  std::vector<GgufEntry> entries_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

// A tensor to write: `load` is called once, when its turn comes, and gives the bytes of the rows.
struct GgufSource {
  std::string name;
  const GgufType* type;
  std::vector<int64_t> shape;  // in cairn's order
  std::function<SharedBytes()> load;
};

inline constexpr std::string_view kGgufAlignment = "general.alignment";
// What that key says, or 32. Throws Error for a value that is no power of two.
uint64_t gguf_alignment(const GgufMetadata& metadata);

// Writes atomically, tensors in the order given, aligned as general.alignment says (32). Throws
// Error on a mistake in the lists: a name twice, a row that the block does not divide, a `load`
// that returns another number of bytes than type and shape ask for.
Status write_gguf(const std::string& path, const GgufMetadata& metadata,
                  const std::vector<GgufSource>& tensors);

}  // namespace cairn::io
