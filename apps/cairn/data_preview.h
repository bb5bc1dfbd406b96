// cairn data preview FILE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "apps/cairn/session.h"

namespace cairn::app {

struct PreviewOptions {
  std::string file;
  std::optional<int64_t> rows;
  int64_t start = 0;
  std::optional<std::string> field;  // else "text", else the first that is text
  std::string separator;
};

int preview(const PreviewOptions& options, Session& session);

}  // namespace cairn::app
