#include "cairn/compiler/program.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cairn/tile/print.h"

namespace cairn {

std::string to_text(const Program& program) {
  std::string text = "program {\n";
  for (const Program::Place& place : program.places)
    text += fmt::format("place {} {}\n", static_cast<int>(place.kind), place.index);
  for (const ProgramStep& step : program.steps) {
    text += fmt::format("step {} ({}) -> ({}) workspace {}\n", static_cast<int>(step.kind),
                        fmt::join(step.inputs, ","), fmt::join(step.outputs, ","), step.workspace);
    if (step.kind == ProgramStep::Kind::kernel) {
      text += fmt::format("grid {} scalars", step.programs);
      for (const ProgramScalar& s : step.scalars)
        text += fmt::format(" {}:{}", s.constant, s.number);
      for (const auto& table : step.tables) text += fmt::format(" [{}]", fmt::join(table, ","));
      text += "\n" + tile::to_text(step.kernel);
    } else {
      text += fmt::format("carried {} scanned {} max {} reverse {} bytes ({}) -> ({})\n",
                          step.carried, step.scanned, step.max, step.reverse,
                          fmt::join(step.input_bytes, ","), fmt::join(step.output_bytes, ","));
    }
    for (const Program& region : step.regions) text += to_text(region);
  }
  return text + "}\n";
}

}  // namespace cairn
