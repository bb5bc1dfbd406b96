// What `train` and `demo` share: a run with progress on stderr and its curve at the end.
#pragma once

#include "apps/cairn/session.h"
#include "cairn/train/run.h"

namespace cairn::app {

// Runs to the end or to Ctrl-C. Throws Error; an interrupted run has its checkpoint and gives
// finished = false.
RunResult train_with_progress(Session& session, Runtime& runtime, const TrainConfig& config,
                              RunOptions options);
// The loss curve and a closing table on stdout.
void print_summary(Session& session, const RunResult& result, const std::filesystem::path& folder);

}  // namespace cairn::app
