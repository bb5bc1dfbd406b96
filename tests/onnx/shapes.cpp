// Operators that move elements, and those that make tensors out of sizes.
#include <fmt/format.h>

#include <cmath>

#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

Shape shape_of(const std::vector<int64_t>& sizes) {
  return Shape(Ints(std::span<const int64_t>(sizes)));
}

// Axes as an operand (newer versions) or an attribute.
Ints axes_of(const OnnxCall& c, int operand) {
  if (!c.has(operand)) return c.ints("axes");
  return Ints(std::span<const int64_t>(c.constants(operand)));
}

Tensor reshape_of(const OnnxCall& c) {
  std::vector<int64_t> sizes = c.constants(1);
  if (!c.integer("allowzero", 0))
    for (size_t i = 0; i < sizes.size(); ++i)
      if (sizes[i] == 0) sizes[i] = c[0].size(static_cast<int>(i));
  return reshape(c[0], shape_of(sizes));
}

// A matrix: axes before `axis`, the rest.
Tensor flatten_of(const OnnxCall& c) {
  int64_t axis = c.integer("axis", 1);
  if (axis < 0) axis += c[0].rank();
  int64_t rows = 1, columns = 1;
  for (int i = 0; i < c[0].rank(); ++i) (i < axis ? rows : columns) *= c[0].size(i);
  return reshape(c[0], {rows, columns});
}

Tensor unsqueeze(const OnnxCall& c) {
  const Ints axes = axes_of(c, 1);
  const int rank = c[0].rank() + axes.size();
  Tensor x = c[0];
  for (const int64_t axis : normalize_axes("Unsqueeze", axes, rank))
    x = expand_dims(x, static_cast<int>(axis));
  return x;
}

Tensor slice_of(const OnnxCall& c) {
  const std::vector<int64_t> starts = c.constants(1), stops = c.constants(2);
  Ints axes = axes_of(c, 3);
  if (axes.empty())
    for (size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  const std::vector<int64_t> steps =
      c.has(4) ? c.constants(4) : std::vector<int64_t>(starts.size(), 1);
  Tensor x = c[0];
  for (size_t i = 0; i < starts.size(); ++i)
    x = slice_axis(x, static_cast<int>(axes[static_cast<int>(i)]), starts[i], stops[i], steps[i]);
  return x;
}

std::vector<Tensor> split_of(const OnnxCall& c) {
  const int axis = c.axis(0);
  if (c.has(1)) return split_sizes(c[0], c.constants(1), axis);
  const Ints attribute = c.ints("split");
  if (!attribute.empty()) return split_sizes(c[0], {attribute.begin(), attribute.end()}, axis);
  // Parts of equal size, but for the last one.
  const int64_t count = static_cast<int64_t>(c.node().outputs.size());
  const int64_t size = c[0].size(axis), each = (size + count - 1) / count;
  std::vector<int64_t> sizes(static_cast<size_t>(count), each);
  sizes.back() = size - each * (count - 1);
  return split_sizes(c[0], sizes, axis);
}

Tensor pad_of(const OnnxCall& c) {
  const std::vector<int64_t> widths = c.constants(1);
  Ints axes = axes_of(c, 3);
  axes = normalize_axes("Pad", axes, c[0].rank());
  Ints low(c[0].rank(), 0), high(c[0].rank(), 0);
  for (int i = 0; i < axes.size(); ++i) {
    low[static_cast<int>(axes[i])] = widths[static_cast<size_t>(i)];
    high[static_cast<int>(axes[i])] = widths[static_cast<size_t>(i) + widths.size() / 2];
  }
  const std::string mode = c.text("mode", "constant");
  if (mode == "edge") return pad(c[0], low, high, PadMode::edge);
  if (mode == "reflect") return pad(c[0], low, high, PadMode::reflect);
  if (mode != "constant") throw Unsupported("cairn's pad has no mode " + mode);
  return c.has(2) ? pad(c[0], low, high, reshape(c[2], {})) : pad(c[0], low, high, 0);
}

// Each axis cut or padded with zeros on both sides, to its size.
Tensor center_crop_pad(const OnnxCall& c) {
  const std::vector<int64_t> sizes = c.constants(1);
  Ints axes = c.ints("axes");
  if (axes.empty())
    for (int i = 0; i < c[0].rank(); ++i) axes.push_back(i);
  Ints low(c[0].rank(), 0), high(c[0].rank(), 0);
  for (int i = 0; i < axes.size(); ++i) {
    const int axis = normalize_axis("CenterCropPad", axes[i], c[0].rank());
    const int64_t more = sizes[static_cast<size_t>(i)] - c[0].size(axis);
    // Half of it in front, rounded to zero in both cases: a cut begins at (size - wanted) / 2.
    low[axis] = more / 2;
    high[axis] = more - low[axis];
  }
  return pad(c[0], low, high, 0);
}

Tensor depth_to_space(const OnnxCall& c) {
  const int64_t b = c.integer("blocksize", 1), N = c[0].size(0), C = c[0].size(1) / (b * b);
  const int64_t H = c[0].size(2), W = c[0].size(3);
  const Tensor blocks = c.text("mode", "DCR") == "DCR"
                            ? transpose(reshape(c[0], {N, b, b, C, H, W}), {0, 3, 4, 1, 5, 2})
                            : transpose(reshape(c[0], {N, C, b, b, H, W}), {0, 1, 4, 2, 5, 3});
  return reshape(blocks, {N, C, H * b, W * b});
}

Tensor space_to_depth(const OnnxCall& c) {
  const int64_t b = c.integer("blocksize", 1), N = c[0].size(0), C = c[0].size(1);
  const int64_t H = c[0].size(2) / b, W = c[0].size(3) / b;
  return reshape(transpose(reshape(c[0], {N, C, H, b, W, b}), {0, 3, 5, 1, 2, 4}),
                 {N, C * b * b, H, W});
}

Tensor shape_vector(const OnnxCall& c) {
  const auto clamped = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + c[0].rank() : at, 0, c[0].rank());
  };
  const int64_t start = clamped(c.integer("start", 0));
  const int64_t end = clamped(c.integer("end", c[0].rank()));
  std::vector<int64_t> sizes;
  for (int64_t i = start; i < end; ++i) sizes.push_back(c[0].size(static_cast<int>(i)));
  return Tensor::from<int64_t>(sizes, {static_cast<int64_t>(sizes.size())});
}

Tensor constant_of(const OnnxCall& c) {
  if (const OnnxValue* value = c.value("value")) return Tensor(value->get());
  if (c.has_attribute("value_float")) return Tensor::scalar(c.number("value_float", 0), DType::f32);
  if (c.has_attribute("value_int")) return Tensor::scalar(c.integer("value_int", 0), DType::i64);
  if (c.has_attribute("value_ints")) {
    const Ints values = c.ints("value_ints");
    return Tensor::from<int64_t>({values.begin(), values.end()}, {values.size()});
  }
  throw Unsupported("a constant that is neither a tensor nor a number");
}

Tensor constant_of_shape(const OnnxCall& c) {
  const Shape shape = shape_of(c.constants(0));
  const OnnxValue* value = c.value("value");
  return broadcast_to(value ? reshape(Tensor(value->get()), {}) : Tensor::scalar(0, DType::f32),
                      shape);
}

Tensor range(const OnnxCall& c) {
  return arange(c.constant(0), c.constant(1), c.constant(2), c[0].dtype());
}

Tensor eye_like(const OnnxCall& c) {
  const DType dtype =
      c.has_attribute("dtype") ? dtype_of_onnx(c.integer("dtype", 0)) : c[0].dtype();
  return eye(c[0].size(0), c[0].size(1), static_cast<int>(c.integer("k", 0)), dtype);
}

Tensor triangle(const OnnxCall& c) {
  const int k = c.has(1) ? static_cast<int>(c.constant(1)) : 0;
  return c.integer("upper", 1) ? triu(c[0], k) : tril(c[0], k);
}

}  // namespace

void add_shapes(OnnxTable& table) {
  table["Reshape"] = one(reshape_of);
  table["Flatten"] = one(flatten_of);
  table["Squeeze"] = one([](const OnnxCall& c) { return squeeze(c[0], axes_of(c, 1)); });
  table["Unsqueeze"] = one(unsqueeze);
  table["Transpose"] = one([](const OnnxCall& c) { return transpose(c[0], c.ints("perm")); });
  table["Expand"] = one([](const OnnxCall& c) {
    const Shape shapes[] = {c[0].shape(), shape_of(c.constants(1))};
    return broadcast_to(c[0], broadcast_shapes("Expand", shapes));
  });
  table["Tile"] = one([](const OnnxCall& c) {
    return tiled(c[0], Ints(std::span<const int64_t>(c.constants(1))));
  });
  table["Concat"] = one([](const OnnxCall& c) { return concatenate(c.all(), c.axis(0)); });
  table["Split"] = split_of;
  table["Slice"] = one(slice_of);
  table["Pad"] = one(pad_of);
  table["CenterCropPad"] = one(center_crop_pad);
  table["DepthToSpace"] = one(depth_to_space);
  table["SpaceToDepth"] = one(space_to_depth);
  table["Shape"] = one(shape_vector);
  table["Size"] =
      one([](const OnnxCall& c) { return Tensor::scalar(c[0].elements(), DType::i64); });
  table["Constant"] = one(constant_of);
  table["ConstantOfShape"] = one(constant_of_shape);
  table["Range"] = one(range);
  table["EyeLike"] = one(eye_like);
  table["Trilu"] = one(triangle);
}

}  // namespace cairn::test
