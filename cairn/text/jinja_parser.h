// Tokens to expressions: Jinja's grammar, which has Python's precedence with filters and tests
// binding tighter than all operators.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "cairn/text/jinja_lexer.h"
#include "cairn/text/jinja_tree.h"

namespace cairn::text::jinja {

class ExpressionParser {
 public:
  ExpressionParser(std::string_view source, std::vector<Token> tokens)
      : source_(source), tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool skip_name(std::string_view name);
  bool skip_sign(std::string_view sign);
  std::string expect_name(std::string_view what);
  void expect_sign(std::string_view sign);
  // Whether a name stands between the token that was current at `from` = position() and now.
  size_t position() const { return at_; }
  bool mentioned(size_t from, std::string_view name) const;
  [[noreturn]] void fail(std::string_view expected) const;
  [[noreturn]] void fail_at(size_t at, std::string_view message) const {
    throw_at(source_, at, message);
  }

  enum class Conditional { allowed, no };  // "a if b else c"

  ExpressionPtr expression(Conditional conditional = Conditional::allowed);
  // An expression, or several with commas: a tuple.
  ExpressionPtr tuple(Conditional conditional = Conditional::allowed);
  // Filters that begin with a name: of {% filter %} and {% set %} blocks.
  ExpressionPtr filters_of_block();
  // What follows an expression: attributes, items, calls; filters and tests.
  ExpressionPtr postfix(ExpressionPtr node);

 private:
  // Counts how deep the parser's functions nest, so that no source exhausts the stack.
  class Nested {
   public:
    explicit Nested(ExpressionParser& parser);
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;
    ~Nested() { --parser_.nested_; }

   private:
    ExpressionParser& parser_;
  };

  ExpressionPtr make(Expression::Kind kind, size_t at, std::vector<ExpressionPtr> parts) const;
  template <class... Parts>
  ExpressionPtr node(Expression::Kind kind, size_t at, Parts... parts) const;

  ExpressionPtr either();
  ExpressionPtr both();
  ExpressionPtr inverted();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  enum class Filters { allowed, no };
  ExpressionPtr unary(Filters filters = Filters::allowed);
  ExpressionPtr primary();
  ExpressionPtr number();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr subscript(ExpressionPtr node);
  ExpressionPtr call(ExpressionPtr node);
  ExpressionPtr filters_and_tests(ExpressionPtr node);
  ExpressionPtr filter(ExpressionPtr node);
  ExpressionPtr test(ExpressionPtr node);
  std::vector<Argument> arguments();
  ExpressionPtr binary(ExpressionPtr (ExpressionParser::*operand)(),
                       std::vector<std::pair<std::string_view, Operator>> operators);

  std::string_view source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nested_ = 0;
};

// What a token is called in errors.
std::string describe(const Token& token);

}  // namespace cairn::text::jinja
