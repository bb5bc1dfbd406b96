#include "cairn/models/importance.h"

#include <algorithm>
#include <unordered_set>

#include "cairn/models/gguf_families.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"

namespace cairn {
namespace {

// The name of the weights that a product's right side is made of; empty where it is none: it comes
// from a leaf by steps of one operand.
std::string weight_name(const Tensor& side) {
  const Tensor* at = &side;
  while (!at->is_leaf()) {
    const Node& node = at->node();
    const bool passes = node.op() == Op::transpose || node.op() == Op::cast ||
                        node.op() == Op::reshape || node.op() == Op::dequantize;
    if (!passes) return "";
    at = &node.input(0);
  }
  return at->name();
}

struct Product {
  std::string weight;  // the field's path
  Tensor squares;      // sum over the tokens, by column
};

// The products with weights below `output`, in the order of building, each weight once.
std::vector<Product> products_below(const Tensor& output) {
  std::vector<const Node*> nodes, stack = {&output.node()};
  std::unordered_set<const Node*> seen = {stack[0]};
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    nodes.push_back(node);
    for (const Tensor& input : node->inputs())
      if (seen.insert(&input.node()).second) stack.push_back(&input.node());
  }
  std::ranges::sort(nodes, {}, &Node::id);
  std::vector<Product> products;
  std::unordered_set<std::string> weights;
  for (const Node* node : nodes) {
    if (node->op() != Op::matmul) continue;
    const std::string name = weight_name(node->input(1));
    if (name.empty() || !weights.insert(name).second) continue;
    const Tensor x = cast(reshape(node->input(0), {-1, node->input(0).size(-1)}), DType::f32);
    products.push_back({name, sum(x * x, {0})});
  }
  return products;
}

}  // namespace

io::ImportanceMatrix measure_importance(Runtime& runtime, Transformer& model,
                                        std::span<const int32_t> ids, int64_t context,
                                        const std::function<void(int64_t)>& progress) {
  const auto count = std::ssize(ids);
  context = std::min(context, std::min(model.config().context, count));
  if (context < 1) throw_error("[importance] the text has no tokens");
  std::vector<std::string> weights;
  Function squares = compile([&](std::span<const Tensor> args) {
    Context ctx;
    const Tensor hidden = model.hidden(ctx, reshape(args[0], {1, -1}));
    std::vector<Tensor> sums;
    weights.clear();
    for (Product& product : products_below(model.logits(ctx, hidden))) {
      weights.push_back(std::move(product.weight));
      sums.push_back(std::move(product.squares));
    }
    return sums;
  });
  std::vector<std::vector<double>> totals;
  int64_t tokens = 0;
  for (; tokens + context <= count; tokens += context) {
    const HostArray window = HostArray::from<int32_t>(
        ids.subspan(static_cast<size_t>(tokens), static_cast<size_t>(context)), {context});
    const std::vector<Tensor> sums = squares(runtime, {Tensor(window)});
    totals.resize(sums.size());
    for (size_t i = 0; i < sums.size(); ++i) {
      const HostArray array = sums[i].host();
      const auto values = array.span<float>();
      totals[i].resize(values.size());
      for (size_t c = 0; c < values.size(); ++c) totals[i][c] += static_cast<double>(values[c]);
    }
    if (progress) progress(tokens + context);
  }
  const NameMap names = gguf_names(model.config());
  io::ImportanceMatrix matrix;
  for (size_t i = 0; i < totals.size(); ++i) {
    std::vector<float> means(totals[i].size());
    std::ranges::transform(totals[i], means.begin(), [&](double total) {
      return static_cast<float>(total / static_cast<double>(tokens));
    });
    // Weights that share a tensor share what they are multiplied with.
    matrix.emplace(names(weights[i]).name, std::move(means));
  }
  return matrix;
}

}  // namespace cairn
