// What a training run says of a step, and its lines in metrics.jsonl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

// One line of metrics.jsonl.
struct Metrics {
  int64_t step = 0;  // updates done
  double loss = 0;
  std::optional<double> validation_loss, validation_accuracy;
  double learning_rate = 0, gradient_norm = 0;
  std::string item_name;  // "tokens" or "samples"
  int64_t items = 0;      // since the start of the run
  double items_per_second =
      0;                    // since the last line, without compiling, evaluation and checkpoints
  double seconds = 0;       // of this process
  double wall_time = 0;     // seconds since 1970
  size_t memory_bytes = 0;  // the allocator's high-water mark
  std::optional<double> compile_seconds;  // in the first line
};

// The line as JSON. Numbers that are not finite become null, as JSON has none.
std::string to_json(const Metrics& metrics);
// Reads a line back; what is missing or no number stays at its default. Nothing for a line that is
// no JSON object with a step.
std::optional<Metrics> parse_metrics(std::string_view line);
// Every line of a file that parses; empty when there is no file.
std::vector<Metrics> read_metrics(const std::filesystem::path& file);

}  // namespace cairn
