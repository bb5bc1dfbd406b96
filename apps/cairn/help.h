// The text of --help.
#pragma once

#include <string>

#include "apps/cairn/terminal.h"

namespace CLI {
class App;
}

namespace cairn::app {

// The heading of what stands last in the list of options.
inline constexpr const char* kCommonGroup = "Options of every command";

// Description, usage, arguments, options, commands below and the example, within the terminal's
// width.
std::string help_text(const CLI::App& app, const Terminal& terminal);

}  // namespace cairn::app
