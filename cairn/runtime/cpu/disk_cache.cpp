#include "cairn/runtime/cpu/disk_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL  // the library is not linked
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <vector>

#include "cairn/base/file.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

// Also the version of the file's layout.
constexpr std::string_view kMagic = "cairnk01";
struct Header {
  char magic[8];
  uint64_t bytes;
  uint64_t checksum;
};

// A kernel is a few KB, one of many functions some hundred.
constexpr uint64_t kLargestEntry = 64 << 20;
// So many are written between two looks at the folder's size.
constexpr int kStoresPerLook = 64;

}  // namespace

DiskCache::DiskCache(std::string folder, uint64_t limit)
    : folder_(std::move(folder)), limit_(limit) {}

std::string DiskCache::path_of(std::string_view key) const {
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  return fmt::format("{}/{:016x}{:016x}.o", folder_, hash.high64, hash.low64);
}

std::optional<std::string> DiskCache::load(std::string_view key) const {
  if (folder_.empty()) return std::nullopt;
  const std::string path = path_of(key);
  Result<std::string> file = read_file(path, kLargestEntry);
  if (!file.ok() || file.value().size() < sizeof(Header)) return std::nullopt;
  Header header;
  std::memcpy(&header, file.value().data(), sizeof header);
  std::string bytes = std::move(file).value().substr(sizeof header);
  if (std::string_view(header.magic, sizeof header.magic) != kMagic ||
      header.bytes != bytes.size() || header.checksum != XXH3_64bits(bytes.data(), bytes.size()))
    return std::nullopt;
  // Its time says when it was last used.
  utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  return bytes;
}

void DiskCache::store(std::string_view key, std::string_view bytes) const {
  if (folder_.empty() || bytes.size() > kLargestEntry) return;
  std::error_code ignored;
  fs::create_directories(folder_, ignored);
  static std::atomic<int> count{0};
  const int number = count++;
  const std::string path = path_of(key);
  const std::string beside = fmt::format("{}.tmp.{}.{}", path, getpid(), number);
  const int descriptor =
      open(beside.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) return;
  Header header{{}, bytes.size(), XXH3_64bits(bytes.data(), bytes.size())};
  std::memcpy(header.magic, kMagic.data(), sizeof header.magic);
  FileWriter writer(descriptor, beside);
  writer.write(std::as_bytes(std::span(&header, 1)));
  writer.write(bytes);
  // Not synced: what a crash leaves half written does not pass load().
  if (!writer.close(false).ok() || rename(beside.c_str(), path.c_str()) != 0)
    unlink(beside.c_str());
  if (number % kStoresPerLook == 0) shrink();
}

void DiskCache::shrink() const {
  struct Entry {
    fs::file_time_type used;
    uint64_t bytes;
    fs::path path;
  };
  std::vector<Entry> entries;
  uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;  // another process may remove it meanwhile
    const uint64_t bytes = it->file_size(gone);
    const auto used = it->last_write_time(gone);
    if (gone) continue;
    entries.push_back({used, bytes, it->path()});
    total += bytes;
  }
  if (total <= limit_) return;
  // To three quarters, so that the next look is far away. What a killed process left half written
  // ages and goes like the rest.
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const Entry& entry : entries) {
    if (total <= limit_ / 4 * 3) return;
    if (fs::remove(entry.path, error)) total -= entry.bytes;
  }
}

}  // namespace cairn
