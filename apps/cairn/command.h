// How a command declares itself: its options, an example and what runs.
//
// A thin view of a CLI11 subcommand. CLI11 takes seconds to compile, so one file (command.cpp)
// includes it; and a number that is no number is told in our words.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/cairn/session.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cairn::app {

struct Program;

// Where help lists a command.
inline constexpr const char* kModels = "Train and use models";
inline constexpr const char* kFiles = "Look into files";
inline constexpr const char* kGraphs = "Graphs and kernels";
inline constexpr const char* kMachine = "The machine and where time goes";

enum class Need { optional, required };

// Whether a command computes products, so that --precision means something to it.
enum class Computes { nothing, products };

// What --device names: where tensors are computed, or what runs one kernel of the tile language.
enum class Runs { tensors, kernels };

// What runs when the command was chosen. Returns the exit status; throws Error (1), UsageError (2)
// or Interrupted (130).
using Action = std::function<int(Session&)>;

class Command {
 public:
  Command(CLI::App& app, Program& program) : app_(app), program_(program) {}

  // A command with commands below it, which does nothing itself.
  Command group(const std::string& name, const std::string& description,
                const char* heading = "Commands") const;
  // A command that runs. It has the options that every command has.
  Command command(const std::string& name, const std::string& description,
                  const char* heading = "Commands", Runs runs = Runs::tensors) const;
  // One of CLI.md that this version does not have: says so, status 2.
  void later(const std::string& name) const;

  // `names`: "--repeat", "-n,--repeat". `value`: how help calls the value: "N", "FILE". What is
  // written to must live until the action has run: a shared_ptr that the action holds.
  void positional(const std::string& name, std::string& target, const std::string& help,
                  Need need = Need::required) const;
  void positional(const std::string& name, std::optional<std::string>& target,
                  const std::string& help) const;
  void positional(const std::string& name, std::vector<std::string>& target,
                  const std::string& help, Need need = Need::required) const;
  void option(const std::string& names, const std::string& value, std::string& target,
              const std::string& help, Need need = Need::optional) const;
  void option(const std::string& names, const std::string& value,
              std::optional<std::string>& target, const std::string& help) const;
  void option(const std::string& names, const std::string& value, int64_t& target,
              const std::string& help, int64_t least = 0) const;
  void option(const std::string& names, const std::string& value, std::optional<int64_t>& target,
              const std::string& help, int64_t least = 0) const;
  void option(const std::string& names, const std::string& value, double& target,
              const std::string& help) const;
  void option(const std::string& names, const std::string& value, std::optional<double>& target,
              const std::string& help) const;
  // --model, required or not, with what goes with it.
  void model(std::string& target, const std::string& help) const;
  void model(std::optional<std::string>& target, const std::string& help) const;
  // May be given several times. `many`: takes all values up to the next option.
  void option(const std::string& names, const std::string& value, std::vector<std::string>& target,
              const std::string& help, bool many = false) const;
  void flag(const std::string& names, bool& target, const std::string& help) const;

  // A command line that works, or several, shown at the end of --help.
  void example(const std::string& lines) const;
  void run(Action action, Computes computes = Computes::nothing) const;

 private:
  void model_options() const;
  CLI::App& app_;
  Program& program_;
};

// Parses a command line (without the program's name) and runs it. Returns the exit status; errors
// of the command are reported on stderr.
int run_command_line(const std::vector<std::string>& arguments, Session& session);

}  // namespace cairn::app
