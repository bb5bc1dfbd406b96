// Task: what a configuration trains. Model, data, loss and evaluation behind one interface, so that
// the loop knows nothing of text or images.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/nn/module.h"
#include "cairn/train/config.h"
#include "cairn/train/train_step.h"

namespace cairn {

class Task {
 public:
  virtual ~Task() = default;
  virtual Module& module() = 0;
  virtual Loss loss(Context& ctx, std::span<const Tensor> batch) = 0;
  // The batch of a step (from 0); with accumulation, micro-batches along a leading axis.
  virtual std::vector<HostArray> batch(int64_t step) = 0;
  // The types of its arrays, for planning before there is one.
  virtual std::vector<TensorType> batch_types() const = 0;
  virtual int64_t steps_per_epoch() const = 0;
  // "tokens" or "samples", and how many a step has.
  virtual std::string item_name() const = 0;
  virtual int64_t items_per_step() const = 0;

  struct Evaluation {
    double loss;
    std::optional<double> accuracy;
  };
  // Of what it learns from: data and tokenizer. A run goes on only with the same.
  virtual uint64_t data_hash() const = 0;
  // Over the whole validation part; nothing when there is none.
  virtual std::optional<Evaluation> evaluate(Runtime& runtime) = 0;
  // A sample of what the model does, for people; empty where that makes no sense.
  virtual std::string sample(Runtime& runtime) = 0;
  // Writes the model in the form that `--model` takes.
  virtual Status save(const std::filesystem::path& folder) = 0;
};

// Reads the data (tokens are kept in `folder`) and builds the model, not yet initialised. The Error
// names the file or key, also of a batch for which there is no memory.
Result<std::unique_ptr<Task>> make_task(const TrainConfig& config,
                                        const std::filesystem::path& folder);

}  // namespace cairn
