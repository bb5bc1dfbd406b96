// The command line as a whole: declaring, parsing, help, mistakes, and the exit status.
#include "apps/cairn/command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <new>

#include "apps/cairn/commands.h"
#include "apps/cairn/help.h"
#include "apps/cairn/json.h"
#include "cairn/base/cpu_features.h"
#include "cairn/base/error.h"
#include "cairn/base/names.h"
#include "cairn/models/block_weights.h"

namespace cairn::app {

struct Program {
  explicit Program(Session& owner) : session(owner) {}
  CLI::App app{"Machine learning from nothing but C++: train models, run them, look inside.",
               "cairn"};
  Session& session;
  bool version = false;
  Action action = nullptr;
  Computes computes = Computes::nothing;
};

namespace {

template <class T>
T parse_number(const std::string& name, const std::string& text, T least) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  constexpr bool kWhole = std::is_integral_v<T>;
  bool is_number = error == std::errc() && stop == end;
  if constexpr (!kWhole) is_number = is_number && std::isfinite(value);  // "nan", "inf"
  if (!is_number)
    throw UsageError(
        fmt::format("{} takes a {}, not '{}'", name, kWhole ? "whole number" : "number", text));
  if (kWhole && value < least)
    throw UsageError(fmt::format("{} takes a number of at least {}, not {}", name, least, text));
  return value;
}

std::string long_name(const std::string& names) {
  const size_t comma = names.rfind(',');
  return comma == std::string::npos ? names : names.substr(comma + 1);
}

// An option whose text `use` reads. Of several, the last one counts.
CLI::Option* add_text(CLI::App& app, const std::string& names, const std::string& value,
                      const std::string& help, const std::function<void(const std::string&)>& use) {
  return app.add_option_function<std::string>(names, use, help)->type_name(value)->take_last();
}

template <class Target>
void add_number(CLI::App& app, const std::string& names, const std::string& value, Target& target,
                const std::string& help, int64_t least) {
  using Number = std::conditional_t<std::is_same_v<Target, double> ||
                                        std::is_same_v<Target, std::optional<double>>,
                                    double, int64_t>;
  add_text(app, names, value, help,
           [&target, least, name = long_name(names)](const std::string& text) {
             target = parse_number<Number>(name, text, static_cast<Number>(least));
           });
}

void check_device(const std::string& text, Runs runs) {
  const std::string_view index =
      std::string_view(text).substr(std::min(text.find(':'), text.size()));
  const bool numbered = index.size() > 1 && std::all_of(index.begin() + 1, index.end(), [](char c) {
                          return c >= '0' && c <= '9';
                        });
  std::vector<std::string> known = {"cpu", "ref", "cuda", "null"};
  if (runs == Runs::kernels) known = {"cpu", "interpreter", "cuda"};
  if (std::find(known.begin(), known.end(), text) != known.end()) return;
  if (runs == Runs::tensors && text.starts_with("cuda:") && numbered) return;
  throw UsageError(fmt::format("--device '{}' is not known; {}", text, suggest(text, known)));
}

void check_precision(const std::string& text) {
  const std::vector<std::string> known = {"f32", "bf16", "f16"};
  if (std::find(known.begin(), known.end(), text) == known.end())
    throw UsageError(fmt::format("--precision '{}' is not known; {}", text, suggest(text, known)));
}

void add_common(CLI::App& app, CommonOptions& common, Runs runs) {
  const auto grouped = [](CLI::Option* option) { option->group(kCommonGroup); };
  grouped(add_text(app, "--threads", "N",
                   "threads to compute with (default: one per physical core)",
                   [&common](const std::string& text) {
                     common.threads = parse_number<int64_t>("--threads", text, 1);
                     if (*common.threads > 4096)
                       throw UsageError(fmt::format("--threads takes at most 4096, not {}", text));
                   }));
  grouped(add_text(app, "--device", "NAME",
                   runs == Runs::kernels
                       ? "cpu, interpreter or cuda (default: cpu)"
                       : "cpu, ref, cuda, cuda:1 or null (default: cpu if built in, else ref)",
                   [&common, runs](const std::string& text) {
                     check_device(text, runs);
                     common.device = text;
                   }));
  grouped(add_text(app, "--precision", "TYPE",
                   "f32, bf16 or f16: what products are computed in (default: f32)",
                   [&common](const std::string& text) {
                     check_precision(text);
                     common.precision = text;
                   }));
  grouped(
      add_text(app, "--seed", "N", "seed of everything random", [&common](const std::string& text) {
        common.seed = parse_number<uint64_t>("--seed", text, 0);
      }));
  grouped(app.add_flag("--quiet", common.quiet, "no progress, no notes"));
  grouped(app.add_flag("--json", common.json, "results as JSON on stdout"));
  if (auto* help = app.get_help_ptr()) help->group(kCommonGroup);
}

CLI::App& add_subcommand(CLI::App& parent, const std::string& name, const std::string& description,
                         const char* heading) {
  CLI::App& app = *parent.add_subcommand(name, description);
  app.group(heading);
  app.set_help_flag("-h,--help", "this text");
  // One command at most: without it, `cairn inspect data` would take `data` for a second command.
  app.require_subcommand(0, 1);
  return app;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!command->get_group().empty()) names.push_back(command->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// "cairn data list".
std::string full_name(const CLI::App& app) {
  return app.get_parent() ? full_name(*app.get_parent()) + " " + app.get_name() : app.get_name();
}

const CLI::App& innermost(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().back();
  return *at;
}

// What is wrong with a command line that CLI11 refused, in words that help.
std::string explain_mistake(const CLI::App& root, const CLI::ParseError& error) {
  const CLI::App& app = innermost(root);
  const std::vector<std::string> known = command_names(app);
  for (const std::string& word : root.remaining(true)) {
    if (word.size() > 1 && word[0] == '-') {
      const std::string name = word.substr(0, word.find('='));
      return fmt::format("{} has no option {}; {}", full_name(app), name,
                         suggest(name, option_names(app)));
    }
    if (!known.empty())
      return fmt::format("{} has no command '{}'; {}", full_name(app), word, suggest(word, known));
    return fmt::format("{} takes no further '{}'", full_name(app), word);
  }
  const std::string what = error.what();
  if (dynamic_cast<const CLI::RequiredError*>(&error))
    return fmt::format("{}: {}", full_name(app), what);
  return what;
}

int report_usage(const Session& session, const CLI::App& app, const std::string& what) {
  session.complain(fmt::format("{}\n`{} --help` says more", what, full_name(innermost(app))));
  return 2;
}

void print_version(Session& session) {
  Json targets = Json::array(), devices = Json::array();
  for (CpuTarget target : kCpuTargets) targets.push_back(name(target));
  for (const std::string& device : cairn::devices()) devices.push_back(device);
  if (session.common.json) {
    print_json(session.out, {{"version", CAIRN_VERSION},
                             {"build", CAIRN_BUILD},
                             {"targets", targets},
                             {"devices", devices}});
    return;
  }
  session.out.line(fmt::format("cairn {} ({})", CAIRN_VERSION, CAIRN_BUILD));
  const auto list = [](const Json& names) {
    std::vector<std::string> words = names;
    return fmt::format("{}", fmt::join(words, ", "));
  };
  session.out.line(
      fmt::format("targets: {}; this processor has {}", list(targets), name(detect_cpu_target())));
  session.out.line(fmt::format("devices: {}", list(devices)));
  session.out.flush();
}

// Parses, then runs; every error is thrown.
int parse_and_run(Program& program, std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());
  Session& session = program.session;
  program.app.parse(std::move(arguments));
  if (program.version) {
    print_version(session);
    return 0;
  }
  if (!program.action) {
    const CLI::App& app = innermost(program.app);
    throw UsageError(
        fmt::format("{} needs a command: {}", full_name(app), fmt::join(command_names(app), ", ")));
  }
  const std::string precision = session.common.precision.value_or("f32");
  if (program.computes == Computes::nothing && precision != "f32")
    throw UsageError(fmt::format("{} computes no products, so --precision {} means nothing to it",
                                 full_name(innermost(program.app)), precision));
  const int status = program.action(session);
  session.out.flush();
  return status;
}

}  // namespace

Command Command::group(const std::string& name, const std::string& description,
                       const char* heading) const {
  return {add_subcommand(app_, name, description, heading), program_};
}

Command Command::command(const std::string& name, const std::string& description,
                         const char* heading, Runs runs) const {
  CLI::App& app = add_subcommand(app_, name, description, heading);
  add_common(app, program_.session.common, runs);
  return {app, program_};
}

void Command::later(const std::string& name) const {
  CLI::App& app = add_subcommand(app_, name, "", "");
  app.set_help_flag();
  app.allow_extras();
  const std::string full = full_name(app);
  app.callback([&program = program_, full] {
    program.action = [full](Session&) -> int {
      throw NotInThisVersion(
          fmt::format("`{}` is not in this version of cairn; it comes with a later one", full));
    };
  });
}

void Command::positional(const std::string& name, std::string& target, const std::string& help,
                         Need need) const {
  app_.add_option(name, target, help)->type_name("")->required(need == Need::required);
}

void Command::positional(const std::string& name, std::optional<std::string>& target,
                         const std::string& help) const {
  add_text(app_, name, "", help, [&target](const std::string& text) { target = text; });
}

void Command::positional(const std::string& name, std::vector<std::string>& target,
                         const std::string& help, Need need) const {
  app_.add_option(name, target, help)->type_name("")->required(need == Need::required);
}

void Command::option(const std::string& names, const std::string& value, std::string& target,
                     const std::string& help, Need need) const {
  add_text(app_, names, value, help, [&target](const std::string& text) {
    target = text;
  })->required(need == Need::required);
}

void Command::option(const std::string& names, const std::string& value,
                     std::optional<std::string>& target, const std::string& help) const {
  add_text(app_, names, value, help, [&target](const std::string& text) { target = text; });
}

void Command::option(const std::string& names, const std::string& value, int64_t& target,
                     const std::string& help, int64_t least) const {
  add_number(app_, names, value, target, help, least);
}

void Command::option(const std::string& names, const std::string& value,
                     std::optional<int64_t>& target, const std::string& help, int64_t least) const {
  add_number(app_, names, value, target, help, least);
}

void Command::option(const std::string& names, const std::string& value, double& target,
                     const std::string& help) const {
  add_number(app_, names, value, target, help, 0);
}

void Command::option(const std::string& names, const std::string& value,
                     std::optional<double>& target, const std::string& help) const {
  add_number(app_, names, value, target, help, 0);
}

void Command::option(const std::string& names, const std::string& value,
                     std::vector<std::string>& target, const std::string& help, bool many) const {
  app_.add_option(names, target, help)->type_name(value)->allow_extra_args(many);
}

void Command::flag(const std::string& names, bool& target, const std::string& help) const {
  app_.add_flag(names, target, help);
}

void Command::example(const std::string& lines) const { app_.footer(lines); }

void Command::model(std::string& target, const std::string& help) const {
  option("--model", "PATH", target, help, Need::required);
  model_options();
}

void Command::model(std::optional<std::string>& target, const std::string& help) const {
  option("--model", "PATH", target, help);
  model_options();
}

void Command::model_options() const {
  std::string& activations = program_.session.common.activations;
  add_text(
      app_, "--activations", "TYPE",
      "what is multiplied with weights in blocks: q8_0, with bf16 then for weights in bf16, or "
      "f32 as it is (default: q8_0)",
      [&activations](const std::string& type) {
        if (type != "q8_0" && type != "f32")
          throw UsageError(fmt::format("--activations {}: q8_0 and f32 are known", type));
        activations = type;
      });
  std::string& quantize = program_.session.common.quantize;
  add_text(app_, "--quantize", "TYPE",
           "make the model's matrices blocks while loading: a recipe (Q4_K_M), a type (q8_0) or "
           "int8, a scale for each row",
           [&quantize](const std::string& type) {
             if (const Status status = check_weight_type(type); !status)
               throw UsageError(fmt::format("--quantize {}: {}", type, status.error().what()));
             quantize = type;
           });
  std::string& packed = program_.session.common.packed_weights;
  add_text(
      app_, "--packed-weights", "WHERE",
      "keep weights as products read them in a file for the next start: beside the model, or "
      "in the cache's folder",
      [&packed](const std::string& where) {
        if (where != "beside" && where != "cache")
          throw UsageError(fmt::format("--packed-weights {}: beside and cache are known", where));
        packed = where;
      });
}

void Command::run(Action action, Computes computes) const {
  app_.callback([&program = program_, action = std::move(action), computes] {
    program.action = action;
    program.computes = computes;
  });
}

int run_command_line(const std::vector<std::string>& arguments, Session& session) {
  // What follows FILE belongs to another command, options included.
  if (arguments.size() > 2 && arguments[0] == "trace" && !arguments[1].starts_with('-'))
    return run_traced(arguments[1], {arguments.begin() + 2, arguments.end()}, session);

  Program program(session);
  CLI::App& app = program.app;
  app.set_help_flag("-h,--help", "this text");
  app.require_subcommand(0, 1);
  app.add_flag("--version", program.version,
               "version, build, targets and devices; with --json as JSON");
  app.add_flag("--json", session.common.json, "results as JSON on stdout")->group("");
  app.footer("cairn demo --minutes 2");
  add_commands(Command(app, program));
  try {
    return parse_and_run(program, arguments);
  } catch (const CLI::CallForHelp&) {
    try {
      session.out.write(help_text(innermost(app), session.out_terminal));
      session.out.flush();
      return 0;
    } catch (const Error& error) {
      session.complain(error.what());
      return 1;
    } catch (const Output::Closed&) {
      return 1;
    }
  } catch (const CLI::ParseError& error) {
    return report_usage(session, app, explain_mistake(app, error));
  } catch (const NotInThisVersion& error) {
    session.complain(error.what());
    return 2;
  } catch (const UsageError& error) {
    return report_usage(session, app, error.what());
  } catch (const Interrupted&) {
    return session.stop.status();
  } catch (const Output::Closed&) {
    return 1;
  } catch (const std::bad_alloc&) {
    session.complain("there is not enough memory for this");
    return 1;
  } catch (const std::exception& error) {
    session.complain(error.what());
    return 1;
  }
}

}  // namespace cairn::app
