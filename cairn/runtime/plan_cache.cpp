#include "cairn/runtime/plan_cache.h"

namespace cairn {
namespace {

// More recipes of one structure than these would be looked through in vain.
constexpr size_t kMaxRecipes = 4;

const std::vector<uint64_t> kNoSizes;

std::vector<uint64_t> option_words(bool eager, const std::vector<bool>& donated) {
  std::vector<uint64_t> words((donated.size() + 63) / 64 + 1);
  words[0] = donated.size() << 1 | static_cast<uint64_t>(eager);
  for (size_t i = 0; i < donated.size(); ++i)
    words[1 + i / 64] |= static_cast<uint64_t>(donated[i]) << (i % 64);
  return words;
}

}  // namespace

PlanCache::PlanPtr PlanCache::find_plan(const GraphCode& code, bool eager) {
  const uint64_t hash = code.hash().sizes;
  const std::lock_guard lock(mutex_);
  const PlanPtr* plan = plans_.find(hash, code.structure, code.sizes, option_words(eager, {}));
  return plan ? *plan : nullptr;
}

void PlanCache::insert_plan(const GraphCode& code, bool eager, PlanPtr plan) {
  const uint64_t hash = code.hash().sizes;
  const std::lock_guard lock(mutex_);
  plans_.insert({hash, code.structure, code.sizes, option_words(eager, {})}, std::move(plan));
}

std::vector<PlanCache::RecipePtr> PlanCache::find_recipes(const GraphCode& code, bool eager,
                                                          const std::vector<bool>& donated) {
  const uint64_t hash = code.hash().structure;
  const std::lock_guard lock(mutex_);
  const auto* recipes = recipes_.find(hash, code.structure, kNoSizes, option_words(eager, donated));
  return recipes ? *recipes : std::vector<RecipePtr>();
}

void PlanCache::insert_recipe(const GraphCode& code, bool eager, const std::vector<bool>& donated,
                              RecipePtr recipe) {
  const uint64_t hash = code.hash().structure;
  std::vector<uint64_t> options = option_words(eager, donated);
  const std::lock_guard lock(mutex_);
  if (auto* known = recipes_.find(hash, code.structure, kNoSizes, options)) {
    known->insert(known->begin(), std::move(recipe));
    if (known->size() > kMaxRecipes) known->pop_back();
    return;
  }
  recipes_.insert({hash, code.structure, kNoSizes, std::move(options)}, {std::move(recipe)});
}

size_t PlanCache::plans() const {
  const std::lock_guard lock(mutex_);
  return plans_.size();
}

}  // namespace cairn
