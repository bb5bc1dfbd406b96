// Checkpoints of a training run: a folder per checkpoint, written beside and renamed, with a
// checksum.
//
//   checkpoints/step-00000500/state.safetensors   every tensor of TrainStep::state()
//                             run.json            step, configuration, metrics position, checksum
//
// A crash at any moment leaves the last complete checkpoint as it was: a folder counts only when
// run.json is there and the checksum of state.safetensors is the one that it names. A checkpoint
// has a validation loss when its step was evaluated; the one with the lowest is never removed.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cairn/train/config.h"
#include "cairn/train/schedule.h"
#include "cairn/train/train_step.h"

namespace cairn {

struct CheckpointInfo {
  std::filesystem::path folder;
  int64_t step = 0;  // updates done
  uint64_t metrics_bytes = 0;
  std::optional<double> validation_loss;
  std::optional<Plateau::State> plateau;
  TrainConfig config;
  std::string data;  // Task::data_hash, in hexadecimal
};

// Writes checkpoints/step-N, in place of a broken one of that step, and removes the oldest beyond
// `keep` (the best by validation loss stays).
Status write_checkpoint(const std::filesystem::path& folder, const CheckpointInfo& info,
                        std::span<const NamedTensor> state, int64_t keep);
// What run.json says, without the folder, and the checksum that it names. The Error says what is
// missing.
Result<std::pair<CheckpointInfo, std::string>> parse_run_json(std::string_view text);
// The newest complete checkpoint; nothing when none was written. Broken ones are passed over, each
// with a note; when there is no other, that is an Error, for a run that began again would overwrite
// what is left of it.
Result<std::optional<CheckpointInfo>> latest_checkpoint(
    const std::filesystem::path& folder,
    const std::function<void(const std::string&)>& note = nullptr);
// Fills the tensors. The Error names the tensor that is missing or has another type.
Status read_checkpoint(Runtime& runtime, const CheckpointInfo& info,
                       std::span<const NamedTensor> state);

}  // namespace cairn
