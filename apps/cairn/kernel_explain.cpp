// cairn kernel explain: what a kernel is made of, how it walks through memory, and what the
// compiler made of it.
#include <fmt/format.h>

#include <algorithm>

#include "apps/cairn/json.h"
#include "apps/cairn/kernel_commands.h"
#include "cairn/base/error.h"
#include "cairn/compiler/assembly_count.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/plot/terminal.h"
#include "cairn/tile/access.h"
#include "cairn/tile/math.h"
#include "cairn/tile/passes.h"
#include "cairn/tile/print.h"

namespace cairn::app {
namespace {

struct Options {
  KernelOptions kernel;
  std::optional<std::string> arch;
};

// What one run of the code at a depth of loops does: a program's own code is at depth 0.
struct Work {
  int instructions = 0;
  int64_t arithmetic = 0;  // elements that elementwise instructions compute
  int64_t functions = 0;   // of these, of exp, tanh and the like
  int64_t reduced = 0;     // elements that reductions and scans read
  int64_t products = 0;    // multiply-adds of dot
  int64_t loaded = 0, stored = 0;
};

void add_work(const tile::Kernel& kernel, const tile::Block& block, size_t depth,
              std::vector<Work>& work) {
  if (work.size() <= depth) work.resize(depth + 1);
  for (const tile::Instruction& in : block.code) {
    for (const tile::Block& region : in.regions) add_work(kernel, region, depth + 1, work);
    Work& w = work[depth];
    ++w.instructions;
    const auto elements = [&](tile::ValueId v) { return kernel.type(v).shape.elements(); };
    switch (in.op) {
      case tile::TileOp::apply:
      case tile::TileOp::fma:
      case tile::TileOp::multiply_high: {
        // Offsets and masks are not counted: they are mostly gone when the kernel is compiled.
        const DType dtype = kernel.type(in.results[0]).dtype;
        if (!is_float(dtype)) break;
        w.arithmetic += elements(in.results[0]);
        if (in.op == tile::TileOp::apply && tile::f32::is_function(in.scalar))
          w.functions += elements(in.results[0]);
        break;
      }
      case tile::TileOp::reduce:
      case tile::TileOp::arg_reduce:
      case tile::TileOp::scan: w.reduced += elements(in.operands[0]); break;
      case tile::TileOp::dot:
        w.products += elements(in.results[0]) * kernel.type(in.operands[0]).shape[1];
        break;
      case tile::TileOp::load: w.loaded += elements(in.results[0]); break;
      case tile::TileOp::store:
      case tile::TileOp::atomic: w.stored += elements(in.operands[0]); break;
      default: break;
    }
  }
}

std::vector<Work> work_of(const tile::Kernel& kernel) {
  std::vector<Work> work;
  add_work(kernel, kernel.body, 0, work);
  return work;
}

int total_instructions(const std::vector<Work>& work) {
  int total = 0;
  for (const Work& w : work) total += w.instructions;
  return total;
}

std::string depth_text(int depth) {
  return depth == 0 ? "program" : depth == 1 ? "in a loop" : fmt::format("in {} loops", depth);
}

struct Explained {
  const ChosenKernel& chosen;
  CpuTarget target;
  std::vector<tile::MemoryAccess> accesses;
  std::vector<Work> work;
  int prepared_instructions = 0;
  std::optional<AssemblyCount> assembly;
  std::vector<LineCount> lines;
  size_t code_bytes = 0;
  std::string not_compiled;  // why
};

Explained explain(const ChosenKernel& chosen, CpuTarget target) {
  const tile::Kernel& kernel = chosen.kernel;
  Explained result{chosen, target, tile::memory_accesses(kernel), work_of(kernel), 0, {}, {},
                   0,      {}};
  const tile::Kernel ready = tile::run_passes(kernel);
  result.prepared_instructions = total_instructions(work_of(ready));
  try {
    result.assembly = count_assembly(kernel_text(ready, target, KernelStage::assembly));
    result.lines = count_lines(kernel_text(ready, target, KernelStage::assembly, {.lines = true}));
    result.code_bytes = compile_kernel(ready, target).size();
  } catch (const Error& error) {
    result.not_compiled = error.what();
  }
  return result;
}

std::string_view what(tile::TileOp op) {
  return op == tile::TileOp::load ? "load" : op == tile::TileOp::store ? "store" : "atomic";
}

const tile::Parameter& buffer_of(const tile::Kernel& kernel, const tile::MemoryAccess& access) {
  return kernel.parameters[static_cast<size_t>(access.instruction->parameter)];
}

Json to_json(const Explained& e) {
  const tile::Kernel& kernel = e.chosen.kernel;
  Json parameters = Json::array(), accesses = Json::array(), work = Json::array();
  for (const tile::Parameter& p : kernel.parameters)
    parameters.push_back({{"name", p.name},
                          {"kind", p.is_buffer() ? name(p.kind) : "scalar"},
                          {"dtype", name(p.dtype)},
                          {p.is_buffer() ? "alignment" : "divisor", p.divisor}});
  for (const tile::MemoryAccess& a : e.accesses)
    accesses.push_back({{"kind", what(a.instruction->op)},
                        {"buffer", buffer_of(kernel, a).name},
                        {"shape", std::vector<int64_t>(a.shape.begin(), a.shape.end())},
                        {"loops", a.loops},
                        {"neighbours", describe(kernel, a)}});
  for (size_t depth = 0; depth < e.work.size(); ++depth) {
    const Work& w = e.work[depth];
    work.push_back({{"loops", depth},
                    {"instructions", w.instructions},
                    {"arithmetic", w.arithmetic},
                    {"functions", w.functions},
                    {"reduced", w.reduced},
                    {"products", w.products},
                    {"loaded", w.loaded},
                    {"stored", w.stored}});
  }
  Json lines = Json::array();
  for (const LineCount& line : e.lines)
    lines.push_back({{"file", line.file},
                     {"line", line.line},
                     {"instructions", line.count.instructions},
                     {"vector_instructions", line.count.vector}});
  Json compiled = nullptr;
  if (e.assembly) {
    const AssemblyCount& c = *e.assembly;
    compiled = {{"instructions", c.instructions},
                {"vector_instructions", c.vector},
                {"fused_multiply_adds", c.fused},
                {"divisions", c.divisions},
                {"gathers", c.gathers},
                {"calls", c.calls},
                {"vector_spills", c.vector_spills},
                {"scalar_spills", c.scalar_spills},
                {"vector_registers", c.vector_registers},
                {"vector_bits", c.widest},
                {"object_bytes", e.code_bytes}};
  }
  Json json = {{"name", e.chosen.named.name},
               {"dtype", name(e.chosen.dtype)},
               {"parameters", parameters},
               {"accesses", accesses},
               {"work", work},
               {"instructions", total_instructions(e.work)},
               {"instructions_with_functions", e.prepared_instructions},
               {"arch", name(e.target)},
               {"compiled", compiled},
               {"lines", lines}};
  if (!e.assembly) json["not_compiled"] = e.not_compiled;
  return json;
}

plot::Table parameter_table(const tile::Kernel& kernel) {
  plot::Table table{"Parameters", {"name", "kind", "type", "promise"}, {}};
  for (const tile::Parameter& p : kernel.parameters)
    table.rows.push_back({p.name, p.is_buffer() ? std::string(name(p.kind)) : "scalar",
                          std::string(name(p.dtype)),
                          p.is_buffer()    ? fmt::format("aligned to {} bytes", p.divisor)
                          : p.divisor == 1 ? ""
                                           : fmt::format("a multiple of {}", p.divisor)});
  return table;
}

plot::Table access_table(const Explained& e) {
  const tile::Kernel& kernel = e.chosen.kernel;
  plot::Table table{"Memory", {"access", "buffer", "tile", "where", "neighbours"}, {}};
  for (const tile::MemoryAccess& a : e.accesses)
    table.rows.push_back({std::string(what(a.instruction->op)), buffer_of(kernel, a).name,
                          tile::to_string({buffer_of(kernel, a).dtype, a.shape}),
                          depth_text(a.loops), describe(kernel, a)});
  return table;
}

plot::Table work_table(const std::vector<Work>& work) {
  plot::Table table{"Work of one pass",
                    {"where", "instructions", "arithmetic", "functions", "reduced", "multiply-adds",
                     "loaded", "stored"},
                    {}};
  for (size_t depth = 0; depth < work.size(); ++depth) {
    const Work& w = work[depth];
    table.rows.push_back({depth_text(static_cast<int>(depth)), std::to_string(w.instructions),
                          std::to_string(w.arithmetic), std::to_string(w.functions),
                          std::to_string(w.reduced), std::to_string(w.products),
                          std::to_string(w.loaded), std::to_string(w.stored)});
  }
  return table;
}

// Those that most of the machine code comes from.
plot::Table line_table(const std::vector<LineCount>& lines) {
  constexpr size_t kMost = 12;
  plot::Table table{
      "Lines of C++", {"line", "instructions", "on vectors", "divisions", "gathers", "spills"}, {}};
  for (size_t i = 0; i < std::min(kMost, lines.size()); ++i) {
    const AssemblyCount& c = lines[i].count;
    table.rows.push_back({fmt::format("{}:{}", lines[i].file, lines[i].line),
                          std::to_string(c.instructions), std::to_string(c.vector),
                          std::to_string(c.divisions), std::to_string(c.gathers),
                          std::to_string(c.vector_spills)});
  }
  return table;
}

void print_compiled(const Explained& e, Output& out) {
  if (!e.assembly) {
    out.line(fmt::format("Not compiled for the CPU: {}", e.not_compiled));
    return;
  }
  const AssemblyCount& c = *e.assembly;
  out.line(fmt::format(
      "Compiled for {}: {} instructions, {} of them on vectors of up to {} bits; "
      "an object file of {}",
      name(e.target), c.instructions, c.vector, c.widest, plot::human_bytes(e.code_bytes)));
  out.line(fmt::format("  {} fused multiply-adds, {} divisions and roots, {} gathers, {} calls",
                       c.fused, c.divisions, c.gathers, c.calls));
  out.line(
      fmt::format("  {} vector registers; {} instructions move vectors to or from the stack, "
                  "{} other numbers",
                  c.vector_registers, c.vector_spills, c.scalar_spills));
}

int run(const Options& options, Session& session) {
  const ChosenKernel chosen = choose_kernel(options.kernel, &tile::NamedKernel::shape);
  const Explained e = explain(chosen, choose_arch(options.arch));
  if (session.common.json) {
    print_json(session.out, to_json(e));
    return 0;
  }
  Output& out = session.out;
  const plot::TerminalStyle style = session.out_terminal.table_style();
  out.line(fmt::format("{}: {}", title(chosen), chosen.named.summary));
  for (const plot::Table& table :
       {parameter_table(chosen.kernel), access_table(e), work_table(e.work)}) {
    out.line("");
    out.write(plot::to_text(table, style));
  }
  if (!e.lines.empty()) {
    out.line("");
    out.write(plot::to_text(line_table(e.lines), style));
  }
  out.line("");
  out.line(fmt::format("{} instructions of the tile language; {} with functions written out",
                       total_instructions(e.work), e.prepared_instructions));
  print_compiled(e, out);
  session.note(
      "arithmetic, functions: elements of floats, functions being exp and the like; in a loop: for "
      "each time that it turns");
  return 0;
}

}  // namespace

void add_kernel_explain(const Command& group) {
  const auto options = std::make_shared<Options>();
  const Command command = group.command(
      "explain", "What a kernel does, how it uses memory, and what it is compiled to.");
  options->kernel.declare(command);
  command.option("--arch", "NAME", options->arch, "avx2 or avx512 (default: this processor)");
  command.example("cairn kernel explain softmax --arch avx512");
  command.run([options](Session& session) { return run(*options, session); });
}

}  // namespace cairn::app
