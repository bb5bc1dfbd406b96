// {"type": "Split"} of tokenizer.json.
#pragma once

#include <string>

#include "cairn/text/json_view.h"
#include "cairn/text/splitter.h"

namespace cairn::text {

SplitRule read_split(JsonView split);
SplitRule::Keep keep_of(const std::string& behavior);

}  // namespace cairn::text
