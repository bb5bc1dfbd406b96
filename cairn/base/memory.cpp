#include "cairn/base/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "cairn/base/error.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

// The number that a file holds; nothing for "max", as a group without a limit has.
std::optional<uint64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  uint64_t value = 0;
  return file >> value ? std::optional(value) : std::nullopt;
}

// That of the line "KEY NUMBER" or "KEY: NUMBER"; 0 without one.
uint64_t number_of(const fs::path& path, std::string_view key) {
  std::ifstream file(path);
  std::string word, rest;
  uint64_t value = 0;
  while (file >> word) {
    if (word == key && file >> value) return value;
    std::getline(file, rest);
  }
  return 0;
}

// The names of the files of one version of control groups.
struct Files {
  const char *mount, *limit, *used, *active_cache, *inactive_cache;
};
constexpr Files kVersion1{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                          "total_active_file", "total_inactive_file"};
constexpr Files kVersion2{"sys/fs/cgroup", "memory.max", "memory.current", "active_file",
                          "inactive_file"};

// What the group and those around it leave. In a container the path may be that outside of it; then
// only the mount itself is there.
void add_groups(const fs::path& root, const Files& names, fs::path group,
                std::optional<uint64_t>& least) {
  while (true) {
    const fs::path folder = root / names.mount / group.relative_path();
    const auto limit = number_in(folder / names.limit);
    const auto used = number_in(folder / names.used);
    if (limit && used) {
      const uint64_t cache = number_of(folder / "memory.stat", names.active_cache) +
                             number_of(folder / "memory.stat", names.inactive_cache);
      const uint64_t held = *used - std::min(*used, cache);
      const uint64_t left = *limit - std::min(*limit, held);
      least = std::min(least.value_or(left), left);
    }
    if (group.relative_path().empty()) return;
    group = group.parent_path();
  }
}

}  // namespace

std::optional<uint64_t> available_memory(const fs::path& root) {
  std::optional<uint64_t> least;
  if (const uint64_t kib = number_of(root / "proc/meminfo", "MemAvailable:")) least = kib << 10;
  // Lines "HIERARCHY:CONTROLLERS:PATH"; that of version 2 is "0::PATH".
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controllers == ",,")
      add_groups(root, kVersion2, line.substr(second + 1), least);
    else if (controllers.find(",memory,") != std::string::npos)
      add_groups(root, kVersion1, line.substr(second + 1), least);
  }
  return least;
}

void check_memory(double bytes, std::string_view what, std::string_view remedy) {
  const auto available = available_memory();
  if (!available || bytes <= static_cast<double>(*available)) return;
  constexpr double kGiB = 1 << 30;
  throw_error(fmt::format("{} takes {:.1f} GiB of memory, and {:.1f} GiB are available; {}", what,
                          bytes / kGiB, static_cast<double>(*available) / kGiB, remedy));
}

}  // namespace cairn
