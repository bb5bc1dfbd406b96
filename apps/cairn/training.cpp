#include "apps/cairn/training.h"

#include <fmt/format.h>

#include "apps/cairn/json.h"
#include "cairn/train/report.h"

namespace cairn::app {
namespace {

std::string progress_text(const Metrics& m, int64_t total, int64_t first,
                          const std::optional<double>& validation, int width) {
  std::vector<std::string> parts;
  const double share = total ? static_cast<double>(m.step) / static_cast<double>(total) : 0;
  parts.push_back(fmt::format("{:3.0f}%  step {}/{}", share * 100, m.step, total));
  parts.push_back(fmt::format("loss {:.4f}", m.loss));
  if (validation) parts.push_back(fmt::format("validation {:.4f}", *validation));
  if (m.items_per_second > 0)
    parts.push_back(fmt::format("{} {}/s", plot::human_count(m.items_per_second), m.item_name));
  parts.push_back(plot::eta_text(m.seconds, static_cast<double>(m.step - first),
                                 static_cast<double>(total - first)));
  parts.push_back(plot::human_bytes(static_cast<double>(m.memory_bytes)));
  return plot::join_fields(parts, width);
}

}  // namespace

RunResult train_with_progress(Session& session, Runtime& runtime, const TrainConfig& config,
                              RunOptions options) {
  const StopFlag::TakeOver take_over(session.stop);
  Progress progress = session.progress();
  std::optional<double> validation;
  int64_t first = -1;
  options.on_metrics = [&](const Metrics& m, int64_t total) {
    if (first < 0) {  // called once before the first step
      first = m.step;
      return;
    }
    if (m.validation_loss) validation = m.validation_loss;
    if (session.common.json) {
      session.out.line(to_json(m));
      session.out.flush();
    }
    progress.update(
        [&] { return progress_text(m, total, first, validation, session.err_terminal.width - 1); });
  };
  options.on_note = [&](const std::string& text) { progress.note(text); };
  options.interrupted = [&] { return session.stop.requested(); };
  RunResult result = run_training(runtime, config, options).value();
  progress.clear();
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
