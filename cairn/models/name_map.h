// Fields of a module against the tensors of a file: names, and where one file tensor holds several
// fields or a transposed one.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cairn/io/safetensors.h"
#include "cairn/models/float_weights.h"
#include "cairn/nn/module.h"

namespace cairn {

// Where a field stands in a file. A file tensor with a `total` holds several fields side by side
// along the output axis, which is the last of a transposed matrix and the first otherwise: so many
// in all, this one from `first` on.
struct FilePlace {
  std::string name;
  bool transposed = false;
  int64_t first = 0, total = 0;
  double added = 0;  // to each number of the file
  // Vectors that share a tensor are its rows, of which there are total / their length.
  bool as_rows = false;
  // How some files keep what turns with the position: of each of so many heads the first
  // `paired_width` outputs stand in pairs, i and i + paired_width / 2 at 2i and 2i + 1.
  int64_t paired_heads = 0, paired_width = 0;

  // Where output i of a field with `outputs` of them stands among those of the file's tensor.
  int64_t file_output(int64_t i, int64_t outputs) const;
};
using NameMap = std::function<FilePlace(const std::string& field_path)>;

// What the file's tensor has for a field of this shape.
Shape file_shape(const Shape& field, const FilePlace& place);

// The rows of a matrix of that shape in its file's tensor, which is not transposed: a view where
// they stand together, else a copy in order.
HostArray rows_of_field(const HostArray& tensor, const Shape& field, const FilePlace& place);

// A view of some rows of a matrix.
HostArray some_rows(const HostArray& matrix, int64_t first, int64_t count);

// Fills every field from the file, as f32. The Error names the tensor that is missing, or of the
// wrong shape or type. Tensors of the file that no field asks for are ignored. `keep` makes of a
// matrix what is kept of it; null: a leaf. It gets the type of the file, f32 for others than f32,
// f16 and bf16, and the rows in it or in f32: views of the file, where they lie in it as they are.
using KeepField = std::function<Tensor(const Field& field, DType dtype, const RowsOf& rows)>;
Status load_fields(Module& module, const io::TensorFile& file, const NameMap& map,
                   const KeepField& keep = nullptr);

// A field of the file, as f32; the Error is that of load_fields.
Result<HostArray> read_field(const io::TensorFile& file, const Field& field,
                             const FilePlace& place);

// A tensor of another file, as f32 when its turn comes.
struct MovedTensor {
  std::string name;
  Shape shape;
  std::vector<Field> fields;  // that it holds
  std::function<HostArray()> load;
};
// The tensors of a file with the names `to` for the fields that `file` has by the names `from`. The
// file outlives what is returned; `load` throws Error where it lacks a tensor.
std::vector<MovedTensor> moved_tensors(std::span<const Field> fields, const io::TensorFile& file,
                                       const NameMap& from, const NameMap& to);

// The tensors of a file for these fields and values (one per field, f32), joined and transposed
// when their turn comes.
std::vector<io::SafetensorsSource> file_tensors(std::span<const Field> fields,
                                                std::span<const Tensor> values, const NameMap& map);

}  // namespace cairn
