// The commands of `cairn graph`.
#pragma once

#include "apps/cairn/command.h"

namespace cairn::app {

void add_graph_ops(const Command& group);
void add_graph_show(const Command& group);
void add_graph_run(const Command& group);

}  // namespace cairn::app
