// The weights of a Hugging Face folder: model.safetensors, or the shards that
// model.safetensors.index.json names.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "cairn/io/safetensors.h"

namespace cairn::io {

class SafetensorsFolder : public TensorFile {
 public:
  // Maps every file and checks its header. The Error names the file that is missing or damaged, or
  // the tensor that is not in the shard where the index says.
  static Result<SafetensorsFolder> open(const std::filesystem::path& folder);

  bool has(std::string_view name) const override { return places_.contains(name); }
  Result<HostArray> read(std::string_view name) const override;
  // Whether every matrix has this type, as headers name it: "F32".
  bool matrices_are(std::string_view dtype) const;
  void release_pages(std::string_view name) const override;
  // What the header says of a tensor; null when there is none.
  const SafetensorsEntry* find(std::string_view name) const;

 private:
  std::string name_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t, std::less<>> places_;  // the file of each tensor
};

}  // namespace cairn::io
