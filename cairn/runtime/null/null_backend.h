// The null device: plans are made and counted, nothing is allocated or run.
#pragma once

#include <memory>

#include "cairn/runtime/kernel.h"

namespace cairn {

std::unique_ptr<Backend> make_null_backend();

}  // namespace cairn
