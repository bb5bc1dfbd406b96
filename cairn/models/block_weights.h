// Weights in block formats: in the order that products read, and made while a model is loaded.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cairn/core/block_format.h"
#include "cairn/core/host_array.h"
#include "cairn/models/float_weights.h"
#include "cairn/models/packed_weights.h"
#include "cairn/models/transformer.h"

namespace cairn {

// The numbers of u8[N, bytes of a row], for a field of that name. With a runtime whose products
// read such weights in panels (compiler/block_panels.h) these are made now, or found in `kept`, and
// `bytes` are needed no longer; without one they are what is kept. `packed` is called while panels
// are made, each time that some more of `bytes` have been read.
Tensor block_weight(const LateArray& bytes, const BlockFormat& format, const std::string& name,
                    Runtime* runtime, const std::function<void()>& packed = nullptr,
                    PackedWeights* kept = nullptr);

// A matrix [N, K] whose rows come as f32 as such a weight, some rows after the other, with a search
// for the scales (quant/encode.h); in kRowFormat one scale for each row, from its extreme; as "f16"
// a weight of float_weights.h. `kept` has what was encoded before, in panels or not.
Tensor encoded_weight(const Shape& shape, const RowsOf& values, std::string_view type,
                      const std::string& name, Runtime* runtime, ThreadPool& pool,
                      PackedWeights* kept = nullptr);

// What `--quantize TYPE` makes of a model's fields: a recipe of quant/recipe.h, one block type for
// every matrix, or "int8", kRowFormat for every matrix.
class WeightFormats {
 public:
  // The Error names the recipes and types that there are.
  static Result<WeightFormats> parse(std::string_view type, const TransformerConfig& config);
  // A BlockFormat's name, or "f16", as `cairn quantize` has it; empty: the field stays as it is.
  std::optional<std::string_view> type_of(const std::string& field, const Shape& shape) const;

 private:
  struct Wanted;
  std::shared_ptr<const Wanted> wanted_;
};

// What is wrong with a TYPE whatever the model.
Status check_weight_type(std::string_view type);

}  // namespace cairn
