// Training data: batches as a function of the step.
//
// A batch depends on the seed and the step alone: within an epoch, examples are visited in the
// order of a keyed permutation that needs no memory, so a run resumes in the middle of an epoch
// without any state, and a corpus may be larger than memory (tokens are a mapped file).
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cairn/base/file.h"
#include "cairn/core/host_array.h"
#include "cairn/graph/tensor.h"
#include "cairn/text/tokenizer.h"

namespace cairn {

// Where index i of [0, n) goes in a random order of key (seed, epoch): a Feistel network of four
// rounds of Philox on the next even number of bits, walked until it lands inside.
int64_t permuted(int64_t i, int64_t n, uint64_t seed, int64_t epoch);

// Documents as one run of token ids in a mapped file, with the starts of documents.
class TokenFile {
 public:
  // Tokenizes the documents of `files` into `path` (u16 or u32 by vocabulary), streaming; 8 bytes
  // per document are held.
  static Status write(const std::string& path, std::span<const std::string> files,
                      const std::string& separator, const text::Tokenizer& tokenizer);
  static Result<TokenFile> open(const std::string& path);

  int64_t size() const { return size_; }
  int32_t operator[](int64_t i) const;
  // Index of the document that token i belongs to.
  int64_t document(int64_t i) const;
  bool has_documents() const { return starts_.size() > 1; }
  // Of the tokens and where documents begin.
  uint64_t hash() const;

 private:
  SharedBytes bytes_;
  std::span<const int64_t> starts_;  // in the mapping, as the ids
  const void* ids_ = nullptr;
  int64_t size_ = 0;
  int width_ = 2;
};

// Windows of `context` tokens and their successors from part [begin, end) of a token file.
class TextBatches {
 public:
  // Throws Error when the part holds no window.
  TextBatches(const TokenFile& tokens, int64_t begin, int64_t end, int64_t context, uint64_t seed);

  // ids i32 [batch, context], targets i32 [batch, context] and, where there is more than one
  // document, segments i32 [batch, context]. A target in another document than its token is -100
  // (ignored).
  std::vector<HostArray> batch(int64_t step, int64_t batch) const;
  std::vector<TensorType> batch_types(int64_t batch) const;
  // Window i of those that lie side by side from the start, for evaluation; past the last: all
  // -100.
  std::vector<HostArray> evaluation_batch(int64_t first, int64_t batch) const;
  int64_t evaluation_windows() const {
    return std::max<int64_t>((end_ - begin_ - 1) / context_, 1);
  }
  int64_t windows_per_epoch() const { return windows_; }

 private:
  void fill(int64_t start, int64_t row, std::vector<HostArray>& arrays, bool valid) const;
  std::vector<HostArray> empty(int64_t batch) const;
  const TokenFile& tokens_;
  int64_t begin_, end_, context_;
  uint64_t seed_;
  int64_t windows_;
};

// Images u8 [N, H, W] or [N, C, H, W] with labels; batches are f32 [batch, C, H, W] in 0..1,
// normalised by `mean` and `deviation`, and i32 [batch].
class ImageBatches {
 public:
  static Result<ImageBatches> open(const std::string& images, const std::string& labels);
  std::vector<HostArray> batch(int64_t step, int64_t batch, uint64_t seed) const;
  std::vector<TensorType> batch_types(int64_t batch) const;
  // Images first..first+batch-1 in order; labels past the end are -100.
  std::vector<HostArray> evaluation_batch(int64_t first, int64_t batch) const;
  int64_t size() const { return count_; }
  const Shape& image_shape() const { return shape_; }  // [C, H, W]
  int64_t classes() const { return classes_; }
  uint64_t hash() const;  // of pixels and labels
  // Of the pixels / 255, over all of the images.
  double mean = 0, deviation = 1;

 private:
  void fill(int64_t image, int64_t row, std::vector<HostArray>& arrays) const;
  HostArray images_, labels_;
  Shape shape_;
  int64_t count_ = 0, classes_ = 0;
};

}  // namespace cairn
