// Weights in the order that products read, in a file from one start to the next: what is found
// there is mapped, and nothing is packed or quantized.
//
// The file is never trusted. When it is opened its header is checked, and that it was made of these
// files (their sizes and times, and a hash of samples of each) in this way (formats, the layout of
// panels, the device). A tensor's checksum is checked when the tensor is asked for, which reads it
// once, as a first step would. What does not fit is made again, and then the file is replaced.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cairn/base/log.h"
#include "cairn/models/packed_file.h"
#include "cairn/runtime/runtime.h"

namespace cairn {

// Where such a file lies: beside the model, or below the cache's folder.
enum class PackedPlace { beside, cache };

// FILE[.TYPE].packed, in a folder weights[.TYPE].packed; in the cache's folder
// weights/NAME-HASH[.TYPE].packed.
std::string packed_weights_path(const std::filesystem::path& model, const std::string& quantize,
                                PackedPlace place, const std::string& cache_folder);

// What the file for a model must say: of the files that lie there, and of weights that become
// `quantize` (as LoadOptions) on a device like this one.
PackedIdentity packed_identity(const std::filesystem::path& model, const std::string& quantize,
                               Runtime& runtime);

// An array that is read when it is needed: not where a file has what is made of it.
struct LateArray {
  DType dtype;
  Shape shape;
  std::function<HostArray()> read;
};

class PackedWeights {
 public:
  // Opens the file where there is one. What is wrong with it, or with writing it, is a warning of
  // `log`; that it was written, a piece of information.
  PackedWeights(Runtime& runtime, std::string path, PackedIdentity identity, Log log = {});

  // A leaf of that type: the file's tensor of that name, else of memory that `write` fills.
  Tensor leaf(const TensorType& type, const std::string& name,
              const std::function<void(void*)>& write);
  // Writes the file, when something was made that it does not have. For when all is loaded.
  void keep();

  size_t mapped() const { return tensors_.size() - made_; }
  size_t made() const { return made_; }

 private:
  Runtime& runtime_;
  std::string path_;
  PackedIdentity identity_;
  Log log_;
  std::optional<PackedFile> file_;
  std::vector<PackedTensor> tensors_;  // that were asked for
  size_t made_ = 0;
};

// The same without a file: `kept` may be null.
Tensor packed_leaf(PackedWeights* kept, Runtime& runtime, const TensorType& type,
                   const std::string& name, const std::function<void(void*)>& write);

}  // namespace cairn
