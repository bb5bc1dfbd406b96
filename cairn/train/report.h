// report.html of a training run.
#pragma once

#include <string>

#include "cairn/plot/chart.h"
#include "cairn/train/run.h"

namespace cairn {

// Loss, smoothed loss and validation loss by step.
plot::Chart loss_chart(const std::vector<Metrics>& history);
std::string training_report(const TrainConfig& config, const RunResult& result, int threads);

}  // namespace cairn
