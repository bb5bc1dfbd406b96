// ONNX messages to plain structs. Foreign bytes: sizes are checked before anything is allocated.
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "cairn/io/bytes.h"
#include "onnx.pb.h"
#include "tests/onnx/model.h"

namespace cairn::test {

namespace {

namespace file = onnx_file;

template <class Message>
Message parsed(std::span<const std::byte> bytes, const char* what) {
  Message message;
  if (bytes.size() > INT32_MAX ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    throw_error(fmt::format("[onnx] {} bytes are no {}", bytes.size(), what));
  return message;
}

// Elements of a typed list as T; 16-bit floats and the like are stored as their bits.
template <class T, class List>
HostArray from_list(const List& list, DType dtype, const Shape& shape) {
  if (list.size() != shape.elements())
    throw_error(fmt::format("[onnx] {} values do not fill a tensor of shape {}", list.size(),
                            to_string(shape)));
  HostArray array(dtype, shape);
  for (int i = 0; i < list.size(); ++i) {
    const T value = static_cast<T>(list[i]);
    std::memcpy(static_cast<std::byte*>(array.mutable_data()) + static_cast<size_t>(i) * sizeof(T),
                &value, sizeof(T));
  }
  return array;
}

OnnxValue value_of(const file::TensorProto& tensor) {
  if (tensor.data_type() == 0) throw_error("[onnx] a tensor without an element type");
  DType dtype;
  try {
    dtype = dtype_of_onnx(tensor.data_type());
  } catch (const Unsupported& unsupported) {
    return {{}, unsupported.what()};
  }
  if (tensor.data_location() != 0)
    throw_error("[onnx] the tensor's values are in another file, which is not read");
  const std::vector<int64_t> sizes(tensor.dims().begin(), tensor.dims().end());
  const Shape shape = io::checked_shape(sizes, dtype);
  if (tensor.has_raw_data()) {
    const std::string& raw = tensor.raw_data();
    const size_t wanted = static_cast<size_t>(shape.elements()) * size_of(dtype);
    if (raw.size() != wanted)
      throw_error(fmt::format("[onnx] {} bytes for a tensor of {} bytes", raw.size(), wanted));
    return {io::view_array(dtype, shape, SharedBytes(raw))};
  }
  switch (dtype) {
    case DType::f32: return {from_list<float>(tensor.float_data(), dtype, shape)};
    case DType::f64: return {from_list<double>(tensor.double_data(), dtype, shape)};
    case DType::i64: return {from_list<int64_t>(tensor.int64_data(), dtype, shape)};
    case DType::u32: return {from_list<uint32_t>(tensor.uint64_data(), dtype, shape)};
    case DType::b8: return {from_list<bool>(tensor.int32_data(), dtype, shape)};
    default: break;
  }
  switch (size_of(dtype)) {
    case 1: return {from_list<uint8_t>(tensor.int32_data(), dtype, shape)};
    case 2: return {from_list<uint16_t>(tensor.int32_data(), dtype, shape)};
    default: return {from_list<int32_t>(tensor.int32_data(), dtype, shape)};
  }
}

OnnxGraph graph_of(const file::GraphProto& proto);

OnnxAttribute attribute_of(const file::AttributeProto& a) {
  switch (a.type()) {
    case 1: return a.f();
    case 2: return int64_t{a.i()};
    case 3: return a.s();
    case 4: return value_of(a.t());
    case 5: return std::make_shared<const OnnxGraph>(graph_of(a.g()));
    case 6: return std::vector<float>(a.floats().begin(), a.floats().end());
    case 7: return std::vector<int64_t>(a.ints().begin(), a.ints().end());
    case 8: return std::vector<std::string>(a.strings().begin(), a.strings().end());
    // Lists of tensors or graphs, sparse tensors and types: nothing that we run has one.
    default: return OnnxValue{{}, fmt::format("an attribute of kind {} ({})", a.type(), a.name())};
  }
}

OnnxGraph graph_of(const file::GraphProto& proto) {
  OnnxGraph graph;
  for (const auto& tensor : proto.initializer())
    graph.initializers[tensor.name()] = value_of(tensor);
  for (const auto& node : proto.node()) {
    OnnxNode& n = graph.nodes.emplace_back();
    n.op = node.op_type();
    n.inputs.assign(node.input().begin(), node.input().end());
    n.outputs.assign(node.output().begin(), node.output().end());
    for (const auto& attribute : node.attribute())
      n.attributes[attribute.name()] = attribute_of(attribute);
  }
  for (const auto& input : proto.input())
    if (!graph.initializers.contains(input.name()))
      graph.inputs.push_back({input.name(), input.type().has_tensor_type()});
  for (const auto& output : proto.output())
    graph.outputs.push_back({output.name(), output.type().has_tensor_type()});
  return graph;
}

}  // namespace

DType dtype_of_onnx(int64_t data_type) {
  switch (data_type) {
    case 1: return DType::f32;
    case 2: return DType::u8;
    case 3: return DType::i8;
    case 5: return DType::i16;
    case 6: return DType::i32;
    case 7: return DType::i64;
    case 9: return DType::b8;
    case 10: return DType::f16;
    case 11: return DType::f64;
    case 12: return DType::u32;
    case 16: return DType::bf16;
    case 17: return DType::f8e4m3;
    case 19: return DType::f8e5m2;
    default: break;
  }
  static constexpr std::array<const char*, 27> kOthers = {"",
                                                          "",
                                                          "",
                                                          "",
                                                          "uint16",
                                                          "",
                                                          "",
                                                          "",
                                                          "strings",
                                                          "",
                                                          "",
                                                          "",
                                                          "",
                                                          "uint64",
                                                          "complex64",
                                                          "complex128",
                                                          "",
                                                          "",
                                                          "float8e4m3fnuz",
                                                          "",
                                                          "float8e5m2fnuz",
                                                          "uint4",
                                                          "int4",
                                                          "float4e2m1",
                                                          "float8e8m0",
                                                          "uint2",
                                                          "int2"};
  if (data_type < 0 || data_type >= static_cast<int64_t>(kOthers.size()) ||
      !*kOthers[static_cast<size_t>(data_type)])
    throw_error(fmt::format("[onnx] {} is no element type", data_type));
  throw Unsupported(fmt::format("cairn has no {}", kOthers[static_cast<size_t>(data_type)]));
}

OnnxModel read_onnx_model(std::span<const std::byte> bytes) {
  const auto model = parsed<file::ModelProto>(bytes, "ONNX model");
  if (!model.has_graph()) throw_error("[onnx] a model without a graph");
  OnnxModel result{graph_of(model.graph())};
  for (const auto& set : model.opset_import())
    if (set.domain().empty() || result.opset == 0) result.opset = set.version();
  return result;
}

OnnxValue read_onnx_tensor(std::span<const std::byte> bytes) {
  return value_of(parsed<file::TensorProto>(bytes, "ONNX tensor"));
}

}  // namespace cairn::test
