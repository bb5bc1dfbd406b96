#include "cairn/base/log.h"

namespace cairn {
namespace {

constexpr std::string_view kNames[] = {"error", "warning", "info", "debug"};

}  // namespace

std::string_view name(LogLevel level) { return kNames[static_cast<int>(level)]; }

std::optional<LogLevel> parse_log_level(std::string_view text) {
  for (int i = 0; i < 4; ++i)
    if (kNames[i] == text) return static_cast<LogLevel>(i);
  return std::nullopt;
}

}  // namespace cairn
