// Which of the three instruction sets that cairn compiles for this processor has.
//
// The targets are the x86-64 psABI levels: baseline = v1 (SSE2), avx2 = v3 (AVX2, FMA, BMI, F16C),
// avx512 = v4 (AVX-512 F, BW, CD, DQ, VL). A level counts only if the operating system saves its
// registers (XGETBV), so that a chosen kernel can never end in SIGILL.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cairn {

enum class CpuTarget { baseline, avx2, avx512 };
inline constexpr CpuTarget kCpuTargets[] = {CpuTarget::baseline, CpuTarget::avx2,
                                            CpuTarget::avx512};

// "baseline", "avx2", "avx512": the values of CAIRN_TARGET.
std::string_view name(CpuTarget target);

// The best target of this processor and operating system.
CpuTarget detect_cpu_target();

// The target to use: the best one, or the one asked for (Environment::target). Throws Error if the
// name is not one of the three or this processor does not have it.
CpuTarget choose_cpu_target(const std::optional<std::string>& forced = std::nullopt);

}  // namespace cairn
