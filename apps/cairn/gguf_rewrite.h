// Tensors of a model in other types: what quantize and convert do to each.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cairn/base/thread_pool.h"
#include "cairn/models/gguf_content.h"

namespace cairn::app {

struct Rewritten {
  SharedBytes bytes;
  double rmse = 0;  // root of the mean square of the difference to what it was
};

// `tensor` as `to`: blocks are decoded, and encoded with a search for the scales, by the pool.
// `importance` has a weight per column, or one per column of each expert (the tensor's first axis);
// empty: all alike. Throws Error for types that cairn does not decode, and for another number of
// weights.
Rewritten rewrite_tensor(const GgufTensor& tensor, const io::GgufType& to,
                         std::span<const float> importance, ThreadPool& pool);

// The metadata with general.file_type.
io::GgufMetadata metadata_of_copy(const GgufContent& model, uint32_t file_type);

// general.file_type of a model whose matrices are of this type.
uint32_t file_type_of(const io::GgufType& type);

// Throws UsageError naming `option` unless cairn writes this type: a block type, or f32, f16, bf16.
const io::GgufType& writable_type(const std::string& name, const std::string& option);

// "F32, F16, BF16, Q4_0, ...".
std::string writable_names();

}  // namespace cairn::app
