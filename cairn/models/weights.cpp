#include "cairn/models/weights.h"

#include <algorithm>

#include "cairn/graph/graph.h"

namespace cairn {

WeightBytes weight_bytes(Transformer& model) {
  WeightBytes sum;
  const std::vector<Field> all = fields(model);
  const bool has_head =
      std::ranges::any_of(all, [](const Field& f) { return f.path == "head.weight"; });
  for (const Field& field : all) {
    uint64_t bytes = 0;
    bool in_blocks = false, in_bf16 = false;
    for (const Node* node : topological_order(std::span(field.tensor, 1))) {
      if (node->op() == Op::leaf) bytes += node->output().bytes();
      in_bf16 |= node->op() == Op::leaf && node->output().dtype == DType::bf16;
      in_blocks |= node->op() == Op::dequantize;
    }
    sum.all += bytes;
    const bool is_table =
        field.path == "positions.weight" || (has_head && field.path == "tokens.weight");
    if (field.tensor->rank() != 2 || is_table) continue;
    sum.products += bytes;
    if (in_blocks) sum.in_blocks += bytes;
    if (in_bf16) sum.in_bf16 += bytes;
    sum.product_elements += field.tensor->elements();
  }
  return sum;
}

}  // namespace cairn
