#include "cairn/text/jinja_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace cairn::text::jinja {
namespace {

constexpr int kDeepest = 150;  // the published templates stay under 30

using Kind = Expression::Kind;

}  // namespace

std::string describe(const Token& token) {
  switch (token.kind) {
    case Token::Kind::data: return "text";
    case Token::Kind::string: return "a string";
    case Token::Kind::end: return "the end of the template";
    default: return fmt::format("'{}'", token.text);
  }
}

ExpressionParser::Nested::Nested(ExpressionParser& parser) : parser_(parser) {
  if (++parser_.nested_ > kDeepest) {
    const size_t at = parser_.current().at;
    --parser_.nested_;
    parser_.fail_at(at, fmt::format("expressions nest deeper than {} levels", kDeepest));
  }
}

bool ExpressionParser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  next();
  return true;
}

bool ExpressionParser::skip_sign(std::string_view sign) {
  if (!current().is_sign(sign)) return false;
  next();
  return true;
}

std::string ExpressionParser::expect_name(std::string_view what) {
  if (current().kind != Token::Kind::name) fail(what);
  return next().text;
}

void ExpressionParser::expect_sign(std::string_view sign) {
  if (!skip_sign(sign)) fail(fmt::format("'{}'", sign));
}

bool ExpressionParser::mentioned(size_t from, std::string_view name) const {
  for (size_t i = from; i < at_; ++i) {
    if (tokens_[i].is_name(name)) return true;
  }
  return false;
}

void ExpressionParser::fail(std::string_view expected) const {
  fail_at(current().at, fmt::format("expected {}, found {}", expected, describe(current())));
}

ExpressionPtr ExpressionParser::make(Kind kind, size_t at, std::vector<ExpressionPtr> parts) const {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->at = at;
  for (const ExpressionPtr& part : parts) {
    if (part) node->depth = std::max(node->depth, part->depth + 1);
  }
  if (node->depth > kDeepest)
    fail_at(at, fmt::format("expressions nest deeper than {} levels", kDeepest));
  node->parts = std::move(parts);
  return node;
}

template <class... Parts>
ExpressionPtr ExpressionParser::node(Kind kind, size_t at, Parts... parts) const {
  std::vector<ExpressionPtr> list;
  (list.push_back(std::move(parts)), ...);
  return make(kind, at, std::move(list));
}

ExpressionPtr ExpressionParser::expression(Conditional conditional) {
  const Nested nested(*this);
  ExpressionPtr value = either();
  if (conditional == Conditional::no) return value;
  while (current().is_name("if")) {
    const size_t at = next().at;
    ExpressionPtr condition = either();
    ExpressionPtr otherwise = skip_name("else") ? expression() : nullptr;
    value =
        node(Kind::conditional, at, std::move(condition), std::move(value), std::move(otherwise));
  }
  return value;
}

ExpressionPtr ExpressionParser::tuple(Conditional conditional) {
  const size_t at = current().at;
  ExpressionPtr first = expression(conditional);
  if (!current().is_sign(",")) return first;
  std::vector<ExpressionPtr> parts;
  parts.push_back(std::move(first));
  while (skip_sign(",")) {
    const Token& token = current();
    const bool ends = token.kind == Token::Kind::tag_end || token.kind == Token::Kind::print_end ||
                      token.is_sign(")") || token.is_name("recursive");
    if (ends) break;
    parts.push_back(expression(conditional));
  }
  return make(Kind::tuple, at, std::move(parts));
}

ExpressionPtr ExpressionParser::binary(
    ExpressionPtr (ExpressionParser::*operand)(),
    std::vector<std::pair<std::string_view, Operator>> operators) {
  ExpressionPtr left = (this->*operand)();
  for (;;) {
    const auto found = std::find_if(operators.begin(), operators.end(), [&](const auto& pair) {
      return current().is_sign(pair.first);
    });
    if (found == operators.end()) return left;
    const size_t at = next().at;
    left = node(Kind::arithmetic, at, std::move(left), (this->*operand)());
    left->operators = {found->second};
  }
}

ExpressionPtr ExpressionParser::either() {
  ExpressionPtr left = both();
  while (current().is_name("or")) {
    const size_t at = next().at;
    left = node(Kind::either, at, std::move(left), both());
  }
  return left;
}

ExpressionPtr ExpressionParser::both() {
  ExpressionPtr left = inverted();
  while (current().is_name("and")) {
    const size_t at = next().at;
    left = node(Kind::both, at, std::move(left), inverted());
  }
  return left;
}

ExpressionPtr ExpressionParser::inverted() {
  if (!current().is_name("not")) return comparison();
  const Nested nested(*this);
  const size_t at = next().at;
  return node(Kind::invert, at, inverted());
}

ExpressionPtr ExpressionParser::comparison() {
  static constexpr std::pair<std::string_view, Operator> kOperators[] = {
      {"==", Operator::equal},      {"!=", Operator::not_equal}, {"<", Operator::less},
      {"<=", Operator::less_equal}, {">", Operator::greater},    {">=", Operator::greater_equal}};
  const size_t at = current().at;
  std::vector<ExpressionPtr> parts;
  std::vector<Operator> operators;
  parts.push_back(sum());
  for (;;) {
    const auto* found =
        std::find_if(std::begin(kOperators), std::end(kOperators),
                     [&](const auto& pair) { return current().is_sign(pair.first); });
    if (found != std::end(kOperators)) {
      next();
      operators.push_back(found->second);
    } else if (skip_name("in")) {
      operators.push_back(Operator::in);
    } else if (current().is_name("not") && ahead().is_name("in")) {
      next();
      next();
      operators.push_back(Operator::not_in);
    } else {
      break;
    }
    parts.push_back(sum());
  }
  if (operators.empty()) return std::move(parts.front());
  ExpressionPtr made = make(Kind::compare, at, std::move(parts));
  made->operators = std::move(operators);
  return made;
}

ExpressionPtr ExpressionParser::sum() {
  return binary(&ExpressionParser::concatenation,
                {{"+", Operator::add}, {"-", Operator::subtract}});
}

ExpressionPtr ExpressionParser::concatenation() {
  const size_t at = current().at;
  std::vector<ExpressionPtr> parts;
  parts.push_back(product());
  while (skip_sign("~")) parts.push_back(product());
  if (parts.size() == 1) return std::move(parts.front());
  return make(Kind::concatenate, at, std::move(parts));
}

ExpressionPtr ExpressionParser::product() {
  return binary(&ExpressionParser::power, {{"*", Operator::multiply},
                                           {"/", Operator::divide},
                                           {"//", Operator::floor_divide},
                                           {"%", Operator::modulo}});
}

// Left to right, and -2 ** 2 is (-2) ** 2: Jinja's order, not Python's.
ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary();
  while (current().is_sign("**")) {
    const size_t at = next().at;
    left = node(Kind::arithmetic, at, std::move(left), unary());
    left->operators = {Operator::power};
  }
  return left;
}

ExpressionPtr ExpressionParser::unary(Filters filters) {
  const Nested nested(*this);
  ExpressionPtr value;
  const size_t at = current().at;
  if (skip_sign("-")) {
    value = node(Kind::negate, at, unary(Filters::no));
  } else if (skip_sign("+")) {
    value = node(Kind::plus, at, unary(Filters::no));
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return filters == Filters::allowed ? filters_and_tests(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::number() {
  const Token token = next();
  ExpressionPtr constant = node(Kind::constant, token.at);
  const char *begin = token.text.data(), *end = begin + token.text.size();
  if (token.kind == Token::Kind::real) {
    double value = 0;
    std::from_chars(begin, end, value);
    constant->value = value;
  } else {
    int64_t value = 0;
    if (std::from_chars(begin, end, value).ec != std::errc())
      fail_at(token.at, "this number is too large");
    constant->value = value;
  }
  return constant;
}

ExpressionPtr ExpressionParser::primary() {
  const Token& token = current();
  const size_t at = token.at;
  if (token.kind == Token::Kind::name) {
    const std::string name = next().text;
    ExpressionPtr constant = node(Kind::constant, at);
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      constant->value = name[0] == 't' || name[0] == 'T';
    } else if (name == "none" || name == "None") {
      constant->value = None();
    } else {
      constant->kind = Kind::name;
      constant->name = name;
    }
    return constant;
  }
  if (token.kind == Token::Kind::string) {
    std::string text;
    while (current().kind == Token::Kind::string) text += next().text;
    ExpressionPtr constant = node(Kind::constant, at);
    constant->value = std::move(text);
    return constant;
  }
  if (token.kind == Token::Kind::integer || token.kind == Token::Kind::real) return number();
  if (skip_sign("(")) {
    if (skip_sign(")")) return node(Kind::tuple, at);
    ExpressionPtr inside = tuple();
    expect_sign(")");
    return inside;
  }
  if (token.is_sign("[")) return list();
  if (token.is_sign("{")) return dict();
  fail("an expression");
}

ExpressionPtr ExpressionParser::list() {
  const size_t at = next().at;
  std::vector<ExpressionPtr> parts;
  while (!current().is_sign("]")) {
    if (!parts.empty()) expect_sign(",");
    if (current().is_sign("]")) break;
    parts.push_back(expression());
  }
  expect_sign("]");
  return make(Kind::list, at, std::move(parts));
}

ExpressionPtr ExpressionParser::dict() {
  const size_t at = next().at;
  std::vector<ExpressionPtr> parts;
  while (!current().is_sign("}")) {
    if (!parts.empty()) expect_sign(",");
    if (current().is_sign("}")) break;
    parts.push_back(expression());
    expect_sign(":");
    parts.push_back(expression());
  }
  expect_sign("}");
  return make(Kind::dict, at, std::move(parts));
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr node) {
  for (;;) {
    if (current().is_sign(".") || current().is_sign("[")) {
      node = subscript(std::move(node));
    } else if (current().is_sign("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr value) {
  const Token bracket = next();
  if (bracket.text == ".") {
    if (current().kind == Token::Kind::integer)
      return node(Kind::item, bracket.at, std::move(value), number());
    const size_t at = current().at;
    ExpressionPtr attribute = node(Kind::attribute, at, std::move(value));
    attribute->name = expect_name("a name after '.'");
    return attribute;
  }
  // [index], [start:stop:step] with any of them left out, or [a, b]: a tuple as key.
  std::vector<ExpressionPtr> parts;
  parts.push_back(std::move(value));
  bool slice = false;
  parts.push_back(current().is_sign(":") ? nullptr : tuple());
  while (parts.size() < 4 && skip_sign(":")) {
    slice = true;
    const bool left_out = current().is_sign(":") || current().is_sign("]");
    parts.push_back(left_out ? nullptr : expression());
  }
  expect_sign("]");
  if (slice) parts.resize(4);
  return make(slice ? Kind::slice : Kind::item, bracket.at, std::move(parts));
}

std::vector<Argument> ExpressionParser::arguments() {
  std::vector<Argument> list;
  expect_sign("(");
  bool named = false;
  while (!current().is_sign(")")) {
    if (!list.empty()) expect_sign(",");
    if (current().is_sign(")")) break;
    Argument argument;
    const size_t at = current().at;
    if (skip_sign("*")) {
      argument.kind = Argument::Kind::spread;
    } else if (skip_sign("**")) {
      argument.kind = Argument::Kind::spread_named;
    } else if (current().kind == Token::Kind::name && ahead().is_sign("=")) {
      argument.kind = Argument::Kind::named;
      argument.name = next().text;
      next();
    } else if (named) {
      fail_at(at, "an argument by position stands behind one by name");
    }
    named = named || argument.kind == Argument::Kind::named ||
            argument.kind == Argument::Kind::spread_named;
    argument.value = expression();
    list.push_back(std::move(argument));
  }
  expect_sign(")");
  return list;
}

ExpressionPtr ExpressionParser::call(ExpressionPtr value) {
  const size_t at = current().at;
  ExpressionPtr made = node(Kind::call, at, std::move(value));
  made->arguments = arguments();
  return made;
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr value) {
  for (;;) {
    if (skip_sign("|")) {
      value = filter(std::move(value));
    } else if (current().is_name("is")) {
      next();
      value = test(std::move(value));
    } else if (current().is_sign("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr value) {
  const size_t at = current().at;
  ExpressionPtr made = node(Kind::filter, at, std::move(value));
  made->name = expect_name("the name of a filter");
  while (skip_sign(".")) made->name += "." + expect_name("the name of a filter");
  if (current().is_sign("(")) made->arguments = arguments();
  return made;
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  const size_t at = current().at;
  const bool inverted = skip_name("not");
  ExpressionPtr made = node(Kind::test, at, std::move(value));
  made->name = expect_name("the name of a test");
  const Token& token = current();
  const bool operand = (token.kind == Token::Kind::name && !token.is_name("else") &&
                        !token.is_name("or") && !token.is_name("and")) ||
                       token.kind == Token::Kind::string || token.kind == Token::Kind::integer ||
                       token.kind == Token::Kind::real || token.is_sign("[") || token.is_sign("{");
  if (token.is_sign("(")) {
    made->arguments = arguments();
  } else if (operand) {
    // "x is divisibleby 3": one argument without brackets.
    if (token.is_name("is")) fail("an argument of the test; tests cannot be chained");
    Argument argument;
    argument.value = postfix(primary());
    made->arguments.push_back(std::move(argument));
  }
  return inverted ? node(Kind::invert, at, std::move(made)) : std::move(made);
}

ExpressionPtr ExpressionParser::filters_of_block() {
  ExpressionPtr made = filter(nullptr);
  while (skip_sign("|")) made = filter(std::move(made));
  return made;
}

}  // namespace cairn::text::jinja
