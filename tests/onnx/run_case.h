// One case: run, and held against its results.
#pragma once

#include <string>

#include "tests/onnx/cases.h"
#include "tests/onnx/operators.h"

namespace cairn::test {

struct OnnxOutcome {
  enum Kind { passed, skipped, failed } kind = passed;
  std::string reason = {};  // why it was skipped, or how it failed
};

OnnxOutcome run_onnx_case(const OnnxCase& c, Runtime& runtime);

// How the two differ beyond the bound; empty when they do not. `given_digits`: the case's numbers
// were written down with so many digits behind the point; 0: they are what a computation gave.
std::string onnx_difference(const HostArray& got, const HostArray& want, int given_digits = 0);

}  // namespace cairn::test
