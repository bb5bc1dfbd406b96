#include "apps/cairn/gguf_rewrite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "apps/cairn/arrays.h"
#include "apps/cairn/session.h"
#include "cairn/base/environment.h"
#include "cairn/quant/encode.h"

namespace cairn::app {
namespace {

// Elements of a piece of work: 16,384 take 0.1 to 0.5 ms to encode.
constexpr int64_t kPiece = 16384;

// Rows [begin, end) of a matrix as f32.
HostArray rows_as_f32(const HostArray& array, const io::GgufType& type, int64_t row_elements,
                      int64_t begin, int64_t end) {
  const auto row_bytes = static_cast<size_t>(row_elements / type.block_elements * type.block_bytes);
  const auto* bytes =
      static_cast<const uint8_t*>(array.data()) + static_cast<size_t>(begin) * row_bytes;
  const Shape shape = {end - begin, row_elements};
  if (!type.block_format()) {
    const HostArray rows(*type.dtype, shape, array.owner(), bytes);
    return rows.dtype() == DType::f32 ? rows : to_f32(rows);
  }
  HostArray values(DType::f32, shape);
  decode_blocks(*type.block_format(), bytes, shape.elements() / type.block_elements,
                values.mutable_span<float>().data());
  return values;
}

// Encodes rows of f32 to `to`, and returns the sum of the squares of the differences.
double encode_piece(const HostArray& rows, const io::GgufType& to,
                    std::span<const float> importance, CpuTarget target, uint8_t* out) {
  HostArray again;
  if (const BlockFormat* format = to.block_format()) {
    encode_rows(*format, rows.span<float>().data(), rows.shape()[0], rows.shape()[1], importance,
                out, target);
    again = HostArray(DType::f32, rows.shape());
    decode_blocks(*format, out, rows.elements() / format->block_elements,
                  again.mutable_span<float>().data());
  } else {
    const HostArray encoded = from_f32(rows, *to.dtype);
    std::memcpy(out, encoded.data(), encoded.bytes());
    again = to_f32(encoded);
  }
  const std::span<const float> was = rows.span<float>(), is = again.span<float>();
  // Eight sums side by side: one waits four cycles for each addition.
  constexpr size_t kSums = 8;
  double squares[kSums] = {};
  size_t i = 0;
  for (; i + kSums <= was.size(); i += kSums)
    for (size_t k = 0; k < kSums; ++k) {
      const double off = static_cast<double>(was[i + k]) - static_cast<double>(is[i + k]);
      squares[k] += off * off;
    }
  for (; i < was.size(); ++i) {
    const double off = static_cast<double>(was[i]) - static_cast<double>(is[i]);
    squares[0] += off * off;
  }
  return std::accumulate(squares, squares + kSums, 0.0);
}

struct FileType {
  std::string_view type;
  uint32_t number;
};
// llama.cpp's numbers; those of block types are of its mixes with that type for most.
constexpr FileType kFileTypes[] = {{"F32", 0},     {"F16", 1},     {"Q4_0", 2},  {"Q4_1", 3},
                                   {"Q8_0", 7},    {"Q5_0", 8},    {"Q5_1", 9},  {"Q2_K", 10},
                                   {"Q3_K", 11},   {"Q4_K", 14},   {"Q5_K", 16}, {"Q6_K", 18},
                                   {"IQ4_NL", 25}, {"IQ4_XS", 30}, {"BF16", 32}, {"MXFP4", 38}};

bool is_writable(const io::GgufType& type) {
  return type.block_format() || type.dtype == DType::f32 || type.dtype == DType::f16 ||
         type.dtype == DType::bf16;
}

}  // namespace

Rewritten rewrite_tensor(const GgufTensor& entry, const io::GgufType& to,
                         std::span<const float> importance, ThreadPool& pool) {
  const HostArray array = entry.read();
  if (entry.type == &to)
    return {
        SharedBytes(array.owner(), {static_cast<const std::byte*>(array.data()), array.bytes()})};
  const int64_t columns = entry.shape.back();
  const int64_t rows = columns > 0 ? Shape(Ints(entry.shape)).elements() / columns : 0;
  const int64_t experts =
      importance.empty() ? 1
                         : static_cast<int64_t>(importance.size()) / std::max<int64_t>(columns, 1);
  if (!importance.empty() &&
      (experts * columns != static_cast<int64_t>(importance.size()) ||
       (experts != 1 && (entry.shape.size() < 3 || experts != entry.shape[0]))))
    throw_error(
        fmt::format("the importance matrix has {} weights for '{}', which has {} columns; it "
                    "is of another model",
                    importance.size(), entry.name, columns));

  auto out = std::make_shared<std::vector<uint8_t>>(*to.bytes(entry.shape));
  const int64_t row_bytes = columns / to.block_elements * to.block_bytes;
  const int64_t rows_of_expert = rows / std::max<int64_t>(experts, 1);
  const int64_t grain = std::max<int64_t>(1, kPiece / std::max<int64_t>(columns, 1));
  const CpuTarget target = choose_cpu_target(read_environment().target);
  double squares = 0;
  for (int64_t e = 0; e < experts; ++e) {
    const auto weights = importance.empty() ? importance
                                            : importance.subspan(static_cast<size_t>(e * columns),
                                                                 static_cast<size_t>(columns));
    // A sum per piece, added in order: the same for any number of threads.
    std::vector<double> sums(static_cast<size_t>((rows_of_expert + grain - 1) / grain));
    pool.parallel_for(rows_of_expert, grain, [&](int64_t begin, int64_t end) {
      const int64_t first = e * rows_of_expert;
      sums[static_cast<size_t>(begin / grain)] =
          encode_piece(rows_as_f32(array, *entry.type, columns, first + begin, first + end), to,
                       weights, target, out->data() + (first + begin) * row_bytes);
    });
    for (const double sum : sums) squares += sum;
  }
  const double elements = static_cast<double>(std::max<int64_t>(rows * columns, 1));
  const auto bytes = std::as_bytes(std::span<const uint8_t>(*out));
  return {SharedBytes(std::move(out), bytes), std::sqrt(squares / elements)};
}

io::GgufMetadata metadata_of_copy(const GgufContent& model, uint32_t file_type) {
  constexpr std::string_view kFileType = "general.file_type";
  constexpr std::string_view kVersion = "general.quantization_version";
  io::GgufMetadata metadata;
  for (const auto& pair : model.metadata)
    if (pair.first != kFileType && pair.first != kVersion) metadata.push_back(pair);
  metadata.emplace_back(kFileType, io::GgufValue::from_number(file_type));
  metadata.emplace_back(kVersion, io::GgufValue::from_number(uint32_t{2}));
  return metadata;
}

uint32_t file_type_of(const io::GgufType& type) {
  constexpr uint32_t kGuessed = 1024;
  for (const FileType& known : kFileTypes)
    if (known.type == type.name) return known.number;
  return kGuessed;
}

const io::GgufType& writable_type(const std::string& name, const std::string& option) {
  const io::GgufType* type = io::find_gguf_type(name);
  if (!type || !is_writable(*type))
    throw UsageError(fmt::format("{}: '{}' is not a type that cairn writes; those are {}", option,
                                 name, writable_names()));
  return *type;
}

std::string writable_names() {
  std::string names;
  for (const io::GgufType& type : io::gguf_types())
    if (is_writable(type)) names += (names.empty() ? "" : ", ") + std::string(type.name);
  return names;
}

}  // namespace cairn::app
