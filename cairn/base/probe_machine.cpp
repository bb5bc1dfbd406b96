// machine_info(): what Linux says of processor, caches and memory.
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "cairn/base/memory.h"
#include "cairn/base/probe.h"

namespace cairn {
namespace {

// "key<space or :>value" of the first line that starts with `key`; empty when there is none.
std::string line_value(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with(key)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "32K", "2048K", "32M"; "16384 kB". 0 for anything else.
uint64_t parse_bytes(const std::string& text) {
  uint64_t value = 0;
  size_t at = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9')
    value = value * 10 + static_cast<uint64_t>(text[at++] - '0');
  while (at < text.size() && text[at] == ' ') ++at;
  if (at == text.size()) return value;
  switch (text[at]) {
    case 'k':
    case 'K': return value << 10;
    case 'M': return value << 20;
    case 'G': return value << 30;
    default: return 0;
  }
}

// How many numbers a list like "0-3,8" holds.
int count_list(const std::string& text) {
  int count = 0;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, end - at);
    const size_t dash = part.find('-');
    count += dash == std::string::npos
                 ? 1
                 : std::max(1, std::atoi(part.c_str() + dash + 1) - std::atoi(part.c_str()) + 1);
    at = end + 1;
  }
  return std::max(count, 1);
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

std::vector<CacheInfo> caches() {
  std::vector<CacheInfo> found;
  for (int i = 0;; ++i) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
    const std::string level = first_line(folder + "level");
    if (level.empty()) return found;
    found.push_back({std::atoi(level.c_str()), lower(first_line(folder + "type")),
                     parse_bytes(first_line(folder + "size")),
                     count_list(first_line(folder + "shared_cpu_list"))});
  }
}

}  // namespace

MachineInfo machine_info() {
  MachineInfo info;
  info.cpu_name = line_value("/proc/cpuinfo", "model name");
  if (info.cpu_name.empty()) info.cpu_name = "unknown";
  info.cores = physical_cores();
  info.hardware_threads = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  info.memory_bytes = parse_bytes(line_value("/proc/meminfo", "MemTotal"));
  info.memory_available_bytes = available_memory().value_or(0);
  info.caches = caches();
  return info;
}

uint64_t last_cache_bytes() {
  uint64_t most = 0;
  for (const CacheInfo& cache : caches()) most = std::max(most, cache.bytes);
  return most ? most : uint64_t{32} << 20;
}

}  // namespace cairn
