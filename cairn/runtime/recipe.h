// Recipe: a schedule that fits every graph of one structure (graph/hash.h), and how to make a plan
// of it for new sizes. What a batch of another size costs is then types and places of memory, and
// neither simplification nor scheduling.
//
// A recipe is made of a first graph. Its plan says which operations there are and in what order;
// each knows the operation of the graph that it came from, whose attributes hold its sizes in
// another graph of the structure. The same simplifications are right there as well, because what
// they ask of sizes belongs to the structure (are there ones, does a slice take the whole), but for
// one thing: what they found to be the same value must be the same value again. Two constants merge
// when their shapes agree, and those may agree by coincidence. The recipe keeps a list of such
// values and refuses sizes for which they differ; so it does when an argument that is given away
// fits another result. Who asks then makes a second recipe.
//
// Numbers that stand in the graph may vary too, with sizes (a mean divides by how many there are)
// or by themselves (a learning rate that is written as a number). The first recipe takes all for
// constants and computes with them. Where one has another value later, it does not fit; the next
// recipe then knows which vary and leaves those alone.
//
// Not every plan can be followed back so: what a backend makes of a convolution (Backend::prepare)
// has sizes that no attribute of the graph holds. The recipe is then one of the rewritten graph:
// for new sizes the graph is rewritten again, and the schedule fits when that has the structure
// that it had.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "cairn/graph/numbering.h"
#include "cairn/runtime/plan.h"

namespace cairn {

class Recipe {
 public:
  // `numbering` is of the outputs; its leaves become the arguments of the plans, in that order.
  // `previous`, or null: a recipe of the structure that did not fit. Throws Error when the backend
  // cannot run an operation.
  Recipe(std::span<const Tensor> outputs, const Numbering& numbering,
         const std::vector<bool>& donated, bool eager, const Backend& backend,
         const Recipe* previous);

  // The plan for outputs of the structure that the recipe was made of; null when it does not fit
  // their sizes. Holds no leaf of theirs; its graph has no name.
  std::shared_ptr<Plan> plan(std::span<const Tensor> outputs, const Numbering& numbering) const;
  // False when no sizes fit: a region captures values, or there are too many nodes.
  bool is_complete() const { return of_rewritten_ ? of_rewritten_->is_complete_ : is_complete_; }

 private:
  struct OfRewritten {};
  // Of a graph that is simplified and prepared.
  Recipe(OfRewritten, std::span<const Tensor> outputs, const Numbering& numbering,
         const std::vector<bool>& donated, bool eager, const Backend& backend);
  // What is made of a graph before it is scheduled.
  Graph rewritten(std::span<const Tensor> outputs, const Numbering& numbering) const;

  // A leaf or operation of a graph of the structure: its number (Numbering::of) in the graph
  // (scope 0) or in a region.
  struct Source {
    uint32_t scope = 0;
    uint32_t number = 0;
    friend auto operator<=>(const Source&, const Source&) = default;
  };
  // A region: an attribute of an operation.
  struct Scope {
    Source owner;
    Attr key = Attr::body;
  };
  // Where a size attribute comes from, when not all are those of the source.
  struct AttrRule {
    Attr key;
    bool is_result_shape;  // else the attribute of the source
  };
  struct NodeRule {
    const Node* node = nullptr;  // of the first plan
    Source source;
    bool copies = false;  // the attributes are the source's
    std::vector<AttrRule> attributes = {};
    uint32_t operands = 0;  // where they begin in Template::operands
    int region = -1;        // the first of its regions' templates
  };
  // A launch's group; without nodes: of a copy. Numbers as in Template::operands.
  struct LaunchRule {
    std::vector<uint32_t> nodes;
    std::vector<std::pair<uint32_t, int>> outputs;
  };
  // A plan, or the plan of a region, to be made again.
  struct Template {
    std::shared_ptr<const Plan> plan;
    std::vector<Source> inputs;
    std::vector<NodeRule> nodes;  // operands first
    // (number, result): inputs count from 0, then nodes.
    std::vector<std::pair<uint32_t, int>> operands;
    std::vector<std::pair<uint32_t, int>> outputs;
    std::vector<LaunchRule> launches;
    std::vector<Template> regions;
  };
  // Values that are one: equal types, and equal attributes where it needs them to be the same.
  struct Guard {
    Source a, b;
    int output_a = 0, output_b = 0;
    bool attributes = false;
  };
  // A number in the graph, an operation `full`, with the value that the plan was simplified for.
  struct Constant {
    Source source;
    Number value;
    bool varies;
  };
  const Constant* find_constant(Source source) const;
  class Maker;
  class Builder;

  const Backend& backend_;
  std::vector<bool> donated_;
  bool eager_;
  // False when something in the plan has a size that follows from none of the graph's.
  bool is_complete_ = true;
  // Then: the recipe of the rewritten graph, and the structure that it is for.
  std::unique_ptr<const Recipe> of_rewritten_;
  std::vector<uint64_t> structure_;
  std::vector<Scope> scopes_;
  std::vector<Guard> guards_;
  std::vector<Constant> constants_;  // by source
  std::vector<std::pair<size_t, size_t>> donations_;
  Template template_;
};

}  // namespace cairn
