// The reference backend: plain loops over every primitive. It defines what every other backend must
// compute.
//
// Sums of f32 and smaller are taken in f64 in increasing index and rounded once, with the same bits
// on any x86-64 and any number of threads.
#pragma once

#include <memory>

#include "cairn/runtime/kernel.h"

namespace cairn {

std::unique_ptr<Backend> make_ref_backend();

}  // namespace cairn
