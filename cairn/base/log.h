// Where a part of cairn says what it is doing. A Log is an object that is passed down, never a
// global; the library itself never prints, so a default-made Log discards everything.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace cairn {

enum class LogLevel : uint8_t { error, warning, info, debug };

std::string_view name(LogLevel level);
// "error", "warning", "info" or "debug": the values of CAIRN_LOG.
std::optional<LogLevel> parse_log_level(std::string_view text);

class Log {
 public:
  // Called for each message that passes; from any thread that holds the Log.
  using Sink = std::function<void(LogLevel, std::string_view)>;

  Log() = default;
  // Messages up to and including `level` go to `sink`.
  Log(LogLevel level, Sink sink) : level_(level), sink_(std::move(sink)) {}

  // Ask before building a message that is costly.
  bool enabled(LogLevel level) const { return sink_ && level <= level_; }
  void write(LogLevel level, std::string_view message) const {
    if (enabled(level)) sink_(level, message);
  }
  void error(std::string_view message) const { write(LogLevel::error, message); }
  void warning(std::string_view message) const { write(LogLevel::warning, message); }
  void info(std::string_view message) const { write(LogLevel::info, message); }
  void debug(std::string_view message) const { write(LogLevel::debug, message); }

 private:
  LogLevel level_ = LogLevel::error;
  Sink sink_;
};

}  // namespace cairn
