// Cases of public functions from PyTorch and JAX (tests/golden/ops; tools/goldens/README.md has the
// form).
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cairn/io/safetensors.h"
#include "tests/support/test_data.h"

namespace cairn::test {

struct GoldenCase {
  std::string name;
  std::string function;
  nlohmann::json attributes;
  std::vector<std::string> roles;
  std::vector<HostArray> inputs;
  std::vector<HostArray> outputs;
  std::vector<std::optional<HostArray>> cotangents;  // empty, or one per output
  std::map<int, HostArray> gradients;                // by position of the input
};

inline std::vector<GoldenCase> read_golden_cases(const std::string& stem) {
  const std::string path = golden_path("ops/" + stem).string();
  const auto file = io::SafetensorsFile::open(path + ".safetensors").value();
  std::ifstream text(path + ".json");
  const nlohmann::json description = nlohmann::json::parse(text);
  const auto read = [&](const nlohmann::json& name) {
    return file.read(name.get<std::string>()).value();
  };
  std::vector<GoldenCase> cases;
  for (const auto& c : description["cases"]) {
    GoldenCase& golden = cases.emplace_back();
    golden.name = c["name"];
    golden.function = c["function"];
    golden.attributes = c["attributes"];
    if (c.contains("roles")) golden.roles = c["roles"].get<std::vector<std::string>>();
    for (const auto& name : c["inputs"]) golden.inputs.push_back(read(name));
    for (const auto& name : c["outputs"]) golden.outputs.push_back(read(name));
    if (c.contains("cotangents"))
      for (const auto& name : c["cotangents"])
        golden.cotangents.push_back(name.is_null() ? std::nullopt : std::optional(read(name)));
    if (c.contains("gradients"))
      for (const auto& [position, name] : c["gradients"].items())
        golden.gradients[std::stoi(position)] = read(name);
  }
  return cases;
}

}  // namespace cairn::test
