// TrainConfig: what a training run is told, as it stands in CONFIG.toml.
//
// Each field is named once, in fields(): reading TOML, --set, the record in a checkpoint and the
// report all go through that list.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cairn/base/error.h"
#include "cairn/train/optimizer.h"
#include "cairn/train/parameter_groups.h"

namespace cairn {

struct TrainConfig {
  struct Model {
    std::string family = "gpt";
    int64_t layers = 0;  // 0: 4; of a resnet 6n + 2, by itself 20
    int64_t heads = 4, kv_heads = 0, width = 128, context = 64;
    std::vector<int64_t> hidden = {};  // feed-forward width, or the widths of an mlp's layers
    double dropout = 0, norm_epsilon = 0, rope_theta = 10000;
    bool tied = true;
    // Of a convnet's convolutions (none: 32, 64) or a resnet's three stages (none: 16, 32, 64).
    std::vector<int64_t> channels = {};
  } model;

  struct Data {
    std::vector<std::string> text = {}, validation_text = {};
    std::string images, labels, validation_images, validation_labels;
    std::string tokenizer = "bpe:1024";
    std::string separator;
    double validation = 0.1;
  } data;

  struct Train {
    int64_t steps = 0;  // 0: from epochs
    double epochs = 0;
    int64_t batch = 16, accumulate = 1;
    std::string optimizer = "adamw";
    double learning_rate = 1e-3, min_learning_rate = 0;
    std::string schedule = "cosine";
    int64_t warmup_steps = 0;
    // Of the schedules that have them; 0 and none: what schedule_config (run_setup.h) says.
    double gamma = 0, power = 1;
    int64_t step_size = 0, patience = 10;
    std::vector<int64_t> milestones = {};
    double weight_decay = 0;
    bool decay_all = false;
    std::vector<double> betas = {};
    double epsilon = 0, momentum = 0;
    double clip = 0, clip_value = 0, ema = 0, label_smoothing = 0;
    std::string precision = "f32";
    int64_t evaluate_every = 0, checkpoint_every = 0, keep_checkpoints = 2, log_every = 10,
            sample_every = 0;
    uint64_t seed = 1337;
    std::vector<ParameterGroup> group = {};  // [[train.group]]
  } train;

  // Hyper-parameters that [train] does not have, and those that it has too; not name and rate.
  OptimizerConfig optimizer;
};

using ConfigPointer =
    std::variant<int64_t*, uint64_t*, double*, bool*, std::string*, std::vector<std::string>*,
                 std::vector<double>*, std::vector<int64_t>*, std::vector<ParameterGroup>*,
                 std::optional<double>*, std::optional<bool>*, std::optional<int>*,
                 std::optional<std::string>*, std::optional<std::vector<double>>*>;
struct ConfigField {
  std::string key;  // "train.batch"
  ConfigPointer value;
  // May differ when a run is resumed: steps, paths and logging.
  bool free_on_resume = false;
  // A path, relative to the file's folder.
  bool path = false;
};
std::vector<ConfigField> fields(TrainConfig& config);

// Reads a file. The Error names the file, line, key and, for an unknown one, the nearest known key.
Result<TrainConfig> read_config(const std::filesystem::path& file);
Result<TrainConfig> parse_config(std::string_view text, const std::filesystem::path& folder = {});
// "train.steps=100", as --set gives it; the value is TOML, a bare word is a string.
Status set_field(TrainConfig& config, std::string_view assignment);
// Values that do not make sense, by key: an Error.
Status check(const TrainConfig& config);
// Whether data.tokenizer is a file or folder, not a kind: char, bytes, bpe:N.
bool is_tokenizer_file(std::string_view tokenizer);
// The configuration as TOML; parse_config reads it back.
std::string to_toml(const TrainConfig& config);
// Keys in which two configurations differ and must not on resume: "train.batch (16, now 32)".
std::vector<std::string> resume_differences(const TrainConfig& saved, const TrainConfig& now);

}  // namespace cairn
