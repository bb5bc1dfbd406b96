// What a backend is: a table of kernels, one call per launch.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "cairn/base/cpu_features.h"
#include "cairn/base/thread_pool.h"
#include "cairn/compiler/schedule.h"
#include "cairn/core/communicator.h"

namespace cairn {

// The first failure of an execution that values decide (an index out of range). Launches run one
// after the other, so the first node to report is kept; of its reports, made by several threads,
// the smallest, so that the message does not depend on timing.
class ErrorSlot {
 public:
  void set(const Node& node, int64_t value) {
    const Node* none = nullptr;
    if (!node_.compare_exchange_strong(none, &node) && none != &node) return;
    int64_t seen = value_.load();
    while (value < seen && !value_.compare_exchange_weak(seen, value)) {
    }
  }
  const Node* node() const { return node_.load(); }
  int64_t value() const { return value_.load(); }

 private:
  std::atomic<const Node*> node_{nullptr};
  std::atomic<int64_t> value_{INT64_MAX};
};

// The communicators of this process by mesh axis.
using Mesh = std::map<std::string, std::shared_ptr<Communicator>, std::less<>>;

struct KernelArgs {
  const Node& node;                     // the launch's last
  const void* code;                     // LaunchCode::data
  std::span<const void* const> inputs;  // one pointer per input of the group, row-major contiguous
  std::span<void* const> outputs;       // one pointer per output
  ThreadPool& pool;
  CpuTarget target;
  const Mesh& mesh;
  ErrorSlot& error;
  char* workspace;  // Backend::workspace_bytes(node) of them, aligned to 64; null when that is 0
};

using LaunchFunction = void (*)(const KernelArgs&);

// Several launches at once; none writes what another reads or writes.
using TogetherFunction = void (*)(std::span<const KernelArgs>);

// What a launch runs: a function, and what the backend made for this launch beside it.
struct LaunchCode {
  LaunchFunction run = nullptr;
  std::shared_ptr<const void> data = nullptr;
  // Of launches that may run at the same time as others of the same function.
  TogetherFunction together = nullptr;
  // How much there is to do, where 1 is the least that is worth a thread of its own.
  double work = 0;
};

struct Launch;

// A loop as one function in the place of its body's launches, and for people why it is or is not.
struct LoopCode {
  LaunchCode code;
  std::string note;
};

// A plug point: ref, cpu, cuda and null implement it and never include each other.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  // Which backend computes a group: this one or one that it hands it to.
  virtual std::string_view backend_of(const LaunchGroup&) const { return name(); }
  // What computes a group; throws Error naming the operation when there is nothing that does.
  virtual LaunchCode code(const LaunchGroup& group) const = 0;
  // The same for another group of the same structure, of other sizes; empty when it does not fit
  // them.
  virtual std::optional<LaunchCode> rebind(const LaunchCode& code, const LaunchGroup&) const {
    return code;
  }
  // The launch has its regions' plans; its function gets operands, results and workspace as the
  // launch does. Without a function the body is run launch by launch.
  virtual LoopCode loop_code(const Launch& /*loop*/) const { return {}; }
  // Equal code for one group.
  virtual bool same_code(const LaunchCode& a, const LaunchCode& b) const { return a.run == b.run; }
  // The graph of which this backend's plans are made: an equal one, in operations that it has
  // kernels for. What it does depends on the structure alone, never on sizes.
  virtual Graph prepare(const Graph& graph) const { return graph; }
  // Whether its products want weights in panels (compiler/hoist.h).
  virtual bool packs_weights() const { return false; }
  // Whether it computes a custom operation as it is; others are replaced by their fallbacks.
  virtual bool has_kernel(const Node& /*custom*/) const { return false; }
  // Joins launches of the schedule (compiler/fuse.h). `eager`: one launch per node.
  virtual void fuse(const Graph&, std::span<const std::pair<Tensor, Tensor>> /*overwrites*/,
                    Schedule&, bool /*eager*/) const {}
  // Memory that the kernel needs beside operands and results while it runs. The plan gives it, so
  // that kernels allocate nothing and the planned peak is the whole truth.
  virtual size_t workspace_bytes(const LaunchGroup&) const { return 0; }
  // False for the null device: plans are made and recorded, nothing is allocated or run.
  virtual bool executes() const { return true; }
};

}  // namespace cairn
