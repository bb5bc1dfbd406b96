#include "cairn/train/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/base/cpu_features.h"
#include "cairn/base/probe.h"
#include "cairn/plot/report.h"
#include "cairn/plot/terminal.h"

namespace cairn {

plot::Chart loss_chart(const std::vector<Metrics>& history) {
  plot::Series raw{.faint = true};
  plot::Series validation{.label = "validation loss"};
  for (const Metrics& m : history) {
    raw.xs.push_back(static_cast<double>(m.step));
    raw.ys.push_back(m.loss);
    if (!m.validation_loss) continue;
    validation.xs.push_back(static_cast<double>(m.step));
    validation.ys.push_back(*m.validation_loss);
  }
  plot::Series smooth =
      plot::smoothed(raw, std::clamp(static_cast<int>(raw.xs.size() / 40), 1, 50));
  smooth.label = "loss";
  plot::Chart chart{.title = "Loss", .x_label = "step", .y_label = "loss"};
  chart.series = {raw, smooth};
  if (!validation.xs.empty()) chart.series.push_back(validation);
  return chart;
}

namespace {

plot::Chart curve(const std::string& title, const std::vector<Metrics>& history,
                  double (*value)(const Metrics&)) {
  plot::Chart chart{.title = title, .x_label = "step", .y_label = title};
  plot::Series series;
  for (const Metrics& m : history) {
    series.xs.push_back(static_cast<double>(m.step));
    series.ys.push_back(value(m));
  }
  chart.series = {series};
  return chart;
}

}  // namespace

std::string training_report(const TrainConfig& config, const RunResult& result, int threads) {
  plot::Report report;
  report.title = fmt::format("Training a {} model", config.model.family);
  report.subtitle =
      fmt::format("{} parameters, {} steps",
                  plot::human_count(static_cast<double>(result.parameters)), result.step);
  report.summary.push_back(
      {"parameters", plot::human_count(static_cast<double>(result.parameters))});
  report.summary.push_back({"steps", fmt::format("{}", result.step)});
  report.summary.push_back({"time", plot::human_duration(result.seconds)});
  const Metrics* evaluated = nullptr;
  for (const Metrics& m : result.history)
    if (m.validation_loss) evaluated = &m;
  if (!result.history.empty())
    report.summary.push_back({"final loss", fmt::format("{:.4f}", result.history.back().loss)});
  if (evaluated)
    report.summary.push_back(
        {"validation loss", fmt::format("{:.4f}", *evaluated->validation_loss)});
  if (evaluated && evaluated->validation_accuracy)
    report.summary.push_back(
        {"validation accuracy", fmt::format("{:.2f} %", *evaluated->validation_accuracy * 100)});
  report.charts.push_back(loss_chart(result.history));
  report.charts.push_back(
      curve("learning rate", result.history, [](const Metrics& m) { return m.learning_rate; }));
  report.charts.push_back(
      curve("gradient norm", result.history, [](const Metrics& m) { return m.gradient_norm; }));
  if (!result.sample.empty()) report.samples.push_back({"What the model writes", result.sample});
  report.configuration = to_toml(config);
  const MachineInfo machine = machine_info();
  report.machine = {
      {"processor", machine.cpu_name},
      {"memory", fmt::format("{:.1f} GiB", static_cast<double>(machine.memory_bytes) / 0x1p30)},
      {"threads", fmt::format("{}", threads)},
      {"processor level", std::string(name(detect_cpu_target()))}};
  report.footer = "Made by cairn.";
  return plot::to_html(report);
}

}  // namespace cairn
