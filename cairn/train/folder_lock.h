// One run at a time in a folder: two would take each other's checkpoints for leftovers.
#pragma once

#include <filesystem>
#include <utility>

#include "cairn/base/error.h"

namespace cairn {

class FolderLock {
 public:
  // Makes FOLDER/.lock and holds it until destruction or the end of the process, however that comes
  // about. The Error says that another process holds it.
  static Result<FolderLock> take(const std::filesystem::path& folder);
  FolderLock(FolderLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int file) : file_(file) {}
  int file_;
};

}  // namespace cairn
