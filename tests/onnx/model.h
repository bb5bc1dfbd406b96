// What an ONNX file says, as plain structs, so that protobuf stays in one file (read_model.cpp).
//
// A value that cairn cannot hold (an element type that it lacks, text, a sequence) is no error: it
// keeps the reason, and whoever needs the value throws it as Unsupported, which makes the case a
// skipped one.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "cairn/core/host_array.h"

namespace cairn::test {

// Something in a model that cairn does not have. `what()` says what, in words.
class Unsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct OnnxValue {
  HostArray array;
  std::string missing = {};  // why there is no array; empty when there is one
  // Throws Unsupported where there is none.
  const HostArray& get() const {
    if (!missing.empty()) throw Unsupported(missing);
    return array;
  }
};

struct OnnxGraph;
using OnnxAttribute =
    std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>,
                 std::vector<std::string>, OnnxValue, std::shared_ptr<const OnnxGraph>>;

struct OnnxNode {
  std::string op;
  std::vector<std::string> inputs;   // "": left out
  std::vector<std::string> outputs;  // "": not wanted
  std::map<std::string, OnnxAttribute> attributes;
};

// Name of a value, and whether it is a tensor (not a sequence, map or optional).
struct OnnxSlot {
  std::string name;
  bool is_tensor = true;
};

struct OnnxGraph {
  std::vector<OnnxNode> nodes;
  std::map<std::string, OnnxValue> initializers;
  std::vector<OnnxSlot> inputs;  // those that are not initializers
  std::vector<OnnxSlot> outputs;
};

struct OnnxModel {
  OnnxGraph graph;
  int64_t opset = 0;  // of the default domain; of another one where the model has only that
};

// Element type of an ONNX number; throws Unsupported, with its name, where cairn has no such type.
DType dtype_of_onnx(int64_t data_type);

// The messages of the file format. Throw cairn::Error for bytes that are not such a message.
OnnxModel read_onnx_model(std::span<const std::byte> bytes);
OnnxValue read_onnx_tensor(std::span<const std::byte> bytes);

}  // namespace cairn::test
