// Transformer families in GGUF files: the hyperparameters among the metadata and the names of the
// tensors, read and written from the same tables. What the keys mean is what llama.cpp makes of
// them.
#pragma once

#include <vector>

#include "cairn/io/gguf.h"
#include "cairn/models/name_map.h"
#include "cairn/models/transformer.h"

namespace cairn {

// What the metadata describe; biases, norms of heads and a head of its own are where the file has
// their tensors. The Error names the key or the tensor.
Result<TransformerConfig> parse_gguf_config(const io::GgufFile& file);

// The same keys, general.architecture among them, for a file to write. Throws Error for what no key
// says: "dynamic" rotary scaling, an activation other than the architecture's.
io::GgufMetadata to_gguf_metadata(const TransformerConfig& config);
// Tensors that hold hyperparameters: the factors of rotary positions, where there are any.
std::vector<io::GgufSource> gguf_config_tensors(const TransformerConfig& config);

// Names of the family's tensors, all matrices being [out, in].
NameMap gguf_names(const TransformerConfig& config);

}  // namespace cairn
