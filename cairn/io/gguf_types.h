// The element types of GGUF files: their numbers, sizes, and what they are in cairn.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "cairn/core/block_format.h"
#include "cairn/core/dtype.h"

namespace cairn::io {

// A row of n elements takes n / block_elements * block_bytes. Plain types have blocks of one.
struct GgufType {
  uint32_t id;            // in the file
  std::string_view name;  // ggml's: "Q4_K"
  int block_elements;
  int block_bytes;
  std::optional<DType> dtype = {};  // of a plain type
  std::string_view format = {};     // of a block type: the BlockFormat's name

  // Null for plain types and for block types that cairn does not decode.
  const BlockFormat* block_format() const {
    return format.empty() ? nullptr : find_block_format(format);
  }
  bool decodes() const { return dtype || block_format(); }
  bool divides_rows(std::span<const int64_t> shape) const;
  // Of a tensor whose rows the block divides; empty where that is more than 63 bits count.
  std::optional<uint64_t> bytes(std::span<const int64_t> shape) const;
};

std::span<const GgufType> gguf_types();
// Null when there is none.
const GgufType* find_gguf_type(uint32_t id);
// By ggml's name or by cairn's: "Q4_K", "q4_k", "f32".
const GgufType* find_gguf_type(std::string_view name);

}  // namespace cairn::io
