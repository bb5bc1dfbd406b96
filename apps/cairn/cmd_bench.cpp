// cairn bench: measurements beside others on this machine.
#include "apps/cairn/bench_commands.h"
#include "apps/cairn/commands.h"

namespace cairn::app {

void add_bench(const Command& program) {
  const Command group =
      program.group("bench", "Measure beside others, in turns, on this machine.", kMachine);
  add_bench_ops(group);
  add_bench_llm(group);
  group.example("cairn bench ops --filter 'add f32 64x4096' --peers none");
}

}  // namespace cairn::app
