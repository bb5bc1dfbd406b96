// Numbers of an example's command line. One that is no number or out of range ends the program with
// status 2.
#pragma once

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>

template <class T>
T parse_number(const std::string& name, const std::string& text, T least, T most) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc() && rest == end && value >= least && value <= most) return value;
  std::fprintf(stderr, "error: %s takes a%s number from %g to %g, not '%s'\n", name.c_str(),
               std::is_integral_v<T> ? " whole" : "", static_cast<double>(least),
               static_cast<double>(most), text.c_str());
  std::exit(2);
}
