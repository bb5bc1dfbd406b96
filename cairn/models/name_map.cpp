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

Status load_fields(Module& module, const io::TensorFile& file, const NameMap& map,
                   const KeepField& keep) {
  for (const Field& field : fields(module)) {
    const FilePlace place = map(field.path);
    if (!file.has(place.name))
      return Error(
          fmt::format("tensor '{}' (for {}) is missing from the file", place.name, field.path));
    auto array = file.read(place.name);
    if (!array) return array.error();
    const Shape& shape = field.tensor->shape();
    const Shape wanted = file_shape(shape, place);
    if (array.value().shape() != wanted)
      return Error(fmt::format("tensor '{}' has shape {}; the configuration asks for {}",
                               place.name, to_string(array.value().shape()), to_string(wanted)));
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
    *field.tensor = keep ? keep(field, values) : Tensor(values).named(field.path);
  }
  return Nothing{};
}

std::vector<io::SafetensorsSource> file_tensors(std::span<const Field> fields,
                                                std::span<const Tensor> values,
                                                const NameMap& map) {
  struct Part {
    Tensor value;
    FilePlace place;
  };
  std::map<std::string, std::vector<Part>> parts;
  for (size_t i = 0; i < fields.size(); ++i) {
    const FilePlace place = map(fields[i].path);
    parts[place.name].push_back({values[i], place});
  }
  std::vector<io::SafetensorsSource> tensors;
  for (auto& [name, of] : parts) {
    const Shape shape = file_shape(of.front().value.shape(), of.front().place);
    tensors.push_back({name, DType::f32, shape, [shape, of = std::move(of)] {
                         HostArray joined(DType::f32, shape);
                         float* out = joined.mutable_span<float>().data();
                         for (const auto& [value, place] : of) {
                           const HostArray array = value.host();
                           const auto in = array.span<float>();
                           const Window window(array.shape(), place);
                           const auto added = static_cast<float>(place.added);
                           for (int64_t r = 0; r < window.rows; ++r)
                             for (int64_t c = 0; c < window.columns; ++c)
                               out[window.at(r, c)] =
                                   in[static_cast<size_t>(r * window.columns + c)] - added;
                         }
                         return joined;
                       }});
  }
  return tensors;
}

}  // namespace cairn
