// cairn kernel: the named kernels, their text at each stage, what becomes of them, and running one.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "apps/cairn/commands.h"
#include "apps/cairn/json.h"
#include "apps/cairn/kernel_commands.h"
#include "cairn/base/environment.h"
#include "cairn/base/names.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/plot/terminal.h"
#include "cairn/tile/passes.h"
#include "cairn/tile/print.h"

namespace cairn::app {
namespace {

std::vector<std::string> dtype_names(const tile::NamedKernel& kernel) {
  std::vector<std::string> names;
  for (DType dtype : kernel.dtypes) names.emplace_back(name(dtype));
  return names;
}

Shape parse_shape(const std::string& text) {
  Shape shape;
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    int64_t size = 0;
    const auto [stop, error] = std::from_chars(at, end, size);
    if (error != std::errc() || size < 1 || (stop != end && *stop != 'x') ||
        shape.rank() == kMaxRank)
      throw UsageError(fmt::format("--shape takes sizes like 4096x4096, not '{}'", text));
    shape.push_back(size);
    if (stop == end) return shape;
    at = stop + 1;
  }
}

int list(Session& session) {
  if (session.common.json) {
    for (const tile::NamedKernel& kernel : tile::named_kernels())
      print_json(session.out, {{"name", kernel.name},
                               {"summary", kernel.summary},
                               {"dtypes", dtype_names(kernel)},
                               {"axes", kernel.axes},
                               {"shape", shape_text(kernel.shape)}});
    return 0;
  }
  plot::Table table{"", {"kernel", "what it computes", "types", "--shape"}, {}};
  for (const tile::NamedKernel& kernel : tile::named_kernels())
    table.rows.push_back({std::string(kernel.name), std::string(kernel.summary),
                          fmt::format("{}", fmt::join(dtype_names(kernel), ",")),
                          kernel.axes.empty() ? "any" : std::string(kernel.axes)});
  session.out.write(plot::to_text(table, session.out_terminal.table_style()));
  return 0;
}

// --- show ----------------------------------------------------------------------------------------

struct ShowOptions {
  KernelOptions kernel;
  std::string stage = "tile";
  std::optional<std::string> arch;
  std::optional<std::string> pass;
};

struct Stage {
  std::string name;
  std::vector<std::string> archs;  // processors that it is for; the first is taken for a GPU
};
const std::vector<std::string> kCpus = {"avx2", "avx512"};
const std::vector<std::string> kArchs = {"avx2", "avx512", "sm_80", "sm_90", "gfx942"};
const std::vector<Stage> kStages = {{"tile", {}},
                                    {"llvm", kCpus},
                                    {"asm", kCpus},
                                    {"ptx", {"sm_80", "sm_90"}},
                                    {"amdgcn", {"gfx942"}}};

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

// Stages and processors go together: a mistake is told before anything is compiled.
const Stage& check_stage(const ShowOptions& options) {
  std::vector<std::string> known;
  for (const Stage& stage : kStages) {
    known.push_back(stage.name);
    if (stage.name != options.stage) continue;
    // The tile language is the same for every processor.
    const std::vector<std::string>& archs = stage.archs.empty() ? kArchs : stage.archs;
    if (options.pass && stage.name != "tile")
      throw UsageError(
          fmt::format("--pass shows a kernel of --stage tile, not of --stage {}", stage.name));
    if (!options.arch || contains(archs, *options.arch)) return stage;
    throw UsageError(fmt::format("--stage {} is not for --arch '{}'; {}", stage.name, *options.arch,
                                 suggest(*options.arch, archs)));
  }
  throw UsageError(
      fmt::format("--stage '{}' is not known; {}", options.stage, suggest(options.stage, known)));
}

void check_pass(const std::string& asked) {
  std::vector<std::string> known;
  for (const tile::Pass& pass : tile::passes()) known.emplace_back(pass.name);
  if (!contains(known, asked))
    throw UsageError(fmt::format("--pass '{}' is not known; {}", asked, suggest(asked, known)));
}

GpuTarget gpu_target(const std::string& arch) {
  return arch == "sm_80"   ? GpuTarget::sm_80
         : arch == "sm_90" ? GpuTarget::sm_90
                           : GpuTarget::gfx942;
}

// What the stage is made for; empty for the tile language.
std::string arch_of(const ShowOptions& options, const Stage& stage) {
  if (stage.archs.empty()) return {};
  if (stage.archs == kCpus) return std::string(name(choose_arch(options.arch)));
  return options.arch.value_or(stage.archs[0]);
}

// Of a GPU's code with what its launch needs.
GpuKernel shown(const ShowOptions& options, const Stage& stage, const ChosenKernel& chosen) {
  if (stage.archs.empty())
    return {to_text(options.pass ? tile::run_passes(chosen.kernel, *options.pass) : chosen.kernel)};
  const tile::Kernel kernel = tile::run_passes(chosen.kernel);
  if (stage.archs != kCpus) return compile_gpu_kernel(kernel, gpu_target(arch_of(options, stage)));
  return {kernel_text(kernel, choose_arch(options.arch),
                      stage.name == "llvm" ? KernelStage::llvm : KernelStage::assembly)};
}

int show(const ShowOptions& options, Session& session) {
  const Stage& stage = check_stage(options);
  if (options.pass) check_pass(*options.pass);
  const ChosenKernel chosen = choose_kernel(options.kernel, &tile::NamedKernel::shape);
  const GpuKernel code = shown(options, stage, chosen);
  if (!session.common.json) {
    session.out.write(code.text);
    return 0;
  }
  Json json = {{"name", chosen.named.name}, {"dtype", name(chosen.dtype)}, {"stage", stage.name}};
  if (!stage.archs.empty()) json["arch"] = arch_of(options, stage);
  if (code.threads > 0) {
    json["threads"] = code.threads;
    json["shared_bytes"] = code.shared_bytes;
  }
  json["text"] = code.text;
  print_json(session.out, json);
  return 0;
}

}  // namespace

void KernelOptions::declare(const Command& command) {
  command.positional("NAME", name, "a kernel of `cairn kernel list`");
  command.option("--dtype", "TYPE", dtype, "of the elements (default: f32)");
  command.option("--shape", "SHAPE", shape,
                 "sizes, as 4096x4096: rows x columns, m x k x n, heads x tokens x width");
}

ChosenKernel choose_kernel(const KernelOptions& options, Shape tile::NamedKernel::* shape) {
  const tile::NamedKernel& named = tile::named_kernel(options.name);
  DType dtype = named.dtypes[0];
  if (options.dtype) {
    const auto parsed = parse_dtype(*options.dtype);
    if (!parsed)
      throw UsageError(fmt::format("--dtype '{}' is not known; {}", *options.dtype,
                                   suggest(*options.dtype, dtype_names(named))));
    dtype = *parsed;
  }
  const Shape sizes = options.shape ? parse_shape(*options.shape) : named.*shape;
  tile::check(named, dtype, sizes);
  return {named, dtype, sizes, named.make(dtype, sizes)};
}

std::string shape_text(const Shape& shape) {
  return fmt::format("{}", fmt::join(shape.begin(), shape.end(), "x"));
}

std::string title(const ChosenKernel& chosen) {
  return fmt::format("{} {} {}", chosen.named.name, name(chosen.dtype), shape_text(chosen.shape));
}

CpuTarget choose_arch(const std::optional<std::string>& arch) {
  if (!arch) return std::max(CpuTarget::avx2, choose_cpu_target(read_environment().target));
  if (!contains(kCpus, *arch))
    throw UsageError(fmt::format("--arch '{}' is not known; {}", *arch, suggest(*arch, kCpus)));
  return *arch == "avx2" ? CpuTarget::avx2 : CpuTarget::avx512;
}

void add_kernel(const Command& program) {
  const Command group = program.group(
      "kernel", "Look at kernels of the tile language, from text to machine code.", kGraphs);
  const Command listing = group.command("list", "List the named kernels.");
  listing.example("cairn kernel list");
  listing.run(list);

  const auto options = std::make_shared<ShowOptions>();
  const Command showing = group.command("show", "A kernel's text, or what it is compiled to.");
  options->kernel.declare(showing);
  showing.option("--stage", "STAGE", options->stage,
                 "tile, llvm, asm, ptx or amdgcn (default: tile)");
  showing.option(
      "--arch", "NAME", options->arch,
      "avx2 or avx512 (default: this processor); sm_80 or sm_90 of ptx, gfx942 of amdgcn");
  showing.option("--pass", "NAME", options->pass,
                 "the tile language as it is after this pass: drop_unused or expand_math");
  showing.example("cairn kernel show softmax --dtype bf16");
  showing.run([options](Session& session) { return show(*options, session); });

  add_kernel_explain(group);
  add_kernel_run(group);
  add_kernel_tune(group);
  group.example("cairn kernel run softmax --device interpreter");
}

}  // namespace cairn::app
