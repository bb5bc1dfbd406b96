// Python's two ways to format: "%s is %d" % values, and "{} is {name}".format(...).
#pragma once

#include <string>
#include <string_view>

#include "cairn/text/jinja_value.h"

namespace cairn::text::jinja {

// `values` is a tuple, a dict for %(name)s, or a single value. Throws Error.
std::string printf_format(Run& run, std::string_view pattern, const Value& values);
std::string brace_format(Run& run, std::string_view pattern, const Arguments& arguments);

}  // namespace cairn::text::jinja
