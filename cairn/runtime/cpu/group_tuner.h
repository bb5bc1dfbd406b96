// How the launch of a group is made: the usual way, or the one that a sweep found to be faster.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>

#include "cairn/compiler/group_kernel.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/runtime/cpu/tuning.h"
#include "cairn/runtime/kernel.h"

namespace cairn {

// One way to launch a group; all give the same bits.
struct GroupChoice {
  GroupForm form;
  KernelVersion version = {};
  // Times the programs that a thread takes at a time: with more, small launches stay on one thread.
  double grain = 1;
};
std::string to_string(const GroupChoice& choice);
// The usual one first.
std::vector<GroupChoice> choices_of(const GroupBinding& binding, std::span<const int64_t> sizes,
                                    int threads);

class GroupTuner {
 public:
  // `seconds`: for sweeps, in all; 0: only what is on disk is used.
  GroupTuner(const Timings& timings, CpuTarget target, ThreadPool& pool, double seconds);

  // Without it choose() gives the usual way at once, and nothing needs to be known of a group.
  bool is_used() const { return timings_.has_any() || seconds_ > 0; }

  // What tells groups of one structure apart from others: the text of their kernel in one form.
  static std::string work_of_structure(const LaunchGroup& group);

  // What timings are kept of: a group of that structure at these sizes.
  static std::string work_of(const std::string& structure, std::span<const int64_t> sizes);

  // `launch`: makes the launch of a choice. Sweeps where nothing is known and time is left; one
  // sweep at a time.
  GroupChoice choose(const LaunchGroup& group, const std::string& structure,
                     const GroupBinding& binding, std::span<const int64_t> sizes,
                     const std::function<LaunchCode(const GroupChoice&)>& launch) const;

 private:
  size_t sweep(const LaunchGroup& group, const std::string& work,
               std::span<const GroupChoice> choices,
               const std::function<LaunchCode(const GroupChoice&)>& launch) const;
  Timings timings_;
  CpuTarget target_;
  ThreadPool& pool_;
  double seconds_;
  mutable std::mutex mutex_;
  mutable double spent_ = 0;
  mutable std::map<std::string, size_t> chosen_;  // by work
};

}  // namespace cairn
