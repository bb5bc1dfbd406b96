#include "cairn/train/run.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstring>

#include "cairn/base/clock.h"
#include "cairn/base/file.h"
#include "cairn/base/memory.h"
#include "cairn/plot/terminal.h"
#include "cairn/runtime/plan_memory.h"
#include "cairn/train/checkpoint.h"
#include "cairn/train/folder_lock.h"
#include "cairn/train/lbfgs_step.h"
#include "cairn/train/leftovers.h"
#include "cairn/train/report.h"
#include "cairn/train/run_setup.h"
#include "cairn/train/task.h"
#include "cairn/train/tensorboard.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

int64_t total_steps(const TrainConfig& config, const Task& task) {
  if (config.train.steps > 0) return config.train.steps;
  if (config.train.epochs > 0)
    return std::max<int64_t>(
        std::llround(config.train.epochs * static_cast<double>(task.steps_per_epoch())), 1);
  throw_error("train.steps and train.epochs are both 0: say how long to train");
}

// While it lives, the module holds the averages of its parameters, if there are any: what is
// evaluated and saved.
class Averaged {
 public:
  explicit Averaged(std::optional<TrainStep>& step) : step_(step) { swap(); }
  ~Averaged() { swap(); }
  Averaged(const Averaged&) = delete;
  Averaged& operator=(const Averaged&) = delete;

 private:
  void swap() {
    if (step_) step_->swap_averages();
  }
  std::optional<TrainStep>& step_;
};

class Run {
 public:
  Run(Runtime& runtime, const TrainConfig& config, const RunOptions& options)
      : runtime_(runtime), config_(config), options_(options) {}

  Result<RunResult> execute() {
    {
      Leftovers leftovers(options_.folder, {"tokens.bin", "validation_tokens.bin", "metrics.jsonl",
                                            "checkpoints", ".lock"});
      const Status status = prepare();
      if (status || !lock_) leftovers.keep();  // without the lock, they are another run's
      if (!status) return status.error();
    }
    if (result_.already_done) return std::move(result_);
    if (options_.on_metrics) {
      Metrics start;
      start.step = result_.step;
      start.item_name = task_->item_name();
      options_.on_metrics(start, total_);
    }
    began_ = window_start_ = monotonic_seconds();
    while (result_.step < total_) {
      if (auto status = one_step(); !status) return status.error();
      if (options_.interrupted && options_.interrupted()) {
        if (auto status = save_checkpoint(); !status) return status.error();
        result_.seconds = monotonic_seconds() - began_;
        note(fmt::format("stopped at step {}; a checkpoint is saved: run the same command to go on",
                         result_.step));
        return std::move(result_);
      }
    }
    if (auto status = finish(); !status) return status.error();
    result_.finished = true;
    return std::move(result_);
  }

 private:
  void note(const std::string& text) const {
    if (options_.on_note) options_.on_note(text);
  }

  Status prepare() {
    const fs::path& folder = options_.folder;
    std::error_code error;
    if (options_.fresh)
      for (const char* name : {"checkpoints", "metrics.jsonl", "config.json", "model.safetensors",
                               "tokenizer.json", "tokenizer_config.json", "report.html",
                               "events.out.tfevents.cairn", "tokens.bin", "validation_tokens.bin"})
        fs::remove_all(folder / name, error);
    fs::create_directories(folder / "checkpoints", error);
    if (error)
      return Error(
          fmt::format("cannot make the folder '{}': {}", folder.string(), error.message()));
    auto lock = FolderLock::take(folder);
    if (!lock) return lock.error();
    lock_.emplace(std::move(lock).value());
    auto found = latest_checkpoint(folder, options_.on_note);
    if (!found) return found.error();
    const std::optional<CheckpointInfo>& checkpoint = found.value();
    const fs::path report = folder / "report.html";
    const fs::path metrics = folder / "metrics.jsonl";
    if (checkpoint) {
      const auto differences = resume_differences(checkpoint->config, config_);
      if (!differences.empty())
        return Error(
            fmt::format("'{}' holds a run with other settings: {}; use the same ones, --fresh to "
                        "start over, or "
                        "another --out",
                        folder.string(), fmt::join(differences, ", ")));
      // A finished run needs nothing any more, its data neither.
      const TrainConfig::Train& before = checkpoint->config.train;
      if (before.steps == config_.train.steps && before.epochs == config_.train.epochs &&
          fs::exists(folder / "model.safetensors") && fs::exists(report)) {
        result_.step = checkpoint->step;
        result_.already_done = result_.finished = true;
        result_.history = read_metrics(metrics);
        if (!result_.history.empty()) result_.seconds = result_.history.back().seconds;
        return Nothing{};
      }
    }
    if (auto status = build(); !status) return status;
    compare_memory();
    for (const std::string& key : unused_keys(config_))
      note(fmt::format("train.{} is not used: optimizer {} has no such thing", key,
                       config_.train.optimizer));
    data_ = fmt::format("{:016x}", task_->data_hash());
    if (checkpoint && !checkpoint->data.empty() && checkpoint->data != data_)
      return Error(fmt::format(
          "'{}' holds a run on other data: what the files of [data] hold, or the "
          "tokenizer made of it, has changed since; restore them, --fresh to start over, "
          "or another --out",
          folder.string()));
    if (options_.fix_steps && !checkpoint) fix_steps();
    total_ = total_steps(config_, *task_);
    result_.parameters = parameter_count(task_->module());
    schedule_ = schedule_config(config_, total_);
    rate_at(schedule_, 0);  // an unknown schedule is an error before the first step
    plateau_ = plateau_of(config_);
    if (plateau_ && config_.train.evaluate_every == 0)
      return Error("train.schedule \"plateau\" goes by evaluations: set train.evaluate_every");
    if (checkpoint) {
      if (auto status = read_checkpoint(runtime_, *checkpoint, state()); !status) return status;
      result_.step = first_step_ = checkpoint->step;
      saved_step_ = checkpoint->step;
      if (plateau_ && checkpoint->plateau) plateau_->restore(*checkpoint->plateau);
      if (result_.step >= total_ && fs::exists(folder / "model.safetensors") &&
          fs::exists(report)) {
        result_.already_done = result_.finished = true;
        result_.history = read_metrics(metrics);
        if (!result_.history.empty()) result_.seconds = result_.history.back().seconds;
        return Nothing{};
      }
      note(fmt::format("going on from the checkpoint at step {}", result_.step));
    }
    auto lines = LineWriter::open(metrics.string(), checkpoint ? checkpoint->metrics_bytes : 0);
    if (!lines) return lines.error();
    lines_.emplace(std::move(lines).value());
    result_.history = read_metrics(metrics);
    fs::remove(report, error);  // written last: where it is, the run is finished
    return Nothing{};
  }

  // The task, the model at its first values and the step.
  Status build() {
    step_.reset();
    lbfgs_.reset();
    auto task = make_task(config_, options_.folder);
    if (!task) return task.error();
    task_ = std::move(task).value();
    if (!compared_ && runtime_.backend().executes())
      check_memory(state_bytes(config_, task_->module()),
                   "what training keeps of this model, weights and optimizer state,",
                   "lower model.layers, model.width, model.hidden or model.context");
    initialize(runtime_, task_->module(), config_.train.seed);
    const LossFunction loss = [this](Context& ctx, std::span<const Tensor> batch) {
      return task_->loss(ctx, batch);
    };
    if (const auto lbfgs = lbfgs_options(config_))
      lbfgs_.emplace(runtime_, task_->module(), loss, *lbfgs, config_.train.seed);
    else
      step_.emplace(runtime_, task_->module(), loss, make_optimizer(optimizer_config(config_)),
                    step_options(config_));
    return Nothing{};
  }

  // Plans the step, and compares what it takes with what there is: before its batch is made, and
  // once, as a replay finds its own first try still in memory.
  void compare_memory() {
    const double start = monotonic_seconds();
    const std::vector<TensorType> batch = task_->batch_types();
    const auto plan = lbfgs_ ? lbfgs_->plan(batch) : step_->plan(batch);
    plan_seconds_ = monotonic_seconds() - start;
    size_t held = 0;
    for (const NamedTensor& t : state()) held += t.tensor->type().bytes();
    const TrainConfig::Train& t = config_.train;
    const bool text = task_->item_name() == "tokens";
    check_memory(
        runtime_.backend(), *plan, held,
        fmt::format("a step of train.batch = {}{}{}", t.batch,
                    t.accumulate > 1 ? fmt::format(", train.accumulate = {}", t.accumulate) : "",
                    text ? fmt::format(", model.context = {}", config_.model.context) : ""),
        text ? "lower train.batch (train.accumulate makes up for it) or model.context"
             : "lower train.batch; train.accumulate makes up for it");
    compared_ = true;
  }

  // Times a few updates, after which everything is as it was.
  void fix_steps() {
    std::vector<HostArray> values;
    for (const NamedTensor& t : state()) {
      HostArray copy(t.tensor->dtype(), t.tensor->shape());
      std::memcpy(copy.mutable_data(), t.tensor->host().data(), copy.bytes());
      values.push_back(std::move(copy));
    }
    constexpr double kRate = 1e-4;
    const auto one = [&](int64_t i) {
      const double start = monotonic_seconds();
      update(i, kRate);
      return monotonic_seconds() - start;
    };
    plan_seconds_ += one(0);
    double fastest = one(1);
    for (int64_t i = 2; i < 5; ++i) fastest = std::min(fastest, one(i));
    for (size_t i = 0; i < values.size(); ++i) *state()[i].tensor = runtime_.upload(values[i]);
    options_.fix_steps(config_, fastest);
    if (auto status = check(config_); !status) throw status.error();
    note(fmt::format("a step takes {}: {} steps", plot::human_duration(fastest),
                     total_steps(config_, *task_)));
  }

  // Step `step`, from 0.
  TrainStep::Result update(int64_t step, double rate, const EvalOptions& options = {}) {
    std::vector<Tensor> batch;
    for (const HostArray& array : task_->batch(step)) batch.push_back(runtime_.upload(array));
    return lbfgs_ ? lbfgs_->step(batch, rate, step + 1, options)
                  : step_->step(batch, rate, step + 1, options);
  }
  std::vector<NamedTensor> state() { return lbfgs_ ? lbfgs_->state() : step_->state(); }

  Status one_step() {
    if (plateau_) schedule_.learning_rate = plateau_->rate();
    const double rate = rate_at(schedule_, result_.step);
    rates_.push_back(rate);
    const double start = monotonic_seconds();
    const TrainStep::Result r = update(result_.step, rate);
    if (!compile_seconds_) {
      // The first step may still plan; its time is not part of any rate.
      const double seconds = monotonic_seconds() - start;
      compile_seconds_ = plan_seconds_ + seconds;
      outside_ += seconds;
    } else {
      window_items_ += task_->items_per_step();
    }
    if (!r.skipped && (!std::isfinite(r.loss) || !std::isfinite(r.gradient_norm)))
      return explain_not_finite(r);
    ++result_.step;
    const bool last = result_.step == total_;
    const bool evaluate = last || (config_.train.evaluate_every > 0 &&
                                   result_.step % config_.train.evaluate_every == 0);
    std::optional<Task::Evaluation> evaluation;
    if (evaluate) {
      const double before = monotonic_seconds();
      const Averaged averaged(step_);
      evaluation = task_->evaluate(runtime_);
      outside_ += monotonic_seconds() - before;
    }
    validation_ = evaluation ? std::optional(evaluation->loss) : std::nullopt;
    if (plateau_ && evaluate) {
      if (!evaluation)
        return Error("train.schedule \"plateau\" goes by the validation loss: set data.validation");
      plateau_->step(evaluation->loss);
    }
    if (evaluation || last || result_.step % config_.train.log_every == 0)
      if (auto status = log(r, rate, evaluation); !status) return status;
    if (!last && config_.train.sample_every > 0 && result_.step % config_.train.sample_every == 0)
      show_sample();
    if (!last && config_.train.checkpoint_every > 0 &&
        result_.step % config_.train.checkpoint_every == 0)
      return save_checkpoint();
    return Nothing{};
  }

  Status log(const TrainStep::Result& r, double rate,
             const std::optional<Task::Evaluation>& evaluation) {
    Metrics m;
    m.step = result_.step;
    m.loss = r.loss;
    if (evaluation) {
      m.validation_loss = evaluation->loss;
      m.validation_accuracy = evaluation->accuracy;
    }
    m.learning_rate = rate;
    m.gradient_norm = r.gradient_norm;
    m.item_name = task_->item_name();
    m.items = result_.step * task_->items_per_step();
    const double now = monotonic_seconds();
    const double busy = now - window_start_ - outside_;
    m.items_per_second =
        window_items_ > 0 && busy > 0 ? static_cast<double>(window_items_) / busy : 0;
    m.seconds = now - began_;
    m.wall_time =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    m.memory_bytes = runtime_.allocator().peak_bytes();
    if (!logged_) m.compile_seconds = compile_seconds_;
    logged_ = true;
    window_start_ = now;
    window_items_ = 0;
    outside_ = 0;
    result_.history.push_back(m);
    if (auto status = lines_->write(to_json(m)); !status) return status;
    if (options_.on_metrics) options_.on_metrics(m, total_);
    return Nothing{};
  }

  void show_sample() {
    const double before = monotonic_seconds();
    const Averaged averaged(step_);
    if (const std::string text = task_->sample(runtime_); !text.empty())
      note(fmt::format("step {}: {}", result_.step, text));
    outside_ += monotonic_seconds() - before;
  }

  // Once per step: replacing a checkpoint would leave a moment without it.
  Status save_checkpoint() {
    if (saved_step_ == result_.step) return Nothing{};
    const double before = monotonic_seconds();
    if (auto status = lines_->sync(); !status) return status;
    CheckpointInfo info{{}, result_.step, lines_->position(), validation_, {}, config_, data_};
    if (plateau_) info.plateau = plateau_->state();
    auto status = write_checkpoint(options_.folder, info, state(), config_.train.keep_checkpoints);
    if (status) saved_step_ = result_.step;
    if (status)
      status = write_file_atomically((options_.folder / "events.out.tfevents.cairn").string(),
                                     tensorboard_events(result_.history));
    outside_ += monotonic_seconds() - before;
    return status;
  }

  // Goes back to the last checkpoint, or to the start where there is none, runs up to the bad step
  // and checks every node of it.
  Status explain_not_finite(const TrainStep::Result& r) {
    const int64_t bad = result_.step;
    const std::string what = fmt::format("step {}: the loss is {} and the gradient norm {}",
                                         bad + 1, r.loss, r.gradient_norm);
    auto found = latest_checkpoint(options_.folder);
    if (!found) return found.error();
    const int64_t from = found.value() ? found.value()->step : 0;
    note(fmt::format("{}; replaying from step {} to find the first value that is not finite", what,
                     from));
    if (auto status = found.value() ? read_checkpoint(runtime_, *found.value(), state()) : build();
        !status)
      return status;
    try {
      for (int64_t s = from; s <= bad; ++s) {
        EvalOptions options;
        options.check_finite = s == bad;
        const double rate =
            s < first_step_ ? rate_at(schedule_, s) : rates_[static_cast<size_t>(s - first_step_)];
        update(s, rate, options);
        if (options_.interrupted && options_.interrupted())
          return Error(what + "; interrupted while looking for the first such value");
      }
    } catch (const Error& e) {
      return Error(
          fmt::format("{}: {}; lower train.learning_rate or set train.clip", what, e.what()));
    }
    return Error(what +
                 "; the replay from the last checkpoint was finite, which should not happen: "
                 "please report it");
  }

  Status finish() {
    {
      const Averaged averaged(step_);
      if (auto status = task_->save(options_.folder); !status) return status;
      result_.sample = task_->sample(runtime_);
    }
    if (auto status = save_checkpoint(); !status) return status;
    result_.seconds = monotonic_seconds() - began_;
    return write_file_atomically((options_.folder / "report.html").string(),
                                 training_report(config_, result_, runtime_.pool().threads()));
  }

  Runtime& runtime_;
  TrainConfig config_;
  const RunOptions& options_;
  RunResult result_;
  std::optional<FolderLock> lock_;
  std::unique_ptr<Task> task_;
  std::string data_;               // its hash
  std::optional<TrainStep> step_;  // one of these
  std::optional<LbfgsStep> lbfgs_;
  ScheduleConfig schedule_;
  std::optional<LineWriter> lines_;
  int64_t total_ = 0;
  std::optional<Plateau> plateau_;
  int64_t first_step_ = 0;     // of this process
  std::vector<double> rates_;  // learning rates since then, for a replay
  std::optional<int64_t> saved_step_;
  std::optional<double> validation_;  // of the last step, where it was evaluated
  double plan_seconds_ = 0;
  bool compared_ = false;  // memory, with what is planned
  std::optional<double> compile_seconds_;
  double began_ = 0, window_start_ = 0, outside_ = 0;
  int64_t window_items_ = 0;
  bool logged_ = false;
};

}  // namespace

Result<RunResult> run_training(Runtime& runtime, const TrainConfig& config,
                               const RunOptions& options) try {
  if (auto status = check(config); !status) return status.error();
  // Its hyper-parameters, before any data is read.
  if (!lbfgs_options(config)) make_optimizer(optimizer_config(config));
  return Run(runtime, config, options).execute();
} catch (const Error& e) {
  return e;
}

}  // namespace cairn
