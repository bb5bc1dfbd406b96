// What the tests of the text form share: texts, the corpus, and a kernel as an example.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/base/error.h"
#include "cairn/tile/builder.h"
#include "cairn/tile/parse.h"
#include "cairn/tile/verify.h"

namespace cairn::tile::test {

inline std::string error_of(std::string_view text) {
  try {
    verify(parse_kernel(text));
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

// Each exactly as the printer writes it; also the seeds of the fuzz target.
inline std::vector<std::filesystem::path> corpus() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(CAIRN_SOURCE_DIR) / "tests/fuzz/corpus/tile_text"))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}
inline std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

// One instruction a line: C++ does not say which operand is built first.
inline Kernel scale() {
  return build("scale", [](Builder& k) {
    const Buffer x = k.input("x", DType::f32), y = k.output("y", DType::f32, 16);
    const Tile n = k.size("n", 16);
    k.grid([&] { return std::vector<Tile>{ceil_div(n, 1024)}; });
    const Tile start = k.program_id(0) * 1024;
    const Tile i = start + k.arange(1024);
    const Tile inside = i < n;
    k.store(y, i, k.load(x, i, inside) * 2.0, inside);
  });
}

}  // namespace cairn::tile::test
