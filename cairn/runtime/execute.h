// Runs a plan on memory that the caller provides.
#pragma once

#include <functional>
#include <span>

#include "cairn/runtime/plan.h"

namespace cairn {

struct ExecutionContext {
  ThreadPool& pool;
  CpuTarget target;
  const Mesh& mesh;
  ErrorSlot& error;
  // Runs loops launch by launch, also those that are one function: to look at each result.
  bool each_launch = false;
  // Called after each launch, for profiles and checks; may be empty. `seconds` is the launch's
  // time.
  std::function<void(const Launch&, std::span<void* const> outputs, double seconds)> observer =
      nullptr;
};

// arguments, results: one pointer per argument and result of the plan (a donated result's pointer
// is its donor's). arena: plan.arena_bytes, aligned to 64; may be null when that is 0.
void execute(const Plan& plan, std::span<const void* const> arguments,
             std::span<void* const> results, char* arena, ExecutionContext& context);

// Throws Error for what the slot holds: the node, its source line and the value.
void rethrow(const ErrorSlot& error);

}  // namespace cairn
