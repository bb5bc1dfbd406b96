#include "apps/cairn/training.h"

#include <fmt/format.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "apps/cairn/json.h"
#include "cairn/base/clock.h"
#include "cairn/train/report.h"

namespace cairn::app {
namespace {

// How far a run is, on stderr. A thread of its own speaks while the run is silent: when it reads
// data, trains a tokenizer, evaluates, or when a step takes long.
class TrainingProgress {
 public:
  explicit TrainingProgress(Session& session)
      : progress_(session.progress()),
        width_(session.err_terminal.width - 1),
        last_(monotonic_seconds()) {
    if (!session.common.quiet) thread_ = std::thread([this] { watch(); });
  }
  ~TrainingProgress() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  TrainingProgress(const TrainingProgress&) = delete;
  TrainingProgress& operator=(const TrainingProgress&) = delete;

  void start(int64_t step, int64_t total) {
    const std::lock_guard lock(mutex_);
    first_ = step_ = step;
    total_ = total;
    began_ = last_ = monotonic_seconds();
  }
  void metrics(const Metrics& m) {
    const std::lock_guard lock(mutex_);
    if (m.validation_loss) validation_ = m.validation_loss;
    metrics_ = m;
  }
  void stepped() {
    const std::lock_guard lock(mutex_);
    ++step_;
    last_ = monotonic_seconds();
    progress_.update([&] { return text(); });
  }
  void note(const std::string& text) {
    const std::lock_guard lock(mutex_);
    progress_.note(text);
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!done_) {
      wake_.wait_for(lock, std::chrono::milliseconds(500));
      if (!done_) progress_.update([&] { return text(); });
    }
  }

  std::string text() const {
    constexpr double kLong = 5;  // without a step
    const double now = monotonic_seconds(), silent = now - last_;
    if (first_ < 0)
      return fmt::format("preparing data, tokenizer and model, {}", plot::human_duration(silent));
    std::vector<std::string> parts;
    const double share = total_ ? static_cast<double>(step_) / static_cast<double>(total_) : 0;
    parts.push_back(fmt::format("{:3.0f}%  step {}/{}", share * 100, step_, total_));
    if (silent > kLong)
      parts.push_back(fmt::format("computing for {}", plot::human_duration(silent)));
    if (metrics_) parts.push_back(fmt::format("loss {:.4f}", metrics_->loss));
    if (validation_) parts.push_back(fmt::format("validation {:.4f}", *validation_));
    if (metrics_ && metrics_->items_per_second > 0)
      parts.push_back(fmt::format("{} {}/s", plot::human_count(metrics_->items_per_second),
                                  metrics_->item_name));
    if (step_ > first_)
      parts.push_back(plot::eta_text(now - began_, static_cast<double>(step_ - first_),
                                     static_cast<double>(total_ - first_)));
    if (metrics_) parts.push_back(plot::human_bytes(static_cast<double>(metrics_->memory_bytes)));
    return plot::join_fields(parts, width_);
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  Progress progress_;
  int width_;
  bool done_ = false;
  int64_t first_ = -1, step_ = 0, total_ = 0;  // first_: -1 before the steps begin
  double began_ = 0, last_;                    // when steps began; when something last happened
  std::optional<Metrics> metrics_;
  std::optional<double> validation_;
  std::thread thread_;
};

}  // namespace

RunResult train_with_progress(Session& session, Runtime& runtime, const TrainConfig& config,
                              RunOptions options) {
  // Until the first step there is nothing to save, and Ctrl-C ends the program at once.
  std::optional<StopFlag::TakeOver> take_over;
  // Results that cannot be written, to a closed pipe or a full disk, end the run as Ctrl-C does:
  // its work is saved first.
  std::exception_ptr unwritten;
  RunResult result;
  {
    TrainingProgress progress(session);
    options.on_metrics = [&](const Metrics& m, int64_t total) {
      if (!take_over) {  // called once before the first step
        take_over.emplace(session.stop);
        progress.start(m.step, total);
        return;
      }
      progress.metrics(m);
      if (!session.common.json || unwritten) return;
      try {
        session.out.line(to_json(m));
        session.out.flush();
      } catch (...) {
        unwritten = std::current_exception();
      }
    };
    options.on_note = [&](const std::string& text) { progress.note(text); };
    options.interrupted = [&] {  // called after each step
      progress.stepped();
      return session.stop.requested() || unwritten;
    };
    result = run_training(runtime, config, options).value();
  }
  if (unwritten) std::rethrow_exception(unwritten);
  return result;
}

void print_summary(Session& session, const RunResult& result, const std::filesystem::path& folder) {
  if (result.history.size() > 1)
    session.out.write(
        plot::to_text(loss_chart(result.history), session.out_terminal.style(90, 16)));
  const Metrics* evaluated = nullptr;
  for (const Metrics& m : result.history)
    if (m.validation_loss) evaluated = &m;
  std::string line = fmt::format("{} steps", result.step);
  if (!result.history.empty()) line += fmt::format(", loss {:.4f}", result.history.back().loss);
  if (evaluated) line += fmt::format(", validation loss {:.4f}", *evaluated->validation_loss);
  if (evaluated && evaluated->validation_accuracy)
    line += fmt::format(", accuracy {:.2f} %", *evaluated->validation_accuracy * 100);
  session.out.line(line + fmt::format(", {}", plot::human_duration(result.seconds)));
  session.out.line(fmt::format("The model is in {}; its curves are in {}", folder.string(),
                               (folder / "report.html").string()));
  session.out.flush();
}

}  // namespace cairn::app
