// Timings on disk: how long a way of computing took on this processor, each stored by itself, so
// that a sweep that was ended goes on where it stopped. Files as those of DiskCache, beside them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cairn/base/cpu_features.h"
#include "cairn/runtime/cpu/disk_cache.h"

namespace cairn {

class Timings {
 public:
  // An empty folder: nothing is kept.
  Timings(const std::string& folder, CpuTarget target, int threads);

  // Whether anything was kept when this was made: without, nothing needs to be looked up.
  bool has_any() const { return has_any_; }
  // `work`: what is computed, with its sizes. Seconds, where they are known.
  std::optional<double> load(std::string_view work, std::string_view candidate) const;
  void store(std::string_view work, std::string_view candidate, double seconds) const;

 private:
  std::string key(std::string_view work, std::string_view candidate) const;
  DiskCache disk_;
  std::string identity_;
  bool has_any_;
};

}  // namespace cairn
