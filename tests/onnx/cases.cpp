#include "tests/onnx/cases.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/io/tar.h"

namespace cairn::test {

namespace {

// The operator that names the values inside a definition:
// "Softmax_test_softmax_expanded_function_x".
std::string defined_operator(const OnnxCase& c) {
  const std::string marker =
      "_test_" + c.name.substr(0, c.name.find("_expanded")) + "_expanded_function_";
  for (const OnnxNode& node : c.model.graph.nodes)
    for (const std::string& output : node.outputs)
      if (const size_t at = output.find(marker); at != std::string::npos)
        return output.substr(0, at);
  return {};
}

std::vector<OnnxValue> read_values(const io::TarFile& tar, const std::string& folder,
                                   const char* stem, const std::vector<OnnxSlot>& slots) {
  std::vector<OnnxValue> values;
  for (size_t i = 0; i < slots.size(); ++i) {
    if (!slots[i].is_tensor) {
      values.push_back({{}, "cairn has no sequences and optional values"});
      continue;
    }
    const std::string path = fmt::format("{}/test_data_set_0/{}_{}.pb", folder, stem, i);
    const io::TarEntry* entry = tar.find(path);
    if (!entry) throw_error(fmt::format("[onnx] the archive has no {}", path));
    values.push_back(read_onnx_tensor(tar.bytes(*entry).bytes()));
  }
  return values;
}

}  // namespace

std::vector<OnnxCase> read_onnx_cases(const std::string& path) {
  const io::TarFile tar = io::TarFile::open(path, 1 << 28).value();
  constexpr std::string_view kFile = "/model.onnx", kPrefix = "/test_";
  std::vector<OnnxCase> cases;
  for (const io::TarEntry& entry : tar.entries()) {
    if (!entry.name.ends_with(kFile)) continue;
    const std::string folder = entry.name.substr(0, entry.name.size() - kFile.size());
    OnnxCase& c = cases.emplace_back();
    c.name = folder.substr(folder.rfind(kPrefix) + kPrefix.size());
    c.model = read_onnx_model(tar.bytes(entry).bytes());
    c.inputs = read_values(tar, folder, "input", c.model.graph.inputs);
    c.outputs = read_values(tar, folder, "output", c.model.graph.outputs);
    c.op = defined_operator(c);
    c.is_definition = !c.op.empty();
    if (c.op.empty()) c.op = c.model.graph.nodes.at(0).op;
  }
  std::sort(cases.begin(), cases.end(),
            [](const OnnxCase& a, const OnnxCase& b) { return a.name < b.name; });
  return cases;
}

}  // namespace cairn::test
