#include "cairn/io/gguf_types.h"

#include <algorithm>
#include <string>

namespace cairn::io {
namespace {

// The numbers that are missing were types once and are not written any more.
constexpr GgufType kTypes[] = {
    {0, "F32", 1, 4, DType::f32},
    {1, "F16", 1, 2, DType::f16},
    {2, "Q4_0", 32, 18, {}, "q4_0"},
    {3, "Q4_1", 32, 20, {}, "q4_1"},
    {6, "Q5_0", 32, 22, {}, "q5_0"},
    {7, "Q5_1", 32, 24, {}, "q5_1"},
    {8, "Q8_0", 32, 34, {}, "q8_0"},
    {9, "Q8_1", 32, 40},
    {10, "Q2_K", 256, 84, {}, "q2_k"},
    {11, "Q3_K", 256, 110, {}, "q3_k"},
    {12, "Q4_K", 256, 144, {}, "q4_k"},
    {13, "Q5_K", 256, 176, {}, "q5_k"},
    {14, "Q6_K", 256, 210, {}, "q6_k"},
    {15, "Q8_K", 256, 292},
    {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98},
    {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18, {}, "iq4_nl"},
    {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136, {}, "iq4_xs"},
    {24, "I8", 1, 1, DType::i8},
    {25, "I16", 1, 2, DType::i16},
    {26, "I32", 1, 4, DType::i32},
    {27, "I64", 1, 8, DType::i64},
    {28, "F64", 1, 8, DType::f64},
    {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2, DType::bf16},
    {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},
    {39, "MXFP4", 32, 17, {}, "mxfp4"},
    {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18},
};

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

}  // namespace

bool GgufType::divides_rows(std::span<const int64_t> shape) const {
  return block_elements == 1 || (!shape.empty() && shape.back() % block_elements == 0);
}

std::optional<uint64_t> GgufType::bytes(std::span<const int64_t> shape) const {
  auto total = static_cast<int64_t>(block_bytes);
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t size = i + 1 == shape.size() ? shape[i] / block_elements : shape[i];
    if (__builtin_mul_overflow(total, size, &total)) return std::nullopt;
  }
  return static_cast<uint64_t>(total);
}

std::span<const GgufType> gguf_types() { return kTypes; }

const GgufType* find_gguf_type(uint32_t id) {
  for (const GgufType& type : kTypes)
    if (type.id == id) return &type;
  return nullptr;
}

const GgufType* find_gguf_type(std::string_view name) {
  std::string wanted(name);
  std::transform(wanted.begin(), wanted.end(), wanted.begin(), upper);
  for (const GgufType& type : kTypes)
    if (type.name == wanted) return &type;
  return nullptr;
}

}  // namespace cairn::io
