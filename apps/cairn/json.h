// JSON as the commands print it: keys in the order in which they were added, numbers exact.
#pragma once

#include <nlohmann/json.hpp>

#include "apps/cairn/session.h"

namespace cairn::app {

using Json = nlohmann::ordered_json;

// One object on a line of its own, written out at once. Bytes that are not UTF-8 become U+FFFD;
// numbers that are not finite become null.
void print_json(Output& out, const Json& object);

// A JSON text of a file; nesting is bounded, so that no file exhausts the stack. Throws Error
// naming it.
Json read_json(const std::string& path, uint64_t limit);

}  // namespace cairn::app
