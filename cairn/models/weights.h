// What the weights of a model are kept as, and what they take.
#pragma once

#include <cstdint>
#include <string_view>

#include "cairn/models/transformer.h"

namespace cairn {

// Of which rows are taken, and no product: embeddings that are no head as well, and positions.
bool is_table(std::string_view field, const TransformerConfig& config);

// The type that a matrix of floats is kept in which its file has in `dtype`, where products are
// computed in `precision`.
DType kept_type(std::string_view field, DType dtype, const TransformerConfig& config,
                DType precision);

struct WeightBytes {
  uint64_t all = 0;
  // Of matrices that a token is multiplied with, which decoding reads from end to end: all but
  // tables of which it takes a row.
  uint64_t products = 0;
  uint64_t in_blocks = 0;  // of those, in block formats
  uint64_t in_bf16 = 0;    // of those
  int64_t product_elements = 0;
};
// Of the values that weights are made of: of blocks their bytes.
WeightBytes weight_bytes(Transformer& model);

}  // namespace cairn
