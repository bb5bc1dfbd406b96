// Files: read whole, mapped, written atomically, appended to by lines.
//
// A file that cairn writes is either the old one or the complete new one, whatever happens in
// between: bytes go to `path.tmp.<pid>` beside it, are synced, and are renamed over it. Failures of
// the system are Results whose Error names the path, the cause and what to do.
//
// SIGXFSZ: a write beyond RLIMIT_FSIZE raises this signal, whose default action ends the process
// before `write` can report EFBIG. A library must not change its host's signals, so the program
// ignores it (`signal(SIGXFSZ, SIG_IGN)` at the start of main); then EFBIG arrives here as an
// Error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cairn/base/error.h"

namespace cairn {

class SharedBytes;
Result<SharedBytes> map_file(const std::string& path);

// Read-only bytes and whoever keeps them alive: a mapped file, or a block on the heap.
class SharedBytes {
 public:
  SharedBytes() = default;
  SharedBytes(std::shared_ptr<const void> owner, std::span<const std::byte> bytes)
      : owner_(std::move(owner)), bytes_(bytes) {}
  // Takes the string over.
  explicit SharedBytes(std::string text);

  const std::byte* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  const std::shared_ptr<const void>& owner() const { return owner_; }
  // A part that shares the owner. The caller has checked that it lies inside.
  SharedBytes part(size_t offset, size_t size) const {
    SharedBytes result(owner_, bytes_.subspan(offset, size));
    result.is_mapped_ = is_mapped_;
    return result;
  }
  // Of a mapped file: gives back the memory of the pages that lie inside, which are read again when
  // they are touched. For who has copied them. Other bytes stay as they are.
  void release_pages() const;

 private:
  friend Result<SharedBytes> map_file(const std::string& path);
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
  bool is_mapped_ = false;
};

// "cannot <action> '<path>': <strerror>; <what to do>".
Error file_error(std::string_view action, const std::string& path, int error_number);

// The whole file (or pipe, or device). More than `limit` bytes is an error.
Result<std::string> read_file(const std::string& path, uint64_t limit = UINT64_MAX);

// Calls `use` with the bytes of the file in order, a part at a time, each good until it returns:
// what a whole file is needed for once, without its size in memory.
Status read_file_in_parts(const std::string& path,
                          const std::function<void(std::span<const std::byte>)>& use);

// A regular file mapped read-only; pages are read when touched, so a file may be larger than
// memory. Shrinking the file while it is mapped ends the process with SIGBUS when the lost part is
// read: replace files by renaming, as write_file_atomically does. An empty file maps to no bytes.
Result<SharedBytes> map_file(const std::string& path);

// A file being written, buffered. The first failure sticks: later writes do nothing, and whoever
// made the writer reports it, so code that writes need not check each call.
class FileWriter {
 public:
  // Takes over the descriptor. `path` is for error texts.
  FileWriter(int descriptor, std::string path);
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  ~FileWriter();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  // Bytes written so far.
  uint64_t position() const { return position_; }
  bool failed() const { return error_number_ != 0; }
  // Writes what is buffered, syncs to the disk when `sync`, closes, and reports the first failure.
  Status close(bool sync);

 private:
  void flush();
  void write_through(std::span<const std::byte> bytes);
  int descriptor_;
  std::string path_;
  std::string buffer_;
  uint64_t position_ = 0;
  int error_number_ = 0;
};

// Replaces or creates `path` in one step, as said above. On any failure, one returned or thrown by
// `write` too, the temporary file is removed and an existing `path` is unchanged. A symbolic link
// is followed; a device or pipe (/dev/stdout, /dev/full) is written directly. The mode of a file
// that exists is kept.
Status write_file_atomically(const std::string& path,
                             const std::function<Status(FileWriter&)>& write);
Status write_file_atomically(const std::string& path, std::string_view bytes);

// Appends whole lines to a file (metrics.jsonl). Each line is one write, so that a reader or a
// crash sees whole lines; nothing is kept in memory.
class LineWriter {
 public:
  // Creates the file when missing. With `keep`, an existing file is first cut back to that many
  // bytes (a resumed run drops what came after its checkpoint); less than that is an error.
  static Result<LineWriter> open(const std::string& path,
                                 std::optional<uint64_t> keep = std::nullopt);
  LineWriter(LineWriter&& other) noexcept;
  LineWriter& operator=(LineWriter&& other) noexcept;
  ~LineWriter();

  // `line` without its newline. A failed write leaves the file ending in a whole line if it can.
  Status write(std::string_view line);
  // Waits until the disk has what was written.
  Status sync();
  // Size of the file: what `keep` takes.
  uint64_t position() const { return position_; }

 private:
  LineWriter(int descriptor, std::string path, uint64_t position)
      : descriptor_(descriptor), path_(std::move(path)), position_(position) {}
  int descriptor_;
  std::string path_;
  uint64_t position_;
};

}  // namespace cairn
