// cairn data pull: a model by name.
#pragma once

#include "apps/cairn/command.h"

namespace cairn::app {

void add_data_pull(const Command& group);

}  // namespace cairn::app
