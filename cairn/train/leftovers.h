// What a run that fails before its first step would leave behind: a folder with a lock in it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace cairn {

// Notes which of `names` in `folder`, and which of the folder and those around it, are not there
// yet; on destruction removes what has come since, folders only where they are empty.
class Leftovers {
 public:
  Leftovers(const std::filesystem::path& folder, const std::vector<std::string>& names);
  ~Leftovers();
  Leftovers(const Leftovers&) = delete;
  Leftovers& operator=(const Leftovers&) = delete;
  // There is work now: removes nothing.
  void keep() { absent_.clear(); }

 private:
  std::vector<std::filesystem::path> absent_;  // what is within stands first
};

}  // namespace cairn
