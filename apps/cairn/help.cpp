#include "apps/cairn/help.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

namespace cairn::app {
namespace {

constexpr int kColumn = 24;  // where descriptions start

std::string full_name(const CLI::App& app) {
  return app.get_parent() ? full_name(*app.get_parent()) + " " + app.get_name() : app.get_name();
}

// Words of `text` in lines that start at column `indent` and end at `width`.
std::string wrapped(std::string_view text, int indent, int width) {
  std::string out;
  int at = indent;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const int cells = plot::display_width(text.substr(0, end));
    if (at > indent && at + 1 + cells > width) {
      out += "\n" + std::string(static_cast<size_t>(indent), ' ');
      at = indent;
    } else if (at > indent) {
      out += ' ';
      ++at;
    }
    out += text.substr(0, end);
    at += cells;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string entry(const std::string& name, const std::string& description, int width) {
  std::string line = "  " + name;
  const auto cells = static_cast<size_t>(plot::display_width(line));
  if (cells + 2 > kColumn) {
    line += "\n" + std::string(kColumn, ' ');
  } else {
    line += std::string(kColumn - cells, ' ');
  }
  return line + wrapped(description, kColumn, width) + "\n";
}

std::string option_title(const CLI::Option& option) {
  std::string title;
  for (const std::string& name : option.get_snames()) title += "-" + name + ", ";
  for (const std::string& name : option.get_lnames()) title += "--" + name + ", ";
  title.resize(title.size() - 2);
  if (option.get_items_expected_max() > 0) title += " " + option.get_type_name();
  if (option.get_expected_max() > 1) title += "...";
  return title;
}

std::string positional_title(const CLI::Option& option) {
  std::string title = option.get_name(true, false);
  if (option.get_expected_max() > 1) title += "...";
  return option.get_required() ? title : "[" + title + "]";
}

std::string usage(const CLI::App& app, bool has_commands) {
  std::string line = full_name(app);
  if (has_commands) line += " COMMAND";
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      line += " " + positional_title(*option);
    } else if (option->get_required()) {
      line += " " + option_title(*option);
    }
  }
  return line + " [options]";
}

}  // namespace

std::string help_text(const CLI::App& app, const Terminal& terminal) {
  const int width = std::clamp(terminal.width, 50, 100);
  const auto commands =
      app.get_subcommands([](const CLI::App* c) { return !c->get_group().empty(); });
  std::string out = wrapped(app.get_description(), 0, width) + "\n\n";
  out += terminal.bold("usage:") + " " + usage(app, !commands.empty()) + "\n";

  std::string arguments;
  for (const CLI::Option* option : app.get_options())
    if (option->get_positional())
      arguments += entry(option->get_name(true, false), option->get_description(), width);
  if (!arguments.empty()) out += "\n" + terminal.bold("arguments:") + "\n" + arguments;

  std::vector<std::string> headings;
  for (const CLI::App* command : commands)
    if (std::find(headings.begin(), headings.end(), command->get_group()) == headings.end())
      headings.push_back(command->get_group());
  for (const std::string& heading : headings) {
    out += "\n" + terminal.bold(heading + ":") + "\n";
    for (const CLI::App* command : commands)
      if (command->get_group() == heading)
        out += entry(command->get_name(), command->get_description(), width);
  }

  // Of this command first, then what every command has.
  std::vector<std::string> groups = app.get_groups();
  std::stable_sort(groups.begin(), groups.end(), [](const std::string& a, const std::string& b) {
    return (a == kCommonGroup) < (b == kCommonGroup);
  });
  for (const std::string& group : groups) {
    if (group.empty()) continue;
    std::string options;
    for (const CLI::Option* option : app.get_options())
      if (!option->get_positional() && option->get_group() == group)
        options += entry(option_title(*option), option->get_description(), width);
    if (!options.empty()) out += fmt::format("\n{}\n{}", terminal.bold(group + ":"), options);
  }

  if (const std::string example = app.get_footer(); !example.empty()) {
    out += "\n" + terminal.bold("Example:") + "\n";
    size_t begin = 0;
    while (begin < example.size()) {
      const size_t end = std::min(example.find('\n', begin), example.size());
      out += fmt::format("  {}\n", std::string_view(example).substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return out;
}

}  // namespace cairn::app
