// The filters, in tables by what they work on (jinja_filters.cpp, jinja_list_filters.cpp).
#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "cairn/text/jinja_run.h"

namespace cairn::text::jinja {

using FilterEntry = std::pair<std::string_view, Filter>;
std::span<const FilterEntry> list_filters();

}  // namespace cairn::text::jinja
