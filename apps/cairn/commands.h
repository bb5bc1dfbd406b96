// Every command, a file each (cmd_NAME.cpp), in the order in which help lists them.
#pragma once

#include "apps/cairn/command.h"

namespace cairn::app {

void add_demo(const Command& program);
void add_train(const Command& program);
void add_generate(const Command& program);
void add_chat(const Command& program);
void add_eval(const Command& program);
void add_tokenize(const Command& program);
void add_template(const Command& program);
void add_quantize(const Command& program);
void add_convert(const Command& program);
void add_inspect(const Command& program);
void add_data(const Command& program);
void add_graph(const Command& program);
void add_kernel(const Command& program);
void add_probe(const Command& program);
void add_trace(const Command& program);
void add_bench(const Command& program);

inline void add_commands(const Command& program) {
  add_demo(program);
  add_train(program);
  add_generate(program);
  add_chat(program);
  add_eval(program);
  add_tokenize(program);
  add_template(program);
  add_quantize(program);
  add_convert(program);
  add_inspect(program);
  add_data(program);
  add_graph(program);
  add_kernel(program);
  add_probe(program);
  add_trace(program);
  add_bench(program);
  // In CLI.md, and not in this version.
  for (const char* name : {"serve", "finetune", "plan", "play", "embed"}) program.later(name);
}

// Runs a command line with every plan's launches recorded, and writes them to `file`.
int run_traced(const std::string& file, const std::vector<std::string>& command, Session& session);

}  // namespace cairn::app
