// The path of a transformer's field, taken apart.
#pragma once

#include <string>

namespace cairn {

// "blocks.3.attention.query.weight" → {3, "attention.query", "weight"}; block -1 for the rest.
struct FieldName {
  int block = -1;
  std::string module, leaf;
  explicit FieldName(std::string path) {
    if (path.rfind("blocks.", 0) == 0) {
      const size_t dot = path.find('.', 7);
      block = std::stoi(path.substr(7, dot - 7));
      path = path.substr(dot + 1);
    }
    const size_t dot = path.rfind('.');
    module = path.substr(0, dot);
    leaf = path.substr(dot + 1);
  }
};

}  // namespace cairn
