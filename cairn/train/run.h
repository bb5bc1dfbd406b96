// A training run from a configuration to a folder: the loop, its metrics, checkpoints and report.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cairn/runtime/runtime.h"
#include "cairn/train/config.h"
#include "cairn/train/metrics.h"

namespace cairn {

struct RunOptions {
  std::filesystem::path folder;
  bool fresh = false;  // remove what an earlier run left in the folder
  // Called after each logged step and once before the first with the number of steps.
  std::function<void(const Metrics&, int64_t total_steps)> on_metrics = nullptr;
  std::function<void(const std::string&)> on_note = nullptr;
  // Called before the first step of a new run, with the time of a step, measured on updates that do
  // not count: for who trains as many as fit into some time. May change steps, epochs, the schedule
  // and how often what happens.
  std::function<void(TrainConfig&, double seconds_per_step)> fix_steps = nullptr;
  // Polled after each step: true saves a checkpoint and ends the run.
  std::function<bool()> interrupted = nullptr;
};

struct RunResult {
  bool finished = false;      // false when interrupted
  bool already_done = false;  // nothing was left to do
  int64_t step = 0;
  std::vector<Metrics> history;  // of the whole run, earlier parts included
  std::string sample;
  int64_t parameters = 0;
  double seconds = 0;
};

// Trains, resuming from the folder's last checkpoint, and writes config.json, model.safetensors,
// tokenizer.json, metrics.jsonl and, last, report.html. With train.ema, what is evaluated and saved
// is the average of the weights. The Error names the file, key or, for a loss that is not finite,
// the first node whose value was not. A run that fails before its first step leaves nothing.
Result<RunResult> run_training(Runtime& runtime, const TrainConfig& config,
                               const RunOptions& options);

}  // namespace cairn
