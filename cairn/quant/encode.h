// Encoders of the block formats that search for the scales: least squares over candidates, with or
// without an importance matrix. All from the format's declaration; nothing here knows a name.
//
// What is minimised, block by block, is the sum of importance * (x - y)^2, y being what
// decode_blocks gives. Against ggml's own encoders see tests/quant/encode_test.cpp. The plain
// encoder that the primitive `quantize` means is encode_blocks of core.
#pragma once

#include <cstdint>
#include <span>

#include "cairn/base/cpu_features.h"
#include "cairn/core/block_format.h"

namespace cairn {

// Encodes rows of `row_elements`, a multiple of the format's block. `importance` has a weight >= 0
// for each element of a row, or is empty: all 1. Numbers that are not finite count as 0. The result
// does not depend on the target, nor on how rows are divided over calls: a caller with a pool gives
// each thread some rows. A target that this processor has: detect_cpu_target(), asked once (in
// a virtual machine it takes tens of microseconds).
void encode_rows(const BlockFormat& format, const float* x, int64_t rows, int64_t row_elements,
                 std::span<const float> importance, uint8_t* bytes, CpuTarget target);

// A row in kRowFormat: its codes, symmetric, and what they are multiplied with. A NaN is passed
// over and gets 0.
float encode_scaled_row(const float* x, int64_t elements, uint8_t* codes);

}  // namespace cairn
