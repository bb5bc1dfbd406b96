// cairn kernel tune: the ways to compute a named kernel that give the same bits, timed; `kernel
// run` then takes the fastest.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "apps/cairn/json.h"
#include "apps/cairn/kernel_launch.h"
#include "cairn/base/error.h"
#include "cairn/plot/terminal.h"
#include "cairn/runtime/cpu/tuning.h"

namespace cairn::app {
namespace {

struct Options {
  KernelOptions kernel;
  double seconds = 10;
  bool again = false;
};

// Throws InternalError where another way than the usual one gives other bits.
void check_bits(const ChosenKernel& chosen, const KernelChoice& usual, const KernelChoice& best,
                ThreadPool& pool) {
  std::vector<tile::KernelCall> calls;
  for (const KernelChoice& choice : {usual, best}) {
    calls.push_back(chosen.named.call(chosen.dtype, chosen.shape, 0));
    compiled_launch(chosen, calls.back(), pool, choice)();
  }
  for (size_t i = 0; i < chosen.kernel.parameters.size(); ++i) {
    if (!chosen.kernel.parameters[i].is_written()) continue;
    const HostArray &a = calls[0].array(static_cast<int>(i)),
                    &b = calls[1].array(static_cast<int>(i));
    if (std::memcmp(a.data(), b.data(), a.bytes()) != 0)
      throw InternalError(fmt::format("{} in the form '{}' gives other bits in '{}' than usual",
                                      title(chosen), to_string(best),
                                      chosen.kernel.parameters[i].name));
  }
}

std::string note_of(const TuneRow& row) {
  if (!row.dropped.empty()) return row.dropped;
  return row.is_known ? "known from before" : fmt::format("median of {}", row.runs);
}

plot::Table table_of(const Tuned& tuned) {
  plot::Table table{"", {"candidate", "ms", "of the usual time", ""}, {}};
  const double usual = tuned.rows[0].seconds;
  for (size_t i = 0; i < tuned.rows.size(); ++i) {
    const TuneRow& row = tuned.rows[i];
    const bool has_time = row.seconds > 0;
    table.rows.push_back({(i == tuned.best ? "* " : "  ") + row.name,
                          has_time ? plot::short_number(1e3 * row.seconds) : "",
                          has_time ? fmt::format("{:.0f} %", 100 * row.seconds / usual) : "",
                          note_of(row)});
  }
  return table;
}

Json json_of(const ChosenKernel& chosen, int threads, const Tuned& tuned) {
  Json candidates = Json::array();
  for (const TuneRow& row : tuned.rows) {
    Json json = {{"name", row.name},
                 {"seconds", row.seconds > 0 ? Json(row.seconds) : Json(nullptr)},
                 {"runs", row.runs},
                 {"known", row.is_known}};
    if (!row.dropped.empty()) json["dropped"] = row.dropped;
    candidates.push_back(json);
  }
  const TuneRow& best = tuned.rows[tuned.best];
  return {{"name", chosen.named.name},
          {"dtype", name(chosen.dtype)},
          {"shape", shape_text(chosen.shape)},
          {"threads", threads},
          {"best", best.name},
          {"speedup", tuned.rows[0].seconds / best.seconds},
          {"candidates", candidates}};
}

int run(const Options& options, Session& session) {
  if (!(options.seconds > 0))
    throw UsageError(fmt::format("--seconds takes a number above 0, not {}", options.seconds));
  const ChosenKernel chosen = choose_kernel(options.kernel, &tile::NamedKernel::shape);
  ThreadPool pool(session.threads());
  const std::vector<KernelChoice> choices = choices_of(chosen.named, pool.threads());
  const tile::KernelCall call = chosen.named.call(chosen.dtype, chosen.shape, 0);
  std::vector<Launch> launches(choices.size());
  std::vector<TuneCandidate> candidates;
  for (size_t i = 0; i < choices.size(); ++i)
    candidates.push_back({to_string(choices[i]),
                          [&, i] {
                            launches[i] = compiled_launch(chosen, call, pool, choices[i]);
                            return spills_of(kernel_of(chosen, choices[i]), choose_arch({}),
                                             choices[i].version);
                          },
                          [&, i] { return seconds_of(launches[i]); }});
  Progress progress = session.progress();
  TuneOptions how;
  how.seconds = options.seconds;
  how.again = options.again;
  how.progress = [&](std::string_view line) { progress.update([&] { return std::string(line); }); };
  const Tuned tuned = tune(work_of(chosen), candidates, timings(pool.threads()), pool, how);
  progress.clear();
  if (tuned.best != 0) check_bits(chosen, choices[0], choices[tuned.best], pool);
  if (session.common.json) {
    print_json(session.out, json_of(chosen, pool.threads(), tuned));
    return 0;
  }
  const TuneRow& best = tuned.rows[tuned.best];
  session.out.line(fmt::format("{} on {} threads", title(chosen), pool.threads()));
  session.out.write(plot::to_text(table_of(tuned), session.out_terminal.table_style()));
  session.out.line(
      tuned.best == 0
          ? "The usual way stays: none is faster by more than 3 %."
          : fmt::format("'{}' is {:.2f} x as fast as usual, with the same bits; `cairn kernel run` "
                        "takes it from now on.",
                        best.name, tuned.rows[0].seconds / best.seconds));
  return 0;
}

}  // namespace

void add_kernel_tune(const Command& group) {
  const auto options = std::make_shared<Options>();
  const Command command = group.command(
      "tune", "Time the ways to compute a kernel that give the same bits, and keep the fastest.");
  options->kernel.declare(command);
  command.option("--seconds", "N", options->seconds,
                 "start no further round of timings after so long (default: 10)");
  command.flag("--again", options->again, "time what is known from before, too");
  command.example("cairn kernel tune gelu --shape 1024x1024 --seconds 2");
  command.run([options](Session& session) { return run(*options, session); });
}

}  // namespace cairn::app
