#include "cairn/runtime/cpu/loop_program.h"

#include <fmt/format.h>

#include "cairn/runtime/cpu/cpu_launch.h"
#include "cairn/tile/passes.h"

namespace cairn {
namespace {

// Compiling takes some 5 ms a launch and saves some 50 ns each time it runs: worth it where a loop
// may run often, since the next start of the program finds the code on disk.
constexpr int64_t kFewestSteps = 1000;
// The code of a launch is some KB; the first cache of instructions has 32.
constexpr int kMostLaunches = 64;
// What the body reads and writes stays in the second cache.
constexpr size_t kMostBytes = 256 << 10;

class Maker {
 public:
  explicit Maker(LaunchFunction run_kernel) : run_kernel_(run_kernel) {}

  LoopProgram make(const Launch& loop) {
    made_.problem = problem_of(loop);
    if (!made_.problem.empty()) return std::move(made_);
    // Operands, results and workspace of the loop are those of the program.
    Program& whole = made_.program;
    ProgramStep step;
    const auto place = [&](Program::Place::Kind kind, size_t index) {
      whole.places.push_back({kind, static_cast<int64_t>(index)});
      return static_cast<int>(whole.places.size()) - 1;
    };
    for (size_t i = 0; i < loop.inputs.size(); ++i)
      step.inputs.push_back(place(Program::Place::Kind::argument, i));
    for (size_t i = 0; i < loop.outputs.size(); ++i)
      step.outputs.push_back(place(Program::Place::Kind::result, i));
    step.workspace = place(Program::Place::Kind::arena, 0);
    add_control(loop, step);
    whole.steps.push_back(std::move(step));
    return std::move(made_);
  }

 private:
  // --- which loops

  std::string problem_of(const Launch& loop) {
    const int64_t max = loop.node()->attrs().integer(Attr::max);
    if (max < kFewestSteps)
      return fmt::format("it has at most {} steps, and fewer than {} are not worth compiling", max,
                         kFewestSteps);
    if (const size_t bytes = loop.regions[0]->peak_bytes(); bytes > kMostBytes)
      return fmt::format("its body takes {} bytes, and {} stay in the cache", bytes, kMostBytes);
    return problem_of(*loop.regions[0]);
  }
  std::string problem_of(const Plan& plan) {
    for (const Launch& launch : plan.launches) {
      if (++made_.launches > kMostLaunches)
        return fmt::format("it has more than {} launches", kMostLaunches);
      if (launch.kind == Launch::Kind::kernel) {
        const std::string_view operation = launch.node()->info().name;
        if (launch.code.run != run_kernel_) return fmt::format("{} has no tile kernel", operation);
        const CpuLaunch& code = code_of(launch);
        if (!code.custom && code.programs > code.grain)
          return fmt::format("{} is large enough for threads", operation);
      }
      for (const auto& region : launch.regions)
        if (std::string problem = problem_of(*region); !problem.empty()) return problem;
    }
    return {};
  }
  static const CpuLaunch& code_of(const Launch& launch) {
    return *static_cast<const CpuLaunch*>(launch.code.data.get());
  }

  // --- what they consist of

  Program program_of(const Plan& plan) {
    Program program;
    for (const PlanBuffer& buffer : plan.buffers)
      program.places.push_back({kind_of(buffer.kind), buffer.index});
    for (const Launch& launch : plan.launches) {
      ProgramStep step;
      step.inputs = launch.inputs;
      step.outputs = launch.outputs;
      step.workspace = launch.workspace;
      switch (launch.kind) {
        case Launch::Kind::kernel: add_kernel(launch, step); break;
        case Launch::Kind::loop:
        case Launch::Kind::cond: add_control(launch, step); break;
        case Launch::Kind::copy:
          step.kind = ProgramStep::Kind::copy;
          step.output_bytes = {plan.buffers[static_cast<size_t>(launch.outputs[0])].bytes};
          break;
      }
      program.steps.push_back(std::move(step));
    }
    return program;
  }

  static Program::Place::Kind kind_of(PlanBuffer::Kind kind) {
    switch (kind) {
      case PlanBuffer::Kind::argument: return Program::Place::Kind::argument;
      case PlanBuffer::Kind::result: return Program::Place::Kind::result;
      case PlanBuffer::Kind::arena: break;
    }
    return Program::Place::Kind::arena;
  }

  void add_control(const Launch& launch, ProgramStep& step) {
    const Node& node = *launch.node();
    step.kind = ProgramStep::Kind::cond;
    if (launch.kind == Launch::Kind::loop) {
      step.kind = ProgramStep::Kind::loop;
      step.carried = static_cast<size_t>(node.attrs().integer(Attr::carried));
      step.scanned = static_cast<size_t>(node.attrs().integer(Attr::scanned));
      step.max = node.attrs().integer(Attr::max);
      step.reverse = node.attrs().flag(Attr::reverse);
      for (const Tensor& t : node.inputs()) step.input_bytes.push_back(t.type().bytes());
      for (const TensorType& t : node.outputs()) step.output_bytes.push_back(t.bytes());
    }
    for (const auto& region : launch.regions) step.regions.push_back(program_of(*region));
  }

  void add_kernel(const Launch& launch, ProgramStep& step) {
    const CpuLaunch& code = code_of(launch);
    step.kernel = tile::run_passes(code.custom ? *code.custom
                                               : make_group_kernel(launch.group, code.form).kernel);
    const size_t numbers =
        code.scalars.size() - (code.custom ? 0 : code.kernels->binding.constants.size());
    for (size_t i = 0; i < code.scalars.size(); ++i) {
      ProgramScalar& scalar = step.scalars.emplace_back();
      if (i < numbers) {
        scalar.number = code.scalars[i].integer;
      } else {
        scalar.constant = static_cast<int>(made_.constants.size());
        made_.constants.push_back(code.scalars[i]);
      }
    }
    step.tables = code.tables;
    step.programs = code.programs;
  }

  const LaunchFunction run_kernel_;
  LoopProgram made_;
};

}  // namespace

LoopProgram make_loop_program(const Launch& loop, LaunchFunction run_kernel) {
  return Maker(run_kernel).make(loop);
}

}  // namespace cairn
