// Where the shared test data lies: $CAIRN_TEST_DATA, else ../shared/data beside the source tree.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace cairn::test {

// Full path of a file below the data folder. Check exists() and GTEST_SKIP when it is missing.
inline std::filesystem::path data_path(const std::string& relative) {
  const char* root = std::getenv("CAIRN_TEST_DATA");
  const std::filesystem::path base =
      root && *root ? std::filesystem::path(root)
                    : std::filesystem::path(CAIRN_SOURCE_DIR) / ".." / "shared" / "data";
  return base / relative;
}

inline std::filesystem::path golden_path(const std::string& relative) {
  return std::filesystem::path(CAIRN_SOURCE_DIR) / "tests" / "golden" / relative;
}

}  // namespace cairn::test

// Skips the test, saying so, when a file of the data folder is not on this machine.
#define CAIRN_REQUIRE_DATA(relative)                                                       \
  if (!std::filesystem::exists(::cairn::test::data_path(relative)))                        \
  GTEST_SKIP() << "needs CAIRN_TEST_DATA: " << ::cairn::test::data_path(relative).string() \
               << " is missing"
