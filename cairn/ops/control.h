// Control flow inside a graph: conditions and loops whose bodies are C++ callables, traced once.
//
// A body may use any tensor in sight; what it captures becomes an operand, so derivatives, vmap and
// donation see it.
//
//   Tensor y = cond(x > 0, [&] { return sqrt(x); }, [&] { return zeros_like(x); });
//   auto [state, losses] = scan({w}, {batches}, [&](auto carried, auto rows) -> Step { ... });
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "cairn/ops/operand.h"

namespace cairn {

// Results of the branch that the 0-d bool chooses; the other one is not computed. Branches give as
// many tensors of the same types.
std::vector<Tensor> cond(Operand condition, const std::function<std::vector<Tensor>()>& then,
                         const std::function<std::vector<Tensor>()>& otherwise);
// The same for branches that give one tensor.
template <class Then, class Otherwise>
  requires std::is_invocable_r_v<Tensor, Then> && std::is_invocable_r_v<Tensor, Otherwise>
Tensor cond(Operand condition, const Then& then, const Otherwise& otherwise) {
  return cond(
      std::move(condition), [&] { return std::vector<Tensor>{then()}; },
      [&] { return std::vector<Tensor>{otherwise()}; })[0];
}

// What a loop's body gives, and the loop: the carried values, and what is stacked (one row a step).
struct Step {
  std::vector<Tensor> carried;
  std::vector<Tensor> stacked = {};
};

struct LoopOptions {
  // The largest trip count: rows of scanned and stacked tensors. Needed when the count is a tensor
  // and nothing is scanned.
  std::optional<int64_t> max = std::nullopt;
  bool reverse = false;  // the last row first
};

// body(k, carried, rows) for k = 0 ... count - 1; rows[i] is scanned[i][k]. A count above `max`
// counts as `max`. Carried values keep their types; stacked rows from count on are 0.
Step loop(Operand count, std::vector<Tensor> carried, std::vector<Tensor> scanned,
          const std::function<Step(const Tensor& k, std::span<const Tensor> carried,
                                   std::span<const Tensor> rows)>& body,
          const LoopOptions& options = {});

// carried = body(k, carried) for k = 0 ... count - 1.
std::vector<Tensor> fori(
    Operand count, std::vector<Tensor> carried,
    const std::function<std::vector<Tensor>(const Tensor& k, std::span<const Tensor> carried)>&
        body,
    const LoopOptions& options = {});
// The same for one carried tensor.
Tensor fori(Operand count, const Tensor& carried,
            const std::function<Tensor(const Tensor& k, const Tensor& x)>& body,
            const LoopOptions& options = {});

// JAX's scan: one step for each row of the scanned tensors.
Step scan(
    std::vector<Tensor> carried, std::vector<Tensor> scanned,
    const std::function<Step(std::span<const Tensor> carried, std::span<const Tensor> rows)>& body,
    bool reverse = false, const std::source_location& where = std::source_location::current());

}  // namespace cairn
