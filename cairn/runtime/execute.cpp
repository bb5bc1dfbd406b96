#include "cairn/runtime/execute.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "cairn/base/clock.h"
#include "cairn/graph/infer.h"

namespace cairn {
namespace {

// Pointers of one launch or plan, without an allocation for the usual few.
class Pointers {
 public:
  explicit Pointers(size_t count) : count_(count), many_(count > kFew ? count : 0) {}
  void*& operator[](size_t i) { return data()[i]; }
  std::span<void* const> span() { return {data(), count_}; }
  std::span<const void* const> const_span() { return {data(), count_}; }

 private:
  static constexpr size_t kFew = 64;
  void** data() { return many_.empty() ? few_ : many_.data(); }
  size_t count_;
  void* few_[kFew];
  std::vector<void*> many_;
};

// A value without elements may have no memory, of which memcpy must not be told.
void copy_bytes(void* to, const void* from, size_t bytes) {
  if (bytes) std::memcpy(to, from, bytes);
}

void run_cond(const Launch& launch, Pointers& in, Pointers& out, char* workspace,
              ExecutionContext& context) {
  const bool condition = *static_cast<const bool*>(in[0]);
  execute(*launch.regions[condition ? 0 : 1], in.const_span().subspan(1), out.span(), workspace,
          context);
}

// Carried values alternate between the results and the workspace, such that the last step writes
// the results; one that gave its memory to its result moves to the workspace first when the first
// step writes that. Scanned operands and stacked results are read and written in place, row by row.
void run_loop(const Launch& launch, Pointers& in, Pointers& out, char* workspace,
              ExecutionContext& context) {
  const Node& node = *launch.node();
  const Attrs& attrs = node.attrs();
  const auto carried = static_cast<size_t>(attrs.integer(Attr::carried));
  const auto scanned = static_cast<size_t>(attrs.integer(Attr::scanned));
  const int64_t max = attrs.integer(Attr::max);
  const bool reverse = attrs.flag(Attr::reverse);
  const int64_t steps = std::clamp<int64_t>(*static_cast<const int32_t*>(in[0]), 0, max);
  const size_t operands = node.inputs().size();
  const size_t results = static_cast<size_t>(node.output_count());
  const Plan& body = *launch.regions[0];

  int32_t* step_number = reinterpret_cast<int32_t*>(workspace);
  std::vector<void*> spare(carried);
  char* at = workspace + kBufferAlignment;
  for (size_t i = 0; i < carried; ++i) {
    spare[i] = at;
    at += round_up_to_alignment(node.output(static_cast<int>(i)).bytes());
  }
  std::vector<size_t> row_bytes(results);
  for (size_t j = carried; j < results; ++j)
    row_bytes[j] = max ? node.output(static_cast<int>(j)).bytes() / static_cast<size_t>(max) : 0;

  Pointers arguments(operands);
  Pointers targets(results);
  arguments[0] = step_number;
  for (size_t i = 0; i < carried; ++i) {
    arguments[1 + i] = in[1 + i];
    if (in[1 + i] != out[i] || steps % 2 == 0) continue;
    copy_bytes(spare[i], in[1 + i], node.output(static_cast<int>(i)).bytes());
    arguments[1 + i] = spare[i];
  }
  for (size_t i = 1 + carried + scanned; i < operands; ++i) arguments[i] = in[i];
  for (int64_t s = 0; s < steps; ++s) {
    const int64_t k = reverse ? steps - 1 - s : s;
    *step_number = static_cast<int32_t>(k);
    for (size_t i = 1 + carried; i < 1 + carried + scanned; ++i) {
      const size_t bytes =
          node.input(static_cast<int>(i)).type().bytes() / static_cast<size_t>(max);
      arguments[i] = static_cast<char*>(in[i]) + static_cast<size_t>(k) * bytes;
    }
    const bool to_results = (steps - 1 - s) % 2 == 0;
    for (size_t i = 0; i < carried; ++i) targets[i] = to_results ? out[i] : spare[i];
    for (size_t j = carried; j < results; ++j)
      targets[j] = static_cast<char*>(out[j]) + static_cast<size_t>(k) * row_bytes[j];
    execute(body, arguments.const_span(), targets.span(), at, context);
    if (context.error.node()) return;
    for (size_t i = 0; i < carried; ++i) arguments[1 + i] = targets[i];
  }
  if (steps == 0)
    for (size_t i = 0; i < carried; ++i)
      if (out[i] != in[1 + i])
        copy_bytes(out[i], in[1 + i], node.output(static_cast<int>(i)).bytes());
  for (size_t j = carried; j < results; ++j)
    std::memset(static_cast<char*>(out[j]) + static_cast<size_t>(steps) * row_bytes[j], 0,
                static_cast<size_t>(max - steps) * row_bytes[j]);
}

// Launches from `first` on that run at once.
void run_together(std::span<const Launch> launches, Pointers& memory, ExecutionContext& context) {
  size_t count = 0;
  for (const Launch& launch : launches) count += launch.inputs.size() + launch.outputs.size();
  Pointers pointers(count);
  std::vector<KernelArgs> args;
  args.reserve(launches.size());
  size_t at = 0;
  const auto place = [&](const std::vector<int>& buffers) {
    for (const int b : buffers) pointers[at++] = memory[static_cast<size_t>(b)];
    return pointers.span().subspan(at - buffers.size(), buffers.size());
  };
  for (const Launch& launch : launches) {
    const std::span<void* const> in = place(launch.inputs);
    const std::span<void* const> out = place(launch.outputs);
    args.push_back({*launch.node(),
                    launch.code.data.get(),
                    {const_cast<const void* const*>(in.data()), in.size()},
                    out,
                    context.pool,
                    context.target,
                    context.mesh,
                    context.error,
                    nullptr});
  }
  launches[0].code.together(args);
}

}  // namespace

void execute(const Plan& plan, std::span<const void* const> arguments,
             std::span<void* const> results, char* arena, ExecutionContext& context) {
  Pointers memory(plan.buffers.size());
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const PlanBuffer& buffer = plan.buffers[b];
    switch (buffer.kind) {
      case PlanBuffer::Kind::argument:
        // A donated argument's memory is written through its result's buffer only.
        memory[b] = const_cast<void*>(arguments[static_cast<size_t>(buffer.index)]);
        break;
      case PlanBuffer::Kind::result: memory[b] = results[static_cast<size_t>(buffer.index)]; break;
      case PlanBuffer::Kind::arena: memory[b] = arena + buffer.index; break;
    }
  }
  const bool one_by_one = context.observer || context.pool.threads() == 1;
  for (size_t next = 0; next < plan.launches.size();) {
    const Launch& launch = plan.launches[next];
    if (launch.together > 1 && !one_by_one) {
      const auto together = static_cast<size_t>(launch.together);
      run_together(std::span(plan.launches).subspan(next, together), memory, context);
      next += together;
      continue;
    }
    ++next;
    Pointers in(launch.inputs.size());
    Pointers out(launch.outputs.size());
    for (size_t i = 0; i < launch.inputs.size(); ++i)
      in[i] = memory[static_cast<size_t>(launch.inputs[i])];
    for (size_t i = 0; i < launch.outputs.size(); ++i)
      out[i] = memory[static_cast<size_t>(launch.outputs[i])];
    char* workspace = launch.workspace < 0
                          ? nullptr
                          : static_cast<char*>(memory[static_cast<size_t>(launch.workspace)]);
    const double start = context.observer ? monotonic_seconds() : 0;
    const auto call = [&] {
      launch.code.run({*launch.node(), launch.code.data.get(), in.const_span(), out.span(),
                       context.pool, context.target, context.mesh, context.error, workspace});
    };
    switch (launch.kind) {
      case Launch::Kind::kernel: call(); break;
      case Launch::Kind::loop:
        if (launch.code.run && !context.each_launch)
          call();
        else
          run_loop(launch, in, out, workspace, context);
        break;
      case Launch::Kind::cond: run_cond(launch, in, out, workspace, context); break;
      case Launch::Kind::copy:
        copy_bytes(out[0], in[0], plan.buffers[static_cast<size_t>(launch.outputs[0])].bytes);
        break;
    }
    if (context.observer) context.observer(launch, out.span(), monotonic_seconds() - start);
    if (context.error.node()) return;  // later work would read a wrong value
  }
}

void rethrow(const ErrorSlot& error) {
  const Node* node = error.node();
  if (!node) return;
  std::string text = fmt::format("[{}] index {} is out of range for axis {} of {}",
                                 name(node->op()), error.value(), node->attrs().integer(Attr::axis),
                                 to_string(node->input(0).type()));
  if (!node->input(0).name().empty()) text += fmt::format(" '{}'", node->input(0).name());
  if (node->location().line()) text += fmt::format(" (at {})", locate(node->location()));
  if (node->scope()) text += fmt::format(" in '{}'", *node->scope());
  throw Error(text);
}

}  // namespace cairn
