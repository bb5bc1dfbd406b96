// Losses of class indices. cairn's have no weights of the classes: those multiply what
// Reduction::none gives.
#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

using Loss = Tensor (*)(Operand, const Tensor&, const CrossEntropyOptions&);

Tensor loss_of(const OnnxCall& c, Loss loss) {
  const std::string kind = c.text("reduction", "mean");
  const Reduction reduction = kind == "none"  ? Reduction::none
                              : kind == "sum" ? Reduction::sum
                                              : Reduction::mean;
  CrossEntropyOptions options{.reduction = reduction, .axis = 1};
  if (c.has_attribute("ignore_index")) options.ignore_index = c.integer("ignore_index", 0);
  if (!c.has(2)) return loss(c[0], c[1], options);
  options.reduction = Reduction::none;
  const Tensor counts = not_equal(c[1], options.ignore_index);
  const Tensor weight = where(counts, take(c[2], where(counts, c[1], 0)), 0);
  const Tensor each = loss(c[0], c[1], options) * weight;
  if (reduction == Reduction::none) return each;
  return reduction == Reduction::sum ? sum(each) : sum(each) / sum(weight);
}

}  // namespace

void add_losses(OnnxTable& table) {
  table["NegativeLogLikelihoodLoss"] = one([](const OnnxCall& c) { return loss_of(c, nll_loss); });
  table["SoftmaxCrossEntropyLoss"] = [](const OnnxCall& c) -> std::vector<Tensor> {
    return {loss_of(c, cross_entropy), log_softmax(c[0], 1)};
  };
}

}  // namespace cairn::test
