// Compiled kernels on disk, so that the second start of a program compiles nothing.
//
// A file per kernel, named after a hash of all that its machine code follows from: the text of the
// kernel, the instruction set, the processor that the code is scheduled for, and this build's
// compiler (a hash of its sources, and LLVM's version). Any number of processes read and write at
// the same time: a file is written beside and renamed. It is never trusted: magic, length and
// checksum must fit, or it counts as absent and is written again. When the folder grows beyond its
// limit the files that were not used for longest are removed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

class DiskCache {
 public:
  // 256 MiB are some 60,000 kernels.
  static constexpr uint64_t kDefaultLimit = 256 << 20;

  // The folder is made when the first entry is written. An empty path: nothing is kept.
  explicit DiskCache(std::string folder, uint64_t limit = kDefaultLimit);

  // The bytes that were stored for the key, if they are there and whole.
  std::optional<std::string> load(std::string_view key) const;
  // Failures (a full disk, a folder that is not writable) leave the cache as it was and are no
  // error.
  void store(std::string_view key, std::string_view bytes) const;

  const std::string& folder() const { return folder_; }

 private:
  std::string path_of(std::string_view key) const;
  void shrink() const;
  std::string folder_;
  uint64_t limit_;
};

}  // namespace cairn
