// Text files as documents: what tokenizers and language models train on.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cairn/base/file.h"

namespace cairn::io {

struct DocumentOptions {
  std::string separator;       // splits further, itself left out; empty: no splitting
  std::string field = "text";  // of a .jsonl file's objects
  bool require_utf8 = true;    // else any bytes are a document
};

// Calls `visit` with each document: the whole file or, where its name ends in .jsonl, each line's
// field; then split at the separator. Empty documents are left out. Plain or gzip (".gz"); a plain
// file is mapped and a .jsonl file streams, so both may be larger than memory. A byte that is not
// UTF-8 is an error that says where. An error from `visit` ends the walk and is returned.
Status for_each_document(const std::string& path, const DocumentOptions& options,
                         const std::function<Status(std::string_view)>& visit);

// Checks text from `name` and says at which byte it stops being UTF-8, and what to do.
Status check_utf8(std::string_view text, std::string_view name);

}  // namespace cairn::io
