// Errors and expected failures.
//
// Three kinds (docs/adr/0003-errors.md): a caller's mistake throws cairn::Error with the operation
// and the values in its text; a bug in cairn trips CAIRN_ASSERT, which throws InternalError (the
// library never aborts its host); an expected failure at an edge (a file, a socket) is a Result<T>.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace cairn {

// A mistake of the caller: wrong shape, unknown name, bad value. `what()` is one short paragraph:
// what is wrong, what was expected, what to do.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A bug in cairn itself.
class InternalError : public Error {
 public:
  using Error::Error;
};

[[noreturn]] void throw_error(std::string message);
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

// The value, or the reason why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : data_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : data_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return data_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // The value; throws the Error when there is none.
  T& value() & {
    require();
    return std::get<0>(data_);
  }
  const T& value() const& {
    require();
    return std::get<0>(data_);
  }
  T&& value() && {
    require();
    return std::get<0>(std::move(data_));
  }
  const Error& error() const { return std::get<1>(data_); }

 private:
  void require() const {
    if (!ok()) throw std::get<1>(data_);
  }
  std::variant<T, Error> data_;
};

struct Nothing {};
using Status = Result<Nothing>;

}  // namespace cairn

// An invariant of cairn's own; kept in every build, so use it where it costs nothing.
#define CAIRN_ASSERT(condition) \
  ((condition) ? void(0) : ::cairn::assertion_failed(#condition, __FILE__, __LINE__))
