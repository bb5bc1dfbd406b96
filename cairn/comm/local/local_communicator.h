// Threads of one process as ranks: what the tests of distributed programs, and several devices of
// one process, run on.
//
// An operation is two meetings of all ranks with plain copies between them. Who arrives first waits
// for the others; nothing is computed before all have called the same thing, so an operation either
// succeeds on every rank or fails on every rank with the same text. A failure is final, as the
// ranks' order of calls is lost with it: every later call on these communicators repeats it.
//
// A meeting costs 5 to 50 us of waking up. Reductions are shared: each rank sums its part.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/core/communicator.h"

namespace cairn {

// How long a rank waits for the others before it names those that are missing.
inline constexpr double kLocalDeadlineSeconds = 60;

// One communicator per rank; each is used by one thread at a time. Sums of f16 and bf16 are formed
// in f32 and rounded once, all others in their own type, in the order of ranks; integers wrap; max
// and min are those of the graph's elementwise operations. Bool and 8-bit floats are moved, never
// reduced.
//
// Buffers may lie anywhere, but of `in` and `out` only those of all_reduce may be the same, and
// those of all_gather and reduce_scatter may share the block of the calling rank (as with
// MPI_IN_PLACE).
//
// Throws Error when a rank calls something else than the others ("rank 2 called all_gather of 16
// bytes, rank 0 all_reduce (sum) of 4 f32"), does not come in time, has failed, or its communicator
// is gone.
std::vector<std::shared_ptr<Communicator>> make_local_communicators(
    int ranks, double deadline_seconds = kLocalDeadlineSeconds);

// Tells the others of `local` (made by the functions of this file) that its rank will not come any
// more, and why. Whoever waits for it, now or later, gets an Error that says so.
void mark_failed(Communicator& local, std::string_view reason);

// The communicators of one rank by mesh axis, as Runtime::mesh() holds them.
using LocalMesh = std::map<std::string, std::shared_ptr<Communicator>, std::less<>>;

struct LocalMeshAxis {
  std::string name;
  int size;
};

// One mesh per rank. Ranks are numbered in row-major order: the last axis runs fastest. Two ranks
// share the communicator of an axis when they differ in their place along that axis only.
std::vector<LocalMesh> make_local_mesh(std::span<const LocalMeshAxis> axes,
                                       double deadline_seconds = kLocalDeadlineSeconds);

// Calls body(rank) on one thread per mesh and waits for all. A body that throws is marked as failed
// on each of its axes, so that the others end too; then the exception that came first is thrown.
void run_ranks(std::span<const LocalMesh> meshes, const std::function<void(int)>& body);

}  // namespace cairn
