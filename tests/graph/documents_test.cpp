// What the documents say of primitives is complete.
#include <gtest/gtest.h>

#include "tests/graph/texts.h"

namespace cairn {
namespace {

TEST(Documents, EdgeSemanticsNameEveryPrimitive) {
  const std::string text =
      test::read(std::filesystem::path(CAIRN_SOURCE_DIR) / "docs/edge-semantics.md");
  for (int i = 0; i < kOpCount; ++i) {
    const std::string quoted = "`" + std::string(name(static_cast<Op>(i))) + "`";
    EXPECT_NE(text.find(quoted), std::string::npos) << quoted << " is missing";
  }
}

}  // namespace
}  // namespace cairn
