// Numbers of the text form: written so that reading gives the same bits back, and read. Not part of
// the public interface.
//
// Floats are the shortest decimals that round to the same value (std::to_chars), or inf, -inf, nan,
// -nan, or nan(0x7fa00000) with the bits of any other NaN.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cairn/core/host_array.h"
#include "cairn/graph/attributes.h"

namespace cairn::detail {

// A number without a type: one with a point, an exponent or a name is a double.
std::string print_number(const Number& number);
// Empty when the text is no number, or an integer that does not fit 64 bits.
std::optional<Number> parse_number(std::string_view text);

std::optional<int64_t> parse_integer(std::string_view text);

// Element i.
std::string print_element(const HostArray& array, int64_t i);
// Stores what the text says as element i; false when it is no number of the array's type: no number
// at all, an integer out of range, or a finite decimal that would become infinite.
bool parse_element(std::string_view text, HostArray& array, int64_t i);

// "dense<f32[2,2]>(1, 2, 3, 4)".
std::string print_literal(const HostArray& array);

}  // namespace cairn::detail
