// The operator cases of ONNX from their archive: a model, its inputs, and the results that it has
// to give.
#pragma once

#include <string>
#include <vector>

#include "tests/onnx/model.h"

namespace cairn::test {

struct OnnxCase {
  std::string name;  // "softmax_axis_0": the folder, without "test_"
  // What it is a case of: the only node's operator, or the operator whose definition by others the
  // nodes are (the archive has both forms of many).
  std::string op;
  bool is_definition = false;
  OnnxModel model;
  std::vector<OnnxValue> inputs;   // one per input of the graph
  std::vector<OnnxValue> outputs;  // one per output of the graph
};

inline constexpr const char* kOnnxArchive = "numerics/onnx-node-tests-v1.22-a.tar.gz";

// All cases of an archive, by name. Throws Error for a broken one.
std::vector<OnnxCase> read_onnx_cases(const std::string& path);

}  // namespace cairn::test
