#include "cairn/models/name_map.h"

#include <fmt/format.h>

#include <map>

#include "cairn/graph/scalar.h"

namespace cairn {
namespace {

// Where the numbers of a field stand in its file tensor.
struct Window {
  const FilePlace& place;
  int64_t rows, columns;  // of the field, a vector having one row
  int64_t file_columns;   // of the file tensor's rows
  bool is_vector;
  Window(const Shape& field, const FilePlace& file_place)
      : place(file_place), is_vector(field.rank() == 1) {
    rows = is_vector ? 1 : field[0];
    columns = rows ? field.elements() / rows : 0;
    file_columns = place.transposed ? (place.total ? place.total : rows) : columns;
  }
  int64_t at(int64_t row, int64_t column) const {
    if (is_vector) return place.file_output(column, columns);
    const int64_t output = place.file_output(row, rows);
    return place.transposed ? column * file_columns + output : output * file_columns + column;
  }
};

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

Result<HostArray> read_field(const io::TensorFile& file, const Field& field,
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
  HostArray values(DType::f32, shape);
  float* out = values.mutable_span<float>().data();
  const Window window(shape, place);
  const auto added = static_cast<float>(place.added);
  visit_dtype(array.value().dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* in = static_cast<const T*>(array.value().data());
    for (int64_t r = 0; r < window.rows; ++r)
      for (int64_t c = 0; c < window.columns; ++c)
        out[r * window.columns + c] = cast_element<float>(in[window.at(r, c)]) + added;
  });
  return values;
}

HostArray rounded(const HostArray& values, DType dtype) {
  if (dtype == DType::f32) return values;
  HostArray out(dtype, values.shape());
  const auto from = values.span<float>();
  visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto* to = static_cast<T*>(out.mutable_data());
    for (size_t i = 0; i < from.size(); ++i) to[i] = cast_element<T>(from[i]);
  });
  return out;
}

Status load_fields(Module& module, const io::TensorFile& file, const NameMap& map,
                   const KeepField& keep) {
  for (const Field& field : fields(module)) {
    auto values = read_field(file, field, map(field.path));
    if (!values) return values.error();
    *field.tensor =
        keep ? keep(field, values.value()) : Tensor(std::move(values).value()).named(field.path);
  }
  return Nothing{};
}

namespace {

// Puts a field's numbers where they stand in its file tensor.
void put_field(const HostArray& field, const FilePlace& place, HostArray& tensor) {
  const auto in = field.span<float>();
  float* out = tensor.mutable_span<float>().data();
  const Window window(field.shape(), place);
  const auto added = static_cast<float>(place.added);
  for (int64_t r = 0; r < window.rows; ++r)
    for (int64_t c = 0; c < window.columns; ++c)
      out[window.at(r, c)] = in[static_cast<size_t>(r * window.columns + c)] - added;
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
