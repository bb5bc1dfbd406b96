#include "cairn/base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace cairn {
namespace {

constexpr size_t kBufferBytes = 1 << 16;

std::string_view advice(int error_number) {
  switch (error_number) {
    case ENOENT: return "check the name, and that its folder exists";
    case ENOTDIR: return "a part of the path is a file, not a folder; check the path";
    case EISDIR: return "it is a folder; name a file in it";
    case EACCES:
    case EPERM: return "check the permissions of the file and its folder";
    case EROFS: return "choose a folder that can be written to";
    case ENOSPC: return "free some space on that disk or choose another folder";
    case EDQUOT: return "your quota there is used up; free some space or choose another folder";
    case EFBIG: return "the file is larger than its limit; raise it with `ulimit -f unlimited`";
    case EMFILE:
    case ENFILE: return "too many files are open; raise the limit with `ulimit -n`";
    case ENOMEM: return "free some memory";
    default: return "check the path and the disk";
  }
}

// Closes on scope exit; `release` hands the descriptor on.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

int open_retrying(const std::string& path, int flags, mode_t mode = 0666) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// 0, or the errno of the first failure. `written` counts what got through in any case.
int write_all(int fd, std::span<const std::byte> bytes, size_t* written = nullptr) {
  size_t done = 0;
  int error_number = 0;
  while (done < bytes.size()) {
    // Linux moves at most 2 GiB a call; asking for 1 GiB keeps clear of that.
    const size_t count = std::min<size_t>(bytes.size() - done, size_t{1} << 30);
    const ssize_t n = ::write(fd, bytes.data() + done, count);
    if (n < 0) {
      if (errno == EINTR) continue;
      error_number = errno;
      break;
    }
    done += static_cast<size_t>(n);
  }
  if (written) *written = done;
  return error_number;
}

int sync_descriptor(int fd) {
  if (::fsync(fd) == 0) return 0;
  // Pipes, some devices and some network folders have nothing to sync.
  return errno == EINVAL || errno == ENOTSUP || errno == EROFS ? 0 : errno;
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// The file that a chain of symbolic links leads to, or `path` itself.
std::string resolve_links(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  if (!real) return path;
  std::string result = real;
  std::free(real);
  return result;
}

Status run_writer(int fd, const std::string& path,
                  const std::function<Status(FileWriter&)>& write) {
  FileWriter writer(fd, path);
  const Status written = write(writer);
  // A failed write of the system is the cause of whatever the callback reports after it.
  if (writer.failed() || written.ok()) return writer.close(true);
  return written;
}

// Removes the temporary file unless it was renamed.
struct TemporaryFile {
  std::string path;
  bool renamed = false;
  ~TemporaryFile() {
    if (!renamed) ::unlink(path.c_str());
  }
};

}  // namespace

SharedBytes::SharedBytes(std::string text) {
  auto block = std::make_shared<const std::string>(std::move(text));
  bytes_ = std::as_bytes(std::span(block->data(), block->size()));
  owner_ = std::move(block);
}

Error file_error(std::string_view action, const std::string& path, int error_number) {
  return Error(fmt::format("cannot {} '{}': {}; {}", action, path, std::strerror(error_number),
                           advice(error_number)));
}

Result<std::string> read_file(const std::string& path, uint64_t limit) {
  const Descriptor file(open_retrying(path, O_RDONLY));
  if (file.get() < 0) return file_error("open", path, errno);
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return file_error("read", path, errno);
  if (S_ISDIR(info.st_mode)) return file_error("read", path, EISDIR);
  const auto too_large = [&] {
    return Error(
        fmt::format("cannot read '{}': it has more than the {} bytes that this kind of "
                    "file may have; is it the right file?",
                    path, limit));
  };
  const uint64_t expected = S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : 0;
  if (expected > limit) return too_large();
  std::string text;
  // One byte more than the size says: the read that finds the end needs room.
  text.resize(std::max<size_t>(expected + 1, 4096));
  size_t size = 0;
  for (;;) {
    if (size == text.size()) text.resize(text.size() * 2);
    const size_t room = std::min<size_t>(text.size() - size, size_t{1} << 30);
    const ssize_t n = ::read(file.get(), text.data() + size, room);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_error("read", path, errno);
    if (n == 0) break;
    size += static_cast<size_t>(n);
    if (size > limit) return too_large();
  }
  text.resize(size);
  return text;
}

Status read_file_in_parts(const std::string& path,
                          const std::function<void(std::span<const std::byte>)>& use) {
  const Descriptor file(open_retrying(path, O_RDONLY));
  if (file.get() < 0) return file_error("open", path, errno);
  std::vector<std::byte> part(size_t{1} << 20);
  for (;;) {
    const ssize_t n = ::read(file.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_error("read", path, errno);
    if (n == 0) return Nothing{};
    use(std::span(part).first(static_cast<size_t>(n)));
  }
}

Result<SharedBytes> map_file(const std::string& path) {
  const Descriptor file(open_retrying(path, O_RDONLY));
  if (file.get() < 0) return file_error("open", path, errno);
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return file_error("read", path, errno);
  if (S_ISDIR(info.st_mode)) return file_error("read", path, EISDIR);
  if (!S_ISREG(info.st_mode))
    return Error(fmt::format(
        "cannot map '{}': it is a pipe or a device; copy it to a regular file first", path));
  const size_t size = static_cast<size_t>(info.st_size);
  if (size == 0) return SharedBytes();
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) return file_error("map", path, errno);
  std::shared_ptr<const void> owner(
      address, [size](const void* p) { ::munmap(const_cast<void*>(p), size); });
  SharedBytes bytes(std::move(owner), {static_cast<const std::byte*>(address), size});
  bytes.is_mapped_ = true;
  return bytes;
}

void SharedBytes::release_pages() const {
  if (!is_mapped_) return;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(data());
  const uintptr_t first = (begin + page - 1) / page * page, end = (begin + size()) / page * page;
  // A failure costs memory only.
  if (first < end) ::madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
}

FileWriter::FileWriter(int descriptor, std::string path)
    : descriptor_(descriptor), path_(std::move(path)) {
  buffer_.reserve(kBufferBytes);
}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileWriter::write_through(std::span<const std::byte> bytes) {
  if (!failed()) error_number_ = write_all(descriptor_, bytes);
}

void FileWriter::flush() {
  write_through(std::as_bytes(std::span(buffer_.data(), buffer_.size())));
  buffer_.clear();
}

void FileWriter::write(std::span<const std::byte> bytes) {
  position_ += bytes.size();
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  if (bytes.size() >= kBufferBytes) {
    write_through(bytes);
  } else {
    buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
}

Status FileWriter::close(bool sync) {
  flush();
  if (!failed() && sync) error_number_ = sync_descriptor(descriptor_);
  const int fd = std::exchange(descriptor_, -1);
  if (fd >= 0 && ::close(fd) != 0 && !failed() && errno != EINTR) error_number_ = errno;
  if (failed()) return file_error("write", path_, error_number_);
  return Nothing{};
}

Status write_file_atomically(const std::string& path,
                             const std::function<Status(FileWriter&)>& write) {
  const std::string target = resolve_links(path);
  struct stat info;
  const bool exists = ::stat(target.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) return file_error("write", path, EISDIR);
  if (exists && !S_ISREG(info.st_mode)) {
    const int fd = open_retrying(target, O_WRONLY);
    if (fd < 0) return file_error("write", path, errno);
    return run_writer(fd, path, write);
  }
  TemporaryFile temporary{fmt::format("{}.tmp.{}", target, ::getpid())};
  const int fd = open_retrying(temporary.path, O_WRONLY | O_CREAT | O_TRUNC);
  if (fd < 0) return file_error("write", path, errno);
  if (exists && ::fchmod(fd, info.st_mode & 07777) != 0) {
    const int error_number = errno;
    ::close(fd);
    return file_error("write", path, error_number);
  }
  Status written = run_writer(fd, path, write);
  if (!written) return written;
  if (::rename(temporary.path.c_str(), target.c_str()) != 0)
    return file_error("write", path, errno);
  temporary.renamed = true;
  const std::string folder = folder_of(target);
  const Descriptor directory(open_retrying(folder, O_RDONLY | O_DIRECTORY));
  // A folder that cannot be opened for reading can still hold the file; the rename has happened.
  if (directory.get() >= 0) {
    if (const int error_number = sync_descriptor(directory.get()))
      return file_error("sync the folder of", path, error_number);
  }
  return Nothing{};
}

Status write_file_atomically(const std::string& path, std::string_view bytes) {
  return write_file_atomically(path, [bytes](FileWriter& writer) -> Status {
    writer.write(bytes);
    return Nothing{};
  });
}

Result<LineWriter> LineWriter::open(const std::string& path, std::optional<uint64_t> keep) {
  Descriptor file(open_retrying(path, O_WRONLY | O_CREAT | O_APPEND));
  if (file.get() < 0) return file_error("write", path, errno);
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return file_error("write", path, errno);
  uint64_t size = S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : 0;
  if (keep) {
    if (size < *keep)
      return Error(
          fmt::format("cannot continue '{}': it has {} bytes where {} were recorded; it "
                      "was changed from outside, restore it or start afresh",
                      path, size, *keep));
    if (size > *keep && ::ftruncate(file.get(), static_cast<off_t>(*keep)) != 0)
      return file_error("cut back", path, errno);
    size = *keep;
  }
  return LineWriter(file.release(), path, size);
}

LineWriter::LineWriter(LineWriter&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::move(other.path_)),
      position_(other.position_) {}

LineWriter& LineWriter::operator=(LineWriter&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  std::swap(position_, other.position_);
  return *this;
}

LineWriter::~LineWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status LineWriter::write(std::string_view line) {
  std::string text(line);
  text += '\n';
  size_t written = 0;
  const int error_number =
      write_all(descriptor_, std::as_bytes(std::span(text.data(), text.size())), &written);
  if (error_number != 0) {
    // Takes a torn line back; where that fails too, the position still says where it began.
    if (written > 0) (void)!::ftruncate(descriptor_, static_cast<off_t>(position_));
    return file_error("write", path_, error_number);
  }
  position_ += text.size();
  return Nothing{};
}

Status LineWriter::sync() {
  if (const int error_number = sync_descriptor(descriptor_))
    return file_error("write", path_, error_number);
  return Nothing{};
}

}  // namespace cairn
