#include "cairn/train/leftovers.h"

#include <system_error>

namespace cairn {

namespace fs = std::filesystem;

Leftovers::Leftovers(const fs::path& folder, const std::vector<std::string>& names) {
  std::error_code error;
  const auto note = [&](const fs::path& path) {
    const bool absent = fs::symlink_status(path, error).type() == fs::file_type::not_found;
    if (absent) absent_.push_back(path);
    return absent;
  };
  for (const std::string& name : names) note(folder / name);
  // "runs/new/" has an empty last part.
  fs::path at = folder.has_filename() ? folder : folder.parent_path();
  while (!at.empty() && note(at)) at = at.parent_path();
}

Leftovers::~Leftovers() {
  std::error_code ignored;  // what cannot be removed stays
  for (const fs::path& path : absent_) fs::remove(path, ignored);
}

}  // namespace cairn
