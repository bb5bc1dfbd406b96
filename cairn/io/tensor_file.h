// A file or folder of named arrays, whatever its format.
#pragma once

#include <string_view>

#include "cairn/base/error.h"
#include "cairn/core/host_array.h"

namespace cairn::io {

class TensorFile {
 public:
  virtual ~TensorFile() = default;
  virtual bool has(std::string_view name) const = 0;
  // The Error names the file and the tensor that is missing or of a type that cairn does not have.
  virtual Result<HostArray> read(std::string_view name) const = 0;
  // Gives back the memory of a tensor's pages, where the file is mapped: for who has copied it.
  virtual void release_pages(std::string_view) const {}
};

}  // namespace cairn::io
