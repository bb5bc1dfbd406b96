// Reads the small pieces of the text form: tokens, types, literals, attributes. parse.cpp puts them
// together to graphs, tile/parse.cpp to kernels. Not part of the public interface.
//
// Everything here may come from a hostile file. What a piece of text can make the reader allocate
// is bounded by its length: sizes are checked for overflow before use, and what is copied from node
// to node (names, mesh axes) has limits.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/graph/lexer.h"
#include "cairn/graph/tensor.h"

namespace cairn::detail {

inline constexpr int64_t kMaxLiteralElements = 1 << 20;
// Every node that varies carries the names of its axes.
inline constexpr size_t kMaxMeshAxes = 8;
inline constexpr size_t kMaxMeshAxisLength = 64;

class TextReader {
 public:
  explicit TextReader(std::string_view text) : text_(text), lexer_(text), token_(lexer_.next()) {}

  const Token& token() const { return token_; }
  Token take();
  bool at(std::string_view punctuation) const;
  bool at_word(std::string_view word) const;
  // Takes the token when it is that one.
  bool accept(std::string_view punctuation);
  bool accept_word(std::string_view word);
  // Throws Error "expected ')', found ..." otherwise.
  void expect(std::string_view punctuation);
  void expect_word(std::string_view word);
  Token expect_kind(TokenKind kind, std::string_view what);

  // "f32[4,8]@host:0{data}".
  TensorType type();
  // "<f32[2,2]>(1, 2, 3, 4)": what follows the word dense.
  HostArray literal();
  DType dtype();
  int64_t integer(std::string_view what);
  // "1.5", "-inf", "nan(0x7ff8000000000001)".
  Number number(std::string_view what);
  // "[2,3]".
  Ints ints(std::string_view what);
  // "{k=3, axis=1}", or nothing; keys and values are checked against ops.def and attributes.def.
  Attrs attributes(Op op);

  // All errors: "line 3, column 9: what".
  [[noreturn]] void fail(size_t offset, std::string_view what) const;
  // "expected <what>, found <the current token>".
  [[noreturn]] void fail_expected(std::string_view what) const;

 private:
  std::string element_text(std::string_view what);
  std::string mesh_axis();
  Placement placement(const Token& first);
  AttrValue attribute_value(Attr key);

  std::string_view text_;
  Lexer lexer_;
  Token token_;
};

// The candidate that the fewest changes of letters lead to; the first of several.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace cairn::detail
