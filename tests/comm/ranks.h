// Bodies of tests on threads as ranks.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "cairn/base/error.h"
#include "cairn/comm/local/local_communicator.h"

namespace cairn::test {

inline std::vector<LocalMesh> one_axis(int ranks, double deadline_seconds = kLocalDeadlineSeconds) {
  const LocalMeshAxis axis{"data", ranks};
  return make_local_mesh({&axis, 1}, deadline_seconds);
}

inline void on_communicators(int ranks, const std::function<void(Communicator&)>& body) {
  const std::vector<LocalMesh> meshes = one_axis(ranks);
  run_ranks(meshes, [&](int rank) { body(*meshes[static_cast<size_t>(rank)].at("data")); });
}

// The text of the Error that `body` throws; a failed test without one.
inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace cairn::test
