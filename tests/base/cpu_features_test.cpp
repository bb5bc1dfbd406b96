#include "cairn/base/cpu_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cairn/base/error.h"

namespace cairn {
namespace {

// The compiler's own detection is the oracle.
TEST(CpuFeatures, DetectsWhatTheCompilerDetects) {
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  EXPECT_EQ(detect_cpu_target(), v4   ? CpuTarget::avx512
                                 : v3 ? CpuTarget::avx2
                                      : CpuTarget::baseline);
}

TEST(CpuFeatures, ChoosesTheForcedTargetOrExplains) {
  const CpuTarget best = detect_cpu_target();
  EXPECT_EQ(choose_cpu_target(), best);
  for (CpuTarget target : kCpuTargets) {
    const std::string forced(name(target));
    if (target <= best) {
      EXPECT_EQ(choose_cpu_target(forced), target);
    } else {
      EXPECT_THROW(choose_cpu_target(forced), Error);
    }
  }
  EXPECT_THAT([] { choose_cpu_target("neon"); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("baseline, avx2, avx512")));
}

}  // namespace
}  // namespace cairn
