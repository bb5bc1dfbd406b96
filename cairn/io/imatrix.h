// Importance matrices as llama.cpp's llama-imatrix writes them: for each matrix of a model, the
// mean square of what it is multiplied with, per column (and per expert).
//
// Two forms: GGUF, with tensors NAME.in_sum2 (sums of squares) and NAME.counts (how many, one per
// expert), and the older one: a count, then name, calls, values of each matrix.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cairn/io/bytes.h"

namespace cairn::io {

// By the name of the matrix; an expert's columns after the one's before. All finite, none negative.
using ImportanceMatrix = std::map<std::string, std::vector<float>, std::less<>>;

Result<ImportanceMatrix> read_imatrix(const std::string& path);
// The same for bytes that are already there; `name` is for error texts.
Result<ImportanceMatrix> parse_imatrix(SharedBytes bytes, const std::string& name);

// Writes the GGUF form. `tokens` is how many rows the means are of, in windows of `window`, of the
// text `source`.
struct ImatrixOrigin {
  int64_t tokens = 1, window = 1;
  std::string source;
};
Status write_imatrix(const std::string& path, const ImportanceMatrix& matrix,
                     const ImatrixOrigin& origin);

}  // namespace cairn::io
