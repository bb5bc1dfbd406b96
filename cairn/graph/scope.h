// Where a node comes from: a path of named scopes ("layers.3/attention") and the line of the
// program.
//
//   Scope scope("attention");          // nodes built until the end of the block belong to it
//
// A public function of tensors opens a Provenance with its caller's line; the outermost one wins,
// so that nodes built inside softmax() name the line of the program that called softmax(). The
// thread-local state of this file is the only one in cairn, and it is read only when a node is
// built.
#pragma once

#include <memory>
#include <source_location>
#include <string>
#include <string_view>

namespace cairn {

// Shared and immutable; null is the root.
using ScopePath = std::shared_ptr<const std::string>;

class Scope {
 public:
  explicit Scope(std::string_view name);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  // The path of the calling thread.
  static const ScopePath& current();

 private:
  ScopePath outer_;
};

class Provenance {
 public:
  // `operation` is what errors call the function, and outlives this object; without it, it is the
  // C++ function that makes this object.
  Provenance(const std::source_location& where, std::string_view operation);
  explicit Provenance(const std::source_location& where,
                      const std::source_location& here = std::source_location::current());
  ~Provenance();
  Provenance(const Provenance&) = delete;
  Provenance& operator=(const Provenance&) = delete;
  // The outermost open location; line 0 when there is none.
  static const std::source_location& current();
  // The function of the outermost one; empty when there is none.
  static std::string_view operation();

 private:
  bool outermost_;
};

// How errors of `operation` begin: "[softmax] ", or "[layer_norm] in multiply: " within another.
std::string error_prefix(std::string_view operation);
// " (at file.cpp:12)" of the outermost location; nothing when there is none.
std::string error_location();

// While it lives, nodes take this path and location: transforms that build on behalf of another
// node.
class Origin {
 public:
  Origin(const ScopePath& path, const std::source_location& where);
  ~Origin();
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

 private:
  ScopePath path_;
  std::source_location location_;
  std::string_view operation_;
  bool located_;
};

}  // namespace cairn
