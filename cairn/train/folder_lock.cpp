#include "cairn/train/folder_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cairn {

Result<FolderLock> FolderLock::take(const std::filesystem::path& folder) {
  const std::string path = (folder / ".lock").string();
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) return Error(fmt::format("cannot make '{}': {}", path, std::strerror(errno)));
  const bool locked = ::flock(file, LOCK_EX | LOCK_NB) == 0;
  const int reason = errno;
  // A run that failed removes its lock: one on a file that is no longer there holds nobody off.
  struct stat own{}, there{};
  if (locked && ::fstat(file, &own) == 0 && ::stat(path.c_str(), &there) == 0 &&
      own.st_ino == there.st_ino)
    return FolderLock(file);
  if (locked) {
    ::close(file);
    return take(folder);
  }
  ::close(file);
  if (reason == EWOULDBLOCK)
    return Error(fmt::format("another run is at work in '{}'; wait for it, or take another --out",
                             folder.string()));
  return Error(fmt::format("cannot lock '{}': {}", path, std::strerror(reason)));
}

FolderLock::~FolderLock() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace cairn
