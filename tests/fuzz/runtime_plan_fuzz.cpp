// The parser of plans. What it accepts keeps the rules, prints, is read back as the same plan, and
// stays inside its memory when it runs.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "cairn/graph/cost.h"
#include "cairn/graph/numbering.h"
#include "cairn/runtime/execute.h"
#include "cairn/runtime/parse_plan.h"
#include "cairn/runtime/ref/ref_backend.h"
#include "cairn/runtime/verify_plan.h"

namespace {

using namespace cairn;

// Memory of its own for each argument, result and the arena, so that a sanitizer sees a step
// outside any of them.
class Memory {
 public:
  void* allocate(size_t bytes) {
    void* data = nullptr;
    if (posix_memalign(&data, kBufferAlignment, bytes ? bytes : 1)) std::abort();
    std::fill_n(static_cast<char*>(data), bytes, '\1');
    blocks_.push_back(data);
    return data;
  }
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() {
    for (void* block : blocks_) std::free(block);
  }

 private:
  std::vector<void*> blocks_;
};

// Whether it runs in no time: a loop may do nothing, a billion times.
bool is_short(const Graph& graph, double times) {
  for (const Node* node : topological_order(graph.outputs)) {
    const double steps =
        node->op() == Op::loop ? static_cast<double>(node->attrs().integer(Attr::max)) : 1;
    if (times * steps > 1000) return false;
    for (const Graph* region : regions_of(*node))
      if (!is_short(*region, times * steps)) return false;
  }
  return true;
}

void run(const Plan& plan) {
  Memory memory;
  std::vector<void*> arguments;
  for (const Tensor& input : plan.graph.inputs)
    arguments.push_back(memory.allocate(input.type().bytes()));
  std::vector<void*> results;
  for (size_t j = 0; j < plan.results.size(); ++j) {
    const PlanBuffer& place = plan.buffers[static_cast<size_t>(plan.results[j])];
    const bool is_first =
        place.kind == PlanBuffer::Kind::result && place.index == static_cast<int64_t>(j);
    results.push_back(!is_first            ? nullptr
                      : plan.donor[j] >= 0 ? arguments[static_cast<size_t>(plan.donor[j])]
                                           : memory.allocate(place.bytes));
  }
  static ThreadPool pool(1);
  const Mesh mesh;
  ErrorSlot error;
  ExecutionContext context{pool, CpuTarget::baseline, mesh, error};
  const std::vector<const void*> inputs(arguments.begin(), arguments.end());
  auto* arena = static_cast<char*>(memory.allocate(plan.arena_bytes));
  try {
    execute(plan, inputs, results, arena, context);
  } catch (const InternalError&) {
    throw;
  } catch (const Error&) {  // a collective without its mesh
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto backend = make_ref_backend();
  const auto plan = parse_plan({reinterpret_cast<const char*>(data), size}, *backend);
  if (!plan) return 0;
  verify(*plan.value(), *backend);
  const std::string text = to_text(*plan.value());
  const auto again = parse_plan(text, *backend);
  if (!again || to_text(*again.value()) != text) std::abort();
  if (!same_plan(*plan.value(), *again.value())) std::abort();
  const Cost cost = cost_of(plan.value()->graph);
  if (plan.value()->peak_bytes() < (1 << 20) && is_short(plan.value()->graph, 1) &&
      cost.flops + cost.transcendentals + cost.bytes_read + cost.bytes_written < 1e6)
    run(*plan.value());
  return 0;
}
