#include "cairn/runtime/cpu/timings.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <filesystem>

#include "cairn/compiler/kernel_compiler.h"

namespace cairn {
namespace {

// Some 24,000 timings.
constexpr uint64_t kMost = 1 << 20;

bool has_entries(const std::string& folder) {
  std::error_code error;
  const std::filesystem::directory_iterator first(folder, error), none;
  return !error && first != none;
}

}  // namespace

Timings::Timings(const std::string& folder, CpuTarget target, int threads)
    : disk_(folder, kMost),
      identity_(fmt::format("{}\n{} threads", compiler_identity(target), threads)),
      has_any_(has_entries(folder)) {}

std::string Timings::key(std::string_view work, std::string_view candidate) const {
  return fmt::format("{}\n{}\n{}", identity_, candidate, work);
}

std::optional<double> Timings::load(std::string_view work, std::string_view candidate) const {
  const auto text = disk_.load(key(work, candidate));
  if (!text) return std::nullopt;
  double seconds = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, seconds);
  if (error != std::errc() || stop != end || !std::isfinite(seconds) || seconds <= 0)
    return std::nullopt;
  return seconds;
}

void Timings::store(std::string_view work, std::string_view candidate, double seconds) const {
  disk_.store(key(work, candidate), fmt::format("{}", seconds));
}

}  // namespace cairn
