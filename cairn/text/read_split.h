// {"type": "Split"} of tokenizer.json.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cairn/text/splitter.h"

namespace cairn::text {

SplitRule read_split(const nlohmann::json& split);
SplitRule::Keep keep_of(const std::string& behavior);

}  // namespace cairn::text
