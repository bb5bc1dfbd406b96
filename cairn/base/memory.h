// How much memory this process may still take.
//
// Linux hands out memory that it does not have and ends the process that uses it, so an allocation
// that succeeded says nothing. What computes a size beforehand compares it with this.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace cairn {

// Bytes: the least of what the system has available and what the control groups of this process (of
// version 1 and 2) and those around them leave of their limits. Page cache counts as available.
// Nothing where the system does not say. `root` holds proc/ and sys/; another one is for tests.
std::optional<uint64_t> available_memory(const std::filesystem::path& root = "/");

// Throws Error when `bytes` (a double, as a product of sizes that are only checked may be large)
// are more than is available: "WHAT takes A GiB of memory, and B GiB are available; REMEDY".
void check_memory(double bytes, std::string_view what, std::string_view remedy);

}  // namespace cairn
