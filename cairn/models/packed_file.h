// A file of packed weights: what was made of a model's weights for a device, to be mapped.
//
// Format: "cairnpw1", u64 bytes of the header, u64 XXH3 of the header, the header, zeros up to a
// multiple of 4096, data. The header is JSON: {"source", "made": see PackedIdentity,
// "tensors": [{"name", "dtype", "shape", "offset", "checksum"}]}; offsets count from the data and
// are multiples of 64, the alignment of buffers. The file ends where the last tensor does.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cairn/base/file.h"
#include "cairn/base/thread_pool.h"
#include "cairn/graph/tensor.h"

namespace cairn {

// What packed weights were made from and how. A file with another one is of no use.
struct PackedIdentity {
  std::string source;  // the model's files
  std::string made;    // formats, layout and device
  friend bool operator==(const PackedIdentity&, const PackedIdentity&) = default;
};

struct PackedTensor {
  std::string name;
  TensorType type;
  SharedBytes bytes;
  uint64_t checksum = 0;
};

class PackedFile {
 public:
  // Maps the file and checks the whole header; tensors' bytes are not read.
  static Result<PackedFile> open(const std::string& path);
  // The same for bytes that are already there; `name` is for error texts.
  static Result<PackedFile> parse(const SharedBytes& bytes, const std::string& name);

  const PackedIdentity& identity() const { return identity_; }
  size_t size() const { return tensors_.size(); }
  // Null where there is none of that name.
  const PackedTensor* find(const std::string& name) const;

 private:
  PackedIdentity identity_;
  std::map<std::string, PackedTensor> tensors_;
};

// Of bytes, over parts of 1 MiB that threads share.
uint64_t packed_checksum(std::span<const std::byte> bytes, ThreadPool& pool);

// Writes atomically; the checksums are made here.
Status write_packed_file(const std::string& path, const PackedIdentity& identity,
                         std::vector<PackedTensor> tensors, ThreadPool& pool);

}  // namespace cairn
