#include "cairn/models/weights.h"

#include "cairn/graph/graph.h"
#include "cairn/models/float_weights.h"

namespace cairn {

bool is_table(std::string_view field, const TransformerConfig& config) {
  return field == "positions.weight" || (field == "tokens.weight" && !config.tied);
}

DType kept_type(std::string_view field, DType dtype, const TransformerConfig& config,
                DType precision) {
  // Of a table that is also the head rows are taken as the file has them.
  const bool is_product_alone = !is_table(field, config) && field != "tokens.weight";
  if (precision != DType::f32 && is_product_alone) return precision;
  return is_narrow_float(dtype) ? dtype : DType::f32;
}

WeightBytes weight_bytes(Transformer& model) {
  WeightBytes sum;
  for (const Field& field : fields(model)) {
    uint64_t bytes = 0;
    bool in_blocks = false, in_bf16 = false;
    for (const Node* node : topological_order(std::span(field.tensor, 1))) {
      if (node->op() == Op::leaf) bytes += node->output().bytes();
      in_bf16 |= node->op() == Op::leaf && node->output().dtype == DType::bf16;
      in_blocks |= node->op() == Op::dequantize;
    }
    sum.all += bytes;
    if (field.tensor->rank() != 2 || is_table(field.path, model.config())) continue;
    sum.products += bytes;
    if (in_blocks) sum.in_blocks += bytes;
    if (in_bf16) sum.in_bf16 += bytes;
    sum.product_elements += field.tensor->elements();
  }
  return sum;
}

}  // namespace cairn
