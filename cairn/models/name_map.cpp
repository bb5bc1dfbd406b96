#include "cairn/models/name_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "cairn/graph/scalar.h"

namespace cairn {
namespace {

// Where the numbers of a field stand in its file tensor: those of row r at start(r) and from there
// on by `step`. A vector has rows of one.
struct Window {
  const FilePlace& place;
  int64_t rows, columns;  // of the field
  int64_t step;
  Window(const Shape& field, const FilePlace& file_place)
      : place(file_place),
        rows(field[0]),
        columns(field.rank() == 1 || !rows ? 1 : field.elements() / rows),
        step(!place.transposed ? 1 : std::max(place.total, rows)) {}
  int64_t start(int64_t row) const {
    return place.file_output(row, rows) * (place.transposed ? 1 : columns);
  }
};

// out[i * out_step] = in[i * in_step] + added as f32.
template <class T>
void copy_row(const T* in, int64_t in_step, float* out, int64_t out_step, int64_t count,
              float added) {
  if (in_step == 1 && out_step == 1 && added == 0) {
    // -0 stays; and the loop is one of vectors.
    for (int64_t c = 0; c < count; ++c) out[c] = cast_element<float>(in[c]);
    return;
  }
  for (int64_t c = 0; c < count; ++c) {
    const float value = cast_element<float>(in[c * in_step]);
    out[c * out_step] = added == 0 ? value : value + added;
  }
}

}  // namespace

int64_t FilePlace::file_output(int64_t i, int64_t outputs) const {
  if (paired_heads) {
    const int64_t width = outputs / paired_heads, half = paired_width / 2;
    const int64_t within = i % width;
    if (within < paired_width) i += (within % half) * 2 + within / half - within;
  }
  return first + i;
}

Shape file_shape(const Shape& field, const FilePlace& place) {
  Shape shape = field;
  if (place.as_rows) return {place.total / field[0], field[0]};
  if (place.transposed) std::swap(shape[0], shape[1]);
  if (place.total) shape[place.transposed ? shape.rank() - 1 : 0] = place.total;
  return shape;
}

HostArray rows_of_field(const HostArray& tensor, const Shape& field, const FilePlace& place) {
  const int64_t rows = field[0];
  const int64_t row_bytes = static_cast<int64_t>(tensor.bytes()) / tensor.shape()[0];
  const auto* from = static_cast<const std::byte*>(tensor.data());
  const Shape shape = {rows, tensor.shape()[1]};
  if (!place.paired_heads)
    return {tensor.dtype(), shape, tensor.owner(), from + place.first * row_bytes};
  HostArray ordered(tensor.dtype(), shape);
  auto* to = static_cast<std::byte*>(ordered.mutable_data());
  for (int64_t r = 0; r < rows; ++r)
    std::memcpy(to + r * row_bytes, from + place.file_output(r, rows) * row_bytes,
                static_cast<size_t>(row_bytes));
  return ordered;
}

namespace {

// The tensor of the file that holds a field.
Result<HostArray> tensor_of_field(const io::TensorFile& file, const Field& field,
                                  const FilePlace& place) {
  if (!file.has(place.name))
    return Error(
        fmt::format("tensor '{}' (for {}) is missing from the file", place.name, field.path));
  auto array = file.read(place.name);
  if (!array) return array.error();
  const Shape& shape = field.tensor->shape();
  const Shape wanted = file_shape(shape, place);
  if (array.value().shape() != wanted)
    return Error(fmt::format("tensor '{}' has shape {}; the configuration asks for {}", place.name,
                             to_string(array.value().shape()), to_string(wanted)));
  return array;
}

// Rows of a field as f32.
HostArray rows_as_f32(const HostArray& tensor, const Shape& shape, const FilePlace& place,
                      int64_t first, int64_t count) {
  Shape some = shape;
  some[0] = count;
  HostArray values(DType::f32, some);
  float* out = values.mutable_span<float>().data();
  const Window window(shape, place);
  const auto added = static_cast<float>(place.added);
  visit_dtype(tensor.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* in = static_cast<const T*>(tensor.data());
    for (int64_t r = 0; r < count; ++r)
      copy_row(in + window.start(first + r), window.step, out + r * window.columns, 1,
               window.columns, added);
  });
  return values;
}

bool lies_in_rows(const FilePlace& place) { return !place.transposed && place.added == 0; }
// What float_weight() keeps as it is.
bool is_kept_float(DType dtype) { return dtype == DType::f32 || is_narrow_float(dtype); }

}  // namespace

Result<HostArray> read_field(const io::TensorFile& file, const Field& field,
                             const FilePlace& place) {
  const auto array = tensor_of_field(file, field, place);
  if (!array) return array.error();
  const Shape& shape = field.tensor->shape();
  return rows_as_f32(array.value(), shape, place, 0, shape[0]);
}

HostArray some_rows(const HostArray& matrix, int64_t first, int64_t count) {
  const auto row_bytes = static_cast<int64_t>(matrix.bytes()) / matrix.shape()[0];
  return {matrix.dtype(),
          {count, matrix.shape()[1]},
          matrix.owner(),
          static_cast<const std::byte*>(matrix.data()) + first * row_bytes};
}

Status load_fields(Module& module, const io::TensorFile& file, const NameMap& map,
                   const KeepField& keep) {
  for (const Field& field : fields(module)) {
    const FilePlace place = map(field.path);
    const auto read = tensor_of_field(file, field, place);
    if (!read) return read.error();
    const HostArray& tensor = read.value();
    const Shape& shape = field.tensor->shape();
    const bool is_matrix = shape.rank() == 2;
    if (keep && is_matrix && lies_in_rows(place) && is_kept_float(tensor.dtype())) {
      const HostArray all = rows_of_field(tensor, shape, place);
      const auto rows = [&](int64_t first, int64_t count) {
        file.release_pages(place.name);
        return some_rows(all, first, count);
      };
      *field.tensor = keep(field, all.dtype(), rows);
    } else if (keep && is_matrix) {
      const DType dtype = is_kept_float(tensor.dtype()) ? tensor.dtype() : DType::f32;
      *field.tensor = keep(field, dtype, [&](int64_t first, int64_t count) {
        return rows_as_f32(tensor, shape, place, first, count);
      });
    } else {
      *field.tensor = Tensor(rows_as_f32(tensor, shape, place, 0, shape[0])).named(field.path);
    }
    file.release_pages(place.name);
  }
  return Nothing{};
}

namespace {

// Puts a field's numbers where they stand in its file tensor.
void put_field(const HostArray& field, const FilePlace& place, HostArray& tensor) {
  const float* in = field.span<float>().data();
  float* out = tensor.mutable_span<float>().data();
  const Window window(field.shape(), place);
  const auto added = static_cast<float>(place.added);
  for (int64_t r = 0; r < window.rows; ++r)
    copy_row(in + r * window.columns, 1, out + window.start(r), window.step, window.columns,
             -added);
}

// Indices of the fields that each tensor of a file holds.
std::map<std::string, std::vector<size_t>> fields_by_tensor(std::span<const Field> fields,
                                                            const NameMap& map) {
  std::map<std::string, std::vector<size_t>> by_tensor;
  for (size_t i = 0; i < fields.size(); ++i) by_tensor[map(fields[i].path).name].push_back(i);
  return by_tensor;
}

}  // namespace

std::vector<MovedTensor> moved_tensors(std::span<const Field> fields, const io::TensorFile& file,
                                       const NameMap& from, const NameMap& to) {
  std::vector<MovedTensor> tensors;
  for (const auto& [name, indices] : fields_by_tensor(fields, to)) {
    MovedTensor tensor{.name = name, .shape = {}, .fields = {}, .load = {}};
    for (const size_t i : indices) tensor.fields.push_back(fields[i]);
    const Field& first = tensor.fields.front();
    tensor.shape = file_shape(first.tensor->shape(), to(first.path));
    tensor.load = [shape = tensor.shape, of = tensor.fields, &file, from, to] {
      HostArray joined(DType::f32, shape);
      for (const Field& field : of)
        put_field(read_field(file, field, from(field.path)).value(), to(field.path), joined);
      return joined;
    };
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

std::vector<io::SafetensorsSource> file_tensors(std::span<const Field> fields,
                                                std::span<const Tensor> values,
                                                const NameMap& map) {
  struct Part {
    Tensor value;
    FilePlace place;
  };
  std::vector<io::SafetensorsSource> tensors;
  for (const auto& [name, indices] : fields_by_tensor(fields, map)) {
    std::vector<Part> parts;
    for (const size_t i : indices) parts.push_back({values[i], map(fields[i].path)});
    const Shape shape = file_shape(parts.front().value.shape(), parts.front().place);
    tensors.push_back({name, DType::f32, shape, [shape, parts] {
                         HostArray joined(DType::f32, shape);
                         for (const auto& [value, place] : parts)
                           put_field(value.host(), place, joined);
                         return joined;
                       }});
  }
  return tensors;
}

}  // namespace cairn
